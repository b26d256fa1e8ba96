//! What servers are started from: [`Stage`].

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use clap::Args;
use dog_benches::connect::Door;
use dog_benches::scratch::Scratch;
use dog_benches::server::{self, Server};
use dog_benches::workerd::{self, Bundle, Settings};

use crate::entrant::{Entrant, Kind};

/// Seats of a Replica where an entrant does not say.
const SEATS: &str = "100000";

/// Where the servers are. One that is not named is left out.
#[derive(Args)]
pub(crate) struct Programs {
    /// Ours, and the verbs
    #[arg(long, value_name = "FOLDER")]
    ours: Option<PathBuf>,
    /// The peers in Rust
    #[arg(long, value_name = "FOLDER")]
    rust: Option<PathBuf>,
    /// The npm packages `ws` and `socket.io`
    #[arg(long, value_name = "FOLDER")]
    node_modules: Option<PathBuf>,
    /// A Python that has socketify
    #[arg(long, value_name = "PROGRAM")]
    python: Option<PathBuf>,
    /// Cloudflare's runtime
    #[arg(long, value_name = "PROGRAM")]
    workerd: Option<PathBuf>,
    /// The Worker on npm's `dog`
    #[arg(long, value_name = "FOLDER")]
    npm_dog: Option<PathBuf>,
}

/// Starts servers.
pub(crate) struct Stage {
    programs: Programs,
    bench: PathBuf,
    /// For servers; any if none is named.
    processors: Vec<usize>,
    scratch: Scratch,
}

impl Stage {
    pub(crate) fn new(programs: Programs, pin: bool) -> Result<Self> {
        let (bench, processors) = (std::env::current_exe()?, server::share_processors(pin)?);
        Ok(Self { programs, bench, processors, scratch: Scratch::new()? })
    }

    /// Whether there is what it is started from.
    pub(crate) fn has(&self, entrant: &Entrant) -> bool {
        let programs = &self.programs;
        match entrant.server {
            Kind::Floor => true,
            Kind::Relay if entrant.arguments.contains(&"--compress") => self.ours_compresses(),
            Kind::Relay | Kind::Verbs => programs.ours.is_some(),
            Kind::Socketioxide | Kind::Axum => programs.rust.is_some(),
            Kind::NodeWs | Kind::SocketIo => programs.node_modules.is_some(),
            Kind::Socketify => programs.python.is_some(),
            Kind::NpmDog => programs.workerd.is_some() && programs.npm_dog.is_some(),
        }
    }

    /// Whether this build of the relay knows the flag.
    fn ours_compresses(&self) -> bool {
        let Some(folder) = &self.programs.ours else { return false };
        let told = Command::new(folder.join("relay")).arg("--help").output();
        told.is_ok_and(|told| String::from_utf8_lossy(&told.stdout).contains("--compress"))
    }

    /// Starts it; also the way in.
    pub(crate) fn start(&self, entrant: &Entrant, compressed: bool) -> Result<(Server, Door)> {
        let server = match entrant.server {
            Kind::Floor => self.run(&self.bench, &[&["floor"], entrant.arguments].concat()),
            Kind::Relay => self.start_ours("relay", entrant),
            Kind::Verbs => self.start_ours("verbs", entrant),
            Kind::Axum => self.run(&part(self.programs.rust.as_deref(), "axum-room")?, entrant.arguments),
            Kind::Socketioxide => {
                self.run(&part(self.programs.rust.as_deref(), "socketioxide-room")?, entrant.arguments)
            }
            Kind::NodeWs => self.start_node("peers/node/ws.js", entrant),
            Kind::SocketIo => self.start_node("peers/node/socket-io.js", entrant),
            Kind::Socketify => self.start_python("peers/socketify/server.py", entrant),
            Kind::NpmDog => self.start_npm_dog(entrant),
        }?;
        let door = Door { address: server.address, protocol: entrant.server.protocol(), compressed };
        Ok((server, door))
    }

    fn run(&self, program: &Path, arguments: &[&str]) -> Result<Server> {
        Server::start(&self.bench, &self.processors, program, arguments)
    }

    fn start_ours(&self, program: &str, entrant: &Entrant) -> Result<Server> {
        // Peers have one thread; so has ours, unless threads are what is measured.
        let one_worker: &[&str] = if entrant.argument("--workers").is_some() { &[] } else { &["--workers", "1"] };
        let arguments = [&["--listen", "127.0.0.1:0", "--log", "error"], one_worker, entrant.arguments].concat();
        self.run(&part(self.programs.ours.as_deref(), program)?, &arguments)
    }

    fn start_node(&self, script: &str, entrant: &Entrant) -> Result<Server> {
        let script = here(script);
        let modules = self.programs.node_modules.as_deref().context("no npm packages are named")?;
        let modules = modules.canonicalize()?;
        let arguments = [&[text(&script)?, text(&modules)?], entrant.arguments].concat();
        self.run(Path::new("node"), &arguments)
    }

    fn start_python(&self, script: &str, entrant: &Entrant) -> Result<Server> {
        let script = here(script);
        let python = self.programs.python.as_deref().context("no Python is named")?;
        self.run(python, &[&[text(&script)?], entrant.arguments].concat())
    }

    fn start_npm_dog(&self, entrant: &Entrant) -> Result<Server> {
        let bundle = Bundle::find(self.programs.npm_dog.as_deref().context("no Worker is named")?)?;
        let settings = Settings {
            limit: entrant.argument("--limit").unwrap_or(SEATS).parse()?,
            verb: entrant.argument("--verb").unwrap_or("broadcast"),
        };
        let workerd = self.programs.workerd.as_deref().context("no workerd is named")?;
        workerd::start(&self.bench, &self.processors, workerd, &bundle, self.scratch.path(), settings)
    }
}

fn part(folder: Option<&Path>, program: &str) -> Result<PathBuf> {
    Ok(folder.context("no folder of programs is named")?.join(program))
}

/// A file of this package.
fn here(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(file)
}

fn text(path: &Path) -> Result<&str> {
    path.to_str().context("a path that is no UTF-8")
}
