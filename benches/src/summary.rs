//! Several rounds in three numbers.

/// The least, the middle and the most of some figures.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// The least.
    pub minimum: f64,
    /// As many are below it as above; of an even number, the mean of the two in the middle.
    pub median: f64,
    /// The most.
    pub maximum: f64,
}

impl Spread {
    /// Of `figures`; `None` if there are none.
    pub fn of(figures: &[f64]) -> Option<Self> {
        let mut sorted = figures.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (minimum, maximum) = (*sorted.first()?, *sorted.last()?);
        let middle = sorted.len() / 2;
        let median =
            if sorted.len() % 2 == 1 { sorted[middle] } else { f64::midpoint(sorted[middle - 1], sorted[middle]) };
        Some(Self { minimum, median, maximum })
    }

    /// Of what each of `ours` is to the one of `theirs` from the same round. Pairing takes out what changes from round
    /// to round, which is most of the noise.
    pub fn of_ratios(ours: &[f64], theirs: &[f64]) -> Option<Self> {
        Self::of(&ours.iter().zip(theirs).map(|(ours, theirs)| ours / theirs).collect::<Vec<_>>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        let spread =
            |figures: &[f64]| Spread::of(figures).map(|spread| (spread.minimum, spread.median, spread.maximum));
        assert_eq!(spread(&[]), None);
        assert_eq!(spread(&[4.0]), Some((4.0, 4.0, 4.0)));
        assert_eq!(spread(&[9.0, 1.0, 2.0]), Some((1.0, 2.0, 9.0)));
        assert_eq!(spread(&[4.0, 1.0, 2.0, 9.0]), Some((1.0, 3.0, 9.0)));
    }

    #[test]
    fn ratios_are_those_of_the_same_round() {
        let spread = Spread::of_ratios(&[2.0, 30.0, 4.0], &[1.0, 10.0, 4.0]).unwrap();
        assert_eq!((spread.minimum, spread.median, spread.maximum), (1.0, 2.0, 3.0));
        assert_eq!(Spread::of_ratios(&[], &[]), None);
    }
}
