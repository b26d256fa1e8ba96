//! Starts entrants: [`Launcher`].

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use tempfile::TempDir;

use crate::load::connect::Endpoint;
use crate::machine;

use super::broker::Broker;
use super::callgrind::CountedServer;
use super::deployment::{DeployedNode, Deployment};
use super::entrant::{BrokerKind, Entrant, Program};
use super::nats_gateway;
use super::nchan;
use super::process::ServerProcess;
use super::programs::Programs;
use super::workerd::{self, Bundle, WorkerVariables};

/// Seats per Replica where an entrant does not say: more than any scenario has sockets.
const SEATS: usize = 100_000;

/// What all of our own servers are told.
const OURS: [&str; 4] = ["--listen", "127.0.0.1:0", "--log", "error"];

/// Starts entrants from their programs.
pub struct Launcher {
    programs: Programs,
    /// The benchmark's own executable.
    bench: PathBuf,
    /// The servers' processors; empty if they may use all.
    processors: Vec<usize>,
    /// For the servers' files.
    scratch: TempDir,
}

impl Launcher {
    /// A launcher. With `pin` this thread keeps the last processor, and servers get the others.
    ///
    /// # Errors
    /// When there is one processor only, or no temporary folder.
    pub fn new(programs: Programs, pin: bool) -> Result<Self> {
        let processors = if pin { machine::reserve_last_processor()? } else { Vec::new() };
        Ok(Self { programs, bench: std::env::current_exe()?, processors, scratch: scratch()? })
    }

    /// Whether everything is there that the entrant is started from.
    pub fn has(&self, entrant: &Entrant) -> bool {
        self.programs.have(entrant)
    }

    /// The programs of those that cannot be started, each once.
    pub fn missing<'a>(&self, entrants: impl IntoIterator<Item = &'a Entrant>) -> Vec<String> {
        let absent = entrants.into_iter().filter(|entrant| !self.has(entrant));
        let mut titles: Vec<String> = absent.map(|entrant| entrant.program.title().to_owned()).collect();
        titles.sort();
        titles.dedup();
        titles
    }

    /// Starts an entrant on this many nodes, without any data.
    ///
    /// # Errors
    /// When a node or the broker does not start.
    pub fn start(&self, entrant: &Entrant, nodes: usize) -> Result<Deployment> {
        let broker = match entrant.broker {
            None => None,
            Some(BrokerKind::Nats) => {
                Some(Broker::nats(&self.bench, self.programs.nats_server()?, self.scratch.path())?)
            }
            Some(BrokerKind::Redis) => Some(Broker::redis(&self.bench, self.programs.redis_server()?)?),
        };
        let url = broker.as_ref().map(Broker::url);
        let start = |number: usize| {
            self.start_node(entrant, url.as_deref(), number).with_context(|| format!("node {number} of {nodes}"))
        };
        Ok(Deployment::new((0..nodes).map(start).collect::<Result<_>>()?, broker))
    }

    fn start_node(&self, entrant: &Entrant, broker: Option<&str>, number: usize) -> Result<DeployedNode> {
        let server = match entrant.program {
            Program::Floor => self.run(&self.bench, ["floor"], entrant),
            Program::Relay => self.start_ours("relay", broker, entrant),
            Program::Verbs => self.start_ours("verbs", broker, entrant),
            Program::Axum => self.run::<&str, 0>(&self.programs.rust("axum-room")?, [], entrant),
            Program::Socketioxide => self.run::<&str, 0>(&self.programs.rust("socketioxide-room")?, [], entrant),
            Program::NodeWs => self.start_node_script("peers/node/ws.js", entrant),
            Program::SocketIo => self.start_node_script("peers/node/socket-io.js", entrant),
            Program::SocketIoRedis => {
                let url = broker.unwrap_or_default();
                self.start_node_script("peers/node/socket-io-redis.js", &entrant.clone().with(&[url]))
            }
            Program::Socketify => self.run(self.programs.python()?, [package("peers/socketify/server.py")], entrant),
            Program::Nchan => {
                let folder = self.scratch.path().join(format!("nginx-{number}"));
                let tls = entrant.argument("--tls-cert").zip(entrant.argument("--tls-key"));
                nchan::start(&self.bench, self.programs.nginx()?, (broker, tls), &folder)
            }
            Program::NatsGateway => {
                let program = self.programs.nats_server()?;
                nats_gateway::start(&self.bench, &self.processors, program, self.scratch.path())
            }
            Program::Worker | Program::NpmDog => self.start_worker(entrant),
        }?;
        let admin = |line: &str| line.strip_prefix("admin on http://")?.parse().ok();
        let admin = entrant.has_flag("--admin").then(|| server.wait_for(admin)).transpose()?;
        let (protocol, compressed) = (entrant.program.protocol(), entrant.has_flag("--compress"));
        let endpoint = Endpoint { address: server.address(), protocol, compressed, tls: entrant.tls.clone() };
        Ok(DeployedNode::new(server, endpoint, admin))
    }

    /// Runs a program with `arguments`, followed by those of the entrant.
    fn run<A: Into<OsString>, const N: usize>(
        &self,
        program: &Path,
        arguments: [A; N],
        entrant: &Entrant,
    ) -> Result<ServerProcess> {
        let own = arguments.into_iter().map(Into::into);
        let arguments: Vec<OsString> = own.chain(entrant.arguments.iter().map(OsString::from)).collect();
        ServerProcess::start(&self.bench, &self.processors, program, &arguments)
    }

    /// Starts one of our servers under valgrind, without any data.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start_counted(&self, entrant: &Entrant) -> Result<CountedServer> {
        let program = if entrant.program == Program::Verbs { "verbs" } else { "relay" };
        let arguments = entrant.arguments.iter().map(String::as_str);
        let arguments: Vec<&str> = OURS.iter().copied().chain(["--workers", "1"]).chain(arguments).collect();
        let (valgrind, program) = (self.programs.valgrind()?, self.programs.ours(program)?);
        CountedServer::start(&self.bench, &self.processors, valgrind, &program, &arguments, self.scratch.path())
    }

    fn start_ours(&self, program: &str, broker: Option<&str>, entrant: &Entrant) -> Result<ServerProcess> {
        let mut entrant = entrant.clone();
        // Peers have one thread; so has ours, unless threads are what is measured.
        if !entrant.has_flag("--workers") {
            entrant = entrant.with(&["--workers", "1"]);
        }
        if let Some(url) = broker {
            entrant = entrant.with(&["--cluster", url]);
        }
        self.run(&self.programs.ours(program)?, OURS, &entrant)
    }

    fn start_node_script(&self, script: &str, entrant: &Entrant) -> Result<ServerProcess> {
        self.run(Path::new("node"), [package(script), self.programs.node_modules()?], entrant)
    }

    fn start_worker(&self, entrant: &Entrant) -> Result<ServerProcess> {
        let bundle = Bundle::find(self.programs.worker(entrant.program)?)?;
        let limit = entrant.argument("--limit").map_or(Ok(SEATS), str::parse)?;
        let settings = WorkerVariables { limit, verb: entrant.argument("--verb").unwrap_or("broadcast") };
        workerd::start(&self.bench, &self.processors, self.programs.workerd()?, &bundle, self.scratch.path(), settings)
    }
}

/// A temporary folder, in memory where the machine has such a place: the disk is not what is measured.
fn scratch() -> Result<TempDir> {
    let mut builder = tempfile::Builder::new();
    builder.prefix("dog-bench-");
    Ok(builder.tempdir_in("/dev/shm").or_else(|_| builder.tempdir())?)
}

/// A file of this package.
fn package(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(file)
}
