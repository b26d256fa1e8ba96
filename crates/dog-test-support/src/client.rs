//! Clients for tests of real servers: a WebSocket [`Client`], and [`http`] for plain requests. Every wait has a deadline of 30
//! seconds and panics when it passes.

use std::future::Future;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::handshake::client::Request;
use tokio_tungstenite::tungstenite::{Error, Message};

/// Far longer than anything in these tests takes, so that a busy machine fails no test.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// The outcome of `future`. `what` says in a failure what was waited for.
///
/// # Panics
/// When the deadline passes.
pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(DEADLINE, future).await {
        Ok(outcome) => outcome,
        Err(_) => panic!("waited {} s for {what}", DEADLINE.as_secs()),
    }
}

/// Waits until the next second of the wall clock. Sessions and tokens name the second in which they began, and one of the second of a
/// revocation counts as one from before.
///
/// # Panics
/// When the clock is before 1970.
pub async fn next_second() {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a time after 1970");
    tokio::time::sleep(Duration::from_secs(1) - Duration::from_nanos(now.subsec_nanos().into())).await;
}

/// A connection with a small receive buffer in the kernel: little is sent to it before a client that does not read costs the
/// server something.
///
/// # Panics
/// When nothing listens there.
pub async fn connect_with_little_room(address: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(4096).expect("a buffer of this size");
    within("the connection", socket.connect(address)).await.expect("a server that listens")
}

/// A WebSocket. Its methods panic when the socket fails.
pub struct Client {
    stream: WebSocketStream<TcpStream>,
}

impl Client {
    /// Opens `path` as a WebSocket.
    ///
    /// # Panics
    /// When the server refuses it.
    pub async fn connect(address: SocketAddr, path: &str) -> Self {
        let request = handshake(address, path);
        match Self::open(request).await {
            Ok(client) => client,
            Err(status) => panic!("{path}: no WebSocket but status {status}"),
        }
    }

    /// Sends a handshake that the test has built, for example with a cookie.
    ///
    /// # Errors
    /// The status with which the server refuses it.
    ///
    /// # Panics
    /// When nothing listens there.
    pub async fn open(request: Request) -> Result<Self, u16> {
        let address = request.uri().authority().expect("an address in the URL").to_string();
        let stream = within("the connection", TcpStream::connect(address)).await.expect("a server that listens");
        match within("the handshake", tokio_tungstenite::client_async(request, stream)).await {
            Ok((stream, _)) => Ok(Self { stream }),
            Err(Error::Http(response)) => Err(response.status().as_u16()),
            Err(error) => panic!("the handshake failed: {error}"),
        }
    }

    /// Sends `message` as JSON.
    pub async fn send(&mut self, message: Value) {
        self.send_raw(Message::text(message.to_string())).await;
    }

    /// Sends a message as it is.
    ///
    /// # Panics
    /// When the socket is closed.
    pub async fn send_raw(&mut self, message: Message) {
        within("sending", self.stream.send(message)).await.expect("an open socket");
    }

    /// The next text, binary or close message.
    ///
    /// # Panics
    /// When the socket ends first.
    pub async fn next_raw(&mut self) -> Message {
        loop {
            let next = within("a message", self.stream.next()).await.expect("an open socket").expect("a valid frame");
            match next {
                Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
                message @ (Message::Text(_) | Message::Binary(_) | Message::Close(_)) => return message,
            }
        }
    }

    /// The next message, which must be JSON.
    ///
    /// # Panics
    /// When it is not JSON.
    pub async fn next(&mut self) -> Value {
        let message = self.next_raw().await;
        serde_json::from_str(message.to_text().expect("text")).expect("JSON")
    }

    /// The next message with this `type`. It skips the messages before.
    pub async fn next_of(&mut self, kind: &str) -> Value {
        loop {
            let message = self.next().await;
            if message["type"] == kind {
                return message;
            }
        }
    }

    /// Sends a close frame and waits until the server has closed too.
    ///
    /// # Panics
    /// When the socket is closed already.
    pub async fn close(mut self) {
        within("sending the close", self.stream.close(None)).await.expect("an open socket");
        within("the end", async { while let Some(Ok(_)) = self.stream.next().await {} }).await;
    }
}

/// The request that opens `path` as a WebSocket.
///
/// # Panics
/// When the path is not valid in a URL.
#[must_use]
pub fn handshake(address: SocketAddr, path: &str) -> Request {
    format!("ws://{address}{path}").into_client_request().expect("a valid address")
}

/// A server's response to a plain request.
#[derive(Debug)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The head of the response in lower case.
    pub head: String,
    /// The body.
    pub body: String,
    as_sent: String,
}

impl Answer {
    /// The first field of the head with this name, in upper or lower case. Its value is as it was sent.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&str> {
        let mut fields = self.as_sent.lines().filter_map(|line| line.split_once(": "));
        fields.find(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
}

/// Sends a request over a connection of its own.
///
/// # Panics
/// When the server sends no complete response.
pub async fn http(address: SocketAddr, method: &str, path: &str, body: &str) -> Answer {
    http_with(address, method, path, "", body).await
}

/// As [`http`], with more headers: each is a line that ends with `\r\n`.
///
/// # Panics
/// When the server sends no complete response.
pub async fn http_with(address: SocketAddr, method: &str, path: &str, headers: &str, body: &str) -> Answer {
    let exchange = async {
        let mut stream = TcpStream::connect(address).await?;
        let length = body.len();
        let head = format!("{method} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n{headers}");
        stream.write_all(format!("{head}content-length: {length}\r\n\r\n{body}").as_bytes()).await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        std::io::Result::Ok(answer)
    };
    let answer = within("the response", exchange).await.expect("a complete response");
    let answer = String::from_utf8(answer).expect("a response in UTF-8");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    Answer { status, head: head.to_lowercase(), body: body.to_owned(), as_sent: head.to_owned() }
}
