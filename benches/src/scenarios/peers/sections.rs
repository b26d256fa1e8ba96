//! The report of the family: [`sections`].

use crate::harness::plot;
use crate::harness::report::{Plot, Section};
use crate::harness::sample::{Figure, Series};
use crate::harness::statistics::Spread;
use crate::harness::store::Store;
use crate::harness::table::Table;

use super::goals;
use super::scenario::PeerScenario;

/// Entrants that others are compared with, where they take part.
const BASES: [&str; 3] = ["floor", "uWebSockets", "nats-server"];

/// The goals, and then each scenario that was measured.
pub fn sections(store: &Store, scenarios: &[PeerScenario]) -> Vec<Section> {
    let (table, title) = (goals::table(store), "The goals".to_owned());
    let goals = Section { title, about: String::new(), plot: None, table, failures: Vec::new() };
    let goals = Some(goals).filter(|goals| !goals.table.is_empty());
    goals.into_iter().chain(scenarios.iter().filter_map(|scenario| section(store, scenario))).collect()
}

/// `None` if nothing was measured.
fn section(store: &Store, scenario: &PeerScenario) -> Option<Section> {
    let (table, failures) = (table(store, scenario), store.failures(scenario.name));
    if table.is_empty() && failures.is_empty() {
        return None;
    }
    let about = format!("{}. {}", scenario.activity.describe(), scenario.about).trim_end().to_owned();
    let plot = if scenario.plot { plot(store, scenario) } else { None };
    Some(Section { title: scenario.title.to_owned(), about, plot, table, failures })
}

/// A row per entrant: the main figure, its ratios to the bases, and the other figures.
fn table(store: &Store, scenario: &PeerScenario) -> Table {
    let Some((main, others)) = scenario.activity.figures().split_first() else { return Table::new(&[], 0) };
    let takes_part = |base: &&str| scenario.entrants.iter().any(|entrant| entrant.name == *base);
    let bases: Vec<&str> = BASES.into_iter().filter(takes_part).collect();
    let ratios: Vec<String> = bases.iter().map(|base| format!("÷ {base}")).collect();
    let mut titles = vec!["server", main.title, "min", "max"];
    titles.extend(ratios.iter().map(String::as_str));
    titles.extend(others.iter().map(|figure| figure.title));
    let mut table = Table::new(&titles, 1);
    let rows = scenario.entrants.iter().map(|entrant| row(store, scenario, &entrant.name, (main, others), &bases));
    rows.flatten().for_each(|row| table.push(row));
    table
}

/// `None` if the entrant was not measured.
fn row(
    store: &Store,
    scenario: &PeerScenario,
    entrant: &str,
    (main, others): (&Figure, &[Figure]),
    bases: &[&str],
) -> Option<Vec<String>> {
    let series = Series::new(scenario.name, entrant);
    let Spread { minimum, median, maximum } = store.spread(&series, main)?;
    let mut row = vec![entrant.to_owned()];
    row.extend([median, minimum, maximum].map(|value| format!("{value:.*}", main.digits)));
    for base in bases {
        let ratio = store.ratio(&series, &Series::new(scenario.name, *base), main);
        row.push(ratio.map_or_else(String::new, |ratio| ratio.shown(2)));
    }
    for figure in others {
        let value = store.spread(&series, figure);
        row.push(value.map_or_else(String::new, |value| format!("{:.*}", figure.digits, value.median)));
    }
    Some(row)
}

/// The main figure of each entrant, divided by that of uWebSockets, or of the first entrant if uWebSockets was not measured.
fn plot(store: &Store, scenario: &PeerScenario) -> Option<Plot> {
    let main = scenario.activity.figures().first()?;
    let series = |entrant: &str| Series::new(scenario.name, entrant);
    let names = || scenario.entrants.iter().map(|entrant| entrant.name.as_str());
    let base = ["uWebSockets"].into_iter().chain(names()).find(|name| store.spread(&series(name), main).is_some())?;
    let bar = |name| Some((name, store.ratio(&series(name), &series(base), main)?));
    let bars: Vec<(&str, Spread)> = names().filter_map(bar).collect();
    let what = main.title.split(',').next().unwrap_or(main.title);
    let title = format!("{}: {what} ÷ that of {base}", scenario.title);
    Some(Plot { name: scenario.name, svg: plot::bars(&title, &bars) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::harness::report;
    use crate::harness::sample::Sample;
    use crate::harness::store::{Measurement, Record, RunInfo};
    use crate::scenarios::figures::CPU;
    use crate::scenarios::peers::catalog::scenarios;

    /// A run of the first scenario. `NAN` stands for a round that failed.
    fn run(figures: &[(&str, [f64; 2])]) -> Store {
        let mut store = Store::begin(None, RunInfo::default()).unwrap();
        for (entrant, rounds) in figures {
            for (round, value) in rounds.iter().enumerate() {
                let outcome = if value.is_nan() {
                    Measurement::Failed("it ended".to_owned())
                } else {
                    Measurement::Figures(Sample::from([(CPU, *value)]))
                };
                let record = Record { series: Series::new("one", *entrant), round, repetition: 0, outcome };
                store.add(vec![record]).unwrap();
            }
        }
        store
    }

    #[test]
    fn a_table_has_ratios_and_what_failed() {
        let store = run(&[("floor", [2.0, 4.0]), ("ours", [2.2, 4.2]), ("node ws", [f64::NAN, 8.0])]);
        let sections = sections(&store, &scenarios());
        assert_eq!(sections.len(), 1, "one scenario, and no goals of it");
        let text = report::text(store.run(), &sections);
        assert!(text.contains("| floor   |                3.000 | 2.000 | 4.000 | 1.00 (1.00–1.00) |"), "{text}");
        assert!(text.contains("| 1.08 (1.05–1.10) |"), "{text}");
        assert!(text.contains("node ws failed: it ended"), "{text}");
    }

    #[test]
    fn a_plot_names_its_base_and_all_bars() {
        let scenario = &scenarios()[0];
        let svg = plot(&run(&[("floor", [2.0, 4.0]), ("ours", [3.0, 6.0])]), scenario).unwrap().svg;
        assert!(svg.contains("One message in flight: CPU per delivery ÷ that of floor"), "{svg}");
        assert!(svg.contains(">ours</text>") && svg.contains(">1.50</text>"), "{svg}");
        assert!(plot(&run(&[]), scenario).is_none());
    }
}
