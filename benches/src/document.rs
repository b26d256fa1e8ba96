//! The part of a document that a bench writes: what stands around it is written by hand, and stays.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

const END: &str = "<!-- measured: end -->";

fn begin(command: &str) -> String {
    format!("<!-- measured: begin; `{command}` writes what follows -->")
}

/// Puts `text` in its place in the document, which names the command that measures.
///
/// # Errors
/// When there is no document, or no such place in it.
pub fn write(document: &Path, command: &str, text: &str) -> Result<()> {
    let old = fs::read_to_string(document).with_context(|| format!("there is no {}", document.display()))?;
    let new = spliced(&old, command, text);
    let new = new.with_context(|| format!("{} has no place marked for `{command}`", document.display()))?;
    Ok(fs::write(document, new)?)
}

fn spliced(document: &str, command: &str, text: &str) -> Option<String> {
    let begin = begin(command);
    let (before, rest) = document.split_once(&begin)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{begin}\n{text}\n{END}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_around_the_measured_part_stays() {
        let document = |text: &str| format!("before\n{}\n{text}\n{END}\nafter\n", begin("make it"));
        assert_eq!(spliced(&document("old"), "make it", "new").unwrap(), document("new"));
        assert_eq!(spliced(&document("old"), "make", "new"), None);
        assert_eq!(spliced("nothing is marked", "make it", "new"), None);
    }
}
