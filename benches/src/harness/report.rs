//! The report: [`text`] is all of it as Markdown, [`write()`] puts it into a document, with plots beside it.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::store::RunInfo;
use super::table::Table;

/// The end of the part of a document that a command writes. Everything around that part is written by hand and stays.
const END: &str = "<!-- measured: end -->";

/// The folder of plots, beside the document.
const PLOTS: &str = "performance";

/// A table with its heading.
#[derive(Clone, Debug)]
pub struct Section {
    /// The heading.
    pub title: String,
    /// What a reader must know to understand the table.
    pub about: String,
    /// A picture of the most important figure.
    pub plot: Option<Plot>,
    /// The figures.
    pub table: Table,
    /// What failed, one line each.
    pub failures: Vec<String>,
}

/// A picture.
#[derive(Clone, Debug)]
pub struct Plot {
    /// The file's name without `.svg`.
    pub name: &'static str,
    /// The file.
    pub svg: String,
}

/// The report.
pub fn text(run: &RunInfo, sections: &[Section]) -> String {
    let mut text = heading(run);
    for section in sections {
        let _ = write!(text, "\n### {}\n", section.title);
        if !section.about.is_empty() {
            let _ = write!(text, "{}\n\n", section.about);
        }
        if let Some(plot) = &section.plot {
            let _ = write!(text, "![{}]({PLOTS}/{}.svg)\n\n", section.title, plot.name);
        }
        let _ = write!(text, "{}", section.table);
        for failure in &section.failures {
            let _ = write!(text, "\n{failure}\n");
        }
    }
    text
}

fn heading(run: &RunInfo) -> String {
    let RunInfo { machine, processor, kernel, rounds, seconds, settings, missing, .. } = run;
    let mut heading = format!("{machine}; {processor}; Linux {kernel}. {rounds} rounds, of {seconds} s each");
    if !settings.is_empty() {
        let _ = write!(heading, "; {settings}");
    }
    heading.push_str(".\n");
    if !missing.is_empty() {
        let _ = writeln!(heading, "Not measured, because not installed: {}.", missing.join(", "));
    }
    heading
}

/// Puts the report into the part of the document that `command` writes, and the plots into a folder beside the document.
///
/// # Errors
/// When there is no such document, or no such part in it.
pub fn write(document: &Path, run: &RunInfo, sections: &[Section]) -> Result<()> {
    let folder = document.parent().unwrap_or(Path::new(".")).join(PLOTS);
    for plot in sections.iter().filter_map(|section| section.plot.as_ref()) {
        fs::create_dir_all(&folder)?;
        fs::write(folder.join(format!("{}.svg", plot.name)), &plot.svg)?;
    }
    let old = fs::read_to_string(document).with_context(|| format!("{} cannot be read", document.display()))?;
    let new = replaced(&old, &run.command, &text(run, sections));
    let new = new.with_context(|| format!("{} has no part for `{}`", document.display(), run.command))?;
    Ok(fs::write(document, new)?)
}

fn begin(command: &str) -> String {
    format!("<!-- measured: begin; `{command}` writes what follows -->")
}

fn replaced(document: &str, command: &str, text: &str) -> Option<String> {
    let begin = begin(command);
    let (before, rest) = document.split_once(&begin)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{begin}\n{text}\n{END}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_surrounds_the_measured_part_stays() {
        let document = |text: &str| format!("before\n{}\n{text}\n{END}\nafter\n", begin("make it"));
        assert_eq!(replaced(&document("old"), "make it", "new").unwrap(), document("new"));
        assert_eq!(replaced(&document("old"), "make", "new"), None);
        assert_eq!(replaced("nothing is marked", "make it", "new"), None);
    }

    #[test]
    fn a_report_has_its_settings_its_tables_and_what_failed() {
        let run = RunInfo {
            rounds: 2,
            seconds: 1.5,
            machine: "2 processors".into(),
            processor: "any".into(),
            kernel: "6.1".into(),
            settings: "300 sockets".into(),
            missing: vec!["nchan".into()],
            ..RunInfo::default()
        };
        let mut table = Table::new(&["server", "µs"], 1);
        table.push(vec!["ours".into(), "1".into()]);
        let plot = Some(Plot { name: "one", svg: "<svg/>".into() });
        let failures = vec!["nchan failed: it ended".into()];
        let section = Section { title: "One".into(), about: "One in flight.".into(), plot, table, failures };
        let expected = "2 processors; any; Linux 6.1. 2 rounds, of 1.5 s each; 300 sockets.\n\
            Not measured, because not installed: nchan.\n\
            \n### One\nOne in flight.\n\n![One](performance/one.svg)\n\n\
            | server | µs |\n|--------|---:|\n| ours   |  1 |\n\
            \nnchan failed: it ended\n";
        assert_eq!(text(&run, &[section]), expected);
    }
}
