//! The server under attack, in a process of its own: [`Served`].

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::Duration;

use dog::MessageRate;
use dog_test_support::client::{Client, DEADLINE, handshake, http, within};
use dog_test_support::process::Process;
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;

use crate::app::{self, PerClient, path, token};
use crate::steady::Steady;

/// The folder of the data.
pub(crate) const DATA: &str = "DOG_TEST_DATA";
/// The files of a certificate and its key, separated by a blank.
pub(crate) const TLS: &str = "DOG_TEST_TLS";
/// How many connections one address may have.
pub(crate) const PER_ADDRESS: &str = "DOG_TEST_PER_ADDRESS";
/// How many messages one socket may send per second.
pub(crate) const RATE: &str = "DOG_TEST_RATE";
/// How many seats one client may have.
pub(crate) const PER_CLIENT: &str = "DOG_TEST_PER_CLIENT";
/// How long a handshake may take, in seconds.
pub(crate) const HANDSHAKE: &str = "DOG_TEST_HANDSHAKE";

/// Freed memory that the allocator keeps, and the sockets of the tests themselves.
const SLACK: usize = 24 * 1024 * 1024;
const LISTENS: &str = "listens on ";
/// A process is slow to start on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// What the child does.
pub(crate) async fn run() {
    let Ok(settings) = std::env::var("DOG_TEST_CHILD") else { return };
    assert_eq!(settings, "door");
    let setting = |name: &str| std::env::var(name).ok();
    let limits = PerClient {
        rate: setting(RATE).map(|messages| MessageRate::per_second(messages.parse().unwrap())),
        seats: setting(PER_CLIENT).map(|seats| seats.parse().unwrap()),
    };
    let mut server = app::server(limits).trusted_proxies(["127.0.0.2/32".parse().unwrap()]);
    if let Some(folder) = setting(DATA) {
        server = server.data(folder);
    }
    if let Some((certificate, key)) = setting(TLS).as_deref().and_then(|files| files.split_once(' ')) {
        server = server.tls(certificate, key);
    }
    if let Some(most) = setting(PER_ADDRESS) {
        server = server.max_sockets_per_address(most.parse().unwrap());
    }
    if let Some(seconds) = setting(HANDSHAKE) {
        server = server.handshake_timeout(Duration::from_secs(seconds.parse().unwrap()));
    }
    let running = server.drain_within(Duration::ZERO).start().await.unwrap();
    // The test harness may have printed the beginning of a line.
    println!("\n{LISTENS}{}", running.local_addr());
    std::io::stdout().flush().unwrap();
    let input = tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new()));
    input.await.unwrap().unwrap();
    running.shutdown().await;
}

pub(crate) struct Served {
    process: Process,
    pub(crate) address: SocketAddr,
}

impl Served {
    pub(crate) async fn start(settings: &[(&str, &str)]) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "a_server_for_the_other_tests", "--ignored", "--nocapture", "--test-threads=1"]);
        command.env("DOG_TEST_CHILD", "door").env("RUST_BACKTRACE", "0").envs(settings.iter().copied());
        let process = Process::start(command.stdin(Stdio::piped()).stderr(Stdio::piped())).unwrap();
        let address = process.wait_for_line(PATIENCE, |line| line.strip_prefix(LISTENS).map(str::to_owned));
        Self { process, address: address.unwrap().parse().unwrap() }
    }

    /// Opens a socket as soon as the server knows what was revoked: until then it says 503.
    pub(crate) async fn enter(&self, token: &str) -> Client {
        let opening = async {
            loop {
                match Client::open(handshake(self.address, &path(token))).await {
                    Ok(client) => return client,
                    Err(status) => assert_eq!(status, 503),
                }
            }
        };
        within("a socket", opening).await
    }

    /// The status with which a handshake is refused.
    pub(crate) async fn refusal(&self, token: &str) -> Option<u16> {
        Client::open(handshake(self.address, &path(token))).await.err()
    }

    /// A client beside the attack, in a room of its own.
    pub(crate) async fn steady(&self) -> Steady {
        drop(self.enter(&token("warm", "warm")).await);
        let path = format!("{}&room=steady", path(&token("steady", "steady")));
        let stream = within("the connection", TcpStream::connect(self.address)).await.unwrap();
        let (socket, _): (WebSocketStream<TcpStream>, _) =
            within("the handshake", tokio_tungstenite::client_async(handshake(self.address, &path), stream))
                .await
                .unwrap();
        Steady::begin(socket)
    }

    pub(crate) async fn revoke(&self, what: &str) {
        assert_eq!(http(self.address, "POST", &format!("/revoke?{what}"), "").await.status, 200, "{what}");
    }

    /// The memory of the server, in bytes.
    pub(crate) fn resident(&self) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("Linux reports it");
        line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() * 1024
    }

    /// Fails if the server has more memory than `before`, `allowed` for the attack, and the slack.
    pub(crate) fn weigh(&self, before: usize, allowed: usize, what: &str) {
        let (now, bound) = (self.resident(), before + allowed + SLACK);
        println!("door: {what}: {} KiB of memory, {} KiB is the bound", now / 1024, bound / 1024);
        assert!(now <= bound, "{what}: the memory grew from {before} to {now} bytes, beyond {bound}");
    }

    /// Ends the server. Fails if it has printed an error.
    pub(crate) fn end(mut self) {
        self.process.close_input();
        let status = self.process.wait_within(DEADLINE).unwrap();
        let errors = self.process.errors();
        assert!(status.success() && !errors.contains("panicked"), "{status}: {errors}");
    }
}
