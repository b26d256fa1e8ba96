//! What the command line of every example must do.

use std::net::{SocketAddr, TcpListener};
use std::process::{Command, ExitStatus, Stdio};

use serde_json::Value;

#[cfg(feature = "tls")]
use crate::certificates::Authority;
use crate::client::{Client, DEADLINE, http, within};
use crate::process::{Process, Signal};
#[cfg(feature = "tls")]
use crate::tls::{self, NAME};

/// Checks that the program prints where it listens, shuts down gracefully at SIGTERM with exit code 0, and ends with one
/// line of error and exit code 2 when it cannot start.
///
/// # Panics
/// When it does not.
pub async fn check_command_line(program: &str) {
    let mut running = start(Command::new(program).stdin(Stdio::null()));
    http(address(&running), "GET", "/", "").await;
    terminate(&running);
    assert_eq!(end(&mut running).code(), Some(0));

    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let taken = listener.local_addr().expect("an address").to_string();
    refused(program, &["--listen", &taken], &taken);
    refused(program, &["--listen", "nonsense"], "nonsense");
}

/// Checks the flags for operators: the admin address, the log format, and a second signal that ends at once a shutdown that
/// would take an hour. `path` opens a socket; a `{}` in it is replaced by the number of the socket. `own` are flags of the program.
///
/// # Panics
/// When one of them does not work.
pub async fn check_operating(program: &str, own: &[&str], path: &str) {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().to_str().expect("a path in UTF-8");
    let flags = ["--workers", "1", "--data", data, "--drain-within", "3600", "--hibernate-after", "0", "--log", "info"];
    let mut command = Command::new(program);
    command.args(flags).args(own).args(["--log-format", "json", "--admin", "127.0.0.1:0"]);
    let mut running = start(command.stdin(Stdio::null()).stderr(Stdio::piped()));
    let (address, admin) = (address(&running), address_after(&running, "admin on http://"));
    let mut clients = Vec::new();
    for number in 0..101 {
        clients.push(Client::connect(address, &path.replace("{}", &number.to_string())).await);
    }
    // The last client may have its response a moment before its Replica has the connection.
    let opened = "\ndog_sockets_opened_total{worker=\"0\"} 101\n";
    within("the count", async { while !http(admin, "GET", "/metrics", "").await.body.contains(opened) {} }).await;
    assert_eq!(http(admin, "GET", "/readyz", "").await.status, 200);
    terminate(&running);
    within("the drain", async { while http(admin, "GET", "/readyz", "").await.status != 503 {} }).await;
    terminate(&running);
    assert_eq!(end(&mut running).code(), Some(0));
    for line in running.errors().lines() {
        let log: Value = serde_json::from_str(line).expect(line);
        assert!(log["level"].is_string() && log["fields"]["message"].is_string(), "{line}");
    }
}

/// Checks the flags for TLS: the program says `https`, and loads its certificates again at SIGHUP. Checks that it does not start
/// with one of the flags alone, or with files that it cannot use.
///
/// # Panics
/// When one of them does not work.
#[cfg(feature = "tls")]
pub async fn check_tls(program: &str) {
    let authority = Authority::new();
    let files = authority.vouches_for(NAME);
    let [certificate, key] = files.each_ref().map(|path| path.to_str().expect("a path in UTF-8"));
    misused(program, &["--tls-cert", certificate], "not provided");
    misused(program, &["--tls-key", key], "not provided");
    refused(program, &["--tls-cert", certificate, "--tls-key", certificate], "contains no private key");
    let flags = ["--tls-cert", certificate, "--tls-key", key, "--admin", "127.0.0.1:0"];
    let mut running = start(Command::new(program).args(flags).stdin(Stdio::null()));
    let address = address_after(&running, "listening on https://");
    let admin = address_after(&running, "admin on http://");
    let config = tls::trusting(authority.root(), tls::BOTH);
    within("the handshake", tls::connect(&config, address)).await.expect("a certificate that is trusted");
    // The files have not changed, so nothing else makes the program load them again.
    running.send_signal(Signal::HUP).expect("a running program");
    let loaded = "\ndog_tls_reloads_total{result=\"ok\"} 1\n";
    within("the count", async { while !http(admin, "GET", "/metrics", "").await.body.contains(loaded) {} }).await;
    terminate(&running);
    assert_eq!(end(&mut running).code(), Some(0));
}

/// Checks that the server does not start: the program ends with exit code 2 and prints nothing but one line of error that
/// contains `reason`.
///
/// # Panics
/// When it does not.
pub fn refused(program: &str, arguments: &[&str], reason: &str) {
    let errors = errors_of(program, arguments);
    assert_eq!(errors.lines().count(), 1, "{arguments:?}: {errors}");
    assert!(errors.contains(reason), "{arguments:?}: {errors}");
}

/// Checks that the command line is refused: the program ends with exit code 2, and the first line of its error contains
/// `reason`.
///
/// # Panics
/// When it does not.
pub fn misused(program: &str, arguments: &[&str], reason: &str) {
    let errors = errors_of(program, arguments);
    assert!(errors.lines().next().is_some_and(|line| line.contains(reason)), "{arguments:?}: {errors}");
}

/// What a program writes to stderr that must end with exit code 2 and print nothing on stdout.
fn errors_of(program: &str, arguments: &[&str]) -> String {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stderr(Stdio::piped());
    let mut running = Process::start(&mut command).expect("the program");
    let status = end(&mut running);
    let errors = running.errors();
    assert_eq!(status.code(), Some(2), "{arguments:?}: {errors}");
    assert_eq!(running.rest_of_output(), [""; 0], "{arguments:?}");
    errors
}

fn start(command: &mut Command) -> Process {
    Process::start(command.args(["--listen", "127.0.0.1:0"])).expect("the program")
}

fn address(running: &Process) -> SocketAddr {
    address_after(running, "listening on http://")
}

/// The address that the program prints after `prefix`.
///
/// # Panics
/// When it prints none.
#[must_use]
pub fn address_after(running: &Process, prefix: &str) -> SocketAddr {
    let address = running.wait_for_line(DEADLINE, |line| line.strip_prefix(prefix).map(str::to_owned));
    address.expect(prefix).parse().expect("an address")
}

fn terminate(running: &Process) {
    running.send_signal(Signal::TERM).expect("a running program");
}

fn end(running: &mut Process) -> ExitStatus {
    running.wait_within(DEADLINE).expect("an end")
}
