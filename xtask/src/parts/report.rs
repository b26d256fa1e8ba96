//! How the parts ended: the closing table.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};

/// How one part ended.
#[derive(Debug, PartialEq)]
pub(super) struct Finished {
    pub(super) name: String,
    /// How long its preparation took, on a machine that may have done other things too.
    pub(super) prepared: Duration,
    pub(super) took: Duration,
    /// A note, or the reason of the failure.
    pub(super) result: Result<String, String>,
}

/// The closing table, why parts failed, and the plain line that CI reads: `N passed, M failed`, where N and M count parts. The
/// reasons stand here, at the end, because CI may keep no more than the end of what was printed.
pub(super) fn summary(finished: &[Finished], total: Duration) -> String {
    let mut text = format!("{:<12} {:<7} {:>8} {:>8}  note\n", "part", "result", "prepared", "seconds");
    for part in finished {
        let (result, note) = match &part.result {
            Ok(note) => ("passed", note.as_str()),
            // A reason may be a list; the table has room for its first line.
            Err(reason) => ("FAILED", reason.lines().next().unwrap_or_default()),
        };
        let (prepared, took) = (part.prepared.as_secs_f64(), part.took.as_secs_f64());
        let row = format!("{:<12} {result:<7} {prepared:>8.1} {took:>8.1}  {note}", part.name);
        text.push_str(row.trim_end());
        text.push('\n');
    }
    let failed = finished.iter().filter(|part| part.result.is_err()).count();
    text.push_str(&format!("{:<12} {:<7} {:>8} {:>8.1}\n\n", "all", "", "", total.as_secs_f64()));
    for part in finished {
        let Err(reason) = &part.result else { continue };
        let Some((_, details)) = reason.split_once('\n') else { continue };
        text.push_str(&format!("=== {} failed:\n{details}\n\n", part.name));
    }
    text.push_str(&format!("{} passed, {failed} failed", finished.len() - failed));
    text
}

/// Writes how parts ended, for the process that started this one.
pub(super) fn write(path: &Path, finished: &[Finished]) -> Result<()> {
    let parts = finished.iter().map(|part| {
        let (is_passed, text) = match &part.result {
            Ok(note) => (true, note),
            Err(reason) => (false, reason),
        };
        let (prepared, took) = (part.prepared.as_secs_f64(), part.took.as_secs_f64());
        json!({ "name": part.name, "prepared": prepared, "took": took, "passed": is_passed, "text": text })
    });
    let text = Value::Array(parts.collect()).to_string();
    fs::write(path, text).with_context(|| format!("{} cannot be written", path.display()))
}

/// Reads what [`write()`] wrote.
pub(super) fn read(path: &Path) -> Result<Vec<Finished>> {
    let text = fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))?;
    let parts: Vec<Value> = serde_json::from_str(&text)?;
    parts.iter().map(|part| parse(part).context("a report of another form")).collect()
}

fn parse(part: &Value) -> Option<Finished> {
    let seconds = |key: &str| Duration::try_from_secs_f64(part[key].as_f64()?).ok();
    let text = part["text"].as_str()?.to_owned();
    Some(Finished {
        name: part["name"].as_str()?.to_owned(),
        prepared: seconds("prepared")?,
        took: seconds("took")?,
        result: if part["passed"].as_bool()? { Ok(text) } else { Err(text) },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(name: &str, result: Result<&str, &str>) -> Finished {
        Finished {
            name: name.to_owned(),
            prepared: Duration::from_millis(500),
            took: Duration::from_millis(1_500),
            result: result.map(str::to_owned).map_err(str::to_owned),
        }
    }

    #[test]
    fn the_last_line_counts_parts() {
        let parts = [ended("fmt", Ok("")), ended("unit", Err("broken\nin detail")), ended("wasm", Ok("built"))];
        let text = summary(&parts, Duration::from_secs(9));
        assert_eq!(text.lines().last(), Some("2 passed, 1 failed"));
        assert!(text.contains("unit         FAILED       0.5      1.5  broken\n"), "{text}");
        assert!(text.contains("fmt          passed       0.5      1.5\n"), "{text}");
        assert!(text.contains("=== unit failed:\nin detail\n"), "{text}");
    }

    #[test]
    fn a_report_is_read_as_it_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("report");
        let parts = [ended("fmt", Ok("a note")), ended("unit", Err("a reason"))];
        write(&path, &parts).unwrap();
        assert_eq!(read(&path).unwrap(), parts);
        assert!(read(folder.path()).is_err());
    }
}
