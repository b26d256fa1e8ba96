//! Well-behaved clients, who must not notice any fault; and raw connections for hostile clients.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::Message as Frame;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use crate::child::{Child, PATIENCE};

/// A well-behaved client.
pub(crate) struct Client {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    /// The id of its Replica.
    pub(crate) replica: String,
}

impl Client {
    pub(crate) async fn connect(address: SocketAddr, room: &str, name: &str) -> Self {
        let url = format!("ws://{address}/?u={name}&room={room}");
        let connected = tokio::time::timeout(PATIENCE, connect_async(url)).await.expect("a connection in time");
        let mut client = Self { socket: connected.unwrap().0, replica: String::new() };
        client.replica =
            client.hear().await.strip_prefix("on ").expect("the first message names the Replica").to_owned();
        client
    }

    /// Connects to a server that may not be there yet.
    pub(crate) async fn connect_again(address: SocketAddr, room: &str, name: &str) -> Self {
        let coming = async {
            while TcpStream::connect(address).await.is_err() {
                // A client that follows close code 1012 also waits before it tries again.
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(PATIENCE, coming).await.expect("the server comes back");
        Self::connect(address, room, name).await
    }

    pub(crate) async fn say(&mut self, text: impl Into<String>) {
        self.socket.send(Frame::text(text.into())).await.unwrap();
    }

    /// Waits for the next text.
    pub(crate) async fn hear(&mut self) -> String {
        loop {
            match self.next().await {
                Frame::Text(text) => return text.to_string(),
                Frame::Close(close) => panic!("closed: {close:?}"),
                _ => {}
            }
        }
    }

    /// Waits for the close. Returns its code, or `None` if the connection ends without one.
    pub(crate) async fn close_code(&mut self) -> Option<u16> {
        loop {
            match tokio::time::timeout(PATIENCE, self.socket.next()).await.expect("an end in time") {
                Some(Ok(Frame::Close(close))) => return close.map(|close| close.code.into()),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return None,
            }
        }
    }

    /// Closes the socket, and waits until it is closed.
    pub(crate) async fn leave(mut self) {
        self.socket.close(None).await.unwrap();
        self.close_code().await;
    }

    async fn next(&mut self) -> Frame {
        tokio::time::timeout(PATIENCE, self.socket.next()).await.expect("a message in time").unwrap().unwrap()
    }
}

/// Two clients of one room that count together. Both must receive each number, in order, whatever else happens on the
/// server.
pub(crate) struct Steady {
    stop: Arc<AtomicBool>,
    counting: JoinHandle<(u64, Duration)>,
}

impl Steady {
    pub(crate) async fn start(address: SocketAddr, room: &str) -> Self {
        let mut speaker = Client::connect(address, room, "steady-speaker").await;
        let mut listener = Client::connect(address, room, "steady-listener").await;
        assert_eq!(speaker.replica, listener.replica, "both are on one Replica");
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let counting = tokio::spawn(async move {
            let (mut count, mut longest) = (0, Duration::ZERO);
            while !stopped.load(Ordering::Relaxed) {
                let began = Instant::now();
                count += 1;
                speaker.say(count.to_string()).await;
                for client in [&mut speaker, &mut listener] {
                    assert_eq!(client.hear().await, count.to_string(), "each number arrives, in order");
                }
                longest = longest.max(began.elapsed());
            }
            (count, longest)
        });
        Self { stop, counting }
    }

    /// Stops the clients. Fails if they were not served. Returns how far they have counted.
    pub(crate) async fn end(self, what: &str) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        let (count, longest) = self.counting.await.expect("the well-behaved clients are served");
        println!(
            "{what}: beside it {count} messages came to each well-behaved client in order, the slowest in {longest:?}"
        );
        assert!(count >= 3, "only {count} came through");
        count
    }
}

/// Asks the admin address until the answer is as `right` wants it, and returns that answer.
pub(crate) async fn until(child: &Child, path: &str, right: impl Fn(&str) -> bool) -> String {
    let asking = async {
        loop {
            let mut stream = TcpStream::connect(child.admin.expect("the child has an admin address")).await.unwrap();
            let request = format!("GET {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n");
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            if right(&answer) {
                return answer;
            }
            // Another process sends no event for this, so the test polls. The interval affects only how often it does.
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, asking).await.unwrap_or_else(|_| panic!("{path} never gave the expected answer"))
}

/// Adds up all samples of a metric.
fn sum(metrics: &str, name: &str) -> f64 {
    let samples = metrics.lines().filter(|line| line.starts_with(name));
    samples.map(|line| line.rsplit_once(' ').unwrap().1.parse::<f64>().unwrap()).sum()
}

/// Returns how many bytes wait to be written to all sockets together.
pub(crate) async fn waiting(child: &Child) -> f64 {
    sum(&until(child, "/metrics", |metrics| metrics.contains("dog_outbox_bytes{")).await, "dog_outbox_bytes{")
}

/// Waits until exactly `sockets` sockets are open, just as many seats are taken, and no tickets are left.
pub(crate) async fn until_the_books_say(child: &Child, sockets: u64) {
    let right = |metrics: &str| {
        let found = ["dog_sockets{", "dog_seats{", "dog_tickets{"].map(|name| sum(metrics, name));
        found == [sockets as f64, sockets as f64, 0.0]
    };
    until(child, "/metrics", right).await;
}

/// Waits until every handler has ended.
pub(crate) async fn until_no_handler_waits(child: &Child) {
    until(child, "/metrics", |metrics| sum(metrics, "dog_tasks_waiting{") == 0.0).await;
}

/// Returns a request that opens a WebSocket.
pub(crate) fn handshake(room: &str, name: &str) -> String {
    format!(
        "GET /?u={name}&room={room} HTTP/1.1\r\nhost: test\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
}

/// Opens a WebSocket that shows the test every byte.
pub(crate) async fn raw(address: SocketAddr, room: &str, name: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(handshake(room, name).as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(tokio::time::timeout(PATIENCE, stream.read_u8()).await.expect("an answer").unwrap());
    }
    assert!(head.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&head));
    stream
}

/// Returns a frame as a client sends it, masked with zeros.
pub(crate) fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match payload.len() {
        length @ 0..126 => frame.push(0x80 | u8::try_from(length).unwrap()),
        length => {
            frame.push(0x80 | 126);
            frame.extend(u16::try_from(length).unwrap().to_be_bytes());
        }
    }
    frame.extend([0; 4]);
    frame.extend(payload);
    frame
}

/// Reads until the connection ends in any way. Returns what was read.
pub(crate) async fn read_to_end(stream: &mut TcpStream) -> Vec<u8> {
    let mut read = Vec::new();
    // A reset counts as an end too.
    let _ =
        tokio::time::timeout(PATIENCE, stream.read_to_end(&mut read)).await.expect("the server closes the connection");
    read
}

/// Returns the close code in the last frame that a server sent.
pub(crate) fn last_close_code(read: &[u8]) -> Option<u16> {
    let at = (0..read.len()).rev().find(|at| {
        read[*at] == 0x88 && read.get(at + 1).is_some_and(|length| at + 2 + usize::from(*length) == read.len())
    })?;
    Some(u16::from_be_bytes([*read.get(at + 2)?, *read.get(at + 3)?]))
}
