//! What was measured, counted and reckoned, as Markdown; and its place in the document.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use dog_benches::measure::as_float;
use dog_benches::table::Table;
use dog_sim::Amount;

use crate::books::Costs;
use crate::growth::Counted;
use crate::inputs::{Inputs, shown};
use crate::model::{Load, Model};
use crate::scenarios::{SCENARIOS, room_to_grow};

/// Between these lines the document is ours; the rest of it is written by hand.
const BEGIN: &str = "<!-- measured: begin; `cargo xtask scale` writes what follows -->";
const END: &str = "<!-- measured: end -->";

/// Nodes of the clusters that are reckoned.
const NODES: [f64; 2] = [100.0, 1_000.0];

/// Everything.
pub(crate) fn text(machine: &str, books: &[Costs], counted: &[Counted], inputs: &Inputs) -> String {
    let mut text = format!("Measured on: {machine}.\n\n### Results\n");
    text.push_str("Shares of what there is, in %; above 100 it does not work.\n");
    for nodes in NODES {
        let _ = write!(text, "\n#### {nodes} nodes, 10 million sockets\n{}", results(inputs, nodes));
    }
    let _ = write!(
        text,
        "\n### What the engine says\nCounted in the simulation: all messages from object to object; their bytes. Each Replica has one socket.\n\n{}",
        counts(counted)
    );
    let _ = write!(text, "\n### What a Group's books cost\n1 million clients; µs.\n\n{}", costs(books));
    let _ = write!(text, "\n### The model's inputs\n{}", inputs.table());
    text
}

fn heading(first: &str) -> Vec<&str> {
    std::iter::once(first).chain(SCENARIOS.iter().map(|scenario| scenario.name)).collect()
}

fn percent(load: &Load) -> String {
    shown(100.0 * load.utilisation())
}

fn results(inputs: &Inputs, nodes: f64) -> Table {
    let clusters: Vec<_> = SCENARIOS.iter().map(|scenario| scenario.on(nodes)).collect();
    let models: Vec<_> = clusters.iter().map(|cluster| Model { inputs, cluster }).collect();
    let mut table = Table::new(&heading("rooms of"), 1);
    let mut row = |what: &str, cell: &dyn Fn(&Model<'_>) -> String| {
        table.push(std::iter::once(what.to_owned()).chain(models.iter().map(cell)).collect());
    };
    row("**saturates first**", &|model| model.first().first().map_or_else(String::new, |load| load.resource.into()));
    row("at", &|model| model.first().first().map_or_else(String::new, percent));
    row("sockets then, millions", &|model| {
        shown(room_to_grow(inputs, model.cluster) * model.total(crate::model::Rooms::sockets) / 1e6)
    });
    row("Replicas, thousands", &|model| shown(model.total(|rooms| rooms.rooms * rooms.replicas()) / 1e3));
    row("letters a second, thousands", &|model| shown(model.letters().letters / 1e3));
    row("and their bytes, MB", &|model| shown(model.letters().bytes / 1e6));
    rows_of_loads(&mut table, "at rest", &models.iter().map(Model::at_rest).collect::<Vec<_>>());
    rows_of_loads(&mut table, "a node dies", &models.iter().map(Model::node_dies).collect::<Vec<_>>());
    let mut row = |what: &str, cell: &dyn Fn(&crate::model::Fill) -> f64| {
        let cells = models.iter().map(|model| model.fill().map_or_else(String::new, |fill| shown(cell(&fill))));
        table.push(std::iter::once(what.to_owned()).chain(cells).collect());
    };
    row("the largest room fills: its Replicas", &|fill| fill.replicas);
    row("its Group's thread places all, s", &|fill| fill.seconds);
    row("and names all Replicas, s", &|fill| fill.admits);
    row("a round of joins, MB", &|fill| fill.round_bytes / 1e6);
    row("and its time (2 s are allowed), s", &|fill| fill.round);
    row("each node has looked up each Replica, s", &|fill| fill.known_by_all);
    let alarms = models.iter().map(|model| shown(model.alarms_an_hour()));
    table.push(std::iter::once("alarms of a Replica that fill NATS, an hour".to_owned()).chain(alarms).collect());
    table
}

fn rows_of_loads(table: &mut Table, when: &str, columns: &[Vec<Load>]) {
    let Some(first) = columns.first() else { return };
    for (at, load) in first.iter().enumerate() {
        let cells = columns.iter().map(|column| percent(&column[at]));
        table.push(std::iter::once(format!("{when}: {}", load.resource)).chain(cells).collect());
    }
}

/// Rows are what is done, columns the sizes of rooms: all messages together, and all bytes.
fn counts(counted: &[Counted]) -> Table {
    let titles: Vec<String> = counted.iter().map(|counted| format!("{} Replicas", counted.replicas)).collect();
    let titles: Vec<&str> = std::iter::once("what is done").chain(titles.iter().map(String::as_str)).collect();
    let mut table = Table::new(&titles, 1);
    let Some(first) = counted.first() else { return table };
    for (at, (what, _)) in first.done.iter().enumerate() {
        let cells = counted.iter().map(|counted| {
            let mut sum = Amount::default();
            counted.done[at].1.values().for_each(|amount| sum += *amount);
            format!("{}; {}", shown(as_float(sum.messages)), shown(as_float(sum.bytes)))
        });
        table.push(std::iter::once((*what).to_owned()).chain(cells).collect());
    }
    table
}

fn costs(books: &[Costs]) -> Table {
    let titles = ["Replicas", "placed, known", "placed, new", "report", "whisper", "new Replica", "census, a client"];
    let mut table = Table::new(&titles, 0);
    for costs in books {
        let figures = [costs.known, costs.new, costs.report, costs.locate, costs.admit, costs.wake];
        let figures = figures.map(shown);
        table.push(std::iter::once(shown(f64::from(costs.replicas))).chain(figures).collect());
    }
    table
}

/// Puts it into its place in the document.
pub(crate) fn write(text: &str, document: &Path) -> Result<()> {
    let old = fs::read_to_string(document).with_context(|| format!("there is no {}", document.display()))?;
    let new = spliced(&old, text).with_context(|| format!("{} has no place marked", document.display()))?;
    fs::write(document, new)?;
    println!("written to {}", document.display());
    Ok(())
}

fn spliced(document: &str, text: &str) -> Option<String> {
    let (before, rest) = document.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}\n{text}\n{END}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_around_the_written_part_stays() {
        let document = format!("before\n{BEGIN}\nold\n{END}\nafter\n");
        assert_eq!(spliced(&document, "new").unwrap(), format!("before\n{BEGIN}\nnew\n{END}\nafter\n"));
        assert_eq!(spliced("nothing is marked", "new"), None);
    }
}
