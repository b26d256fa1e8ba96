//! Headless Chromium windows, controlled through chromedriver, for tests of the pages of the examples: [`browse`] opens them.
//!
//! They need Debian's packages `chromium` and `chromium-driver`. Screenshots go to `target/artifacts`, or to the folder that
//! `DOG_ARTIFACTS` names. Every wait has a deadline of a minute and panics when it passes.

use std::future::Future;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use fantoccini::actions::{InputSource, KeyAction, KeyActions};
use fantoccini::key::Key;
use fantoccini::{Client, ClientBuilder};
use futures_util::FutureExt;
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};

/// Declares tests that run on both hosts: `on_both_hosts!(story, …)` for `async fn story(host: Host)`. `cargo test` ignores
/// those on workerd. `cargo xtask test workers` builds the Workers and runs them.
#[macro_export]
macro_rules! on_both_hosts {
    ($($story:ident),* $(,)?) => {
        mod native {
            $(#[tokio::test]
            async fn $story() {
                super::$story($crate::browser::Host::Native).await;
            })*
        }

        mod workerd {
            $(#[tokio::test]
            #[ignore = "needs workerd: cargo xtask test workers"]
            async fn $story() {
                super::$story($crate::browser::Host::Workerd).await;
            })*
        }
    };
}

/// Where the server of a test runs.
#[derive(Clone, Copy, Debug)]
pub enum Host {
    /// In the process of the test.
    Native,
    /// In workerd.
    Workerd,
}

impl Host {
    /// The suffix for names of screenshots. Those of the native host are used in the documentation.
    #[must_use]
    pub fn suffix(self) -> &'static str {
        match self {
            Self::Native => "",
            Self::Workerd => "-workerd",
        }
    }
}

/// How long to wait before a test fails. Much longer than any step takes, so that a busy machine fails no test.
const DEADLINE: Duration = Duration::from_secs(60);

/// The appearance of a window.
#[derive(Clone, Copy, Debug)]
pub struct Look {
    width: u32,
    height: u32,
    dark: bool,
}

impl Look {
    /// 1,200 by 800 pixels.
    pub const DESKTOP: Self = Self { width: 1200, height: 800, dark: false };
    /// The same, and the user prefers dark pages.
    pub const DARK: Self = Self { dark: true, ..Self::DESKTOP };
    /// 360 by 640 pixels.
    pub const PHONE: Self = Self { width: 360, height: 640, dark: false };
}

/// Opens windows, passes them to `story`, and closes them even if `story` panics.
///
/// # Panics
/// When no browser starts, and when `story` panics.
pub async fn browse<const N: usize>(looks: [Look; N], story: impl AsyncFnOnce([&Window; N])) {
    let (_driver, address) = driver().await;
    let mut windows = Vec::new();
    for look in looks {
        windows.push(Window::open(&address, look).await);
    }
    let shown: Vec<&Window> = windows.iter().collect();
    let shown = shown.try_into().unwrap_or_else(|_| unreachable!("there is one window per look"));
    let outcome = AssertUnwindSafe(story(shown)).catch_unwind().await;
    for window in windows {
        // This fails if the browser has already ended, which is fine.
        let _ = window.client.close().await;
    }
    if let Err(panic) = outcome {
        resume_unwind(panic);
    }
}

/// Starts chromedriver, which chooses its port. It ends when the child is dropped.
async fn driver() -> (Child, String) {
    let mut child = Command::new("chromedriver")
        .arg("--port=0")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("chromedriver: install Debian's chromium and chromium-driver");
    let mut lines = BufReader::new(child.stdout.take().expect("stdout is piped")).lines();
    let port = tokio::time::timeout(DEADLINE, async {
        while let Some(line) = lines.next_line().await.expect("readable output") {
            if let Some((_, port)) = line.split_once("started successfully on port ") {
                return port.trim_end_matches('.').to_owned();
            }
        }
        panic!("chromedriver ended and named no port");
    });
    let port = port.await.expect("chromedriver prints its port in time");
    // chromedriver goes on writing. The pipe must stay open and be read.
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    (child, format!("http://127.0.0.1:{port}"))
}

/// One window in its own browser. A browser slows down windows that are in the background.
pub struct Window {
    client: Client,
    _profile: TempDir,
}

impl Window {
    /// The key.
    pub const ENTER: Key = Key::Enter;
    /// The key.
    pub const TAB: Key = Key::Tab;
    /// The key.
    pub const SHIFT: Key = Key::Shift;
    /// The key.
    pub const LEFT: Key = Key::Left;
    /// The key.
    pub const RIGHT: Key = Key::Right;

    async fn open(driver: &str, look: Look) -> Self {
        let profile = tempfile::tempdir().expect("a temporary folder can be created");
        let mut arguments = vec![
            "--headless".to_owned(),
            "--no-sandbox".to_owned(),
            "--disable-gpu".to_owned(),
            "--disable-quic".to_owned(),
            "--disable-dev-shm-usage".to_owned(),
            "--no-first-run".to_owned(),
            "--disable-background-networking".to_owned(),
            "--disable-component-update".to_owned(),
            "--disable-sync".to_owned(),
            format!("--user-data-dir={}", profile.path().display()),
        ];
        if look.dark {
            arguments.push("--blink-settings=preferredColorScheme=0".to_owned());
        }
        // The size of the emulated device is the exact size of the page. A window's size would include its frame.
        let device = json!({
            "width": look.width, "height": look.height, "pixelRatio": 1, "mobile": look.width < 500, "touch": false,
        });
        let capabilities = json!({
            "browserName": "chrome",
            "goog:chromeOptions": { "args": arguments, "mobileEmulation": { "deviceMetrics": device } },
        });
        let capabilities = serde_json::from_value(capabilities).expect("an object");
        let client = ClientBuilder::new(HttpConnector::new()).capabilities(capabilities).connect(driver).await;
        Self { client: client.expect("a browser starts"), _profile: profile }
    }

    /// Opens a page.
    ///
    /// # Panics
    /// When it cannot be loaded.
    pub async fn goto(&self, url: &str) {
        self.client.goto(url).await.expect("the page");
    }

    /// Goes back to the page before.
    ///
    /// # Panics
    /// When there is none.
    pub async fn back(&self) {
        self.client.back().await.expect("the previous page loads");
    }

    /// Returns the value of a JavaScript expression in the page.
    ///
    /// # Panics
    /// When the expression throws.
    pub async fn eval(&self, expression: &str) -> Value {
        self.client.execute(&format!("return ({expression});"), Vec::new()).await.expect("the expression is valid")
    }

    /// Waits until the expression has that value.
    ///
    /// # Panics
    /// When the deadline passes.
    pub async fn wait_for(&self, expression: &str, expected: &Value) {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let value = self.eval(expression).await;
            if value == *expected {
                return;
            }
            assert!(Instant::now() < deadline, "waited for {expected}, have {value}: {expression}");
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Types text on the keyboard, into the element that has the focus.
    ///
    /// # Panics
    /// When the window has been closed.
    pub async fn type_keys(&self, text: &str) {
        let keys = text.chars().flat_map(|value| [KeyAction::Down { value }, KeyAction::Up { value }]);
        self.act(keys).await;
    }

    /// Presses keys together and releases them in reverse order.
    ///
    /// # Panics
    /// When the window has been closed.
    pub async fn press(&self, keys: &[Key]) {
        let keys = keys.iter().map(|&key| char::from(key));
        let down = keys.clone().map(|value| KeyAction::Down { value });
        self.act(down.chain(keys.rev().map(|value| KeyAction::Up { value }))).await;
    }

    /// Holds a key down until the future ends.
    ///
    /// # Panics
    /// When the window has been closed.
    pub async fn hold(&self, key: Key, until: impl Future<Output = ()>) {
        self.act([KeyAction::Down { value: char::from(key) }].into_iter()).await;
        until.await;
        self.act([KeyAction::Up { value: char::from(key) }].into_iter()).await;
    }

    async fn act(&self, actions: impl Iterator<Item = KeyAction>) {
        let keyboard = actions.fold(KeyActions::new("keyboard".to_owned()), InputSource::then);
        self.client.perform_actions(keyboard).await.expect("the keys can be pressed");
    }

    /// Saves a screenshot of the window in the folder for artefacts.
    ///
    /// # Panics
    /// When it cannot be written.
    pub async fn picture(&self, name: &str) {
        let picture = self.client.screenshot().await.expect("a picture");
        let folder = std::env::var_os("DOG_ARTIFACTS").map_or_else(
            || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/artifacts")),
            PathBuf::from,
        );
        std::fs::create_dir_all(&folder).expect("the folder for artefacts can be created");
        std::fs::write(folder.join(name), picture).expect("the screenshot can be written");
    }
}
