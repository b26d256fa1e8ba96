//! A workerd of our own: [`Workerd`].

use std::fmt::Write as _;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// The Groups that the Worker exports.
const GROUPS: [&str; 6] = ["Single", "Pair", "Octet", "Hall", "Brief", "Named"];

/// What the Worker is written for.
const COMPATIBILITY_DATE: &str = "2026-07-01";

fn named(variable: &str) -> PathBuf {
    std::env::var_os(variable).unwrap_or_else(|| panic!("{variable} is not set: run `cargo xtask test workers`")).into()
}

/// Where objects are kept, from one workerd to the next.
pub(crate) struct Disk(tempfile::TempDir);

impl Disk {
    /// In memory where the machine has such a place: every object is a database of its own, and it is not the disk that
    /// is tested, nor the kernel that is killed.
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
        Self(folder.expect("a folder"))
    }
}

/// A running workerd; dropped, it is killed.
pub(crate) struct Workerd {
    child: Child,
    address: SocketAddr,
}

impl Workerd {
    /// Starts one and waits until it listens.
    pub(crate) fn start(disk: &Disk, variables: &[(&str, &str)]) -> Self {
        let worker = named("DOG_WORKER").canonicalize().expect("the folder DOG_WORKER");
        let settings = tempfile::NamedTempFile::with_suffix(".capnp").expect("a file");
        std::fs::write(settings.path(), configuration(&worker, disk.0.path(), variables)).expect("the configuration");
        let mut child = Command::new(named("DOG_WORKERD"))
            // Whole paths within the configuration are looked for beneath the folders of imports.
            .args(["serve", "--control-fd=1", "--import-path=/"])
            .arg(settings.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("workerd starts");
        let output = child.stdout.take().expect("it was piped");
        let mut workerd = Self { child, address: ([127, 0, 0, 1], 0).into() };
        let mut told = BufReader::new(output).lines();
        let port = told.find_map(|line| port(&line.ok()?)).expect("workerd ended before it listened");
        workerd.address.set_port(port);
        // Its pipe must not fill.
        std::thread::spawn(move || told.for_each(drop));
        workerd
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Workerd {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The port in `{"event":"listen","socket":"http","port":34115}`.
fn port(line: &str) -> Option<u16> {
    let (_, rest) = line.split_once("\"port\":")?;
    rest.trim_end_matches(|letter: char| !letter.is_ascii_digit()).parse().ok()
}

fn configuration(worker: &Path, disk: &Path, variables: &[(&str, &str)]) -> String {
    let (mut namespaces, mut bindings) = (String::new(), String::new());
    for class in GROUPS.iter().flat_map(|group| [format!("{group}Group"), format!("{group}Replica")]) {
        write!(namespaces, "(className = \"{class}\", uniqueKey = \"{class}\", enableSql = true), ").expect("text");
        write!(bindings, "(name = \"{class}\", durableObjectNamespace = \"{class}\"), ").expect("text");
    }
    for (name, value) in variables {
        write!(bindings, "(name = \"{name}\", text = \"{value}\"), ").expect("text");
    }
    let (worker, disk) = (worker.display(), disk.display());
    format!(
        r#"using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [(name = "main", worker = .worker), (name = "disk", disk = (path = "{disk}", writable = true))],
  sockets = [(name = "http", address = "127.0.0.1:0", http = (), service = "main")]
);
const worker :Workerd.Worker = (
  modules = [
    (name = "index.js", esModule = embed "{worker}/index.js"),
    (name = "./index_bg.wasm", wasm = embed "{worker}/index_bg.wasm")
  ],
  compatibilityDate = "{COMPATIBILITY_DATE}",
  durableObjectNamespaces = [{namespaces}],
  durableObjectStorage = (localDisk = "disk"),
  bindings = [{bindings}]
);
"#
    )
}
