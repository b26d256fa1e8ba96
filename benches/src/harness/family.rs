//! A [`Family`] of scenarios, and [`run`], which measures and reports it.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};

use crate::machine;

use super::options::{BenchOptions, Timing};
use super::report::{self, Section};
use super::rounds::{self, TurnGroup};
use super::store::{RunInfo, Store};

/// Scenarios that are measured by one command and reported on one page.
pub trait Family {
    /// The command, as people type it.
    fn command(&self) -> &'static str;

    /// The names and titles of all scenarios.
    fn scenarios(&self) -> Vec<(&'static str, String)>;

    /// The family's own settings, for the heading of the report.
    fn settings(&self) -> String;

    /// Entrants whose programs are not installed.
    fn missing(&self) -> Vec<String>;

    /// Sockets that are open at the same time, at most.
    fn sockets(&self) -> usize;

    /// What one round measures.
    ///
    /// # Errors
    /// When a program is missing that nothing can be measured without.
    fn groups(&self) -> Result<Vec<TurnGroup<'_>>>;

    /// The sections of the report: those of what was measured.
    fn sections(&self, store: &Store) -> Vec<Section>;
}

/// Does what the command line says: lists, measures or renders.
///
/// # Errors
/// When a flag is wrong, a file cannot be written, or a measurement failed.
pub fn run(family: &impl Family, options: &BenchOptions, timing: Timing) -> Result<()> {
    let scenarios = family.scenarios();
    if options.list {
        scenarios.iter().for_each(|(name, title)| println!("{name:<20} {title}"));
        return Ok(());
    }
    if let Some(unknown) = options.only.iter().find(|only| scenarios.iter().all(|(name, _)| name != *only)) {
        bail!("--only: there is no scenario `{unknown}`; --list names them");
    }
    let store = match &options.results {
        Some(path) if options.render => Store::read(path)?,
        path => measure(family, options, timing, path.as_deref())?,
    };
    let sections = family.sections(&store);
    println!("\n{}", report::text(store.run(), &sections));
    if let Some(document) = &options.document {
        report::write(document, store.run(), &sections)?;
        println!("written to {}", document.display());
    }
    match store.failed() {
        0 => Ok(()),
        failed => bail!("{failed} measurements failed; the report says which"),
    }
}

fn measure(family: &impl Family, options: &BenchOptions, timing: Timing, path: Option<&Path>) -> Result<Store> {
    // Each socket has one end here, and workerd and other servers take their limit from us.
    machine::raise_file_limit(family.sockets() + 1_000)?;
    let run = about(family, options, timing);
    let mut store = match path {
        Some(path) if options.resume => Store::resume(path, &run)?,
        path => Store::begin(path, run)?,
    };
    let mut groups = family.groups()?;
    groups.retain(|group| options.selects_scenario(group.name));
    for group in &mut groups {
        group.turns.retain(|turn| options.selects_entrant(turn.entrant()));
    }
    if !store.run().missing.is_empty() {
        println!("not installed, so not measured: {}", store.run().missing.join(", "));
    }
    rounds::play(&groups, timing.rounds, &mut store).context("the round loop")?;
    Ok(store)
}

fn about(family: &impl Family, options: &BenchOptions, timing: Timing) -> RunInfo {
    RunInfo {
        command: family.command().to_owned(),
        rounds: timing.rounds,
        seconds: timing.measured.as_secs_f64(),
        settings: family.settings(),
        begun: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs(),
        machine: machine::summary(options.pin),
        processor: machine::processor(),
        kernel: machine::kernel(),
        missing: family.missing(),
    }
}
