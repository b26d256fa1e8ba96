//! Cloudflare's workerd as a server: a Worker with the two classes of one Group, on a configuration of our own.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::server::Server;

/// What both Workers are written for.
const COMPATIBILITY_DATE: &str = "2026-07-01";

/// The Durable Object classes, which are bound under their own names.
const CLASSES: [&str; 2] = ["RoomGroup", "RoomReplica"];

/// A Worker: the folder that holds its `index.js`, and `index_bg.wasm` if it has such a part.
#[derive(Clone, Debug)]
pub struct Bundle {
    folder: PathBuf,
    has_wasm: bool,
}

impl Bundle {
    /// The Worker in this folder.
    ///
    /// # Errors
    /// When there is none.
    pub fn find(folder: &Path) -> Result<Self> {
        let folder = folder.canonicalize().with_context(|| format!("{} is not there", folder.display()))?;
        ensure!(folder.join("index.js").is_file(), "{} has no index.js", folder.display());
        let has_wasm = folder.join("index_bg.wasm").is_file();
        Ok(Self { folder, has_wasm })
    }
}

/// What a Worker is told.
#[derive(Clone, Copy, Debug)]
pub struct Settings<'a> {
    /// The most seats of a Replica.
    pub limit: usize,
    /// What a message is for: the peer knows `broadcast`, `whisper` and `gossip`.
    pub verb: &'a str,
}

/// Starts a workerd with objects that nobody has used yet.
///
/// `scratch` is a folder for the configuration and the objects.
///
/// # Errors
/// When it does not start.
pub fn start(
    bench: &Path,
    processors: &[usize],
    workerd: &Path,
    bundle: &Bundle,
    scratch: &Path,
    settings: Settings<'_>,
) -> Result<Server> {
    let (path, objects) = (scratch.join("workerd.capnp"), scratch.join("objects"));
    if objects.exists() {
        fs::remove_dir_all(&objects)?;
    }
    fs::create_dir_all(&objects)?;
    fs::write(&path, configuration(bundle, &objects, settings)?)?;
    // Whole paths within the configuration are looked for beneath the folders of imports.
    let arguments = ["serve", "--control-fd=1", "--import-path=/", utf8(&path)?];
    Server::start_told(bench, processors, workerd, &arguments, told_address)
}

fn utf8(path: &Path) -> Result<&str> {
    path.to_str().context("a path that is no UTF-8")
}

/// From `{"event":"listen","socket":"http","port":34115}`.
fn told_address(line: &str) -> Option<SocketAddr> {
    let (_, rest) = line.split_once("\"port\":")?;
    let port = rest.trim_end_matches(|letter: char| !letter.is_ascii_digit()).parse().ok()?;
    Some((Ipv4Addr::LOCALHOST, port).into())
}

/// What workerd calls storage in memory has no SQL, so it is a disk, on whatever the scratch folder is.
fn configuration(bundle: &Bundle, objects: &Path, settings: Settings<'_>) -> Result<String> {
    let namespaces =
        CLASSES.map(|class| format!("(className = \"{class}\", uniqueKey = \"{class}\", enableSql = true)"));
    let bindings = CLASSES.map(|class| format!("(name = \"{class}\", durableObjectNamespace = \"{class}\")"));
    let (namespaces, bindings) = (namespaces.join(", "), bindings.join(", "));
    let Settings { limit, verb } = settings;
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
    fn the_port_is_found_in_what_workerd_says() {
        let told = told_address(r#"{"event":"listen","socket":"http","port":34115}"#);
        assert_eq!(told, Some(([127, 0, 0, 1], 34115).into()));
        assert_eq!(told_address("nonsense"), None);
    }

    #[test]
    fn a_worker_without_wasm_names_none() {
        let settings = Settings { limit: 50, verb: "broadcast" };
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
