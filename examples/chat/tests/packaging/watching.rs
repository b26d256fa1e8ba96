//! The dashboard and the alert rules: they name what exists, and a real Prometheus finds values for all of it.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Command, Stdio};

use dog_test_support::certificates::Authority;
use dog_test_support::client::http;
use dog_test_support::nats::{NatsServers, free_port};
use dog_test_support::process::Process;
use dog_test_support::tls::NAME;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use crate::entering::enter;
use crate::fleet::{Node, nats};
use crate::{listens, packaged, program, until};

const DASHBOARD: &str = "watching/dashboard.json";
const ALERTS: &str = "watching/alerts.yaml";
/// A free port of this machine.
const ANY: &str = "127.0.0.1:0";

const CASES: &str = "watching/alerts.test.yaml";

/// Metrics that are not on the dashboard, each with the reason.
const LEFT_OUT: &[(&str, &str)] =
    &[("dog_messages_compressed_total", "the ratio of bytes, which is there, says what compression saves")];

/// What histograms add to their name.
const PARTS: &[&str] = &["_bucket", "_sum", "_count"];

fn text(path: &str) -> String {
    std::fs::read_to_string(packaged(path)).unwrap()
}

/// The names of metrics in a text.
fn names(text: &str) -> BTreeSet<String> {
    let words = text.split(|character: char| !character.is_ascii_alphanumeric() && character != '_');
    let names = words.filter(|word| word.starts_with("dog_"));
    names.map(|name| PARTS.iter().find_map(|part| name.strip_suffix(part)).unwrap_or(name).to_owned()).collect()
}

/// The names of the metrics that a node reports.
fn families(metrics: &str) -> BTreeSet<String> {
    let types = metrics.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    types.filter_map(|line| Some(line.split_once(' ')?.0.to_owned())).collect()
}

/// The queries of the dashboard, as Grafana sends them when everything is chosen.
fn queries() -> Vec<String> {
    let dashboard: Value = serde_json::from_str(&text(DASHBOARD)).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let targets = panels.iter().filter_map(|panel| panel["targets"].as_array()).flatten();
    let filled = |query: &str| {
        query
            .replace("$job", ".*")
            .replace("$instance", ".*")
            .replace("$__rate_interval", "10s")
            .replace("[1h]", "[10s]")
    };
    let queries: Vec<String> = targets.map(|target| filled(target["expr"].as_str().unwrap())).collect();
    assert!(queries.iter().all(|query| !query.contains('$')), "a variable that is not known: {queries:?}");
    queries
}

/// One node with TLS for clients, and one without, in one cluster with TLS between nodes: together they have every metric.
fn nodes(nats: &NatsServers, authority: &Authority) -> [Node; 2] {
    let [certificate, key] = authority.vouches_for(NAME).map(|path| path.to_str().unwrap().to_owned());
    let root = authority.root().to_str().unwrap();
    let between = ["--node-tls-cert", &certificate, "--node-tls-key", &key, "--node-tls-ca", root];
    let with_tls = [&between[..], &["--tls-cert", &certificate, "--tls-key", &key]].concat();
    [&between[..], &with_tls].map(|flags| Node::start(nats, [ANY, ANY], flags))
}

#[tokio::test]
async fn dashboard_and_alerts_name_metrics_that_exist_and_every_metric_is_shown_or_left_out_for_a_reason() {
    let (nats, authority) = (nats(), Authority::new());
    let nodes = nodes(&nats, &authority);
    let exist = families(&nodes[1].metrics().await);
    assert!(exist.is_superset(&families(&nodes[0].metrics().await)));
    let shown = names(&queries().concat());
    for (place, named) in
        [(DASHBOARD, &names(&text(DASHBOARD))), (ALERTS, &names(&text(ALERTS))), (CASES, &names(&text(CASES)))]
    {
        let unknown: Vec<_> = named.difference(&exist).collect();
        assert!(unknown.is_empty(), "{place} names metrics that do not exist: {unknown:?}");
    }
    let left_out: BTreeSet<String> = LEFT_OUT.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert!(left_out.is_subset(&exist) && left_out.is_disjoint(&shown), "{left_out:?}");
    let missing: Vec<_> = exist.difference(&shown).filter(|name| !left_out.contains(*name)).collect();
    assert!(missing.is_empty(), "not on the dashboard, and not left out for a reason: {missing:?}");
    let described = std::fs::read_to_string(packaged("../docs/operating.md")).unwrap();
    let silent: Vec<_> = exist.iter().filter(|name| !described.contains(&format!("`{name}`"))).collect();
    assert!(silent.is_empty(), "not in docs/operating.md: {silent:?}");
}

#[test]
fn each_alert_has_a_case_in_which_it_fires_and_one_in_which_it_is_quiet() {
    let (alerts, cases) = (text(ALERTS), text(CASES));
    let mut count = 0;
    for alert in alerts.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")) {
        for case in [format!("- name: {alert} fires\n"), format!("- name: {alert} is quiet\n")] {
            assert!(cases.contains(&case), "{CASES} has no `{}`", case.trim());
        }
        count += 1;
    }
    assert_eq!(cases.matches("- name: ").count(), 2 * count);
    assert!(count > 0);
}

/// A Prometheus that scrapes nodes every second.
struct Prometheus {
    address: SocketAddr,
    _process: Process,
    _folder: tempfile::TempDir,
}

impl Prometheus {
    fn start(nodes: &[Node]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
        let targets: Vec<String> = nodes.iter().map(|node| node.admin().to_string()).collect();
        let configuration = serde_json::json!({
            "global": { "scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s" },
            "rule_files": [packaged(ALERTS).canonicalize().unwrap()],
            "scrape_configs": [{ "job_name": "chat", "static_configs": [{ "targets": targets }] }],
        });
        // JSON is YAML.
        let file = folder.path().join("prometheus.yml");
        std::fs::write(&file, configuration.to_string()).unwrap();
        let mut command = Command::new(program("DOG_PROMETHEUS", "prometheus"));
        command.arg(format!("--config.file={}", file.display()));
        command.arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()));
        command.arg(format!("--web.listen-address={address}")).arg("--log.level=error").stdin(Stdio::null());
        let process = Process::start(&mut command).expect("prometheus, which DOG_PROMETHEUS names");
        Self { address, _process: process, _folder: folder }
    }

    /// How many series a query finds.
    async fn count(&self, query: &str) -> u64 {
        // The count of anything is one short sample.
        let counted = format!("count({query})");
        let path = format!("/api/v1/query?query={}", utf8_percent_encode(&counted, NON_ALPHANUMERIC));
        let answer = http(self.address, "GET", &path, "").await;
        let result: Value = serde_json::from_str(&answer.body).unwrap_or_default();
        assert!(answer.status != 400, "{query}: {}", answer.body);
        let value = result["data"]["result"][0]["value"][1].as_str().unwrap_or("0");
        value.parse().unwrap()
    }

    async fn is_ready(&self) {
        listens(self.address).await;
        let ready = || async { http(self.address, "GET", "/-/ready", "").await.status == 200 };
        until("Prometheus", ready).await;
    }
}

#[tokio::test]
async fn a_prometheus_that_scrapes_two_nodes_has_values_for_every_panel_and_raises_no_alarm() {
    let (nats, authority) = (nats(), Authority::new());
    let nodes = nodes(&nats, &authority);
    let prometheus = Prometheus::start(&nodes);
    prometheus.is_ready().await;
    // The classes of objects are those in memory.
    let _client = enter(nodes[0].address(), "ann", None).await;
    for query in queries() {
        until(&query, || async { prometheus.count(&query).await > 0 }).await;
    }
    // Both nodes: no query is satisfied by one of them alone.
    assert_eq!(prometheus.count("dog_build_info").await, 2);
    assert_eq!(prometheus.count(r#"ALERTS{alertstate="firing"}"#).await, 0, "an alarm of two healthy nodes");
}
