//! What was measured: [`Records`].

use std::collections::BTreeMap;

use dog_benches::summary::Spread;

/// The figures of one measurement, by their keys.
pub(crate) type Sample = BTreeMap<&'static str, f64>;

/// What was measured of whom, and with how many nodes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) part: &'static str,
    pub(crate) who: String,
    pub(crate) nodes: usize,
}

impl Place {
    pub(crate) fn new(part: &'static str, who: impl Into<String>, nodes: usize) -> Self {
        Self { part, who: who.into(), nodes }
    }
}

/// All samples of a run, with their rounds.
#[derive(Debug, Default)]
pub(crate) struct Records {
    samples: Vec<(Place, usize, Sample)>,
    /// What went wrong.
    failures: Vec<String>,
}

impl Records {
    pub(crate) fn add(&mut self, place: Place, round: usize, sample: Sample) {
        self.samples.push((place, round, sample));
    }

    pub(crate) fn fail(&mut self, what: String) {
        self.failures.push(what);
    }

    pub(crate) fn failures(&self) -> &[String] {
        &self.failures
    }

    /// Who was measured in a part, with how many nodes, in the order of the first round.
    pub(crate) fn places(&self, part: &str) -> Vec<&Place> {
        let mut places: Vec<&Place> = Vec::new();
        for (place, ..) in self.samples.iter().filter(|(place, ..)| place.part == part) {
            if !places.contains(&place) {
                places.push(place);
            }
        }
        places
    }

    fn values(&self, place: &Place, figure: &str) -> Vec<(usize, f64)> {
        let of_it = self.samples.iter().filter(|(other, ..)| other == place);
        of_it.filter_map(|(_, round, sample)| Some((*round, *sample.get(figure)?))).collect()
    }

    /// All rounds of a figure.
    pub(crate) fn spread(&self, place: &Place, figure: &str) -> Option<Spread> {
        Spread::of(&self.values(place, figure).into_iter().map(|(_, value)| value).collect::<Vec<_>>())
    }

    /// What a figure is to that of another place, of the rounds that both have played.
    pub(crate) fn ratio(&self, ours: &Place, theirs: &Place, figure: &str) -> Option<Spread> {
        self.paired(ours, theirs, figure, |ours, theirs| ours / theirs)
    }

    /// The same, by what it is more.
    pub(crate) fn difference(&self, ours: &Place, theirs: &Place, figure: &str) -> Option<Spread> {
        self.paired(ours, theirs, figure, |ours, theirs| ours - theirs)
    }

    fn paired(&self, ours: &Place, theirs: &Place, figure: &str, made: fn(f64, f64) -> f64) -> Option<Spread> {
        let theirs = self.values(theirs, figure);
        let pair = |(round, ours): (usize, f64)| {
            let (_, theirs) = theirs.iter().find(|(other, _)| *other == round)?;
            Some(made(ours, *theirs))
        };
        Spread::of(&self.values(ours, figure).into_iter().filter_map(pair).collect::<Vec<_>>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_rounds_that_both_have_played_are_compared() {
        let (one, two) = (Place::new("part", "ours", 1), Place::new("part", "ours", 2));
        let mut records = Records::default();
        for (place, round, value) in [(&one, 0, 2.0), (&one, 1, 4.0), (&two, 1, 12.0), (&two, 2, 100.0)] {
            records.add(place.clone(), round, [("cpu", value)].into());
        }
        let ratio = records.ratio(&two, &one, "cpu").unwrap();
        assert_eq!((ratio.minimum, ratio.maximum), (3.0, 3.0));
        assert_eq!(records.difference(&two, &one, "cpu").unwrap().median, 8.0);
        assert_eq!(records.spread(&one, "cpu").unwrap().median, 3.0);
        assert_eq!(records.ratio(&two, &one, "other"), None);
        assert_eq!(records.places("part"), [&one, &two]);
        assert!(records.places("other").is_empty());
    }
}
