//! Cloudflare's workerd as a server: a [`Worker`], started on a [`Disk`], is a [`Workerd`].
//!
//! `cargo xtask test workers` builds the Workers, installs workerd, and names both in environment variables: [`PROGRAM`] is
//! the program, [`WORKERS`] is the folder with the folders of the Workers.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use tempfile::{NamedTempFile, TempDir};

use crate::process::Process;

/// The environment variable that names the program.
pub const PROGRAM: &str = "DOG_WORKERD";

/// The environment variable that names the folder in which each Worker has its folder.
pub const WORKERS: &str = "DOG_WORKERS";

/// The arguments of workerd before the path of its configuration. With `--control-fd=1` it prints where it listens (see
/// [`port_in`]); with `--import-path=/` the configuration may name files by their absolute path.
pub const ARGUMENTS: &[&str] = &["serve", "--control-fd=1", "--import-path=/"];

/// The date of the runtime's behaviour for which the Workers are written.
const COMPATIBILITY_DATE: &str = "2026-07-01";

/// What the Workers turn on. Pending timers of an object's tasks keep it in memory.
const COMPATIBILITY_FLAG: &str = "durable_object_io_tasks_prevent_eviction";

/// workerd starts in well under a second on an idle machine.
const PATIENCE: Duration = Duration::from_mins(1);

/// Where objects store their data, from one workerd to the next.
pub struct Disk(TempDir);

impl Disk {
    /// An empty one. It is in memory if the machine has `/dev/shm`: every object is a database of its own, and the tests
    /// kill workerd but never the kernel.
    ///
    /// # Panics
    /// When no folder can be made.
    #[must_use]
    pub fn new() -> Self {
        let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
        Self(folder.expect("a temporary folder"))
    }

    /// Whether any object has stored this text: it is searched for in the files of the databases.
    ///
    /// # Panics
    /// When they cannot be read.
    #[must_use]
    pub fn contains(&self, text: &str) -> bool {
        let finder = |bytes: &[u8]| bytes.windows(text.len()).any(|window| window == text.as_bytes());
        let mut folders = vec![self.0.path().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).expect("a folder that can be read") {
                let path = entry.expect("an entry of a folder").path();
                if path.is_dir() {
                    folders.push(path);
                } else if finder(&std::fs::read(path).expect("a file that can be read")) {
                    return true;
                }
            }
        }
        false
    }
}

impl Default for Disk {
    fn default() -> Self {
        Self::new()
    }
}

/// A Worker: a folder with `index.js`, and with `index_bg.wasm` if it is written in Rust.
#[derive(Clone, Copy, Debug)]
pub struct Worker<'a> {
    /// The name of its folder in that of the Workers.
    pub folder: &'a str,
    /// The Groups that it exports. Each has two classes, for example `RoomGroup` and `RoomReplica`.
    pub groups: &'a [&'a str],
    /// Its environment variables, by name.
    pub variables: &'a [(&'a str, &'a str)],
    /// A module that is loaded in its place, and imports it as `./index.js`.
    pub wrapper: Option<&'a Path>,
}

/// A free port on the loopback address.
#[must_use]
pub fn any_port() -> SocketAddr {
    ([127, 0, 0, 1], 0).into()
}

/// A running workerd. When the value is dropped, it is killed.
pub struct Workerd {
    /// Killed when this is dropped.
    _process: Process,
    address: SocketAddr,
    /// Read at the start only, and deleted at the end.
    _configuration: NamedTempFile,
}

impl Worker<'_> {
    /// Starts workerd with the Worker, and waits until it listens.
    ///
    /// # Panics
    /// When one of the environment variables is not set, or when workerd does not listen within a minute.
    #[must_use]
    pub fn start(&self, disk: &Disk, address: SocketAddr) -> Workerd {
        let folder = variable(WORKERS).join(self.folder);
        let configuration = NamedTempFile::with_suffix(".capnp").expect("a temporary file");
        let text = self.configuration(&folder, disk.0.path(), address);
        std::fs::write(configuration.path(), text).expect("space for the configuration");
        let mut command = Command::new(variable(PROGRAM));
        command.args(ARGUMENTS).arg(configuration.path()).stdin(Stdio::null());
        let process = Process::start(&mut command).expect("workerd starts");
        let port = process.wait_for_line(PATIENCE, port_in).expect("workerd listens");
        let address = SocketAddr::new(address.ip(), port);
        Workerd { _process: process, address, _configuration: configuration }
    }

    /// The configuration of a workerd that serves the Worker in `folder` at `address` and stores objects in `objects`.
    ///
    /// # Panics
    /// When there is no such folder.
    #[must_use]
    pub fn configuration(&self, folder: &Path, objects: &Path, address: SocketAddr) -> String {
        let folder = folder.canonicalize().expect("the folder of the Worker");
        let (mut namespaces, mut bindings) = (String::new(), String::new());
        for class in self.groups.iter().flat_map(|group| [format!("{group}Group"), format!("{group}Replica")]) {
            write!(namespaces, "(className = \"{class}\", uniqueKey = \"{class}\", enableSql = true), ").expect("text");
            write!(bindings, "(name = \"{class}\", durableObjectNamespace = \"{class}\"), ").expect("text");
        }
        for (name, value) in self.variables {
            write!(bindings, "(name = \"{name}\", text = \"{value}\"), ").expect("text");
        }
        let wasm = match folder.join("index_bg.wasm") {
            path if path.is_file() => format!(", (name = \"./index_bg.wasm\", wasm = embed \"{}\")", path.display()),
            _ => String::new(),
        };
        let wrapper = self.wrapper.map(|path| path.canonicalize().expect("the wrapper"));
        let wrapper = wrapper.map(|path| format!("(name = \"wrapper.js\", esModule = embed \"{}\"), ", path.display()));
        let wrapper = wrapper.unwrap_or_default();
        let (folder, objects) = (folder.display(), objects.display());
        // What workerd calls storage in memory has no SQL, so the objects are on a disk.
        format!(
            r#"using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [(name = "main", worker = .worker), (name = "disk", disk = (path = "{objects}", writable = true))],
  sockets = [(name = "http", address = "{address}", http = (), service = "main")]
);
const worker :Workerd.Worker = (
  modules = [{wrapper}(name = "index.js", esModule = embed "{folder}/index.js"){wasm}],
  compatibilityDate = "{COMPATIBILITY_DATE}",
  compatibilityFlags = ["{COMPATIBILITY_FLAG}"],
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

/// The port in the line `{"event":"listen","socket":"http","port":34115}`.
#[must_use]
pub fn port_in(line: &str) -> Option<u16> {
    let (_, rest) = line.split_once("\"port\":")?;
    rest.trim_end_matches(|letter: char| !letter.is_ascii_digit()).parse().ok()
}

fn variable(name: &str) -> PathBuf {
    std::env::var_os(name).unwrap_or_else(|| panic!("{name} is not set: run `cargo xtask test workers`")).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_is_read_from_the_event() {
        assert_eq!(port_in(r#"{"event":"listen","socket":"http","port":34115}"#), Some(34_115));
        assert_eq!(port_in("nonsense"), None);
    }

    #[test]
    fn a_worker_without_wasm_names_none() {
        let folder = tempfile::tempdir().unwrap();
        let worker = Worker { folder: "room", groups: &["Room"], variables: &[("LIMIT", "50")], wrapper: None };
        let configuration = || worker.configuration(folder.path(), Path::new("/objects"), any_port());
        let text = configuration();
        assert!(!text.contains("wasm") && text.contains("text = \"50\"") && text.contains("RoomReplica"), "{text}");
        std::fs::write(folder.path().join("index_bg.wasm"), "").unwrap();
        assert!(configuration().contains("/index_bg.wasm\")"));
    }
}
