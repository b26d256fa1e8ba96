//! The rounds of a figure as three numbers: [`Spread`].

/// Minimum, median and maximum.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// The smallest.
    pub minimum: f64,
    /// The middle one; of an even number, the mean of the two in the middle.
    pub median: f64,
    /// The largest.
    pub maximum: f64,
}

impl Spread {
    /// The spread of some values; `None` if there are none.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut sorted: Vec<f64> = values.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        let (minimum, maximum) = (*sorted.first()?, *sorted.last()?);
        let middle = sorted.len() / 2;
        let median =
            if sorted.len() % 2 == 1 { sorted[middle] } else { f64::midpoint(sorted[middle - 1], sorted[middle]) };
        Some(Self { minimum, median, maximum })
    }

    /// All three divided by a number.
    #[must_use]
    pub fn divided_by(self, number: f64) -> Self {
        Self { minimum: self.minimum / number, median: self.median / number, maximum: self.maximum / number }
    }

    /// `median (minimum–maximum)`.
    pub fn shown(self, digits: usize) -> String {
        let Self { minimum, median, maximum } = self;
        format!("{median:.digits$} ({minimum:.digits$}–{maximum:.digits$})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        let spread =
            |values: &[f64]| Spread::of(values.to_vec()).map(|spread| (spread.minimum, spread.median, spread.maximum));
        assert_eq!(spread(&[]), None);
        assert_eq!(spread(&[4.0]), Some((4.0, 4.0, 4.0)));
        assert_eq!(spread(&[9.0, 1.0, 2.0]), Some((1.0, 2.0, 9.0)));
        assert_eq!(spread(&[4.0, 1.0, 2.0, 9.0]), Some((1.0, 3.0, 9.0)));
    }

    #[test]
    fn a_spread_is_shown_with_its_ends() {
        assert_eq!(Spread::of([2.0, 30.0, 4.0]).unwrap().divided_by(2.0).shown(1), "2.0 (1.0–15.0)");
    }
}
