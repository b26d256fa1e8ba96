//! One nats-server that ends with the bench.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

/// The environment variable that names the program.
const PROGRAM: &str = "DOG_NATS_SERVER";
/// What the kernel counts a process's time in: a hundredth of a second, on every Linux.
const TICK: f64 = 10_000.0;

pub(crate) struct NatsServer {
    child: Child,
    port: u16,
    /// Gone with it.
    _folder: TempDir,
}

impl NatsServer {
    /// With that `sync_interval`.
    pub(crate) fn start(sync: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let socket = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = socket.local_addr().expect("a port").port();
        drop(socket);
        let store = folder.path().join("store");
        let configuration = folder.path().join("nats.conf");
        let text = format!(
            "host: 127.0.0.1\nport: {port}\njetstream {{ store_dir: \"{}\", sync_interval: {sync} }}\n",
            store.display()
        );
        fs::write(&configuration, text).expect("room for a configuration");
        let program = std::env::var_os(PROGRAM).map_or_else(|| "nats-server".into(), PathBuf::from);
        let mut command = Command::new(&program);
        command.arg("-c").arg(&configuration).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child =
            command.spawn().unwrap_or_else(|error| panic!("{program:?} does not start: {error}; see {PROGRAM}"));
        Self { child, port, _folder: folder }
    }

    pub(crate) fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// Processor time of its process so far, in microseconds.
    pub(crate) fn time(&self) -> f64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).expect("the server");
        let fields = stat.rsplit_once(')').expect("a name in brackets").1.split_whitespace();
        let ticks: f64 = fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum();
        ticks * TICK
    }
}

impl Drop for NatsServer {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
