//! The part `workers`: the conformance suite and more on the real workerd; and the bench of that name. What they need is
//! installed beneath `target/`.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::checks::{BENCH_LIMIT, Count};
use crate::step::Step;
use crate::toolchain::{TARGET, WasmToolchain, text};
use crate::workspace::Workspace;
use crate::{browser, bundle, install};

/// The runtime, the bundler that `worker-build` calls, and the optimiser of release builds.
const NPM_PACKAGES: &[&str] = &["workerd@1.20261117.1", "esbuild@0.28.2", "binaryen@132.0.0"];

/// What ours is measured beside.
const PEER: &str = "dog@1.1.3";

/// Of the version that `Cargo.lock` has of the library: they speak a format of their own.
const WASM_BINDGEN: &str = "wasm-bindgen-cli@0.2.129";
const WORKER_BUILD: &str = "worker-build@0.8.7";

/// What a Worker's wasm may use: what `worker-build` gives the optimiser.
const FEATURES: [&str; 7] = [
    "mutable-globals",
    "sign-ext",
    "nontrapping-float-to-int",
    "bulk-memory",
    "multivalue",
    "reference-types",
    "exception-handling",
];

/// Two tools, and their some hundred dependencies, on two cores.
const INSTALL_LIMIT: Duration = Duration::from_mins(20);
/// The standard library as well: it is built anew, so that panics unwind.
const BUILD_LIMIT: Duration = Duration::from_mins(20);

/// Where the tools lie.
pub(crate) struct Tools {
    npm: Npm,
    cargo: PathBuf,
    wrappers: PathBuf,
    toolchain: WasmToolchain,
}

/// Runs the part.
pub(crate) fn run(workspace: &Workspace) -> Result<String> {
    let tools = Tools::install(workspace)?;
    if tools.toolchain.lints() {
        lint(workspace)?;
    }
    let worker = tools.build(workspace, "crates/dog-workers/tests/worker", "worker")?;
    // As it is deployed: what is weighed is what the page is shown by.
    let chat = tools.build_to_deploy(workspace, "examples/chat", "chat-worker")?;
    let size = bundle::check("the chat room's Worker", &chat)?;
    println!("{size}");
    let what = ["test", "-p", "durable-object-groups-workers", "--test", "workers", "--", "--test-threads=1"];
    let suite = workspace.cargo().args(what).args(["--nocapture"]);
    // Both, whatever becomes of the first: one run shows everything.
    let suite = tools.with_worker(suite, &worker)?.run_and_keep();
    let page = tools.with_worker(browser::on_workerd(workspace)?, &chat)?.run_and_keep();
    let (suite, page) = (Count::of(&suite?), Count::of(&page?));
    Ok(format!("{suite}; the chat page: {page}; {size}{}", tools.toolchain.note()))
}

/// The relay beside the same on npm's `dog`, both on workerd.
pub(crate) fn bench(workspace: &Workspace, arguments: &[String]) -> Result<()> {
    let tools = Tools::install(workspace)?;
    let ours = tools.build_to_deploy(workspace, "examples/relay", "relay-worker")?;
    let chat = tools.build_to_deploy(workspace, "examples/chat", "chat-worker")?;
    let peer = tools.npm.bundle_peer(workspace)?;
    println!("the relay's Worker takes {} KiB compressed", bundle::compressed(&ours)?.div_ceil(1024));
    println!("{}", bundle::check("the chat room's Worker", &chat)?);
    let step = workspace.cargo().args(["run", "--release", "-p", "dog-benches", "--bin", "workers", "--"]);
    let step = step.args(["--workerd", &tools.npm.workerd()?, "--ours", text(&ours)?, "--peer", text(&peer)?]);
    step.args(arguments).limit(BENCH_LIMIT).run()
}

/// For its own target, where it is not empty: the part `clippy` sees nothing of it.
fn lint(workspace: &Workspace) -> Result<()> {
    let what = [
        "clippy",
        "-p",
        "durable-object-groups-workers",
        "-p",
        "conformance-worker",
        "-p",
        "chat",
        "-p",
        "relay",
        "--lib",
    ];
    workspace.cargo().args(what).args(["--target", TARGET, "--", "-D", "warnings"]).run()
}

impl Tools {
    /// Makes sure of everything.
    pub(crate) fn install(workspace: &Workspace) -> Result<Self> {
        install::programs(&[("node", "nodejs"), ("npm", "npm")])?;
        let tools = Self {
            npm: Npm::install(workspace)?,
            cargo: workspace.scratch("tools"),
            wrappers: workspace.scratch("toolchain"),
            toolchain: WasmToolchain::install(workspace)?,
        };
        tools.install_cargo("wasm-bindgen", WASM_BINDGEN)?;
        tools.install_cargo("worker-build", WORKER_BUILD)?;
        tools.write_wrappers()?;
        Ok(tools)
    }

    fn install_cargo(&self, program: &str, package: &str) -> Result<()> {
        // Cargo itself knows what it has installed there, but asking it takes a look at the index.
        let stamp = self.cargo.join(format!("{program}.installed"));
        if fs::read_to_string(&stamp).is_ok_and(|installed| installed == package) {
            return Ok(());
        }
        install::library("openssl", "libssl-dev")?;
        let install = ["install", "--locked", "--no-default-features", "--root", text(&self.cargo)?];
        Step::cargo()
            .args(install)
            .args(["--bin", program, package])
            .env("CARGO_TARGET_DIR", text(&self.cargo.join("build"))?)
            // They work for seconds, and are compiled for minutes.
            .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "1")
            .env("CARGO_PROFILE_RELEASE_LTO", "off")
            .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16")
            .env("CARGO_PROFILE_RELEASE_DEBUG", "0")
            .limit(INSTALL_LIMIT)
            .run()?;
        fs::write(stamp, package)?;
        Ok(())
    }

    /// `worker-build --panic-unwind` asks for a nightly toolchain. The one at hand does as well: it is told that it may
    /// build the standard library, and the name of the other is dropped.
    fn write_wrappers(&self) -> Result<()> {
        fs::create_dir_all(&self.wrappers)?;
        let cargo = install::find_program("cargo").context("no cargo on the PATH")?;
        for (program, path) in [("cargo", cargo), ("rustc", self.toolchain.rustc()?)] {
            let script = format!(
                "#!/bin/sh\ncase \"$1\" in +*) shift ;; esac\nRUSTC_BOOTSTRAP=1 exec '{}' \"$@\"\n",
                path.display()
            );
            install::write_program(&self.wrappers.join(program), &script)?;
        }
        let script = "#!/bin/sh\n[ \"$1\" = component ] && echo 'rust-src (installed)'\nexit 0\n";
        install::write_program(&self.wrappers.join("rustup"), script)
    }

    /// Names the runtime and the Worker of this folder to a test.
    fn with_worker(&self, step: Step, folder: &Path) -> Result<Step> {
        Ok(step.env("DOG_WORKERD", &self.npm.workerd()?).env("DOG_WORKER", text(folder)?))
    }

    /// Builds the Worker of a crate; gives the folder with its module and its wasm. Not optimised to the last, which
    /// takes long and shows nothing more.
    pub(crate) fn build(&self, workspace: &Workspace, package: &str, name: &str) -> Result<PathBuf> {
        let folder = workspace.scratch(name);
        let step = self.worker_build(workspace, package, &["--dev", "--out-dir", text(&folder)?])?;
        step.env("CARGO_PROFILE_DEV_OPT_LEVEL", "1").env("CARGO_PROFILE_DEV_DEBUG", "0").run()?;
        Ok(folder)
    }

    /// The same as its users would have it.
    pub(crate) fn build_to_deploy(&self, workspace: &Workspace, package: &str, name: &str) -> Result<PathBuf> {
        let folder = workspace.scratch(name);
        let step = self.worker_build(workspace, package, &["--profile", "worker", "--out-dir", text(&folder)?])?;
        step.env("CARGO_UNSTABLE_BUILD_STD_FEATURES", "panic-unwind,optimize_for_size").run()?;
        self.shrink(&folder)?;
        Ok(folder)
    }

    /// `worker-build` keeps the names of all functions, a sixth of what is loaded.
    fn shrink(&self, folder: &Path) -> Result<()> {
        let features = FEATURES.map(|feature| format!("--enable-{feature}"));
        let wasm = folder.join("index_bg.wasm");
        let step = Step::program(self.npm.program("wasm-opt")?).args(features);
        step.args(["-Oz", "--reorder-functions-by-name", text(&wasm)?, "-o", text(&wasm)?]).run()
    }

    fn worker_build(&self, workspace: &Workspace, package: &str, arguments: &[&str]) -> Result<Step> {
        let path = std::env::join_paths(
            std::iter::once(self.wrappers.clone())
                .chain(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())),
        )?;
        let step = self.toolchain.apply(Step::program(self.cargo.join("bin/worker-build")))?;
        Ok(step
            .args(["--panic-unwind"])
            .args(arguments)
            .within(&workspace.root.join(package))
            .env("CARGO_TARGET_DIR", text(&self.toolchain.target.join("worker"))?)
            .env("WASM_BINDGEN_BIN", text(&self.cargo.join("bin/wasm-bindgen"))?)
            .env("ESBUILD_BIN", &self.npm.program("esbuild")?)
            .env("WASM_OPT_BIN", &self.npm.program("wasm-opt")?)
            .env("PATH", path.to_str().context("a PATH that is no UTF-8")?)
            .limit(BUILD_LIMIT))
    }
}

/// What npm has brought.
struct Npm(PathBuf);

impl Npm {
    fn install(workspace: &Workspace) -> Result<Self> {
        let folder = workspace.scratch("npm");
        npm_packages(&folder, NPM_PACKAGES)?;
        Ok(Self(folder))
    }

    /// The runtime itself, and not the script that starts it: that is what is killed.
    fn workerd(&self) -> Result<String> {
        let packages = self.0.join("node_modules/@cloudflare");
        let programs = fs::read_dir(&packages)?.map(|package| Ok(package?.path().join("bin/workerd")));
        let programs: Vec<PathBuf> = programs.collect::<Result<_>>()?;
        let program = programs.iter().find(|program| program.is_file());
        Ok(text(program.context("npm has brought no workerd for this machine")?)?.to_owned())
    }

    /// A program that an npm package brings.
    fn program(&self, name: &str) -> Result<String> {
        Ok(text(&self.0.join("node_modules/.bin").join(name))?.to_owned())
    }

    /// The Worker on npm's `dog`; gives the folder with its module.
    fn bundle_peer(&self, workspace: &Workspace) -> Result<PathBuf> {
        let (packages, folder) = (workspace.scratch("npm-dog"), workspace.scratch("npm-dog-worker"));
        npm_packages(&packages, &[PEER])?;
        let module = format!("--outfile={}", text(&folder.join("index.js"))?);
        Step::program(self.program("esbuild")?)
            .args(["worker.js", "--bundle", "--format=esm", "--log-level=warning", &module])
            .within(&workspace.root.join("benches/peers/npm-dog"))
            .env("NODE_PATH", text(&packages.join("node_modules"))?)
            .run()?;
        Ok(folder)
    }
}

/// What npm's `dog` is measured on: the runtime, and the Worker's folder. Nothing of ours is built for it.
pub(crate) fn peer(workspace: &Workspace) -> Result<(String, PathBuf)> {
    install::programs(&[("node", "nodejs"), ("npm", "npm")])?;
    let npm = Npm::install(workspace)?;
    Ok((npm.workerd()?, npm.bundle_peer(workspace)?))
}

/// Sees to it that a folder holds these packages of npm.
pub(crate) fn npm_packages(folder: &Path, packages: &[&str]) -> Result<()> {
    let stamp = folder.join("installed");
    let wanted = packages.join(" ");
    if fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(());
    }
    fs::create_dir_all(folder)?;
    fs::write(folder.join("package.json"), "{\"private\":true}")?;
    let install = ["install", "--no-audit", "--no-fund", "--ignore-scripts"];
    Step::program("npm").args(install).args(packages).within(folder).limit(INSTALL_LIMIT).run()?;
    fs::write(stamp, wanted)?;
    Ok(())
}
