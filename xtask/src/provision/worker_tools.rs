//! What builds and runs a Worker: `worker-build` with the tools that it calls, and workerd.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use dog_test_support::workerd;

use super::wasm::WasmToolchain;
use super::{apt, find_program, lock, npm, write_program};
use crate::step::{Step, text};
use crate::workspace::Workspace;

/// The runtime, the bundler that `worker-build` calls, and the optimiser of release builds.
const NPM_PACKAGES: &[&str] = &["workerd@1.20261117.1", "esbuild@0.28.2", "binaryen@132.0.0"];

/// The same version as the library in `Cargo.lock`: the two share a private format.
const WASM_BINDGEN: &str = "wasm-bindgen-cli@0.2.129";
const WORKER_BUILD: &str = "worker-build@0.8.7";

/// The features of wasm that a Worker may use: those that `worker-build` passes to the optimiser.
const FEATURES: [&str; 7] = [
    "mutable-globals",
    "sign-ext",
    "nontrapping-float-to-int",
    "bulk-memory",
    "multivalue",
    "reference-types",
    "exception-handling",
];

/// Two tools with some hundred dependencies, on two cores.
const INSTALL_LIMIT: Duration = Duration::from_mins(20);
/// It includes the standard library, which is built again so that panics unwind.
const BUILD_LIMIT: Duration = Duration::from_mins(20);

/// The installed tools.
pub(crate) struct WorkerTools {
    npm: WorkerPackages,
    cargo: PathBuf,
    wrappers: PathBuf,
    toolchain: WasmToolchain,
}

impl WorkerTools {
    /// Installs what is missing.
    pub(crate) fn install(workspace: &Workspace) -> Result<Self> {
        let tools = Self {
            npm: WorkerPackages::install(workspace)?,
            cargo: workspace.scratch("tools"),
            wrappers: workspace.scratch("toolchain"),
            toolchain: WasmToolchain::install(workspace)?,
        };
        tools.install_cargo("wasm-bindgen", WASM_BINDGEN)?;
        tools.install_cargo("worker-build", WORKER_BUILD)?;
        tools.write_wrappers()?;
        Ok(tools)
    }

    /// The toolchain that they compile with.
    pub(crate) fn toolchain(&self) -> &WasmToolchain {
        &self.toolchain
    }

    /// What npm brought.
    pub(crate) fn npm(&self) -> &WorkerPackages {
        &self.npm
    }

    fn install_cargo(&self, program: &str, package: &str) -> Result<()> {
        let _lock = lock(&self.cargo)?;
        // Cargo knows what it has installed there, but it reads the registry's index to answer.
        let stamp = self.cargo.join(format!("{program}.installed"));
        if fs::read_to_string(&stamp).is_ok_and(|installed| installed == package) {
            return Ok(());
        }
        apt::library("openssl", "libssl-dev")?;
        let install = ["install", "--locked", "--no-default-features", "--root", text(&self.cargo)?];
        Step::cargo()
            .args(install)
            .args(["--bin", program, package])
            .env("CARGO_TARGET_DIR", text(&self.cargo.join("build"))?)
            // They run for seconds and compile for minutes.
            .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "1")
            .env("CARGO_PROFILE_RELEASE_LTO", "off")
            .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16")
            .env("CARGO_PROFILE_RELEASE_DEBUG", "0")
            .limit(INSTALL_LIMIT)
            .run()?;
        fs::write(stamp, package)?;
        Ok(())
    }

    /// `worker-build --panic-unwind` calls a nightly toolchain. These wrappers drop the name of that toolchain and allow the
    /// one in use to build the standard library.
    fn write_wrappers(&self) -> Result<()> {
        let _lock = lock(&self.wrappers)?;
        fs::create_dir_all(&self.wrappers)?;
        let cargo = find_program("cargo").context("no cargo on the PATH")?;
        for (program, path) in [("cargo", cargo), ("rustc", self.toolchain.rustc()?)] {
            let script = format!(
                "#!/bin/sh\ncase \"$1\" in +*) shift ;; esac\nRUSTC_BOOTSTRAP=1 exec '{}' \"$@\"\n",
                path.display()
            );
            write_program(&self.wrappers.join(program), &script)?;
        }
        let script = "#!/bin/sh\n[ \"$1\" = component ] && echo 'rust-src (installed)'\nexit 0\n";
        write_program(&self.wrappers.join("rustup"), script)
    }

    /// Names workerd and the folder of all Workers to a test.
    pub(crate) fn with_workers(&self, workspace: &Workspace, step: Step) -> Result<Step> {
        Ok(step.env(workerd::PROGRAM, &self.npm.workerd()?).env(workerd::WORKERS, text(&workspace.scratch(""))?))
    }

    /// Builds the Worker of a package for tests and returns the folder with its module and its wasm. It is optimised a
    /// little, because the full optimisation takes long.
    pub(crate) fn build(&self, workspace: &Workspace, package: &str, name: &str) -> Result<PathBuf> {
        let folder = workspace.scratch(name);
        let step = self.worker_build(workspace, package, &["--dev", "--out-dir", text(&folder)?])?;
        step.env("CARGO_PROFILE_DEV_OPT_LEVEL", "1").env("CARGO_PROFILE_DEV_DEBUG", "0").run()?;
        Ok(folder)
    }

    /// Builds the Worker of a package as its users would deploy it.
    pub(crate) fn build_to_deploy(&self, workspace: &Workspace, package: &str, name: &str) -> Result<PathBuf> {
        let folder = workspace.scratch(name);
        let step = self.worker_build(workspace, package, &["--profile", "worker", "--out-dir", text(&folder)?])?;
        step.env("CARGO_UNSTABLE_BUILD_STD_FEATURES", "panic-unwind,optimize_for_size").run()?;
        self.shrink(&folder)?;
        Ok(folder)
    }

    /// Removes the names of functions, a sixth of the wasm, which `worker-build` keeps.
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
            .env("CARGO_TARGET_DIR", text(&self.toolchain.target_folder().join("worker"))?)
            .env("WASM_BINDGEN_BIN", text(&self.cargo.join("bin/wasm-bindgen"))?)
            .env("ESBUILD_BIN", &self.npm.program("esbuild")?)
            .env("WASM_OPT_BIN", &self.npm.program("wasm-opt")?)
            .env("PATH", path.to_str().context("a PATH that is not UTF-8")?)
            .limit(BUILD_LIMIT))
    }
}

/// What npm brings: workerd, and the tools that `worker-build` calls.
pub(crate) struct WorkerPackages(PathBuf);

impl WorkerPackages {
    /// Installs what is missing.
    pub(crate) fn install(workspace: &Workspace) -> Result<Self> {
        let folder = workspace.scratch("npm");
        npm::packages(&folder, NPM_PACKAGES)?;
        Ok(Self(folder))
    }

    /// The runtime itself. The script of the same name only starts it, and would survive when the test kills its child.
    pub(crate) fn workerd(&self) -> Result<String> {
        let packages = self.0.join("node_modules/@cloudflare");
        let programs = fs::read_dir(&packages)?.map(|package| Ok(package?.path().join("bin/workerd")));
        let programs: Vec<PathBuf> = programs.collect::<Result<_>>()?;
        let program = programs.iter().find(|program| program.is_file());
        Ok(text(program.context("npm has no workerd for this kind of machine")?)?.to_owned())
    }

    /// The path of a program that one of the packages brings.
    pub(crate) fn program(&self, name: &str) -> Result<String> {
        Ok(text(&self.0.join("node_modules/.bin").join(name))?.to_owned())
    }
}
