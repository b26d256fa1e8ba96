//! What was measured, kept in a file as it comes, so that a run that breaks can be taken up and shown: [`Store`].

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::round::Sample;

/// One line of it: how a round of an entrant went.
pub(crate) struct Record {
    pub(crate) scenario: String,
    pub(crate) entrant: String,
    pub(crate) round: usize,
    /// The figures, or why there are none.
    pub(crate) outcome: Result<Sample, String>,
}

/// The file, and what it holds: one JSON object a line, the first of which says what kind of run it is.
pub(crate) struct Store {
    /// What the run was told, and what machine it was on.
    pub(crate) run: Value,
    pub(crate) records: Vec<Record>,
    file: Option<File>,
}

impl Store {
    /// A new run, in place of an earlier one.
    pub(crate) fn begin(path: &Path, run: Value) -> Result<Self> {
        let mut file = File::create(path).with_context(|| format!("{} cannot be written", path.display()))?;
        writeln!(file, "{run}")?;
        Ok(Self { run, records: Vec::new(), file: Some(file) })
    }

    /// An earlier run, to be taken up.
    pub(crate) fn resume(path: &Path) -> Result<Self> {
        let store = Self::read(path)?;
        Ok(Self { file: Some(OpenOptions::new().append(true).open(path)?), ..store })
    }

    /// An earlier run, to be shown.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let file = File::open(path).with_context(|| format!("there is no earlier run at {}", path.display()))?;
        let mut lines = BufReader::new(file).lines();
        let run = serde_json::from_str(&lines.next().context("an empty file")??)?;
        // The last line may be cut, if the machine went down: that round is played again.
        let records = lines.map_while(Result::ok).map_while(|line| Record::parse(&line)).collect();
        Ok(Self { run, records, file: None })
    }

    /// Keeps one more.
    pub(crate) fn add(&mut self, record: Record) -> Result<()> {
        if let Some(file) = &mut self.file {
            // In one piece, for a line that is cut is lost.
            file.write_all(format!("{}\n", record.to_json()).as_bytes())?;
        }
        self.records.push(record);
        Ok(())
    }

    /// Whether this round was played.
    pub(crate) fn has(&self, scenario: &str, entrant: &str, round: usize) -> bool {
        let is_it = |record: &&Record| record.round == round && record.is_of(scenario, entrant);
        self.records.iter().any(|record| is_it(&record))
    }

    /// The rounds of an entrant that went well.
    pub(crate) fn samples<'a>(
        &'a self,
        scenario: &'a str,
        entrant: &'a str,
    ) -> impl Iterator<Item = (usize, &'a Sample)> {
        let of_it = self.records.iter().filter(move |record| record.is_of(scenario, entrant));
        of_it.filter_map(|record| Some((record.round, record.outcome.as_ref().ok()?)))
    }

    /// Why a round of an entrant failed, if one did.
    pub(crate) fn failure(&self, scenario: &str, entrant: &str) -> Option<&str> {
        let mut of_it = self.records.iter().filter(|record| record.is_of(scenario, entrant));
        of_it.find_map(|record| record.outcome.as_ref().err().map(String::as_str))
    }

    /// Fails unless it was told the same.
    pub(crate) fn check_told(&self, told: &Value) -> Result<()> {
        ensure!(self.run["told"] == *told, "the earlier run was told {}, and this one {told}", self.run["told"]);
        Ok(())
    }
}

impl Record {
    fn is_of(&self, scenario: &str, entrant: &str) -> bool {
        self.scenario == scenario && self.entrant == entrant
    }

    fn to_json(&self) -> Value {
        let Self { scenario, entrant, round, outcome } = self;
        let (key, value) = match outcome {
            Ok(Sample(figures)) => ("figures", json!(figures)),
            Err(reason) => ("failed", json!(reason)),
        };
        json!({ "scenario": scenario, "entrant": entrant, "round": round, key: value })
    }

    fn parse(line: &str) -> Option<Self> {
        let value: Value = serde_json::from_str(line).ok()?;
        let text = |key: &str| Some(value[key].as_str()?.to_owned());
        let outcome = match text("failed") {
            Some(reason) => Err(reason),
            None => Ok(Sample(serde_json::from_value(value["figures"].clone()).ok()?)),
        };
        let round = usize::try_from(value["round"].as_u64()?).ok()?;
        Some(Self { scenario: text("scenario")?, entrant: text("entrant")?, round, outcome })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(round: usize, outcome: Result<Sample, String>) -> Record {
        Record { scenario: "one".into(), entrant: "ours".into(), round, outcome }
    }

    #[test]
    fn a_run_is_taken_up_where_it_broke() {
        let path = std::env::temp_dir().join(format!("dog-bench-store-{}", std::process::id()));
        let sample = Sample([("cpu".to_owned(), 1.5)].into());
        let mut store = Store::begin(&path, json!({ "told": "quick" })).unwrap();
        store.add(record(0, Ok(sample.clone()))).unwrap();
        store.add(record(1, Err("it ended".into()))).unwrap();
        drop(store);
        let mut text = std::fs::read_to_string(&path).unwrap();
        text.push_str("{\"scenario\":\"one\",\"entr");
        std::fs::write(&path, text).unwrap();

        let store = Store::resume(&path).unwrap();
        assert!(store.has("one", "ours", 0) && store.has("one", "ours", 1) && !store.has("one", "ours", 2));
        assert_eq!(store.samples("one", "ours").collect::<Vec<_>>(), [(0, &sample)]);
        assert_eq!(store.failure("one", "ours"), Some("it ended"));
        assert!(store.check_told(&json!("quick")).is_ok() && store.check_told(&json!("at length")).is_err());
        std::fs::remove_file(path).unwrap();
    }
}
