//! What figures are to each other, within each round.

use dog_benches::summary::Spread;

use crate::scenario::Figure;
use crate::scenarios::{Bound, Goal, Measure};
use crate::store::Store;

/// Who is measured where: scenario and entrant.
pub(crate) type Place<'a> = (&'a str, &'a str);

/// All rounds of a figure.
pub(crate) fn spread(store: &Store, (scenario, entrant): Place<'_>, figure: &Figure) -> Option<Spread> {
    let values: Vec<f64> = store.samples(scenario, entrant).filter_map(|(_, sample)| sample.get(figure)).collect();
    Spread::of(&values)
}

/// What ours is to theirs, of the rounds that both have played.
pub(crate) fn paired(store: &Store, ours: Place<'_>, theirs: Place<'_>, figure: &Figure) -> Option<Spread> {
    let mut pairs = (Vec::new(), Vec::new());
    for (round, sample) in store.samples(ours.0, ours.1) {
        let other = store.samples(theirs.0, theirs.1).find(|(other, _)| *other == round);
        if let (Some(our), Some(their)) = (sample.get(figure), other.and_then(|(_, other)| other.get(figure))) {
            pairs.0.push(our);
            pairs.1.push(their);
        }
    }
    Spread::of_ratios(&pairs.0, &pairs.1)
}

impl Goal {
    /// How near it is; `None` if it was not measured.
    pub(crate) fn reached(&self, store: &Store) -> Option<Spread> {
        match self.theirs {
            Measure::Of(scenario, entrant) => paired(store, self.ours, (scenario, entrant), self.figure),
            Measure::Fixed(number) => {
                let Spread { minimum, median, maximum } = spread(store, self.ours, self.figure)?;
                Some(Spread { minimum: minimum / number, median: median / number, maximum: maximum / number })
            }
        }
    }
}

impl Bound {
    /// Whether it is kept.
    pub(crate) fn holds(self, ratio: f64) -> bool {
        match self {
            Self::AtMost(bound) => ratio <= bound,
            Self::AtLeast(bound) => ratio >= bound,
        }
    }
}

impl std::fmt::Display for Bound {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::AtMost(bound) => write!(formatter, "≤ {bound:.2}"),
            Self::AtLeast(bound) => write!(formatter, "≥ {bound:.2}"),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::round::Sample;
    use crate::scenario::figures::CPU;
    use crate::store::Record;

    /// A run of the first scenario, with these figures of each round; `NAN` stands for a round that failed.
    pub(crate) fn run(figures: &[(&str, [f64; 2])]) -> Store {
        let path =
            std::env::temp_dir().join(format!("dog-bench-{}-{:?}", std::process::id(), std::thread::current().id()));
        let about = serde_json::json!({ "kernel": "6.1", "machine": "2 processors", "processor": "any" });
        let mut store = Store::begin(&path, about).unwrap();
        std::fs::remove_file(&path).unwrap();
        for (entrant, rounds) in figures {
            for (round, value) in rounds.iter().enumerate() {
                let outcome = if value.is_nan() {
                    Err("it ended".to_owned())
                } else {
                    Ok(Sample([(CPU.key.to_owned(), *value)].into()))
                };
                store.add(Record { scenario: "one".into(), entrant: (*entrant).into(), round, outcome }).unwrap();
            }
        }
        store
    }

    #[test]
    fn only_rounds_that_both_have_played_make_a_ratio() {
        let store = run(&[("ours", [4.0, 6.0]), ("uWebSockets", [f64::NAN, 3.0])]);
        let ratio = paired(&store, ("one", "ours"), ("one", "uWebSockets"), &CPU).unwrap();
        assert_eq!((ratio.minimum, ratio.maximum), (2.0, 2.0));
        assert_eq!(paired(&store, ("one", "ours"), ("one", "floor"), &CPU), None);
        assert_eq!(spread(&store, ("one", "ours"), &CPU).unwrap().median, 5.0);
    }

    #[test]
    fn a_bound_has_a_good_side() {
        assert!(Bound::AtMost(1.05).holds(1.05) && !Bound::AtMost(1.05).holds(1.06));
        assert!(Bound::AtLeast(1.7).holds(1.8) && !Bound::AtLeast(1.7).holds(1.6));
    }
}
