//! The part `autobahn`: the Autobahn cases against the relay example, a real server on a real port.
//!
//! The client is `kosoku`, which runs Autobahn's own case files on Python 3. It opens one connection per case. A socket of the
//! relay that names no room is alone in its room, so the relay works as an echo server.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::length::Length;
use crate::provision::python;
use crate::server::Server;
use crate::step::Step;
use crate::workspace::Workspace;

const CLIENT: &str = "kosoku==0.1.0";

/// One of the five families of compression cases that differ only in what is sent: text as binary messages. Two others send
/// text and two send binary data, and this one would add a fifth to the time.
const EXCLUDED: &[&str] = &["12.3.*"];
/// How many cases that leaves. If fewer are reported, some did not run.
const CASES: usize = 499;

/// Cases 9.* send messages of 16 MiB and expect them back, so both limits are well above. Cases 12.* and 13.* test
/// compression, so short messages are compressed too.
const RELAY_ARGUMENTS: &[&str] =
    &["--listen", "127.0.0.1:0", "--max-message", "67108864", "--max-outbox", "268435456", "--compress", "0"];

/// The cases in which the relay deliberately does not follow a SHOULD of the specification, each with the reason.
const TOLERATED: &[(&str, &str)] = &[];

const READY_LIMIT: Duration = Duration::from_secs(10);
/// The cases take four minutes on an idle machine, three of them for compression. Most of that is the client's work.
const CASES_LIMIT: Duration = Duration::from_mins(20);

/// A bug of the client: it passes an uncompressed message to the compression cases as a string with one character per byte,
/// where they expect bytes. This line of the cases is followed by the fix.
const METHOD: &str = "def onMessage(self, msg, binary):\n";
const FIX: &str = "   msg = msg.encode('latin-1') if isinstance(msg, str) else msg\n";

/// Installs the client and builds the relay.
pub(super) fn prepare(workspace: &Workspace) -> Result<()> {
    fix_client(&python::package(workspace, CLIENT)?)?;
    workspace.build_optimised()
}

/// Runs the part.
pub(super) fn run(workspace: &Workspace, _: Length) -> Result<String> {
    let programs = python::package(workspace, CLIENT)?;
    let relay = Step::program(workspace.optimised_program("relay")).args(RELAY_ARGUMENTS);
    let mut server = Server::start(relay, READY_LIMIT)?;
    let report = workspace.scratch("autobahn");
    drive(&programs.join("kosoku"), server.authority(), &report)?;
    server.check_alive()?;
    judge(workspace, &report)
}

/// Fixes the client's cases, if an earlier run has not.
fn fix_client(programs: &Path) -> Result<()> {
    let tell = "import kosoku; print(kosoku.__path__[0])";
    let folder = Step::program(programs.join("python")).args(["-c", tell]).ask()?;
    let file = Path::new(folder.trim()).join("cases/case12_x_x.py");
    let cases = fs::read_to_string(&file).with_context(|| format!("{CLIENT} has no {}", file.display()))?;
    if !cases.contains(FIX) {
        ensure!(cases.contains(METHOD), "{CLIENT} has changed: check whether it still needs the fix");
        fs::write(&file, cases.replacen(METHOD, &format!("{METHOD}{FIX}"), 1))?;
    }
    Ok(())
}

/// Runs the cases. The client writes a report.
fn drive(client: &Path, authority: &str, report: &Path) -> Result<()> {
    // An old report must not count for this run.
    if report.exists() {
        fs::remove_dir_all(report)?;
    }
    let excluded = EXCLUDED.iter().flat_map(|cases| ["--exclude", cases]);
    let step = Step::program(client).args(["--mode", "fuzzingclient"]).args(excluded).args(["--outdir"]).args([report]);
    let status = step.args([format!("ws://{authority}/ws")]).limit(CASES_LIMIT).run_to_end()?;
    match status.code() {
        // 1 means that a case failed. The report says which.
        Some(0 | 1) => Ok(()),
        _ => bail!("kosoku ended with {status}"),
    }
}

fn judge(workspace: &Workspace, report: &Path) -> Result<String> {
    let index = report.join("index.json");
    let text =
        fs::read_to_string(&index).with_context(|| format!("there is no report at {}", workspace.show(&index)))?;
    let tally = Tally::of(&parse(&text)?, TOLERATED);
    println!("report: {}", workspace.show(&report.join("index.html")));
    tally.lines.iter().for_each(|line| println!("  {line}"));
    println!("{tally}");
    match tally.run() {
        _ if tally.failed > 0 => bail!("{tally}"),
        CASES => Ok(tally.to_string()),
        run => bail!("{run} cases ran instead of {CASES}"),
    }
}

/// How one case went.
#[derive(Debug)]
struct Case {
    id: String,
    behavior: String,
    close: String,
    close_code: Option<u64>,
}

/// How a case counts.
#[derive(Debug, PartialEq)]
enum Verdict {
    Passed,
    /// The specification leaves it open. The case only shows what the server does.
    Informational,
    /// The server deliberately does not follow a SHOULD, for this reason.
    Tolerated(&'static str),
    Failed,
}

impl Case {
    fn verdict(&self, tolerated: &[(&str, &'static str)]) -> Verdict {
        match (self.behavior.as_str(), self.close.as_str()) {
            ("OK", "OK") => Verdict::Passed,
            ("OK" | "INFORMATIONAL", "OK" | "INFORMATIONAL") => Verdict::Informational,
            ("NON-STRICT", "OK" | "INFORMATIONAL") => {
                let reason = tolerated.iter().find(|(id, _)| *id == self.id);
                reason.map_or(Verdict::Failed, |(_, reason)| Verdict::Tolerated(reason))
            }
            _ => Verdict::Failed,
        }
    }
}

/// Reads the report's index: for each server (there is one), for each case, how it went. Sorts by case number.
fn parse(index: &str) -> Result<Vec<Case>> {
    let index: BTreeMap<String, BTreeMap<String, Value>> = serde_json::from_str(index)?;
    let mut cases = Vec::new();
    for (id, case) in index.into_values().flatten() {
        let text =
            |key: &str| Ok::<_, anyhow::Error>(case[key].as_str().context("a case without a verdict")?.to_owned());
        let (behavior, close) = (text("behavior")?, text("behaviorClose")?);
        cases.push(Case { id, behavior, close, close_code: case["remoteCloseCode"].as_u64() });
    }
    cases.sort_by_key(|case| case.id.split('.').map(|number| number.parse().unwrap_or(0)).collect::<Vec<u32>>());
    Ok(cases)
}

/// All verdicts, counted.
#[derive(Debug, Default)]
struct Tally {
    passed: usize,
    informational: usize,
    tolerated: usize,
    failed: usize,
    /// One line for each case that is not `Passed`.
    lines: Vec<String>,
}

impl Tally {
    fn of(cases: &[Case], tolerated: &[(&str, &'static str)]) -> Self {
        let mut tally = Self::default();
        for case in cases {
            tally.add(case, &case.verdict(tolerated));
        }
        tally
    }

    fn add(&mut self, case: &Case, verdict: &Verdict) {
        let (count, word) = match verdict {
            Verdict::Passed => (&mut self.passed, None),
            Verdict::Informational => (&mut self.informational, Some("informational".to_owned())),
            Verdict::Tolerated(reason) => (&mut self.tolerated, Some(format!("tolerated ({reason})"))),
            Verdict::Failed => (&mut self.failed, Some("FAILED".to_owned())),
        };
        *count += 1;
        if let Some(word) = word {
            let code = case.close_code.map_or("none".to_owned(), |code| code.to_string());
            let Case { id, behavior, close, .. } = case;
            self.lines.push(format!("{id}: {word}: behavior {behavior}, close {close}, close code {code}"));
        }
    }

    fn run(&self) -> usize {
        self.passed + self.informational + self.tolerated + self.failed
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { passed, informational, tolerated, failed, .. } = self;
        let run = self.run();
        write!(
            formatter,
            "{run} cases: {passed} passed, {informational} informational, {tolerated} tolerated, {failed} failed"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn case(id: &str, behavior: &str, close: &str) -> Case {
        Case { id: id.to_owned(), behavior: behavior.to_owned(), close: close.to_owned(), close_code: Some(1000) }
    }

    #[test]
    fn a_report_is_read_in_the_order_of_the_cases() {
        let index = r#"{ "relay": {
            "10.1.1": { "behavior": "OK", "behaviorClose": "OK", "remoteCloseCode": 1000 },
            "9.1.2": { "behavior": "FAILED", "behaviorClose": "UNCLEAN", "remoteCloseCode": null } } }"#;
        let cases = parse(index).unwrap();
        assert_eq!(cases.iter().map(|case| case.id.as_str()).collect::<Vec<_>>(), ["9.1.2", "10.1.1"]);
        let tally = Tally::of(&cases, &[]);
        assert_eq!(tally.lines, ["9.1.2: FAILED: behavior FAILED, close UNCLEAN, close code none"]);
        assert_eq!(tally.to_string(), "2 cases: 1 passed, 0 informational, 0 tolerated, 1 failed");
    }

    #[test]
    fn a_report_without_verdicts_is_an_error() {
        assert!(parse(r#"{ "relay": { "1.1.1": {} } }"#).is_err());
        assert!(parse("").is_err());
    }

    #[test]
    fn a_case_that_is_not_strict_fails_unless_it_is_tolerated() {
        let case = case("3.2", "NON-STRICT", "OK");
        assert_eq!(case.verdict(&[]), Verdict::Failed);
        assert_eq!(case.verdict(&[("3.3", "another")]), Verdict::Failed);
        assert_eq!(case.verdict(&[("3.2", "a reason")]), Verdict::Tolerated("a reason"));
    }

    #[test]
    fn an_unknown_verdict_fails() {
        for (behavior, close) in
            [("OK", "UNCLEAN"), ("OK", "WRONG CODE"), ("UNIMPLEMENTED", "OK"), ("ERROR", "FAILED"), ("NEW", "NEW")]
        {
            assert_eq!(case("1.1.1", behavior, close).verdict(&[]), Verdict::Failed, "{behavior}, {close}");
        }
        assert_eq!(case("7.1.6", "INFORMATIONAL", "INFORMATIONAL").verdict(&[]), Verdict::Informational);
    }
}
