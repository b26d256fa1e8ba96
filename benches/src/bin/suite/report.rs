//! What was measured, as Markdown: [`text`]; and its place in the document, with plots beside it: [`write()`].

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::Result;
use dog_benches::document;
use dog_benches::summary::Spread;
use dog_benches::table::Table;

use crate::entrant::Entrant;
use crate::plot;
use crate::ratios::{paired, spread};
use crate::scenario::{Figure, Scenario};
use crate::scenarios::{GOALS, SCENARIOS};
use crate::store::Store;

/// What writes into the document.
const COMMAND: &str = "cargo xtask bench";

/// The folder of plots, beside the document.
const PLOTS: &str = "performance";

/// Whom others are compared with, where they are.
const BASES: [&str; 2] = ["floor", "uWebSockets"];

/// All tables.
pub(crate) fn text(store: &Store) -> String {
    let mut text = heading(store);
    text.push_str("\n### The goals\n");
    let _ = writeln!(text, "{}", goals(store));
    for scenario in measured(store) {
        text.push_str(&section(store, scenario));
    }
    text
}

fn heading(store: &Store) -> String {
    let run = &store.run;
    let text = |key: &str| run[key].as_str().unwrap_or("unknown").to_owned();
    let (machine, processor, kernel) = (text("machine"), text("processor"), text("kernel"));
    let (rounds, seconds) = (&run["told"]["rounds"], &run["told"]["seconds"]);
    format!("{machine}; {processor}; Linux {kernel}. {rounds} rounds, of {seconds} s each.\n")
}

fn measured(store: &Store) -> impl Iterator<Item = &'static Scenario> {
    let is_there = |scenario: &&Scenario| store.records.iter().any(|record| record.scenario == scenario.name);
    SCENARIOS.iter().filter(is_there)
}

fn goals(store: &Store) -> Table {
    let mut table = Table::new(&["goal", "reached", "min", "median", "max", "bound"], 2);
    for goal in GOALS {
        let Some(ratio) = goal.reached(store) else { continue };
        let Spread { minimum, median, maximum } = ratio;
        let reached = if goal.bound.holds(median) { "yes" } else { "**no**" };
        let mut row = vec![goal.what.into(), reached.into()];
        row.extend([minimum, median, maximum].map(|ratio| format!("{ratio:.2}")));
        row.push(goal.bound.to_string());
        table.push(row);
    }
    table
}

/// A scenario's heading, numbers, plot and table, and what failed.
fn section(store: &Store, scenario: &Scenario) -> String {
    let Scenario { name, title, about, .. } = scenario;
    let mut text = format!("\n### {title}\n{}.", scenario.kind.describe());
    if !about.is_empty() {
        let _ = write!(text, " {about}");
    }
    if scenario.plot {
        let _ = write!(text, "\n\n![{title}]({PLOTS}/{name}.svg)");
    }
    let _ = write!(text, "\n\n{}", table(store, scenario));
    for entrant in scenario.entrants {
        if let Some(reason) = store.failure(name, entrant.name) {
            let _ = write!(text, "\n{} failed: {reason}\n", entrant.name);
        }
    }
    text
}

fn table(store: &Store, scenario: &Scenario) -> Table {
    let Some((main, others)) = scenario.kind.figures().split_first() else { return Table::new(&[], 0) };
    let has = |base: &&str| scenario.entrants.iter().any(|entrant| entrant.name == *base);
    let bases: Vec<&str> = BASES.into_iter().filter(has).collect();
    let ratios: Vec<String> = bases.iter().map(|base| format!("÷ {base}")).collect();
    let mut titles = vec!["server", main.title, "min", "max"];
    titles.extend(ratios.iter().map(String::as_str));
    titles.extend(others.iter().map(|figure| figure.title));
    let mut table = Table::new(&titles, 1);
    for entrant in scenario.entrants {
        if let Some(row) = row(store, scenario, entrant, (main, others), &bases) {
            table.push(row);
        }
    }
    table
}

fn row(
    store: &Store,
    scenario: &Scenario,
    entrant: &Entrant,
    (main, others): (&Figure, &[Figure]),
    bases: &[&str],
) -> Option<Vec<String>> {
    let place = (scenario.name, entrant.name);
    let Spread { minimum, median, maximum } = spread(store, place, main)?;
    let mut row = vec![entrant.name.into()];
    row.extend([median, minimum, maximum].map(|value| format!("{value:.*}", main.digits)));
    for base in bases {
        let ratio = paired(store, place, (scenario.name, base), main);
        row.push(ratio.map_or_else(String::new, shown));
    }
    for figure in others {
        let value = spread(store, place, figure);
        row.push(value.map_or_else(String::new, |value| format!("{:.*}", figure.digits, value.median)));
    }
    Some(row)
}

/// A ratio with its least and most.
fn shown(Spread { minimum, median, maximum }: Spread) -> String {
    format!("{median:.2} ({minimum:.2}–{maximum:.2})")
}

/// Puts all tables in their place in the document, and the plots beside it.
pub(crate) fn write(store: &Store, document: &Path) -> Result<()> {
    let folder = document.parent().unwrap_or(Path::new(".")).join(PLOTS);
    fs::create_dir_all(&folder)?;
    for scenario in measured(store).filter(|scenario| scenario.plot) {
        if let Some(plot) = plot::ratios(store, scenario) {
            fs::write(folder.join(format!("{}.svg", scenario.name)), plot)?;
        }
    }
    document::write(document, COMMAND, &text(store))?;
    println!("written to {}", document.display());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ratios::tests::run;

    #[test]
    fn a_table_has_ratios_and_what_failed() {
        let store = run(&[("floor", [2.0, 4.0]), ("ours", [2.2, 4.2]), ("node ws", [f64::NAN, 8.0])]);
        let text = text(&store);
        assert!(text.contains("| floor   |                3.000 | 2.000 | 4.000 | 1.00 (1.00–1.00) |"), "{text}");
        assert!(text.contains("| 1.08 (1.05–1.10) |"), "{text}");
        assert!(text.contains("node ws failed: it ended"), "{text}");
        assert!(text.contains("2 processors; any; Linux 6.1."), "{text}");
    }
}
