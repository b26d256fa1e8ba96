//! What the sources must not hold: threads and clocks in pure crates, and files too long to be read in one go.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// No source file is longer.
const FILE_LINES: usize = 450;
/// A crate's `lib.rs` is its map, and a map fits on a page or two.
const MAP_LINES: usize = 100;

/// The sources that decide and never act.
const PURE: &[&str] = &["crates/dog/src", "crates/dog-engine/src"];
/// What would be an act.
const ACTS: &[&str] = &["std::thread", "tokio", "Instant::now", "SystemTime::now"];

/// What is wrong with the sources under the workspace's root.
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

/// Every Rust file under `crates/*/src`, `examples/*/src`, `xtask/src` and `fuzz`, in order.
fn sources(root: &Path) -> Result<Vec<PathBuf>> {
    let mut folders = vec![root.join("xtask/src"), root.join("fuzz/src"), root.join("fuzz/targets")];
    for group in ["crates", "examples"] {
        folders.extend(entries(&root.join(group))?.into_iter().map(|package| package.join("src")));
    }
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for path in if folder.is_dir() { entries(&folder)? } else { Vec::new() } {
            if path.is_dir() {
                folders.push(path);
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

/// A line without its comment, which may well say that there is no tokio here. Not a parser: it takes `//` in a string
/// for a comment too, and so may miss what follows on that line, but never blames what is right.
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
