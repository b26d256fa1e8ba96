//! A scenario whose figures are rows and whose entrants are columns: [`comparison`].

use super::sample::{Figure, Series};
use super::store::Store;
use super::table::Table;

/// Each figure of each entrant, and that of `ours` divided by that of every other one, within each round.
pub fn comparison(store: &Store, scenario: &str, figures: &[Figure], others: &[&str], ours: &str) -> Table {
    let ratios: Vec<String> = others.iter().map(|other| format!("{ours} ÷ {other}")).collect();
    let titles: Vec<&str> = ["measure"]
        .into_iter()
        .chain(others.iter().copied())
        .chain([ours])
        .chain(ratios.iter().map(String::as_str))
        .collect();
    let mut table = Table::new(&titles, 1);
    let series = |entrant: &str| Series::new(scenario, entrant);
    for figure in figures {
        let spreads = others.iter().chain([&ours]).map(|entrant| store.spread(&series(entrant), figure));
        let mut row = vec![figure.title.to_owned()];
        row.extend(spreads.map(|spread| spread.map_or_else(String::new, |spread| spread.shown(figure.digits))));
        let ratios = others.iter().map(|other| store.ratio(&series(ours), &series(other), figure));
        row.extend(ratios.map(|ratio| ratio.map_or_else(String::new, |ratio| ratio.shown(2))));
        table.push(row);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::harness::sample::Sample;
    use crate::harness::store::{Measurement, Record, RunInfo};

    #[test]
    fn a_comparison_has_the_figures_and_their_ratios() {
        let cpu = Figure { key: "cpu", title: "CPU, µs", digits: 1 };
        let mut store = Store::begin(None, RunInfo::default()).unwrap();
        for (entrant, value) in [("floor", 2.0), ("relay", 3.0)] {
            let outcome = Measurement::Figures(Sample::from([(cpu, value)]));
            let record = Record { series: Series::new("relay", entrant), round: 0, repetition: 0, outcome };
            store.add(vec![record]).unwrap();
        }
        let table = comparison(&store, "relay", &[cpu], &["floor"], "relay").to_string();
        assert!(table.contains("| measure |         floor |         relay |    relay ÷ floor |"), "{table}");
        assert!(table.contains("| CPU, µs | 2.0 (2.0–2.0) | 3.0 (3.0–3.0) | 1.50 (1.50–1.50) |"), "{table}");
    }
}
