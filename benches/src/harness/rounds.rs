//! The round loop: [`play`]. Every round has all scenarios and all entrants, so that a slow minute of the machine affects all
//! of them; the order of the entrants is reversed in every second round, so that a drift favours nobody.

use std::time::Instant;

use anyhow::Result;

use crate::machine::load_average;

use super::sample::{Figure, Sample, Series};
use super::store::{Measurement, Record, Store};

/// The turns of one scenario.
pub struct TurnGroup<'a> {
    /// The scenario's name on the command line.
    pub name: &'static str,
    /// Its turns, in the order of the first round.
    pub turns: Vec<Turn<'a>>,
}

/// What is measured at one time: one entrant, or several that must run together.
pub struct Turn<'a> {
    /// The series of the first sample that it gives.
    series: Series,
    /// What the terminal shows of it.
    figures: &'static [Figure],
    measure: Box<dyn Fn() -> Result<Vec<Measured>> + 'a>,
}

/// A sample, and where it belongs.
pub struct Measured {
    /// What was measured.
    pub series: Series,
    /// Which of several measurements within the round, from 0.
    pub repetition: usize,
    /// Its figures.
    pub sample: Sample,
}

impl<'a> Turn<'a> {
    /// A turn that gives one sample.
    pub fn one(series: Series, figures: &'static [Figure], measure: impl Fn() -> Result<Sample> + 'a) -> Self {
        let name = series.clone();
        let measure = move || Ok(vec![Measured { series: name.clone(), repetition: 0, sample: measure()? }]);
        Self { series, figures, measure: Box::new(measure) }
    }

    /// A turn that gives several, the first of them of `series`.
    pub fn several(
        series: Series,
        figures: &'static [Figure],
        measure: impl Fn() -> Result<Vec<Measured>> + 'a,
    ) -> Self {
        Self { series, figures, measure: Box::new(measure) }
    }

    /// The name of who is measured.
    pub fn entrant(&self) -> &str {
        &self.series.entrant
    }

    fn play(&self, round: usize) -> Vec<Record> {
        let failed = |error: anyhow::Error| {
            let outcome = Measurement::Failed(format!("{error:#}"));
            vec![Record { series: self.series.clone(), round, repetition: 0, outcome }]
        };
        let record = |Measured { series, repetition, sample }: Measured| {
            let outcome = Measurement::Figures(sample);
            Record { series, round, repetition, outcome }
        };
        (self.measure)().map_or_else(failed, |measured| measured.into_iter().map(record).collect())
    }
}

/// Plays all rounds that the store does not have yet. A measurement that fails is recorded, and the rest goes on.
///
/// # Errors
/// When the store cannot be written.
pub fn play(groups: &[TurnGroup<'_>], rounds: usize, store: &mut Store) -> Result<()> {
    let turns = turns(groups, rounds, store);
    let begun = Instant::now();
    for (index, (round, turn)) in turns.iter().enumerate() {
        let records = turn.play(*round);
        let (done, all) = (index + 1, turns.len());
        let left = begun.elapsed() / u32::try_from(done)? * u32::try_from(all - done)?;
        println!(
            "[{done:>3} of {all}, {:>4} s left, load {}] {:<18} {:<22} {}",
            left.as_secs(),
            load_average(),
            turn.series.scenario,
            turn.series.entrant,
            shown(&records, turn.figures)
        );
        store.add(records)?;
    }
    Ok(())
}

fn turns<'a>(groups: &'a [TurnGroup<'a>], rounds: usize, store: &Store) -> Vec<(usize, &'a Turn<'a>)> {
    let mut turns = Vec::new();
    for round in 0..rounds {
        for group in groups {
            let first = turns.len();
            turns.extend(group.turns.iter().map(|turn| (round, turn)));
            if round % 2 == 1 {
                turns[first..].reverse();
            }
        }
    }
    turns.retain(|(round, turn)| !store.has(&turn.series, *round));
    turns
}

fn shown(records: &[Record], figures: &[Figure]) -> String {
    match records.first().map(|record| &record.outcome) {
        None => "nothing was measured".to_owned(),
        Some(Measurement::Failed(reason)) => format!("FAILED: {reason}"),
        Some(Measurement::Figures(sample)) => sample.line(figures),
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;
    use crate::harness::store::RunInfo;

    const CPU: Figure = Figure { key: "cpu", title: "CPU, µs", digits: 1 };

    #[test]
    fn rounds_are_interleaved_and_every_second_one_is_reversed() {
        let played = RefCell::new(Vec::new());
        let turn = |scenario, entrant| {
            let played = &played;
            Turn::one(Series::new(scenario, entrant), &[CPU], move || {
                played.borrow_mut().push(format!("{scenario} {entrant}"));
                Ok(Sample::from([(CPU, 1.0)]))
            })
        };
        let groups = ["a", "b"].map(|name| TurnGroup { name, turns: vec![turn(name, "one"), turn(name, "two")] });
        let mut store = Store::begin(None, RunInfo::default()).unwrap();
        play(&groups, 2, &mut store).unwrap();
        let expected = ["a one", "a two", "b one", "b two", "a two", "a one", "b two", "b one"];
        assert_eq!(*played.borrow(), expected);
        play(&groups, 3, &mut store).unwrap();
        assert_eq!(played.borrow()[8..], ["a one", "a two", "b one", "b two"], "only what is new");
    }

    #[test]
    fn a_failure_is_recorded_and_the_rest_goes_on() {
        let turn = |entrant, fails: bool| {
            Turn::one(Series::new("a", entrant), &[CPU], move || {
                if fails { anyhow::bail!("it ended") } else { Ok(Sample::from([(CPU, 1.0)])) }
            })
        };
        let groups = [TurnGroup { name: "a", turns: vec![turn("one", true), turn("two", false)] }];
        let mut store = Store::begin(None, RunInfo::default()).unwrap();
        play(&groups, 1, &mut store).unwrap();
        assert_eq!(store.failures("a"), ["one failed: it ended"]);
        assert!(store.spread(&Series::new("a", "two"), &CPU).is_some());
    }
}
