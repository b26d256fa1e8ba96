//! Cloudflare's workerd as a server: it runs a [`Bundle`], a Worker with the two classes of one Group.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use super::process::ServerProcess;

/// The compatibility date of both Workers.
const COMPATIBILITY_DATE: &str = "2026-07-01";

/// The Durable Object classes. Each is bound under its own name.
const CLASSES: [&str; 2] = ["RoomGroup", "RoomReplica"];

/// A Worker: a folder with `index.js`, and `index_bg.wasm` if it has WebAssembly.
#[derive(Clone, Debug)]
pub struct Bundle {
    folder: PathBuf,
    has_wasm: bool,
}

impl Bundle {
    /// The Worker in this folder.
    ///
    /// # Errors
    /// When there is no Worker in it.
    pub fn find(folder: &Path) -> Result<Self> {
        let folder = folder.canonicalize().with_context(|| format!("{} does not exist", folder.display()))?;
        ensure!(folder.join("index.js").is_file(), "{} has no index.js", folder.display());
        let has_wasm = folder.join("index_bg.wasm").is_file();
        Ok(Self { folder, has_wasm })
    }
}

/// The variables of a Worker.
#[derive(Clone, Copy, Debug)]
pub struct WorkerVariables<'a> {
    /// Seats per Replica.
    pub limit: usize,
    /// What npm's `dog` does with a message: `broadcast`, `whisper` or `gossip`.
    pub verb: &'a str,
}

/// Starts a workerd without objects. `scratch` is a folder for its configuration and for the objects' storage.
///
/// # Errors
/// When it does not start.
pub fn start(
    bench: &Path,
    processors: &[usize],
    workerd: &Path,
    bundle: &Bundle,
    scratch: &Path,
    settings: WorkerVariables<'_>,
) -> Result<ServerProcess> {
    let (path, objects) = (scratch.join("workerd.capnp"), scratch.join("objects"));
    if objects.exists() {
        fs::remove_dir_all(&objects)?;
    }
    fs::create_dir_all(&objects)?;
    fs::write(&path, configuration(bundle, &objects, settings)?)?;
    // workerd resolves absolute paths in its configuration within the import paths.
    let arguments = ["serve", "--control-fd=1", "--import-path=/", utf8(&path)?];
    ServerProcess::start_and_find(bench, processors, workerd, &arguments, address)
}

fn utf8(path: &Path) -> Result<&str> {
    path.to_str().context("a path is not UTF-8")
}

/// From `{"event":"listen","socket":"http","port":34115}`.
fn address(line: &str) -> Option<SocketAddr> {
    let (_, rest) = line.split_once("\"port\":")?;
    let port = rest.trim_end_matches(|letter: char| !letter.is_ascii_digit()).parse().ok()?;
    Some((Ipv4Addr::LOCALHOST, port).into())
}

/// Storage is a folder, because workerd's storage in memory has no SQL.
fn configuration(bundle: &Bundle, objects: &Path, settings: WorkerVariables<'_>) -> Result<String> {
    let namespaces =
        CLASSES.map(|class| format!("(className = \"{class}\", uniqueKey = \"{class}\", enableSql = true)"));
    let bindings = CLASSES.map(|class| format!("(name = \"{class}\", durableObjectNamespace = \"{class}\")"));
    let (namespaces, bindings) = (namespaces.join(", "), bindings.join(", "));
    let WorkerVariables { limit, verb } = settings;
    let (folder, objects) = (utf8(&bundle.folder)?, utf8(objects)?);
    let wasm = if bundle.has_wasm {
        format!(",\n    (name = \"./index_bg.wasm\", wasm = embed \"{folder}/index_bg.wasm\")")
    } else {
        String::new()
    };
    Ok(format!(
        r#"using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [(name = "main", worker = .worker), (name = "disk", disk = (path = "{objects}", writable = true))],
  sockets = [(name = "http", address = "127.0.0.1:0", http = (), service = "main")]
);
const worker :Workerd.Worker = (
  modules = [
    (name = "index.js", esModule = embed "{folder}/index.js"){wasm}
  ],
  compatibilityDate = "{COMPATIBILITY_DATE}",
  durableObjectNamespaces = [{namespaces}],
  durableObjectStorage = (localDisk = "disk"),
  bindings = [{bindings}, (name = "LIMIT", text = "{limit}"), (name = "VERB", text = "{verb}")]
);
"#
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_is_found_in_workerd_s_output() {
        let found = address(r#"{"event":"listen","socket":"http","port":34115}"#);
        assert_eq!(found, Some(([127, 0, 0, 1], 34115).into()));
        assert_eq!(address("nonsense"), None);
    }

    #[test]
    fn a_worker_without_wasm_has_no_such_module() {
        let settings = WorkerVariables { limit: 50, verb: "broadcast" };
        let bundle = |has_wasm| Bundle { folder: "/there".into(), has_wasm };
        assert!(
            configuration(&bundle(true), Path::new("/objects"), settings)
                .unwrap()
                .contains("embed \"/there/index_bg.wasm\"")
        );
        let without = configuration(&bundle(false), Path::new("/objects"), settings).unwrap();
        assert!(!without.contains("wasm") && without.contains("text = \"50\""), "{without}");
    }

    #[test]
    fn a_folder_without_a_worker_is_refused() {
        assert!(Bundle::find(Path::new(env!("CARGO_MANIFEST_DIR"))).is_err());
        assert!(Bundle::find(&Path::new(env!("CARGO_MANIFEST_DIR")).join("nothing")).is_err());
    }
}
