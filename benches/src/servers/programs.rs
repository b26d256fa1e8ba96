//! Where the servers' programs are: [`Programs`].

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Args;

use super::entrant::{BrokerKind, Entrant, Program};

/// Where the programs are. An entrant whose program is missing is not measured.
#[derive(Args, Clone, Debug, Default)]
pub struct Programs {
    /// The folder of `relay` and `verbs` [default: that of this program]
    #[arg(long, value_name = "FOLDER")]
    ours: Option<PathBuf>,
    /// The folder of the peers in Rust
    #[arg(long, value_name = "FOLDER")]
    rust: Option<PathBuf>,
    /// The folder of npm packages that the peers on Node use
    #[arg(long, value_name = "FOLDER")]
    node_modules: Option<PathBuf>,
    /// A Python with socketify
    #[arg(long, value_name = "PROGRAM")]
    python: Option<PathBuf>,
    /// workerd
    #[arg(long, value_name = "PROGRAM")]
    workerd: Option<PathBuf>,
    /// The folder of the relay, built as a Worker
    #[arg(long, value_name = "FOLDER")]
    worker: Option<PathBuf>,
    /// The folder of the Worker on npm's `dog`
    #[arg(long, value_name = "FOLDER")]
    npm_dog: Option<PathBuf>,
    /// nats-server
    #[arg(long, value_name = "PROGRAM")]
    nats_server: Option<PathBuf>,
    /// redis-server
    #[arg(long, value_name = "PROGRAM")]
    redis_server: Option<PathBuf>,
    /// nginx
    #[arg(long, value_name = "PROGRAM")]
    nginx: Option<PathBuf>,
    /// nginx's module nchan
    #[arg(long, value_name = "FILE")]
    nchan: Option<PathBuf>,
    /// valgrind, which counts instructions
    #[arg(long, value_name = "PROGRAM")]
    valgrind: Option<PathBuf>,
}

impl Programs {
    /// The same, but with our programs in another folder.
    #[must_use]
    pub fn with_ours(self, folder: &Path) -> Self {
        Self { ours: Some(folder.to_owned()), ..self }
    }

    /// Whether everything is there that an entrant is started from.
    pub fn have(&self, entrant: &Entrant) -> bool {
        let broker = match entrant.broker {
            None => true,
            Some(BrokerKind::Nats) => self.nats_server.is_some(),
            Some(BrokerKind::Redis) => self.redis_server.is_some(),
        };
        let program = match entrant.program {
            Program::Floor => true,
            Program::Relay => self.ours("relay").is_ok(),
            Program::Verbs => self.ours("verbs").is_ok(),
            Program::Socketioxide | Program::Axum => self.rust.is_some(),
            Program::NodeWs | Program::SocketIo | Program::SocketIoRedis => self.node_modules.is_some(),
            Program::Socketify => self.python.is_some(),
            Program::NatsGateway => self.nats_server.is_some(),
            Program::Nchan => self.nginx.is_some() && self.nchan.is_some(),
            Program::Worker => self.workerd.is_some() && self.worker.is_some(),
            Program::NpmDog => self.workerd.is_some() && self.npm_dog.is_some(),
        };
        program && broker
    }

    /// One of our programs.
    ///
    /// # Errors
    /// When it is not built.
    pub fn ours(&self, program: &str) -> Result<PathBuf> {
        let folder = match &self.ours {
            Some(folder) => folder.clone(),
            None => std::env::current_exe()?.parent().context("this program has no folder")?.to_owned(),
        };
        let path = folder.join(program);
        path.is_file().then_some(path).with_context(|| {
            let folder = folder.display();
            format!("there is no `{program}` in {folder}; `cargo build --release -p relay -p dog-benches` builds it")
        })
    }

    /// One of the peers in Rust.
    ///
    /// # Errors
    /// When their folder is not given.
    pub fn rust(&self, program: &str) -> Result<PathBuf> {
        Ok(self.rust.as_deref().context("--rust is missing")?.join(program))
    }

    /// The npm packages, as an absolute path.
    ///
    /// # Errors
    /// When the folder is not given, or does not exist.
    pub fn node_modules(&self) -> Result<PathBuf> {
        Ok(self.node_modules.as_deref().context("--node-modules is missing")?.canonicalize()?)
    }

    /// Python.
    ///
    /// # Errors
    /// When it is not given.
    pub fn python(&self) -> Result<&Path> {
        self.python.as_deref().context("--python is missing")
    }

    /// workerd.
    ///
    /// # Errors
    /// When it is not given.
    pub fn workerd(&self) -> Result<&Path> {
        self.workerd.as_deref().context("--workerd is missing")
    }

    /// The folder of a Worker: ours or that on npm's `dog`.
    ///
    /// # Errors
    /// When it is not given.
    pub fn worker(&self, program: Program) -> Result<&Path> {
        match program {
            Program::NpmDog => self.npm_dog.as_deref().context("--npm-dog is missing"),
            _ => self.worker.as_deref().context("--worker is missing"),
        }
    }

    /// nats-server.
    ///
    /// # Errors
    /// When it is not given.
    pub fn nats_server(&self) -> Result<&Path> {
        self.nats_server.as_deref().context("--nats-server is missing")
    }

    /// redis-server.
    ///
    /// # Errors
    /// When it is not given.
    pub fn redis_server(&self) -> Result<&Path> {
        self.redis_server.as_deref().context("--redis-server is missing")
    }

    /// valgrind.
    ///
    /// # Errors
    /// When it is not given.
    pub fn valgrind(&self) -> Result<&Path> {
        self.valgrind.as_deref().context("--valgrind is missing")
    }

    /// nginx and its module nchan.
    ///
    /// # Errors
    /// When one of them is not given.
    pub fn nginx(&self) -> Result<(&Path, &Path)> {
        let nginx = self.nginx.as_deref().context("--nginx is missing")?;
        Ok((nginx, self.nchan.as_deref().context("--nchan is missing")?))
    }
}
