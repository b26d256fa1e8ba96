//! The report of the family: [`sections`].

use crate::harness::report::Section;
use crate::harness::sample::{Figure, Series};
use crate::harness::store::Store;
use crate::harness::table::Table;
use crate::load::workload::Pace;
use crate::scenarios::figures::{
    BROKER_CPU, BYTES_IN, BYTES_OUT, CONNECT_CPU, CONNECT_RATE, CPU, CPU_WITH_BROKER, KB_PER_SOCKET, MESSAGE_CPU,
    MESSAGE_CPU_MANY, MESSAGE_CPU_WITH_BROKER, NODE_MESSAGES, OTHER_NODE_P50, OTHER_NODE_P99, P50, P99, RATE, REPLICAS,
    SAME_NODE_P50, SAME_NODE_P99,
};

use super::broadcast::{self, FEW_SOCKETS, OURS};
use super::contenders::{ClusterSettings, Contender, NODES, series};
use super::seats::{self, SEATS};
use super::single;
use super::verbs::{self, GOSSIPERS, VERBS, WHISPERERS};

/// All sections of which something was measured.
pub fn sections(store: &Store, settings: &ClusterSettings) -> Vec<Section> {
    let ClusterSettings { sockets, .. } = settings;
    let contenders = broadcast::contenders(*sockets);
    let about = |in_flight| {
        format!(
            "{sockets} sockets, {in_flight} in flight from six of them. CPU is in µs per delivery: of all nodes, and of nodes \
             and broker. The broker's CPU, bytes and node messages are per message; a node message goes from one of our nodes to \
             another."
        )
    };
    let all = [
        section(
            store,
            &[broadcast::ONE],
            "A broadcast, one in flight",
            about(1),
            broadcasts(store, broadcast::ONE, &contenders),
        ),
        section(
            store,
            &[broadcast::BUSY],
            "A broadcast, 32 in flight",
            about(32),
            broadcasts(store, broadcast::BUSY, &contenders),
        ),
        section(store, &[broadcast::FEW], "What a remote node costs", about_few(), remote_nodes(store, &contenders)),
        section(store, &[broadcast::RATE], "Latency at a fixed rate", about_rate(settings), rates(store, &contenders)),
        section(store, &[VERBS], "Whisper and gossip", about_verbs(), verbs(store)),
        section(store, &[SEATS], "Placing clients", ABOUT_SEATS.into(), seats(store)),
        section(
            store,
            &[single::ONE, single::BUSY],
            "One server, and a cluster of one",
            ABOUT_SINGLE.into(),
            single(store),
        ),
    ];
    all.into_iter().flatten().collect()
}

/// `None` if nothing was measured.
fn section(store: &Store, scenarios: &[&str], title: &str, about: String, table: Table) -> Option<Section> {
    let failures: Vec<String> = scenarios.iter().flat_map(|scenario| store.failures(scenario)).collect();
    let measured = !table.is_empty() || !failures.is_empty();
    measured.then(|| Section { title: title.to_owned(), about, plot: None, table, failures })
}

fn about_few() -> String {
    format!(
        "{FEW_SOCKETS} sockets, one in flight. CPU is in µs per message: of all nodes, and of nodes and broker. A remote node is \
         what one more node costs: the cost of a message on these nodes, less its cost on one node, divided by the number of \
         additional nodes."
    )
}

fn about_rate(settings: &ClusterSettings) -> String {
    let Pace::Every(interval) = settings.rate else { return String::new() };
    let (sockets, rate) = (settings.sockets, 1.0 / interval.as_secs_f64());
    format!("{sockets} sockets, {rate:.0} messages per second. µs from when a message was due to each delivery.")
}

fn about_verbs() -> String {
    format!(
        "{WHISPERERS} clients whisper, each to one client, at another node where there are several. {GOSSIPERS} clients gossip; \
         the sender is answered when all Replicas have answered. CPU is in µs per message; latency with one in flight."
    )
}

const ABOUT_SEATS: &str = "One Group at one of two nodes. Asked: new clients send plain HTTP requests for a seat, 32 at a time; \
     their seats are returned at once. Opened: clients open a socket and leave, four at a time. CPU is in µs per client, \
     handshake or request included. The load generator shares the machine.";

const ABOUT_SINGLE: &str = "The relay as a node of a cluster of one, and without a cluster. Both run at the same time and are \
     measured in turn. CPU is in µs per delivery. The ratio is of their speed: above 1 the node of a cluster is faster.";

/// A figure as a column, with the decimal places that it has here.
const fn column(figure: Figure, title: &'static str, digits: usize) -> Figure {
    Figure { key: figure.key, title, digits }
}

/// A row: words, figures as medians with their ends, and further figures as medians.
struct Row<'a> {
    store: &'a Store,
    cells: Vec<String>,
}

impl<'a> Row<'a> {
    fn new(store: &'a Store, words: &[&str]) -> Self {
        Self { store, cells: words.iter().map(ToString::to_string).collect() }
    }

    fn spread(mut self, series: &Series, figure: &Figure, digits: usize) -> Self {
        self.cells.push(self.store.spread(series, figure).map_or_else(String::new, |spread| spread.shown(digits)));
        self
    }

    fn ratio(mut self, ours: &Series, theirs: &Series, figure: &Figure) -> Self {
        self.cells.push(self.store.ratio(ours, theirs, figure).map_or_else(String::new, |ratio| ratio.shown(2)));
        self
    }

    fn medians(mut self, series: &Series, columns: &[Figure]) -> Vec<String> {
        let median = |figure: &Figure| {
            let spread = self.store.spread(series, figure);
            spread.map_or_else(String::new, |spread| format!("{:.*}", figure.digits, spread.median))
        };
        self.cells.extend(columns.iter().map(median));
        self.cells
    }
}

fn table(titles: &[&str], columns: &[Figure]) -> Table {
    let titles: Vec<&str> = titles.iter().copied().chain(columns.iter().map(|column| column.title)).collect();
    Table::new(&titles, 1)
}

fn broadcasts(store: &Store, scenario: &str, contenders: &[Contender]) -> Table {
    const COLUMNS: &[Figure] = &[REPLICAS, BROKER_CPU, NODE_MESSAGES, BYTES_IN, BYTES_OUT, KB_PER_SOCKET, RATE];
    let titles = ["server", "nodes", "CPU of nodes", "with the broker", "÷ 1 node", "÷ ours"];
    let mut all = table(&titles, COLUMNS);
    for Contender { entrant, nodes } in contenders {
        let (name, this) = (&entrant.name, series(scenario, &entrant.name, *nodes));
        if store.spread(&this, &CPU).is_none() {
            continue;
        }
        let row = Row::new(store, &[name, &nodes.to_string()])
            .spread(&this, &CPU, 2)
            .spread(&this, &CPU_WITH_BROKER, 2)
            .ratio(&this, &series(scenario, name, 1), &CPU_WITH_BROKER)
            .ratio(&this, &series(scenario, OURS, *nodes), &CPU_WITH_BROKER);
        all.push(row.medians(&this, COLUMNS));
    }
    all
}

fn remote_nodes(store: &Store, contenders: &[Contender]) -> Table {
    const COLUMNS: &[Figure] =
        &[BROKER_CPU, NODE_MESSAGES, BYTES_IN, BYTES_OUT, column(OTHER_NODE_P50, "p50 to another node, µs", 0)];
    let scenario = broadcast::FEW;
    let titles = ["server", "nodes", "CPU of nodes", "with the broker", "a remote node", "÷ ours"];
    let mut all = table(&titles, COLUMNS);
    for Contender { entrant, nodes } in contenders {
        let (name, this) = (&entrant.name, series(scenario, &entrant.name, *nodes));
        if store.spread(&this, &MESSAGE_CPU).is_none() {
            continue;
        }
        let mut row = Row::new(store, &[name, &nodes.to_string()]).spread(&this, &MESSAGE_CPU, 0).spread(
            &this,
            &MESSAGE_CPU_WITH_BROKER,
            0,
        );
        let more = u32::try_from(nodes - 1).map_or(f64::NAN, f64::from);
        let remote = store.difference(&this, &series(scenario, name, 1), &MESSAGE_CPU_WITH_BROKER);
        let remote = remote.filter(|_| *nodes > 1).map(|spread| spread.divided_by(more).shown(0));
        row.cells.push(remote.unwrap_or_default());
        let row = row.ratio(&this, &series(scenario, OURS, *nodes), &MESSAGE_CPU_WITH_BROKER);
        all.push(row.medians(&this, COLUMNS));
    }
    all
}

fn rates(store: &Store, contenders: &[Contender]) -> Table {
    const COLUMNS: &[Figure] = &[SAME_NODE_P50, SAME_NODE_P99, OTHER_NODE_P50, OTHER_NODE_P99];
    let mut all = table(&["server", "nodes", "p99 of all", "÷ ours"], COLUMNS);
    for Contender { entrant, nodes } in contenders {
        let this = series(broadcast::RATE, &entrant.name, *nodes);
        if store.spread(&this, &P99).is_none() {
            continue;
        }
        let row = Row::new(store, &[&entrant.name, &nodes.to_string()]).spread(&this, &P99, 0).ratio(
            &this,
            &series(broadcast::RATE, OURS, *nodes),
            &P99,
        );
        all.push(row.medians(&this, COLUMNS));
    }
    all
}

fn verbs(store: &Store) -> Table {
    const COLUMNS: &[Figure] =
        &[REPLICAS, BROKER_CPU, column(NODE_MESSAGES, NODE_MESSAGES.title, 2), MESSAGE_CPU_MANY, P50, P99];
    let mut all = table(&["verb", "nodes", "CPU of nodes", "÷ 1 node"], COLUMNS);
    for name in verbs::NAMES {
        for nodes in NODES {
            let this = series(VERBS, name, nodes);
            if store.spread(&this, &MESSAGE_CPU).is_none() {
                continue;
            }
            let row = Row::new(store, &[name, &nodes.to_string()]).spread(&this, &MESSAGE_CPU, 1).ratio(
                &this,
                &series(VERBS, name, 1),
                &MESSAGE_CPU,
            );
            all.push(row.medians(&this, COLUMNS));
        }
    }
    all
}

fn seats(store: &Store) -> Table {
    const COLUMNS: &[Figure] = &[column(BROKER_CPU, "CPU of NATS", 1), column(NODE_MESSAGES, NODE_MESSAGES.title, 2)];
    let mut all = table(&["clients", "per second", "CPU of nodes"], COLUMNS);
    for name in seats::ROWS.into_iter().flatten() {
        let this = Series::new(SEATS, name);
        if store.spread(&this, &CONNECT_CPU).is_some() {
            let row = Row::new(store, &[name]).spread(&this, &CONNECT_RATE, 0).spread(&this, &CONNECT_CPU, 0);
            all.push(row.medians(&this, COLUMNS));
        }
    }
    all
}

fn single(store: &Store) -> Table {
    let mut all = table(&["in flight", single::WITHOUT, single::WITH, "speed with ÷ without"], &[]);
    for (scenario, in_flight) in [(single::ONE, "1"), (single::BUSY, "32")] {
        let [without, with] = [single::WITHOUT, single::WITH].map(|name| Series::new(scenario, name));
        if store.ratio(&without, &with, &CPU).is_some() {
            let row = Row::new(store, &[in_flight]).spread(&without, &CPU, 3).spread(&with, &CPU, 3);
            all.push(row.ratio(&without, &with, &CPU).cells);
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::harness::options::BenchOptions;
    use crate::harness::report;
    use crate::harness::sample::Sample;
    use crate::harness::store::{Measurement, Record, RunInfo};

    fn store(records: &[(Series, Figure, f64)]) -> Store {
        let mut store = Store::begin(None, RunInfo::default()).unwrap();
        for (series, figure, value) in records {
            let outcome = Measurement::Figures(Sample::from([(*figure, *value)]));
            store.add(vec![Record { series: series.clone(), round: 0, repetition: 0, outcome }]).unwrap();
        }
        store
    }

    fn text(store: &Store) -> String {
        let (rate, timing) = (Pace::per_second(30.0).unwrap(), BenchOptions::default().timing(1.5).unwrap());
        let settings = ClusterSettings { sockets: 300, bytes: 128, rate, timing };
        report::text(store.run(), &sections(store, &settings))
    }

    #[test]
    fn what_was_not_measured_has_no_table() {
        let mut store = store(&[]);
        assert!(!text(&store).contains("###"));
        let (series, outcome) = (series(broadcast::ONE, "nchan", 2), Measurement::Failed("it ended".into()));
        store.add(vec![Record { series, round: 0, repetition: 0, outcome }]).unwrap();
        assert!(text(&store).contains("nchan, nodes: 2 failed: it ended"));
    }

    #[test]
    fn a_remote_node_is_what_one_more_costs() {
        let of = |name, nodes, cpu| {
            let this = series(broadcast::FEW, name, nodes);
            [(this.clone(), MESSAGE_CPU, cpu), (this, MESSAGE_CPU_WITH_BROKER, cpu)]
        };
        let records = [of(OURS, 1, 10.0), of(OURS, 3, 50.0), of("nchan + Redis", 3, 100.0)].concat();
        let text = text(&store(&records));
        assert!(text.contains(" 20 (20–20) |"), "{text}");
        assert!(text.contains(" 2.00 (2.00–2.00) |"), "{text}");
    }

    #[test]
    fn a_cluster_that_needs_less_is_faster() {
        let records =
            [(single::WITHOUT, 4.0), (single::WITH, 2.0)].map(|(name, cpu)| (Series::new(single::ONE, name), CPU, cpu));
        let text = text(&store(&records));
        assert!(text.contains(" 2.00 (2.00–2.00) |"), "{text}");
    }
}
