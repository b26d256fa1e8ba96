//! A workerd of a test's own: a [`Worker`], started on a [`Disk`], is a [`Workerd`].
//!
//! `cargo xtask test workers` builds Workers, installs workerd and names both: `DOG_WORKERD` is the program, `DOG_WORKER`
//! the folder of the Worker.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

/// What the Worker is written for.
const COMPATIBILITY_DATE: &str = "2026-07-01";

fn named(variable: &str) -> PathBuf {
    std::env::var_os(variable).unwrap_or_else(|| panic!("{variable} is not set: run `cargo xtask test workers`")).into()
}

/// Where objects are kept, from one workerd to the next.
pub struct Disk(tempfile::TempDir);

impl Disk {
    /// An empty one; in memory where the machine has such a place: every object is a database of its own, and it is not
    /// the disk that is tested, nor the kernel that is killed.
    ///
    /// # Panics
    /// Where no folder can be made.
    #[must_use]
    pub fn new() -> Self {
        let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
        Self(folder.expect("a folder"))
    }
}

impl Default for Disk {
    fn default() -> Self {
        Self::new()
    }
}

/// What is served: the Worker in the folder that `DOG_WORKER` names.
pub struct Worker<'a> {
    /// The Groups that it exports, two classes each.
    pub groups: &'a [&'a str],
    /// Its variables, by name.
    pub variables: &'a [(&'a str, &'a str)],
}

/// A free port of this machine's own network.
#[must_use]
pub fn any_port() -> SocketAddr {
    ([127, 0, 0, 1], 0).into()
}

/// A running workerd; dropped, it is killed.
pub struct Workerd {
    child: Child,
    address: SocketAddr,
}

impl Worker<'_> {
    /// Starts a workerd and waits until it listens.
    ///
    /// # Panics
    /// When it cannot be started, or ends before it listens.
    #[must_use]
    pub fn start(&self, disk: &Disk, address: SocketAddr) -> Workerd {
        let settings = tempfile::NamedTempFile::with_suffix(".capnp").expect("a file");
        std::fs::write(settings.path(), self.configuration(disk, address)).expect("the configuration");
        let mut child = Command::new(named("DOG_WORKERD"))
            // Whole paths within the configuration are looked for beneath the folders of imports.
            .args(["serve", "--control-fd=1", "--import-path=/"])
            .arg(settings.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("workerd starts");
        let output = child.stdout.take().expect("it was piped");
        let mut workerd = Workerd { child, address };
        let mut told = BufReader::new(output).lines();
        let port = told.find_map(|line| port(&line.ok()?)).expect("workerd ended before it listened");
        workerd.address.set_port(port);
        // Its pipe must not fill.
        std::thread::spawn(move || told.for_each(drop));
        workerd
    }

    fn configuration(&self, disk: &Disk, address: SocketAddr) -> String {
        let (mut namespaces, mut bindings) = (String::new(), String::new());
        for class in self.groups.iter().flat_map(|group| [format!("{group}Group"), format!("{group}Replica")]) {
            write!(namespaces, "(className = \"{class}\", uniqueKey = \"{class}\", enableSql = true), ").expect("text");
            write!(bindings, "(name = \"{class}\", durableObjectNamespace = \"{class}\"), ").expect("text");
        }
        for (name, value) in self.variables {
            write!(bindings, "(name = \"{name}\", text = \"{value}\"), ").expect("text");
        }
        let worker = named("DOG_WORKER").canonicalize().expect("the folder DOG_WORKER");
        let (worker, disk) = (worker.display(), disk.0.path().display());
        format!(
            r#"using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [(name = "main", worker = .worker), (name = "disk", disk = (path = "{disk}", writable = true))],
  sockets = [(name = "http", address = "{address}", http = (), service = "main")]
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
}

impl Workerd {
    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
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
