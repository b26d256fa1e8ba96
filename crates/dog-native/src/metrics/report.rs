//! All metrics, by name. Dashboards depend on the names.

use super::counters::Counters;
use super::figures::{ClassFigures, Figures};
use super::text::Exposition;
use crate::cluster::node::ClusterFigures;
use crate::storage::port::StorageFigures;
use crate::tls::TlsFigures;

/// The counts of the whole process.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) draining: bool,
    pub(crate) storage: StorageFigures,
    /// Set if the server is a node of a cluster.
    pub(crate) cluster: Option<ClusterFigures>,
    /// Set if clients speak TLS.
    pub(crate) tls: Option<TlsFigures>,
}

/// Returns all metrics as text. `None` is a worker that did not answer: its metrics are left out, and not reported as
/// zero.
pub(crate) fn report(process: &Process, workers: &[Option<Figures>]) -> String {
    let mut text = Exposition::default();
    text.family("dog_build_info", "gauge", "Always 1; the version is in the label.");
    text.sample(&[("version", env!("CARGO_PKG_VERSION"))], 1);
    text.family("dog_draining", "gauge", "1 while the server shuts down.");
    text.sample(&[], u8::from(process.draining));
    let workers: Vec<(String, Option<&Figures>)> =
        workers.iter().enumerate().map(|(index, figures)| (index.to_string(), figures.as_ref())).collect();
    text.family(
        "dog_worker_up",
        "gauge",
        "1 if the worker answered; other figures of a worker that did not answer are missing.",
    );
    for (worker, figures) in &workers {
        text.sample(&[("worker", worker)], u8::from(figures.is_some()));
    }
    let answered: Vec<(&str, &Figures)> =
        workers.iter().filter_map(|(worker, figures)| Some((worker.as_str(), (*figures)?))).collect();
    counters(&mut text, &answered);
    gauges(&mut text, &answered);
    objects(&mut text, &classes(&answered));
    storage(&mut text, &process.storage);
    if let Some(figures) = &process.cluster {
        cluster(&mut text, figures);
    }
    if let Some(figures) = &process.tls {
        tls(&mut text, figures, "dog_tls_reloads_total", "dog_tls_certificate_expires_at");
    }
    if let Some(figures) = process.cluster.as_ref().and_then(|cluster| cluster.tls.as_ref()) {
        tls(&mut text, figures, "dog_cluster_tls_reloads_total", "dog_cluster_tls_certificate_expires_at");
    }
    text.finish()
}

fn tls(text: &mut Exposition, figures: &TlsFigures, reloads: &'static str, expires_at: &'static str) {
    text.family(reloads, "counter", "Times that the certificates were loaded again, or could not be.");
    text.sample(&[("result", "ok")], figures.reloads);
    text.sample(&[("result", "failed")], figures.failed_reloads);
    if let Some(expires) = figures.expires {
        text.family(expires_at, "gauge", "When the certificate expires, in seconds since 1970.");
        text.sample(&[], expires);
    }
}

fn counters(text: &mut Exposition, workers: &[(&str, &Figures)]) {
    for (place, (name, help)) in Counters::NAMES.iter().enumerate() {
        text.family(name, "counter", help);
        for (worker, figures) in workers {
            text.sample(&[("worker", worker)], figures.counters.get(place).copied().unwrap_or_default());
        }
    }
}

fn gauges(text: &mut Exposition, workers: &[(&str, &Figures)]) {
    text.family("dog_sockets", "gauge", "WebSockets: open, or closing.");
    for (worker, figures) in workers {
        text.sample(&[("worker", worker), ("state", "open")], figures.sockets_open);
        text.sample(&[("worker", worker), ("state", "closing")], figures.sockets_closing);
    }
    gauge(text, workers, "dog_event_streams", "Event streams that are open.", |figures| figures.event_streams);
    let help = "Bytes queued for WebSockets.";
    gauge(text, workers, "dog_outbox_bytes", help, |figures| figures.outbox_bytes);
    let help = "Requests in progress, and handlers that wait for something.";
    gauge(text, workers, "dog_tasks_waiting", help, |figures| figures.busy);
    let help = "Tasks that objects have spawned and that have not ended.";
    gauge(text, workers, "dog_tasks", help, |figures| figures.tasks);
    let help = "Calls that came to Groups and have not ended.";
    gauge(text, workers, "dog_calls_in_progress", help, |figures| figures.calls_in_progress);
    let help = "Duration of handlers that had to wait for something, from then on; others are not timed.";
    text.family("dog_handler_wait_seconds", "histogram", help);
    for (worker, figures) in workers {
        text.times(&[("worker", worker)], &figures.handler_waits);
    }
}

/// One number per worker.
fn gauge(
    text: &mut Exposition,
    workers: &[(&str, &Figures)],
    name: &'static str,
    help: &str,
    value: impl Fn(&Figures) -> usize,
) {
    text.family(name, "gauge", help);
    for (worker, figures) in workers {
        text.sample(&[("worker", worker)], value(figures));
    }
}

/// Adds up the objects of each class over all workers.
fn classes(workers: &[(&str, &Figures)]) -> Vec<ClassFigures> {
    let mut classes: Vec<ClassFigures> = Vec::new();
    for class in workers.iter().flat_map(|(_, figures)| &figures.classes) {
        match classes.iter_mut().find(|known| known.name == class.name) {
            Some(known) => known.add(class),
            None => classes.push(*class),
        }
    }
    classes
}

fn objects(text: &mut Exposition, classes: &[ClassFigures]) {
    text.family("dog_objects", "gauge", "Objects in memory; the value of a hibernating Replica is not.");
    for class in classes {
        let kinds = [
            ("group", "awake", class.groups),
            ("replica", "awake", class.replicas_awake),
            ("replica", "hibernating", class.replicas_hibernating),
        ];
        for (kind, state, objects) in kinds {
            text.sample(&[("class", class.name), ("kind", kind), ("state", state)], objects);
        }
    }
    text.family("dog_seats", "gauge", "Seats taken on Replicas: open sockets, and requests in progress.");
    for class in classes {
        text.sample(&[("class", class.name)], class.seats);
    }
    text.family("dog_tickets", "gauge", "Seats reserved by Groups, and not taken yet.");
    for class in classes {
        text.sample(&[("class", class.name)], class.tickets);
    }
    text.family("dog_members", "gauge", "Replicas that are members of the Groups in memory.");
    for class in classes {
        text.sample(&[("class", class.name), ("state", "active")], class.members);
        text.sample(&[("class", class.name), ("state", "parked")], class.parked);
    }
}

fn storage(text: &mut Exposition, figures: &StorageFigures) {
    let StorageFigures { writes, failures, failing, commits } = figures;
    text.family("dog_storage_writes_total", "counter", "Atomic writes of objects.");
    text.sample(&[], writes);
    text.family("dog_storage_failures_total", "counter", "Commits that failed, and their writes with them.");
    text.sample(&[], failures);
    text.family("dog_storage_failing", "gauge", "1 if the last commit failed.");
    text.sample(&[], u8::from(*failing));
    text.family("dog_storage_commit_seconds", "histogram", "Duration of commits, each of one or more writes.");
    text.times(&[], commits);
}

fn cluster(text: &mut Exposition, figures: &ClusterFigures) {
    text.family("dog_cluster_nodes", "gauge", "Live nodes known to this node, including itself.");
    text.sample(&[], figures.standing.nodes);
    text.family("dog_cluster_connected", "gauge", "1 while the service that connects the nodes can be reached.");
    text.sample(&[], u8::from(figures.standing.connected));
    text.family(
        "dog_cluster_lease_left_ms",
        "gauge",
        "Time in milliseconds that this node may still act without a renewal of its lease.",
    );
    text.sample(&[], figures.lease_left.as_millis());
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use super::*;
    use crate::metrics::counters::Times;

    /// A small parser of the format: samples by name and labels, types by family. It panics on text that Prometheus
    /// would refuse.
    fn parse(text: &str) -> (BTreeMap<String, f64>, BTreeMap<String, String>) {
        let (mut samples, mut types) = (BTreeMap::new(), BTreeMap::new());
        let mut described = None;
        assert!(text.ends_with('\n'));
        for line in text.lines() {
            if let Some(help) = line.strip_prefix("# HELP ") {
                described = help.split(' ').next();
            } else if let Some(kind) = line.strip_prefix("# TYPE ") {
                let (name, kind) = kind.split_once(' ').unwrap();
                assert_eq!(described, Some(name), "HELP comes before TYPE");
                assert!(["counter", "gauge", "histogram"].contains(&kind));
                assert!(types.insert(name.to_owned(), kind.to_owned()).is_none(), "{name} comes twice");
            } else {
                let (series, value) = line.rsplit_once(' ').unwrap();
                let name = series.split('{').next().unwrap();
                let family = described.unwrap();
                assert!(
                    name == family || name.strip_prefix(family).is_some_and(|rest| rest.starts_with('_')),
                    "{line}"
                );
                assert!(name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_'), "{name}");
                assert_eq!(series.contains('{'), series.ends_with('}'), "{series}");
                assert!(samples.insert(series.to_owned(), value.parse().unwrap()).is_none(), "{series} comes twice");
            }
        }
        (samples, types)
    }

    fn figures() -> Figures {
        let counters = Counters::default();
        counters.deliveries.add(7);
        let mut handler_waits = Times::default();
        for micros in [100, 1_000, 1_001, 60_000_000] {
            handler_waits.note(Duration::from_micros(micros));
        }
        let classes = vec![ClassFigures { name: "a \"quoted\\ name\n", seats: 3, ..ClassFigures::default() }];
        Figures { counters: counters.values(), handler_waits, classes, sockets_open: 3, ..Figures::default() }
    }

    #[test]
    fn the_format_is_prometheus_and_names_follow_its_conventions() {
        let process = Process { draining: false, storage: StorageFigures::default(), cluster: None, tls: None };
        let (samples, types) = parse(&report(&process, &[Some(figures()), Some(figures())]));
        for (name, kind) in &types {
            assert!(name.starts_with("dog_"), "{name}");
            assert_eq!(name.ends_with("_total"), kind == "counter", "{name} is a {kind}");
            assert_eq!(name.ends_with("_seconds"), kind == "histogram", "{name} is a {kind}");
        }
        assert_eq!(samples["dog_deliveries_total{worker=\"1\"}"], 7.0);
        assert_eq!(samples["dog_sockets{worker=\"0\",state=\"open\"}"], 3.0);
        // The sum over the workers, because an object may live on any of them.
        assert_eq!(samples["dog_seats{class=\"a \\\"quoted\\\\ name\\n\"}"], 6.0);
    }

    #[test]
    fn a_histogram_adds_up() {
        let process = Process { draining: true, storage: StorageFigures::default(), cluster: None, tls: None };
        let (samples, _) = parse(&report(&process, &[Some(figures())]));
        let bucket = |bound: &str| samples[&format!("dog_handler_wait_seconds_bucket{{worker=\"0\",le=\"{bound}\"}}")];
        let buckets = ["0.0001", "0.0005", "0.001", "0.0025", "5", "+Inf"].map(bucket);
        assert_eq!(buckets, [1.0, 1.0, 2.0, 3.0, 3.0, 4.0]);
        assert_eq!(samples["dog_handler_wait_seconds_count{worker=\"0\"}"], 4.0);
        assert!((samples["dog_handler_wait_seconds_sum{worker=\"0\"}"] - 60.002_101).abs() < 1e-9);
        assert_eq!(samples["dog_draining"], 1.0);
    }

    #[test]
    fn of_a_worker_that_does_not_answer_nothing_is_made_up() {
        let process = Process { draining: false, storage: StorageFigures::default(), cluster: None, tls: None };
        let (samples, _) = parse(&report(&process, &[Some(figures()), None]));
        assert_eq!(samples["dog_worker_up{worker=\"0\"}"], 1.0);
        assert_eq!(samples["dog_worker_up{worker=\"1\"}"], 0.0);
        assert!(!samples.contains_key("dog_deliveries_total{worker=\"1\"}"));
    }
}
