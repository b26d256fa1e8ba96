//! Runs the scenarios against a host: [`run`].

use std::fmt::{self, Write as _};
use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

use futures_util::{FutureExt, StreamExt, stream};

use crate::harness::{Harness, Lack};
use crate::scenarios::{self, Scenario};
use crate::stage::Stage;

/// How many scenarios run at the same time. They use different Groups, so they do not disturb each other.
const AT_ONCE: usize = 8;

/// The time limit of one scenario.
const DEADLINE: Duration = Duration::from_secs(60);

/// The environment variable that names the one scenario to run.
pub const ONLY: &str = "DOG_SCENARIO";

/// The results of a run of the suite.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// The host.
    pub host: String,
    /// How many scenarios passed.
    pub passed: usize,
    /// How many scenarios were skipped, because the host lacks a capability.
    pub skipped: usize,
    /// The scenarios that failed, each with the reason.
    pub failed: Vec<String>,
}

impl fmt::Display for Summary {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, passed, skipped, failed } = self;
        let mut line = format!("{host}: {passed} scenarios passed, {skipped} skipped, {} failed", failed.len());
        for failure in failed {
            write!(line, "\n  {failure}")?;
        }
        formatter.write_str(&line)
    }
}

/// Runs all scenarios, or the one that `DOG_SCENARIO` names, and prints a line for each.
///
/// # Errors
/// If a scenario failed, or if none has that name.
pub async fn run(harness: &dyn Harness) -> Result<Summary, Summary> {
    let only = std::env::var(ONLY).ok();
    let mut summary = Summary { host: harness.name(), ..Summary::default() };
    let chosen = scenarios::all().into_iter().filter(|scenario| only.as_ref().is_none_or(|name| scenario.name == name));
    let plays = chosen.enumerate().map(|(number, scenario)| async move { play(harness, scenario, number).await });
    let mut ends = stream::iter(plays).buffer_unordered(AT_ONCE);
    while let Some((scenario, end)) = ends.next().await {
        let Scenario { name, promises, .. } = scenario;
        match end {
            ScenarioEnd::Passed(took) => {
                println!("  ok    {name}, promises {promises:?}, {took:.2?}");
                summary.passed += 1;
            }
            ScenarioEnd::Skipped(Lack { capability, reason }) => {
                println!("  skip  {name}, promises {promises:?}: no {capability:?}, {reason}");
                summary.skipped += 1;
            }
            ScenarioEnd::Failed(why) => {
                println!("  FAIL  {name}, promises {promises:?}: {why}");
                summary.failed.push(format!("{name}: {why}"));
            }
        }
    }
    if summary.passed + summary.skipped + summary.failed.len() == 0 {
        summary.failed.push(format!("no scenario is called {}", only.as_deref().unwrap_or_default()));
    }
    println!("{summary}");
    if summary.failed.is_empty() { Ok(summary) } else { Err(summary) }
}

enum ScenarioEnd {
    Passed(Duration),
    Skipped(Lack),
    Failed(String),
}

async fn play(harness: &dyn Harness, scenario: Scenario, number: usize) -> (Scenario, ScenarioEnd) {
    let lacks = harness.lacks();
    if let Some(lack) = lacks.iter().find(|lack| scenario.needs.contains(&lack.capability)) {
        return (scenario, ScenarioEnd::Skipped(*lack));
    }
    if let Some(capability) = scenario.replaces.filter(|able| lacks.iter().all(|lack| lack.capability != *able)) {
        return (scenario, ScenarioEnd::Skipped(Lack { capability, reason: "the host can do better" }));
    }
    let started = Instant::now();
    let stage = Stage::new(harness, scenario.name, number);
    let played = AssertUnwindSafe((scenario.run)(stage)).catch_unwind();
    let end = match tokio::time::timeout(DEADLINE, played).await {
        Ok(Ok(Ok(()))) => ScenarioEnd::Passed(started.elapsed()),
        Ok(Ok(Err(failure))) => ScenarioEnd::Failed(failure.to_string()),
        Ok(Err(_)) => ScenarioEnd::Failed("the code of the scenario panicked".to_owned()),
        Err(_) => ScenarioEnd::Failed(format!("expected the end within {DEADLINE:?}")),
    };
    (scenario, end)
}
