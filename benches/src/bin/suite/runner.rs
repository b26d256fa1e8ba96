//! All rounds of all entrants in all scenarios: [`Runner`].

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Result, bail, ensure};
use dog_benches::measure::{kernel, load_average, machine, processor};
use serde_json::{Value, json};

use crate::Bench;
use crate::entrant::Entrant;
use crate::round::{self, Sample, Time};
use crate::scenario::Scenario;
use crate::scenarios::SCENARIOS;
use crate::stage::Stage;
use crate::store::{Record, Store};

/// What a run is told.
pub(crate) struct Runner {
    scenarios: Vec<&'static Scenario>,
    entrants: Vec<String>,
    rounds: usize,
    time: Time,
    pinned: bool,
}

/// One measurement that is to be made.
struct Turn {
    scenario: &'static Scenario,
    entrant: &'static Entrant,
    round: usize,
}

impl Runner {
    pub(crate) fn new(bench: &Bench) -> Result<Self> {
        let rounds = bench.rounds.unwrap_or(if bench.quick { 1 } else { 3 });
        let seconds = bench.seconds.unwrap_or(if bench.quick { 0.4 } else { 2.0 });
        ensure!((1..=100).contains(&rounds), "--rounds: give 1 to 100");
        ensure!((0.05..=600.0).contains(&seconds), "--seconds: give 0.05 to 600");
        if let Some(unknown) = bench.only.iter().find(|name| SCENARIOS.iter().all(|it| it.name != **name)) {
            bail!("--only: there is no scenario `{unknown}`; --list names them");
        }
        let chosen = |scenario: &&Scenario| bench.only.is_empty() || bench.only.iter().any(|it| it == scenario.name);
        let measured = Duration::from_secs_f64(seconds);
        Ok(Self {
            scenarios: SCENARIOS.iter().filter(chosen).collect(),
            entrants: bench.entrant.clone(),
            rounds,
            time: Time { warm_up: (measured / 4).min(Duration::from_secs(1)), measured },
            pinned: bench.pin,
        })
    }

    /// What stands at the head of what is kept: what it was told, and what machine it is on.
    pub(crate) fn about(&self) -> Value {
        let begun = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        json!({
            "told": { "rounds": self.rounds, "seconds": self.time.measured.as_secs_f64() },
            "begun": begun,
            "machine": machine(self.pinned),
            "processor": processor(),
            "kernel": kernel(),
        })
    }

    /// Plays what has not been played.
    pub(crate) fn run(&self, stage: &Stage, mut store: Store) -> Result<Store> {
        store.check_told(&self.about()["told"])?;
        self.name_absent(stage);
        let turns = self.turns(stage, &store);
        let begun = Instant::now();
        for (place, turn) in turns.iter().enumerate() {
            let Turn { scenario, entrant, round } = turn;
            let played = round::play(stage, scenario, entrant, self.time);
            let outcome = played.map_err(|error| format!("{error:#}"));
            let left = begun.elapsed() / u32::try_from(place + 1)? * u32::try_from(turns.len() - place - 1)?;
            let what = format!("{:<18} {:<22}", scenario.name, entrant.name);
            let (place, all) = (place + 1, turns.len());
            let said = shown(scenario, &outcome);
            println!("[{place:>3} of {all}, {:>4} s left, load {}] {what} {said}", left.as_secs(), load_average());
            let (scenario, entrant) = (scenario.name.to_owned(), entrant.name.to_owned());
            store.add(Record { scenario, entrant, round: *round, outcome })?;
        }
        Ok(store)
    }

    /// All scenarios in each round, so that what a slow hour of the machine does, it does to all of them; and whoever is
    /// first in one round is last in the next.
    fn turns(&self, stage: &Stage, store: &Store) -> Vec<Turn> {
        let mut turns = Vec::new();
        for round in 0..self.rounds {
            for scenario in &self.scenarios {
                let here = |entrant: &&Entrant| {
                    stage.has(entrant) && self.wants(entrant) && !store.has(scenario.name, entrant.name, round)
                };
                let begin = turns.len();
                let entrants = scenario.entrants.iter().filter(here);
                turns.extend(entrants.map(|entrant| Turn { scenario, entrant, round }));
                if round % 2 == 1 {
                    turns[begin..].reverse();
                }
            }
        }
        turns
    }

    fn wants(&self, entrant: &Entrant) -> bool {
        self.entrants.is_empty() || self.entrants.iter().any(|begin| entrant.name.starts_with(begin))
    }

    fn name_absent(&self, stage: &Stage) {
        let all = self.scenarios.iter().flat_map(|scenario| scenario.entrants);
        let mut absent: Vec<String> = all
            .filter(|entrant| !stage.has(entrant))
            .map(|entrant| [&[entrant.name], entrant.arguments].concat().join(" "))
            .collect();
        absent.sort();
        absent.dedup();
        absent.iter().for_each(|name| println!("not here, so left out: {name}"));
    }
}

/// The first figures of a sample.
fn shown(scenario: &Scenario, outcome: &Result<Sample, String>) -> String {
    match outcome {
        Err(reason) => format!("FAILED: {reason}"),
        Ok(sample) => {
            let figures = scenario.kind.figures().iter().filter_map(|figure| {
                sample.get(figure).map(|value| format!("{} {value:.*}", figure.title, figure.digits))
            });
            figures.collect::<Vec<_>>().join("; ")
        }
    }
}
