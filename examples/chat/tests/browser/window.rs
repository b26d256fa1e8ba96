//! Headless Chromium windows, controlled through chromedriver.

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

/// How long to wait before a test fails. Much longer than any step takes, so that a busy machine fails no test.
const DEADLINE: Duration = Duration::from_secs(60);

/// The appearance of a window.
#[derive(Clone, Copy)]
pub(crate) struct Look {
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) dark: bool,
}

impl Look {
    pub(crate) const DESKTOP: Self = Self { width: 1200, height: 800, dark: false };
    pub(crate) const PHONE: Self = Self { width: 360, height: 640, dark: false };
}

/// Opens windows, passes them to `story`, and closes them even if `story` panics.
pub(crate) async fn browse<const N: usize>(looks: [Look; N], story: impl AsyncFnOnce([&Window; N])) {
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
pub(crate) struct Window {
    client: Client,
    _profile: TempDir,
}

impl Window {
    pub(crate) const ENTER: Key = Key::Enter;
    pub(crate) const TAB: Key = Key::Tab;
    pub(crate) const SHIFT: Key = Key::Shift;
    pub(crate) const RIGHT: Key = Key::Right;

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

    pub(crate) async fn goto(&self, url: &str) {
        self.client.goto(url).await.expect("the page");
    }

    pub(crate) async fn back(&self) {
        self.client.back().await.expect("the previous page loads");
    }

    /// Returns the value of a JavaScript expression in the page.
    pub(crate) async fn eval(&self, expression: &str) -> Value {
        self.client.execute(&format!("return ({expression});"), Vec::new()).await.expect("the expression is valid")
    }

    /// Waits until the expression has that value.
    pub(crate) async fn wait_for(&self, expression: &str, expected: &Value) {
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
    pub(crate) async fn type_keys(&self, text: &str) {
        let keys = text.chars().flat_map(|value| [KeyAction::Down { value }, KeyAction::Up { value }]);
        self.act(keys).await;
    }

    /// Presses keys together and releases them in reverse order.
    pub(crate) async fn press(&self, keys: &[Key]) {
        let keys = keys.iter().map(|&key| char::from(key));
        let down = keys.clone().map(|value| KeyAction::Down { value });
        self.act(down.chain(keys.rev().map(|value| KeyAction::Up { value }))).await;
    }

    async fn act(&self, actions: impl Iterator<Item = KeyAction>) {
        let keyboard = actions.fold(KeyActions::new("keyboard".to_owned()), InputSource::then);
        self.client.perform_actions(keyboard).await.expect("the keys can be pressed");
    }

    /// Saves a screenshot of the window in the folder for artefacts.
    pub(crate) async fn picture(&self, name: &str) {
        let picture = self.client.screenshot().await.expect("a picture");
        let folder = std::env::var_os("DOG_ARTIFACTS").map_or_else(
            || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/artifacts")),
            PathBuf::from,
        );
        std::fs::create_dir_all(&folder).expect("the folder for artefacts can be created");
        std::fs::write(folder.join(name), picture).expect("the screenshot can be written");
    }
}
