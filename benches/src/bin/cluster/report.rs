//! What was measured, as Markdown: [`text`].

use std::fmt::{self, Display, Write as _};

use dog_benches::measure::{kernel, processor};
use dog_benches::summary::Spread;
use dog_benches::table::Table;

use crate::records::{Place, Records};
use crate::rounds::{FEW, GOSSIPERS, WHISPERERS};

/// Whom others are compared with.
const OURS: &str = "ours";

/// What stands above all tables.
pub(crate) struct Heading {
    pub(crate) machine: String,
    pub(crate) sockets: usize,
    pub(crate) bytes: usize,
    pub(crate) rate: f64,
    pub(crate) rounds: usize,
    pub(crate) seconds: f64,
    /// Peers that could not be had.
    pub(crate) missing: Vec<&'static str>,
}

impl Display for Heading {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { machine, sockets, bytes, rounds, seconds, .. } = self;
        let missing = self.missing.iter().map(|peer| format!(" Missing here: {peer}.")).collect::<String>();
        write!(
            formatter,
            "{machine}; {}; Linux {}. {rounds} rounds, of {seconds} s each; {sockets} sockets in one room, over all nodes; \
             messages of {bytes} bytes.{missing}",
            processor(),
            kernel()
        )
    }
}

/// A column: its title, the figure, and how many digits that is worth.
type Column = (&'static str, &'static str, usize);

/// All tables, and what failed.
pub(crate) fn text(heading: &Heading, records: &Records) -> String {
    let mut text = format!("{heading}\n");
    let sections = [
        ("A broadcast, one in flight", about_broadcasts(heading, 1), broadcasts(records, "one")),
        ("A broadcast, 32 in flight", about_broadcasts(heading, 32), broadcasts(records, "many")),
        ("What a remote node costs", about_few(), remote_nodes(records)),
        ("Times at a fixed rate", about_rate(heading), rates(records)),
        ("Whisper and gossip", about_verbs(), verbs(records)),
        ("Placing clients", ABOUT_SEATS.into(), seats(records)),
        ("One server, and a cluster of one", ABOUT_SINGLE.into(), single(records)),
    ];
    for (title, about, table) in sections {
        if let Some(table) = table {
            let _ = write!(text, "\n### {title}\n{about}\n\n{table}");
        }
    }
    for failure in records.failures() {
        let _ = write!(text, "\nFailed: {failure}\n");
    }
    text
}

fn about_broadcasts(heading: &Heading, in_flight: usize) -> String {
    let Heading { sockets, .. } = heading;
    format!(
        "{sockets} sockets, {in_flight} in flight from six of them. CPU in µs: of all nodes a delivery; of them and the \
         broker. The broker's, bytes and letters are a message's; a letter is what one of our nodes has got of another."
    )
}

fn about_few() -> String {
    format!(
        "{FEW} sockets, one in flight. CPU of a message in µs, of all nodes and the broker; a remote node is what one more \
         costs: what a message costs with so many nodes less what it costs with one, by the nodes that are more."
    )
}

fn about_rate(heading: &Heading) -> String {
    let Heading { sockets, rate, .. } = heading;
    format!("{sockets} sockets, {rate} messages a second. µs from when a message was due to each delivery.")
}

fn about_verbs() -> String {
    format!(
        "Whispers among {WHISPERERS} clients, each to one at another node where there are several; gossip of {GOSSIPERS} \
         clients' sockets, which is answered to the sender when all Replicas have answered. CPU in µs; times with one in flight."
    )
}

const ABOUT_SEATS: &str = "One Group at one of two nodes. Asked: plain requests of clients that nobody has seen, 32 at a \
     time, whose seats are given back at once. Opened: sockets that go again, four at a time. CPU in µs for each, handshake \
     or request included; the load generator shares the machine.";

const ABOUT_SINGLE: &str = "The relay as a node of a cluster of one, and without a cluster: both run, and are measured in \
     turn. CPU of a delivery in µs; the ratio is of their speed, above 1 where the node of a cluster is faster.";

/// Puts the cells of these columns at the end of a row.
fn append(row: &mut Vec<String>, records: &Records, place: &Place, columns: &[Column]) {
    row.extend(columns.iter().map(|(_, figure, digits)| {
        let spread = records.spread(place, figure);
        spread.map_or_else(String::new, |spread| format!("{:.digits$}", spread.median))
    }));
}

/// A figure with its least and most.
fn shown(spread: Option<Spread>, digits: usize) -> String {
    spread.map_or_else(String::new, |Spread { minimum, median, maximum }| {
        format!("{median:.digits$} ({minimum:.digits$}–{maximum:.digits$})")
    })
}

fn table(names: &[&str], columns: &[Column]) -> Table {
    let titles: Vec<&str> = names.iter().copied().chain(columns.iter().map(|(title, ..)| *title)).collect();
    Table::new(&titles, 1)
}

/// `None` where nothing was measured.
fn places<'a>(records: &'a Records, part: &str) -> Option<Vec<&'a Place>> {
    let mut places = records.places(part);
    // As they were first played, those with as many nodes together: whatever round that was.
    places.sort_by_key(|place| (place.nodes, place.who.clone()));
    places.sort_by_key(|place| (place.nodes, !place.who.starts_with(OURS)));
    (!places.is_empty()).then_some(places)
}

fn broadcasts(records: &Records, part: &'static str) -> Option<Table> {
    const COLUMNS: &[Column] = &[
        ("Replicas a node", "Replicas", 0),
        ("broker's CPU", "broker a message", 1),
        ("letters", "letters a message", 3),
        ("bytes to the broker", "bytes in a message", 0),
        ("bytes from it", "bytes out a message", 0),
        ("KB to it a socket that came", "KB a socket", 1),
        ("thousand deliveries/s", "thousand deliveries a second", 0),
    ];
    let names = ["server", "nodes", "CPU of nodes", "with the broker", "÷ 1 node", "÷ ours"];
    let mut all = table(&names, COLUMNS);
    for place in places(records, part)? {
        let of = |who: &str, nodes| records.ratio(place, &Place::new(part, who, nodes), "all a delivery");
        let mut row = vec![place.who.clone(), place.nodes.to_string()];
        row.push(shown(records.spread(place, "nodes a delivery"), 2));
        row.push(shown(records.spread(place, "all a delivery"), 2));
        row.push(shown(of(&place.who, 1), 2));
        row.push(shown(of(OURS, place.nodes), 2));
        append(&mut row, records, place, COLUMNS);
        all.push(row);
    }
    Some(all)
}

fn remote_nodes(records: &Records) -> Option<Table> {
    const COLUMNS: &[Column] = &[
        ("broker's CPU", "broker a message", 1),
        ("letters", "letters a message", 3),
        ("bytes to the broker", "bytes in a message", 0),
        ("bytes from it", "bytes out a message", 0),
        ("p50 to another node, µs", "across p50", 0),
    ];
    let names = ["server", "nodes", "CPU of nodes", "with the broker", "a remote node", "÷ ours"];
    let mut all = table(&names, COLUMNS);
    for place in places(records, "few")? {
        let alone = Place::new("few", place.who.clone(), 1);
        let mut row = vec![place.who.clone(), place.nodes.to_string()];
        row.push(shown(records.spread(place, "nodes a message"), 0));
        row.push(shown(records.spread(place, "all a message"), 0));
        let more = f64::from(u32::try_from(place.nodes - 1).unwrap_or(u32::MAX));
        let remote = records.difference(place, &alone, "all a message").filter(|_| place.nodes > 1);
        row.push(shown(remote.map(|spread| divided(spread, more)), 0));
        row.push(shown(records.ratio(place, &Place::new("few", OURS, place.nodes), "all a message"), 2));
        append(&mut row, records, place, COLUMNS);
        all.push(row);
    }
    Some(all)
}

fn divided(Spread { minimum, median, maximum }: Spread, by: f64) -> Spread {
    Spread { minimum: minimum / by, median: median / by, maximum: maximum / by }
}

fn rates(records: &Records) -> Option<Table> {
    const COLUMNS: &[Column] = &[
        ("same node p50", "within p50", 0),
        ("same node p99", "within p99", 0),
        ("another p50", "across p50", 0),
        ("another p99", "across p99", 0),
    ];
    let mut all = table(&["server", "nodes", "p99 of all", "÷ ours"], COLUMNS);
    for place in places(records, "rate")? {
        let ratio = records.ratio(place, &Place::new("rate", OURS, place.nodes), "each p99");
        let mut row = vec![place.who.clone(), place.nodes.to_string()];
        row.push(shown(records.spread(place, "each p99"), 0));
        row.push(shown(ratio, 2));
        append(&mut row, records, place, COLUMNS);
        all.push(row);
    }
    Some(all)
}

fn verbs(records: &Records) -> Option<Table> {
    const COLUMNS: &[Column] = &[
        ("Replicas a node", "Replicas", 0),
        ("broker's CPU", "broker a message", 1),
        ("letters", "letters a message", 2),
        ("nodes, 32 in flight", "nodes a message, 32 in flight", 1),
        ("p50, µs", "each p50", 0),
        ("p99, µs", "each p99", 0),
    ];
    let mut all = table(&["verb", "nodes", "CPU of nodes", "÷ 1 node"], COLUMNS);
    let mut places = places(records, "verbs")?;
    places.sort_by_key(|place| (place.who.clone(), place.nodes));
    for place in places {
        let mut row = vec![place.who.clone(), place.nodes.to_string()];
        row.push(shown(records.spread(place, "nodes a message"), 1));
        row.push(shown(records.ratio(place, &Place::new("verbs", place.who.clone(), 1), "nodes a message"), 2));
        append(&mut row, records, place, COLUMNS);
        all.push(row);
    }
    Some(all)
}

fn seats(records: &Records) -> Option<Table> {
    const COLUMNS: &[Column] = &[("CPU of NATS", "broker", 1), ("letters", "letters", 2)];
    let mut all = table(&["clients", "a second", "CPU of nodes"], COLUMNS);
    for place in places(records, "seats")? {
        let mut row = vec![place.who.clone()];
        row.push(shown(records.spread(place, "a second"), 0));
        row.push(shown(records.spread(place, "nodes"), 0));
        append(&mut row, records, place, COLUMNS);
        all.push(row);
    }
    Some(all)
}

fn single(records: &Records) -> Option<Table> {
    let mut all = Table::new(&["in flight", "without a cluster", "with", "speed with ÷ without"], 1);
    let mut measured = false;
    for (part, in_flight) in [("single, one", "1"), ("single, many", "32")] {
        let [without, with] = ["without", "with"].map(|who| Place::new(part, who, 1));
        let speed = records.ratio(&without, &with, "nodes a delivery");
        measured |= speed.is_some();
        let cpu = [&without, &with].map(|place| shown(records.spread(place, "nodes a delivery"), 3));
        all.push([vec![in_flight.into()], cpu.to_vec(), vec![shown(speed, 2)]].concat());
    }
    measured.then_some(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heading() -> Heading {
        let machine = "2 processors".into();
        Heading { machine, sockets: 300, bytes: 128, rate: 30.0, rounds: 2, seconds: 1.5, missing: vec!["nchan"] }
    }

    #[test]
    fn what_was_not_measured_has_no_table() {
        let mut records = Records::default();
        records.fail("nchan, 2 nodes: it ended".into());
        let text = text(&heading(), &records);
        assert!(text.contains("Missing here: nchan."), "{text}");
        assert!(!text.contains("###") && text.contains("Failed: nchan, 2 nodes: it ended"), "{text}");
    }

    #[test]
    fn a_remote_node_is_what_one_more_costs() {
        let mut records = Records::default();
        for (who, nodes, cpu) in [("ours", 1, 10.0), ("ours", 3, 50.0), ("theirs", 3, 100.0)] {
            records.add(Place::new("few", who, nodes), 0, [("all a message", cpu)].into());
        }
        let table = remote_nodes(&records).unwrap().to_string();
        assert!(table.contains(" 20 (20–20) |"), "{table}");
        assert!(table.contains(" 2.00 (2.00–2.00) |"), "{table}");
    }

    #[test]
    fn a_cluster_that_needs_less_is_faster() {
        let mut records = Records::default();
        for (who, cpu) in [("without", 4.0), ("with", 2.0)] {
            records.add(Place::new("single, one", who, 1), 0, [("nodes a delivery", cpu)].into());
        }
        let table = single(&records).unwrap().to_string();
        assert!(table.contains(" 2.00 (2.00–2.00) |"), "{table}");
    }
}
