//! What the sources may have beyond the rules on structure. The lists only ever get shorter.

use super::finding::Finding;

/// One thing that is allowed.
struct Exception {
    kind: &'static str,
    /// The key of a finding. For a circle it is a prefix that all its files have.
    key: &'static str,
    /// The largest size: how many files, fields or lines.
    size: usize,
    reason: &'static str,
}

const EXCEPTIONS: &[Exception] = &[];

/// Why a finding is allowed; `None` if it is not in the list, or is larger than there.
pub(super) fn reason(finding: &Finding) -> Option<&'static str> {
    EXCEPTIONS.iter().find(|exception| exception.allows(finding)).map(|exception| exception.reason)
}

impl Exception {
    fn allows(&self, finding: &Finding) -> bool {
        let is_same = match self.kind {
            "circle" => finding.key.split(' ').all(|file| file.starts_with(self.key)),
            _ => finding.key == self.key,
        };
        self.kind == finding.kind && is_same && finding.size <= self.size
    }
}

/// The exceptions that nothing needs any more.
pub(super) fn unused(findings: &[Finding]) -> Vec<String> {
    let is_used = |exception: &&Exception| findings.iter().any(|finding| exception.allows(finding));
    let unused = EXCEPTIONS.iter().filter(|exception| !is_used(exception));
    unused.map(|exception| format!("no {} at {} needs an exception any more", exception.kind, exception.key)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_circle_is_allowed_within_a_folder_and_up_to_a_size() {
        let exception = Exception { kind: "circle", key: "crates/dog/src/", size: 2, reason: "" };
        let finding = |key: &str, size| Finding { kind: "circle", key: key.to_owned(), size, text: String::new() };
        assert!(exception.allows(&finding("crates/dog/src/a.rs crates/dog/src/b.rs", 2)));
        assert!(!exception.allows(&finding("crates/dog/src/a.rs crates/dog/src/b.rs", 3)));
        assert!(!exception.allows(&finding("crates/dog/src/a.rs crates/dog-sim/src/b.rs", 2)));
    }
}
