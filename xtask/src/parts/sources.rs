//! What the sources must not contain: threads and clocks in pure crates, and files that are too long to read at once.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// The longest file, in lines.
const FILE_LINES: usize = 450;
/// The longest `lib.rs` of a crate, which is its map.
const MAP_LINES: usize = 100;

/// The folders with sources.
const FOLDERS: &[&str] = &["benches", "crates", "examples", "fuzz", "xtask"];
/// The folders with the output of tools.
const NO_SOURCES: &[&str] = &["target", "node_modules"];

/// The sources that decide and never act.
const PURE: &[&str] = &["crates/dog/src", "crates/dog-engine/src"];
/// What would be an act.
const ACTS: &[&str] = &["std::thread", "tokio", "Instant::now", "SystemTime::now"];

/// What the sources under the workspace's root violate.
pub(super) fn violations(root: &Path) -> Result<Vec<String>> {
    let mut violations = Vec::new();
    for file in sources(root)? {
        let text = fs::read_to_string(&file).with_context(|| format!("{} cannot be read", file.display()))?;
        let shown = file.strip_prefix(root).unwrap_or(&file);
        violations.extend(length_violation(shown, &text));
        if PURE.iter().any(|folder| shown.starts_with(folder)) {
            violations.extend(act_violations(shown, &text));
        }
    }
    Ok(violations)
}

/// Every Rust file, in order.
fn sources(root: &Path) -> Result<Vec<PathBuf>> {
    let mut folders: Vec<PathBuf> = FOLDERS.iter().map(|folder| root.join(folder)).collect();
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for path in entries(&folder)? {
            if path.is_dir() {
                folders.extend((!NO_SOURCES.iter().any(|name| path.ends_with(name))).then_some(path));
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let listing = fs::read_dir(folder).with_context(|| format!("{} cannot be listed", folder.display()))?;
    Ok(listing.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>()?)
}

fn length_violation(file: &Path, text: &str) -> Option<String> {
    let is_map = file.starts_with("crates") && file.ends_with("src/lib.rs");
    let limit = if is_map { MAP_LINES } else { FILE_LINES };
    let lines = text.lines().count();
    (lines > limit).then(|| format!("{} has {lines} lines, {limit} is the limit", file.display()))
}

fn act_violations(file: &Path, text: &str) -> Vec<String> {
    let found = |(index, line): (usize, &str)| {
        let act = ACTS.iter().find(|act| code(line).contains(*act))?;
        Some(format!("{}:{} names {act}, which pure code must not", file.display(), index + 1))
    };
    text.lines().enumerate().filter_map(found).collect()
}

/// A line without its comment, which may say that there is no tokio here. It also takes `//` in a string for the beginning of a
/// comment, so it may miss what follows on that line, but it reports nothing that is right.
fn code(line: &str) -> &str {
    line.split_once("//").map_or(line, |(code, _)| code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn acts_in_pure_code_are_found_with_their_line() {
        let text = "use std::cell::Cell;\nlet now = std::time::Instant::now();\ntokio::spawn(future);\n";
        let found = act_violations(Path::new("crates/dog/src/object.rs"), text);
        assert_eq!(
            found,
            [
                "crates/dog/src/object.rs:2 names Instant::now, which pure code must not",
                "crates/dog/src/object.rs:3 names tokio, which pure code must not"
            ]
        );
    }

    #[test]
    fn a_comment_may_say_what_the_code_does_without() {
        assert_eq!(act_violations(Path::new("any.rs"), "//! No tokio here.\nlet x = 1; // no std::thread\n"), [""; 0]);
    }

    #[test]
    fn long_files_and_long_maps_are_found() {
        let lines = |count: usize| "line\n".repeat(count);
        assert_eq!(length_violation(Path::new("crates/dog/src/group.rs"), &lines(450)), None);
        assert!(length_violation(Path::new("crates/dog/src/group.rs"), &lines(451)).is_some());
        assert_eq!(length_violation(Path::new("crates/dog/src/lib.rs"), &lines(100)), None);
        assert!(length_violation(Path::new("crates/dog/src/lib.rs"), &lines(101)).is_some());
        assert_eq!(length_violation(Path::new("examples/chat/src/main.rs"), &lines(101)), None);
    }
}
