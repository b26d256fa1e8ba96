//! What the tests of the examples share: a WebSocket client and a small HTTP one that wait with a deadline.
#![allow(dead_code, reason = "no test uses all of it")]

use std::future::Future;
use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, ChildStdout, Command};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::handshake::client::Request;
use tokio_tungstenite::tungstenite::{Error, Message};

/// Far beyond what anything here takes, so that a busy machine fails no test.
const DEADLINE: Duration = Duration::from_secs(30);

/// The outcome of `future`, which must come by the deadline; `what` says in a failure what was waited for.
pub(crate) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(DEADLINE, future).await {
        Ok(outcome) => outcome,
        Err(_) => panic!("waited too long for {what}"),
    }
}

/// A WebSocket.
pub(crate) struct Client {
    stream: WebSocketStream<TcpStream>,
}

impl Client {
    /// Opens `path` as a WebSocket.
    pub(crate) async fn connect(address: SocketAddr, path: &str) -> Self {
        let request = handshake(address, path);
        match Self::open(request).await {
            Ok(client) => client,
            Err(status) => panic!("{path}: no WebSocket but status {status}"),
        }
    }

    /// Opens a WebSocket with headers of one's own, or says with which status that was refused.
    pub(crate) async fn open(request: Request) -> Result<Self, u16> {
        let address = request.uri().authority().expect("an address in the URL").to_string();
        let stream = within("the connection", TcpStream::connect(address)).await.expect("a server that listens");
        match within("the handshake", tokio_tungstenite::client_async(request, stream)).await {
            Ok((stream, _)) => Ok(Self { stream }),
            Err(Error::Http(response)) => Err(response.status().as_u16()),
            Err(error) => panic!("the handshake failed: {error}"),
        }
    }

    /// Sends `message` as JSON.
    pub(crate) async fn send(&mut self, message: Value) {
        self.send_raw(Message::text(message.to_string())).await;
    }

    /// Sends a message as it is.
    pub(crate) async fn send_raw(&mut self, message: Message) {
        within("sending", self.stream.send(message)).await.expect("an open socket");
    }

    /// The next message of data.
    pub(crate) async fn next_raw(&mut self) -> Message {
        loop {
            let next = within("a message", self.stream.next()).await.expect("an open socket").expect("a sound frame");
            match next {
                Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
                message @ (Message::Text(_) | Message::Binary(_) | Message::Close(_)) => return message,
            }
        }
    }

    /// The next message, as JSON.
    pub(crate) async fn next(&mut self) -> Value {
        let message = self.next_raw().await;
        serde_json::from_str(message.to_text().expect("text")).expect("JSON")
    }

    /// The next message of that type; those before it are passed over.
    pub(crate) async fn next_of(&mut self, kind: &str) -> Value {
        loop {
            let message = self.next().await;
            if message["type"] == kind {
                return message;
            }
        }
    }

    /// Closes, and waits until the server has said goodbye too.
    pub(crate) async fn close(mut self) {
        within("sending the close", self.stream.close(None)).await.expect("an open socket");
        within("the end", async { while let Some(Ok(_)) = self.stream.next().await {} }).await;
    }
}

/// The request that opens `path` as a WebSocket.
pub(crate) fn handshake(address: SocketAddr, path: &str) -> Request {
    format!("ws://{address}{path}").into_client_request().expect("a valid address")
}

/// What a server answered to a plain request.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// The head of the response in lower case.
    pub(crate) head: String,
    pub(crate) body: String,
}

/// Sends a request over a connection of its own.
pub(crate) async fn http(address: SocketAddr, method: &str, path: &str, body: &str) -> Answer {
    let exchange = async {
        let mut stream = TcpStream::connect(address).await?;
        let length = body.len();
        let head = format!("{method} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n");
        stream.write_all(format!("{head}content-length: {length}\r\n\r\n{body}").as_bytes()).await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        std::io::Result::Ok(answer)
    };
    let answer = within("the response", exchange).await.expect("a whole response");
    let answer = String::from_utf8(answer).expect("a response in UTF-8");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    Answer { status, head: head.to_lowercase(), body: body.to_owned() }
}

/// The contract of an example's command line: it says where it listens and ends in good order at SIGTERM; trouble at the
/// start is one line and exit code 2.
pub(crate) async fn check_command_line(program: &str) {
    let (mut running, address, _) = start(program, &[]).await;
    http(address, "GET", "/", "").await;
    terminate(&running).await;
    assert_eq!(within("the end", running.wait()).await.expect("a status").code(), Some(0));

    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let taken = listener.local_addr().expect("an address").to_string();
    refused(program, &["--listen", &taken], &taken).await;
    refused(program, &["--listen", "nonsense"], "nonsense").await;
}

/// The flags of whoever operates an example: the admin address, the log's format, and a second signal that ends at once
/// what would go on for an hour. `path` opens a socket, a `{}` in it being the number of one.
pub(crate) async fn check_operating(program: &str, path: &str) {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().to_str().expect("a path in UTF-8");
    let flags = ["--workers", "1", "--data", data, "--drain-within", "3600", "--hibernate-after", "0", "--log", "info"];
    let flags = [&flags[..], &["--log-format", "json", "--admin", "127.0.0.1:0"]].concat();
    let (mut running, address, mut lines) = start(program, &flags).await;
    let admin = address_in(&mut lines, "admin on http://").await;
    let mut errors = BufReader::new(running.stderr.take().expect("a piped stderr")).lines();
    let mut clients = Vec::new();
    for number in 0..101 {
        clients.push(Client::connect(address, &path.replace("{}", &number.to_string())).await);
    }
    // The last client may have its response a moment before its Replica has the connection.
    let opened = "\ndog_sockets_opened_total{worker=\"0\"} 101\n";
    within("the count", async { while !http(admin, "GET", "/metrics", "").await.body.contains(opened) {} }).await;
    assert_eq!(http(admin, "GET", "/readyz", "").await.status, 200);
    terminate(&running).await;
    within("the drain", async { while http(admin, "GET", "/readyz", "").await.status != 503 {} }).await;
    terminate(&running).await;
    assert_eq!(within("the end", running.wait()).await.expect("a status").code(), Some(0));
    while let Some(line) = within("a line", errors.next_line()).await.expect("readable") {
        let line: Value = serde_json::from_str(&line).expect(&line);
        assert!(line["level"].is_string() && line["fields"]["message"].is_string(), "{line}");
    }
}

/// A running example, where it listens, and what else it prints.
async fn start(program: &str, flags: &[&str]) -> (Child, SocketAddr, Lines<BufReader<ChildStdout>>) {
    let mut running = Command::new(program)
        .args(["--listen", "127.0.0.1:0"])
        .args(flags)
        .stdout(Stdio::piped())
        .stderr(if flags.is_empty() { Stdio::inherit() } else { Stdio::piped() })
        .kill_on_drop(true)
        .spawn()
        .expect("the program");
    let mut lines = BufReader::new(running.stdout.take().expect("a piped stdout")).lines();
    let address = address_in(&mut lines, "listening on http://").await;
    (running, address, lines)
}

async fn address_in(lines: &mut Lines<BufReader<ChildStdout>>, prefix: &str) -> SocketAddr {
    let line = within("a line", lines.next_line()).await.expect("readable").expect("a line");
    line.strip_prefix(prefix).expect(&line).parse().expect(&line)
}

async fn terminate(running: &Child) {
    let id = running.id().expect("a running program").to_string();
    let killed = Command::new("kill").args(["-TERM", &id]).status().await.expect("kill");
    assert!(killed.success());
}

/// That the program ends with exit code 2 and one line that holds `reason`.
pub(crate) async fn refused(program: &str, arguments: &[&str], reason: &str) {
    let output = Command::new(program).args(arguments).kill_on_drop(true).output();
    let output = within("the end", output).await.expect("the program");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{arguments:?}: {errors}");
    assert_eq!(errors.lines().count(), 1, "{arguments:?}: {errors}");
    assert!(errors.contains(reason), "{arguments:?}: {errors}");
    assert!(output.stdout.is_empty(), "{arguments:?}");
}
