//! All samples of a run: [`Store`]. It writes each to a file at once, so that an interrupted run can be continued and a
//! finished one shown again.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

use super::sample::{Figure, Sample, Series};
use super::statistics::Spread;

/// What is measured, and where. The first line of the file.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RunInfo {
    /// The command that measures.
    pub command: String,
    /// Rounds.
    pub rounds: usize,
    /// Seconds per measurement.
    pub seconds: f64,
    /// The family's own settings, for people. A run continues only with the same ones.
    pub settings: String,
    /// When it began, in seconds since 1970.
    pub begun: u64,
    /// The machine: processors, pinning, load.
    pub machine: String,
    /// The processor's name.
    pub processor: String,
    /// The kernel's version.
    pub kernel: String,
    /// Entrants whose programs are not installed.
    pub missing: Vec<String>,
}

/// How one measurement ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Measurement {
    /// Its figures.
    Figures(Sample),
    /// Why there are none.
    Failed(String),
}

/// One measurement. One line of the file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// What was measured.
    #[serde(flatten)]
    pub series: Series,
    /// In which round, from 0.
    pub round: usize,
    /// Which of several measurements within the round, from 0.
    pub repetition: usize,
    /// How it ended.
    #[serde(flatten)]
    pub outcome: Measurement,
}

/// A run with its records.
#[derive(Debug)]
pub struct Store {
    run: RunInfo,
    records: Vec<Record>,
    file: Option<File>,
}

impl Store {
    /// A new run. Its file, if it has one, replaces an older one.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn begin(path: Option<&Path>, run: RunInfo) -> Result<Self> {
        let create = |path: &Path| -> Result<File> {
            let mut file = File::create(path).with_context(|| format!("{} cannot be written", path.display()))?;
            writeln!(file, "{}", serde_json::to_string(&run)?)?;
            Ok(file)
        };
        let file = path.map(create).transpose()?;
        Ok(Self { run, records: Vec::new(), file })
    }

    /// A run from its file, to be shown.
    ///
    /// # Errors
    /// When there is no such file, or it was not written by this program.
    pub fn read(path: &Path) -> Result<Self> {
        let file = File::open(path).with_context(|| format!("{} is not there", path.display()))?;
        let mut lines = BufReader::new(file).lines();
        let run = serde_json::from_str(&lines.next().context("the file is empty")??)?;
        // The last line may be cut if the machine stopped: that measurement is repeated.
        let records = lines.map_while(Result::ok).map_while(|line| serde_json::from_str(&line).ok()).collect();
        Ok(Self { run, records, file: None })
    }

    /// A run from its file, to be continued as `run` says.
    ///
    /// # Errors
    /// When there is no such file, or it has other settings.
    pub fn resume(path: &Path, run: &RunInfo) -> Result<Self> {
        let store = Self::read(path)?;
        let settings = |run: &RunInfo| (run.command.clone(), run.rounds, run.seconds.to_bits(), run.settings.clone());
        ensure!(settings(&store.run) == settings(run), "the run in {} has other settings", path.display());
        Ok(Self { file: Some(OpenOptions::new().append(true).open(path)?), ..store })
    }

    /// What is measured, and where.
    pub fn run(&self) -> &RunInfo {
        &self.run
    }

    /// Adds the records of one measurement.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn add(&mut self, records: Vec<Record>) -> Result<()> {
        if let Some(file) = &mut self.file {
            let mut lines = String::new();
            for record in &records {
                lines.push_str(&serde_json::to_string(record)?);
                lines.push('\n');
            }
            // One write: a measurement is kept whole or not at all.
            file.write_all(lines.as_bytes())?;
        }
        self.records.extend(records);
        Ok(())
    }

    /// Whether a series has this round, failed or not.
    pub fn has(&self, series: &Series, round: usize) -> bool {
        self.records.iter().any(|record| record.round == round && record.series == *series)
    }

    /// Why the measurements of a scenario failed, with the entrants' names.
    pub fn failures(&self, scenario: &str) -> Vec<String> {
        let of_it = self.records.iter().filter(|record| record.series.scenario == scenario);
        let failed = |record: &Record| match &record.outcome {
            Measurement::Failed(reason) => Some(format!("{} failed: {reason}", record.series.entrant)),
            Measurement::Figures(_) => None,
        };
        of_it.filter_map(failed).collect()
    }

    /// How many measurements failed.
    pub fn failed(&self) -> usize {
        self.records.iter().filter(|record| matches!(record.outcome, Measurement::Failed(_))).count()
    }

    /// A figure of each measurement, with its round and repetition.
    fn values<'a>(
        &'a self,
        series: &'a Series,
        figure: &'a Figure,
    ) -> impl Iterator<Item = ((usize, usize), f64)> + 'a {
        self.records.iter().filter(move |record| record.series == *series).filter_map(|record| match &record.outcome {
            Measurement::Figures(sample) => Some(((record.round, record.repetition), sample.get(figure)?)),
            Measurement::Failed(_) => None,
        })
    }

    /// All rounds of a figure; `None` if it was not measured.
    pub fn spread(&self, series: &Series, figure: &Figure) -> Option<Spread> {
        Spread::of(self.values(series, figure).map(|(_, value)| value))
    }

    /// A figure of one series divided by that of another, within each round that has both. Pairing removes what changes
    /// from round to round, which is most of the noise.
    pub fn ratio(&self, ours: &Series, theirs: &Series, figure: &Figure) -> Option<Spread> {
        self.paired(ours, theirs, figure, |ours, theirs| ours / theirs)
    }

    /// A figure of one series less that of another, within each round that has both.
    pub fn difference(&self, ours: &Series, theirs: &Series, figure: &Figure) -> Option<Spread> {
        self.paired(ours, theirs, figure, |ours, theirs| ours - theirs)
    }

    fn paired(&self, ours: &Series, theirs: &Series, figure: &Figure, combine: fn(f64, f64) -> f64) -> Option<Spread> {
        let theirs: Vec<_> = self.values(theirs, figure).collect();
        let pair = |(when, ours): ((usize, usize), f64)| {
            let (_, theirs) = theirs.iter().find(|(other, _)| *other == when)?;
            Some(combine(ours, *theirs))
        };
        Spread::of(self.values(ours, figure).filter_map(pair))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CPU: Figure = Figure { key: "cpu", title: "CPU, µs", digits: 1 };
    const OTHER: Figure = Figure { key: "other", title: "other", digits: 1 };

    fn record(entrant: &str, round: usize, value: f64) -> Record {
        let outcome = if value.is_nan() {
            Measurement::Failed("it ended".into())
        } else {
            Measurement::Figures(Sample::from([(CPU, value)]))
        };
        Record { series: Series::new("one", entrant), round, repetition: 0, outcome }
    }

    #[test]
    fn an_interrupted_run_is_continued() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run.jsonl");
        let run = RunInfo { settings: "quick".into(), ..RunInfo::default() };
        let mut store = Store::begin(Some(&path), run.clone()).unwrap();
        store.add(vec![record("ours", 0, 1.5)]).unwrap();
        store.add(vec![record("ours", 1, f64::NAN)]).unwrap();
        drop(store);
        let mut text = std::fs::read_to_string(&path).unwrap();
        text.push_str("{\"scenario\":\"one\",\"entr");
        std::fs::write(&path, text).unwrap();

        let (store, ours) = (Store::resume(&path, &run).unwrap(), Series::new("one", "ours"));
        assert!(store.has(&ours, 0) && store.has(&ours, 1) && !store.has(&ours, 2));
        assert_eq!(store.spread(&ours, &CPU), Spread::of([1.5]));
        assert_eq!((store.failures("one"), store.failed()), (vec!["ours failed: it ended".to_owned()], 1));
        assert!(Store::resume(&path, &RunInfo { settings: "at length".into(), ..run }).is_err());
    }

    #[test]
    fn only_rounds_that_both_have_are_compared() {
        let mut store = Store::begin(None, RunInfo::default()).unwrap();
        let records = [("one", 0, 2.0), ("one", 1, 4.0), ("two", 0, f64::NAN), ("two", 1, 12.0), ("two", 2, 100.0)];
        store.add(records.map(|(entrant, round, value)| record(entrant, round, value)).to_vec()).unwrap();
        let (one, two) = (Series::new("one", "one"), Series::new("one", "two"));
        assert_eq!(store.ratio(&two, &one, &CPU), Spread::of([3.0]));
        assert_eq!(store.difference(&two, &one, &CPU), Spread::of([8.0]));
        assert_eq!(store.spread(&one, &CPU).unwrap().median, 3.0);
        assert_eq!(store.ratio(&two, &one, &OTHER), None);
    }

    #[test]
    fn repetitions_within_a_round_are_pairs_of_their_own() {
        let mut store = Store::begin(None, RunInfo::default()).unwrap();
        for (entrant, factor) in [("one", 1.0), ("two", 2.0)] {
            let records = [3.0, 5.0].into_iter().enumerate();
            let repeated = |(repetition, value)| Record { repetition, ..record(entrant, 0, value * factor) };
            store.add(records.map(repeated).collect()).unwrap();
        }
        let ratio = store.ratio(&Series::new("one", "two"), &Series::new("one", "one"), &CPU);
        assert_eq!(ratio, Spread::of([2.0, 2.0]));
    }
}
