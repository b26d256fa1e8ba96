//! The image: buildah makes it with the Containerfile, from a program that was built here, and the program starts in it.
//!
//! The first stage, which builds a program, needs an image with Rust. Not every machine reaches a registry, so a folder takes the place
//! of that stage.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::template::Generated;
use crate::provision::apt;
use crate::server::Server;
use crate::step::{Step, text};
use crate::workspace::Workspace;

const IMAGE: &str = "dog-packaging";
/// Who runs the program: not root.
const USER: &str = "65532:65532";
/// How long it may take to start.
const PATIENCE: Duration = Duration::from_secs(30);

/// Installs buildah.
pub(super) fn prepare(_: &Workspace) -> Result<()> {
    if is_root()? { apt::programs(&[("buildah", "buildah")]) } else { Ok(()) }
}

/// Builds the image and starts it. The text says how large it is.
pub(super) fn run(workspace: &Workspace, generated: &Generated) -> Result<String> {
    if !is_root()? {
        return Ok("image NOT built: that needs root here".to_owned());
    }
    let store = workspace.scratch("images");
    if store.exists() {
        fs::remove_dir_all(&store)?;
    }
    let store = Store(text(&store)?);
    let folder = tempfile::tempdir()?;
    stage(folder.path(), &generated.program)?;
    let (empty, context) = (tempfile::tempdir()?, format!("build={}", text(folder.path())?));
    let build =
        store.buildah(&["build", "--isolation", "chroot", "--build-context", &context, "--tag", IMAGE, "--file"]);
    build.args([&workspace.root.join("packaging/Containerfile"), empty.path()]).run()?;
    let flags = flags(&store)?;
    let container = store.buildah(&["from", IMAGE]).ask()?;
    let root = store.buildah(&["mount", container.trim()]).ask()?;
    let size = fs::metadata(Path::new(root.trim()).join("program"))?.len() >> 20;
    let started = Step::program("chroot").args(["--userspec", USER, root.trim(), "/program"]).args(flags);
    Server::start(started, PATIENCE).context("the program does not start in the image")?.check_alive()?;
    fs::remove_dir_all(store.0)?;
    Ok(format!("an image of {size} MiB for {}", generated.target))
}

/// Where buildah keeps images. It is deleted afterwards, and nothing of the machine's own images is touched.
struct Store<'a>(&'a str);

impl Store<'_> {
    fn buildah(&self, what: &[&str]) -> Step {
        let run = format!("{}-run", self.0);
        Step::program("buildah").args(["--root", self.0, "--runroot", &run, "--storage-driver", "vfs"]).args(what)
    }
}

/// What the first stage makes, as the Containerfile says.
fn stage(folder: &Path, program: &Path) -> Result<()> {
    let out = folder.join("out");
    for made in ["data", "tmp", "etc/ssl/certs"] {
        fs::create_dir_all(out.join(made))?;
    }
    fs::write(out.join("etc/ssl/certs/ca-certificates.crt"), "")?;
    fs::copy(program, out.join("program")).context("no program")?;
    Ok(())
}

/// The flags that the image starts its program with, with addresses that are free here.
fn flags(store: &Store<'_>) -> Result<Vec<String>> {
    let about: Value = serde_json::from_str(&store.buildah(&["inspect", "--type", "image", IMAGE]).ask()?)?;
    let config = &about["OCIv1"]["config"];
    ensure!(config["User"] == USER, "the image runs as {}", config["User"]);
    ensure!(config["Entrypoint"] == serde_json::json!(["/program"]), "the image starts {}", config["Entrypoint"]);
    let flags = config["Cmd"].as_array().context("the image has no flags")?.iter().filter_map(Value::as_str);
    Ok(flags.map(|flag| if flag.starts_with("0.0.0.0:") { "127.0.0.1:0" } else { flag }.to_owned()).collect())
}

fn is_root() -> Result<bool> {
    Ok(Step::program("id").args(["-u"]).ask()?.trim() == "0")
}
