//! What one measurement gives: a [`Sample`], which is a value for each [`Figure`]. A [`Series`] names what was measured.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A number that a measurement gives.
#[derive(Clone, Copy, Debug)]
pub struct Figure {
    /// Its name in files.
    pub key: &'static str,
    /// The heading of its column, with its unit.
    pub title: &'static str,
    /// Decimal places that are shown.
    pub digits: usize,
}

/// The figures of one entrant in one round.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Sample(BTreeMap<String, f64>);

impl Sample {
    /// Sets a figure.
    pub fn set(&mut self, figure: &Figure, value: f64) {
        self.0.insert(figure.key.to_owned(), value);
    }

    /// The figure, if it was measured.
    pub fn get(&self, figure: &Figure) -> Option<f64> {
        self.0.get(figure.key).copied()
    }

    /// The given figures on one line, for the terminal.
    pub fn line(&self, figures: &[Figure]) -> String {
        let shown = |figure: &Figure| Some(format!("{} {:.*}", figure.title, figure.digits, self.get(figure)?));
        figures.iter().filter_map(shown).collect::<Vec<_>>().join("; ")
    }
}

impl<const N: usize> From<[(Figure, f64); N]> for Sample {
    fn from(figures: [(Figure, f64); N]) -> Self {
        Self(figures.into_iter().map(|(figure, value)| (figure.key.to_owned(), value)).collect())
    }
}

/// All samples of one entrant in one scenario.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Series {
    /// The scenario's name.
    pub scenario: String,
    /// The entrant's name.
    pub entrant: String,
}

impl Series {
    /// The series of an entrant in a scenario.
    pub fn new(scenario: impl Into<String>, entrant: impl Into<String>) -> Self {
        Self { scenario: scenario.into(), entrant: entrant.into() }
    }
}
