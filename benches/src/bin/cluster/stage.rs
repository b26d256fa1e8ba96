//! Who is measured: [`Entrant`]; and what it is started from: [`Stage`], which makes a [`Cluster`] of it.

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use clap::Args;
use dog_benches::connect::{self, Door, Protocol};
use dog_benches::frame::Payload;
use dog_benches::http;
use dog_benches::measure::CpuTime;
use dog_benches::scratch::Scratch;
use dog_benches::server::Server;

use crate::COMMAND;
use crate::broker::{Broker, Traffic, free_address};

/// Seats of a Replica where there is to be one on each node.
pub(crate) const SEATS: usize = 100_000;

/// Where the programs are. Who is not named is left out.
#[derive(Args)]
pub(crate) struct Programs {
    /// The folder of our own: the relay and the verbs
    #[arg(long, value_name = "FOLDER")]
    ours: Option<PathBuf>,
    /// What our nodes speak through
    #[arg(long, value_name = "PROGRAM")]
    nats_server: Option<PathBuf>,
    /// The npm packages `socket.io`, `@socket.io/redis-adapter` and `redis`
    #[arg(long, value_name = "FOLDER")]
    node_modules: Option<PathBuf>,
    /// What nodes of the peers speak through
    #[arg(long, value_name = "PROGRAM")]
    redis_server: Option<PathBuf>,
    /// The server that nchan is a module of
    #[arg(long, value_name = "PROGRAM")]
    nginx: Option<PathBuf>,
    /// That module
    #[arg(long, value_name = "FILE")]
    nchan: Option<PathBuf>,
}

/// What nodes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Entrant {
    /// The relay, with so many seats on a Replica.
    Relay {
        limit: usize,
    },
    /// The relay that is no node of a cluster.
    Alone,
    /// The verbs.
    Verb {
        name: &'static str,
        limit: usize,
    },
    SocketIo,
    Nchan,
}

impl Entrant {
    fn protocol(self) -> Protocol {
        if self == Self::SocketIo { Protocol::SocketIo } else { Protocol::WebSocket }
    }

    pub(crate) fn payload(self) -> Payload {
        if self == Self::SocketIo { Payload::Event } else { Payload::Binary }
    }
}

/// Starts clusters.
pub(crate) struct Stage {
    programs: Programs,
    bench: PathBuf,
    scratch: Scratch,
}

/// One node.
pub(crate) struct Node {
    server: Server,
    pub(crate) door: Door,
    /// Where one of ours tells of itself.
    admin: Option<SocketAddr>,
}

/// Nodes, and what they speak through. Dropped, they are killed, in this order.
pub(crate) struct Cluster {
    pub(crate) nodes: Vec<Node>,
    broker: Option<Broker>,
}

/// Processor time of a cluster.
#[derive(Clone, Debug)]
pub(crate) struct Used {
    nodes: Vec<CpuTime>,
    broker: CpuTime,
}

impl Used {
    /// In µs, since `earlier`: of all nodes, and of the broker.
    pub(crate) fn since(&self, earlier: &Self) -> (f64, f64) {
        let micros = |later: &CpuTime, earlier: &CpuTime| later.since(*earlier).total.as_secs_f64() * 1e6;
        let nodes = self.nodes.iter().zip(&earlier.nodes).map(|(later, earlier)| micros(later, earlier));
        (nodes.sum(), micros(&self.broker, &earlier.broker))
    }
}

impl Stage {
    pub(crate) fn new(programs: Programs) -> Result<Self> {
        let has_ours = programs.ours.is_some() && programs.nats_server.is_some();
        ensure!(has_ours, "--ours and --nats-server are missing; `{COMMAND}` gives them");
        Ok(Self { programs, bench: std::env::current_exe()?, scratch: Scratch::new()? })
    }

    /// Whether there is what it is started from.
    pub(crate) fn has(&self, entrant: Entrant) -> bool {
        let Programs { node_modules, redis_server, nginx, nchan, .. } = &self.programs;
        match entrant {
            Entrant::Relay { .. } | Entrant::Alone | Entrant::Verb { .. } => true,
            Entrant::SocketIo => node_modules.is_some() && redis_server.is_some(),
            Entrant::Nchan => nginx.is_some() && nchan.is_some() && redis_server.is_some(),
        }
    }

    /// Starts so many nodes that know nothing of any that were before.
    pub(crate) fn start(&self, entrant: Entrant, nodes: usize) -> Result<Cluster> {
        let broker = match entrant {
            Entrant::Alone => None,
            Entrant::Relay { .. } | Entrant::Verb { .. } => {
                let program = self.programs.nats_server.as_deref().context("there is no NATS")?;
                Some(Broker::nats(&self.bench, program, self.scratch.path())?)
            }
            Entrant::SocketIo | Entrant::Nchan => {
                let program = self.programs.redis_server.as_deref().context("there is no Redis")?;
                Some(Broker::redis(&self.bench, program)?)
            }
        };
        let mut cluster = Cluster { nodes: Vec::new(), broker };
        for number in 0..nodes {
            let node = self.start_node(entrant, cluster.broker.as_ref(), number);
            cluster.nodes.push(node.with_context(|| format!("node {number} of {nodes}"))?);
        }
        Ok(cluster)
    }

    fn start_node(&self, entrant: Entrant, broker: Option<&Broker>, number: usize) -> Result<Node> {
        let url = broker.map(Broker::url).unwrap_or_default();
        let seats = |limit: usize| vec!["--limit".to_owned(), limit.to_string()];
        let cluster = vec!["--cluster".to_owned(), url.clone()];
        let server = match entrant {
            Entrant::Alone => return self.start_ours("relay", seats(SEATS), entrant),
            Entrant::Relay { limit } => return self.start_ours("relay", [seats(limit), cluster].concat(), entrant),
            Entrant::Verb { name, limit } => {
                let verb = vec!["--verb".to_owned(), name.to_owned()];
                return self.start_ours("verbs", [seats(limit), cluster, verb].concat(), entrant);
            }
            Entrant::SocketIo => self.start_socket_io(&url)?,
            Entrant::Nchan => self.start_nchan(&url, number)?,
        };
        Ok(Node { door: door(&server, entrant), server, admin: None })
    }

    fn start_ours(&self, program: &str, more: Vec<String>, entrant: Entrant) -> Result<Node> {
        // Peers have one thread each.
        let own = ["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--workers", "1", "--log", "error"];
        let arguments = [own.map(str::to_owned).to_vec(), more].concat();
        let program = self.programs.ours.as_deref().context("there is none of ours")?.join(program);
        let server = Server::start(&self.bench, &[], &program, &arguments)?;
        let admin = server.wait_told(|line| line.strip_prefix("admin on http://")?.parse().ok())?;
        Ok(Node { door: door(&server, entrant), server, admin: Some(admin) })
    }

    fn start_socket_io(&self, url: &str) -> Result<Server> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/node/socket-io-redis.js");
        let modules = self.programs.node_modules.as_deref().context("no npm packages are named")?.canonicalize()?;
        let arguments = [script.as_os_str(), modules.as_os_str(), url.as_ref()];
        Server::start(&self.bench, &[], Path::new("node"), &arguments)
    }

    fn start_nchan(&self, redis: &str, number: usize) -> Result<Server> {
        let (nginx, module) = (self.programs.nginx.as_deref(), self.programs.nchan.as_deref());
        let (nginx, module) = nginx.zip(module).context("there is no nginx with nchan")?;
        let (address, folder) = (free_address()?, self.scratch.path().join(format!("nginx-{number}")));
        fs::create_dir_all(&folder)?;
        let configuration = folder.join("nginx.conf");
        fs::write(&configuration, nchan_configuration(module, redis, address))?;
        let arguments =
            [Path::new("-e"), Path::new("/dev/stdout"), Path::new("-p"), &folder, Path::new("-c"), &configuration];
        // It listens by then.
        let told = |line: &str| line.contains("Redis upstream redis: ready").then_some(address);
        Server::start_told(&self.bench, &[], nginx, &arguments, told)
    }
}

fn door(server: &Server, entrant: Entrant) -> Door {
    Door { protocol: entrant.protocol(), ..server.address.into() }
}

/// One process, which passes messages on and keeps none, as ours does.
fn nchan_configuration(module: &Path, redis: &str, address: SocketAddr) -> String {
    let module = module.display();
    format!(
        "load_module {module};
daemon off;
master_process off;
pid nginx.pid;
error_log /dev/stdout notice;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  tcp_nodelay on;
  client_body_temp_path temporary;
  proxy_temp_path temporary;
  fastcgi_temp_path temporary;
  uwsgi_temp_path temporary;
  scgi_temp_path temporary;
  upstream redis {{
    nchan_redis_server {redis};
    nchan_redis_storage_mode nostore;
  }}
  server {{
    listen {address} backlog=4096;
    location = /ws {{
      nchan_pubsub websocket;
      nchan_channel_id $arg_room;
      nchan_subscriber_first_message newest;
      nchan_redis_pass redis;
    }}
  }}
}}
"
    )
}

impl Cluster {
    /// Opens the sockets of clients 0 to `sockets`, number `i` at node `i` modulo the number of nodes.
    pub(crate) fn enter(&self, sockets: usize, query: impl Fn(usize) -> String) -> Result<Vec<TcpStream>> {
        let enter = |number: usize| {
            let node = number % self.nodes.len();
            let entered = connect::connect(self.nodes[node].door, &query(number));
            entered.with_context(|| format!("client {number} was not let in at node {node}"))
        };
        (0..sockets).map(enter).collect()
    }

    pub(crate) fn used(&self) -> Result<Used> {
        let nodes = self.nodes.iter().map(|node| CpuTime::of(node.server.process())).collect::<Result<_>>()?;
        let broker = self.broker.as_ref().map(|broker| CpuTime::of(broker.process()));
        Ok(Used { nodes, broker: broker.transpose()?.unwrap_or_default() })
    }

    pub(crate) fn traffic(&self) -> Result<Traffic> {
        self.broker.as_ref().map_or(Ok(Traffic::default()), Broker::traffic)
    }

    /// Checks, of nodes of ours, that so many sockets are spread evenly; gives how many Replicas each node has.
    pub(crate) fn replicas(&self, sockets: usize) -> Result<f64> {
        let mut replicas = 0.0;
        for (number, node) in self.nodes.iter().enumerate() {
            let Some(admin) = node.admin else { continue };
            let told = http::get(admin, "/metrics")?;
            let here = (sockets - number).div_ceil(self.nodes.len());
            let open = sum(&told, "dog_sockets", "state=\"open\"");
            ensure!(open == here as f64, "node {number} has {open} sockets, and {here} have come to it");
            replicas += sum(&told, "dog_objects", "kind=\"replica\"");
        }
        Ok(replicas / self.nodes.len() as f64)
    }
}

/// The sum of a metric, of those series that have this label.
fn sum(metrics: &str, name: &str, label: &str) -> f64 {
    let series = metrics.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix('{'));
    let values = series.filter_map(|series| series.split_once("} "));
    values.filter(|(labels, _)| labels.contains(label)).filter_map(|(_, value)| value.parse::<f64>().ok()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metric_is_summed_over_its_series() {
        let told = "# TYPE dog_sockets gauge\ndog_sockets{worker=\"0\",state=\"open\"} 3\n\
                    dog_sockets{worker=\"1\",state=\"open\"} 4\ndog_sockets{worker=\"1\",state=\"closing\"} 9\n\
                    dog_sockets_opened_total{state=\"open\"} 50\n";
        assert_eq!(sum(told, "dog_sockets", "state=\"open\""), 7.0);
        assert_eq!(sum(told, "dog_none", "x"), 0.0);
    }
}
