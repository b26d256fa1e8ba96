//! Clients that begin TLS and do not go on, go on a byte at a time, or want to negotiate again. `crates/dog-native/tests/tls` has
//! the rest.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use dog_test_support::certificates::Authority;
use dog_test_support::client::within;
use dog_test_support::tls::{self, NAME};
use futures_util::future::join_all;
use rustls::ClientConfig;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Error;

use crate::app::{path, token};
use crate::served::{HANDSHAKE, Served, TLS};
use crate::steady::Steady;

/// The most that a handshake may take that has not ended: the session of rustls, and what was read.
const HALF_OPEN: usize = 64 * 1024;
const MANY: usize = 200;

/// The first bytes of a ClientHello of 512 bytes.
const BEGIN: [u8; 9] = [22, 3, 1, 2, 0, 1, 0, 1, 252];
/// How long a slow client waits from one byte to the next.
const DRIP: Duration = Duration::from_millis(50);

/// A server with a certificate, and a client of it that is served.
struct Encrypted {
    authority: Authority,
    config: Arc<ClientConfig>,
    served: Served,
    steady: Steady,
}

impl Encrypted {
    async fn start() -> Self {
        let authority = Authority::new();
        let files = authority.vouches_for(NAME).map(|path| path.to_str().unwrap().to_owned()).join(" ");
        let served = Served::start(&[(TLS, &files), (HANDSHAKE, "3")]).await;
        let config = tls::trusting(authority.root(), tls::BOTH);
        let token = token("steady", "steady");
        let socket = Box::pin(within("a socket", async {
            loop {
                // Until the server has read its list it says 503.
                if let Ok(socket) = open(&served, &config, &token).await {
                    return socket;
                }
            }
        }));
        let steady = Steady::begin(socket.await);
        Self { authority, config, served, steady }
    }

    async fn end(self, what: &str) {
        assert!(open(&self.served, &self.config, "forged").await.is_err(), "TLS opens no gate");
        self.steady.end(what).await;
        self.served.end();
    }
}

async fn open(
    served: &Served,
    config: &Arc<ClientConfig>,
    token: &str,
) -> Result<WebSocketStream<tokio_rustls::client::TlsStream<TcpStream>>, Error> {
    let stream = within("TLS", tls::connect(config, served.address)).await.unwrap();
    Ok(tokio_tungstenite::client_async(format!("wss://{NAME}{}", path(token)), stream).await?.0)
}

#[tokio::test]
async fn handshakes_of_tls_that_stop_or_dawdle_or_are_none_end_in_time() {
    let encrypted = Encrypted::start().await;
    let (served, before) = (&encrypted.served, encrypted.served.resident());
    let mut streams = join_all((0..MANY).map(|_| TcpStream::connect(served.address))).await;
    // A third says nothing, a third begins and stops, a third says what is no TLS.
    let begins: [&[u8]; 3] = [b"", &BEGIN, b"GET / HTTP/1.1\r\n\r\n"];
    for (number, stream) in streams.iter_mut().enumerate() {
        stream.as_mut().unwrap().write_all(begins[number % 3]).await.unwrap();
    }
    served.weigh(before, MANY * HALF_OPEN, "200 handshakes of TLS that do not end");
    for stream in &mut streams {
        // The server ends it, with an alert or a reset or nothing.
        let stream = stream.as_mut().unwrap();
        let _ = within("the end of a handshake", stream.read_to_end(&mut Vec::new())).await;
    }
    encrypted.end("half-open TLS").await;
}

/// Says its ClientHello a byte at a time, until the server has had enough.
async fn drip(stream: TcpStream) {
    let (mut reading, mut writing) = stream.into_split();
    let dripping = async {
        for byte in BEGIN.into_iter().chain(std::iter::repeat(0)) {
            if writing.write_all(&[byte]).await.is_err() {
                return;
            }
            tokio::time::sleep(DRIP).await;
        }
    };
    let mut rest = Vec::new();
    let ending = reading.read_to_end(&mut rest);
    tokio::select! { () = dripping => {}, _ = ending => {} }
}

#[tokio::test]
async fn handshakes_of_tls_that_come_a_byte_at_a_time_end_in_time() {
    let encrypted = Encrypted::start().await;
    let (served, before) = (&encrypted.served, encrypted.served.resident());
    let streams = join_all((0..MANY).map(|_| TcpStream::connect(served.address))).await;
    let all = join_all(streams.into_iter().map(|stream| drip(stream.unwrap())));
    within("the end of slow handshakes", all).await;
    served.weigh(before, MANY * HALF_OPEN, "200 handshakes of TLS, a byte at a time");
    encrypted.end("slow TLS").await;
}

#[tokio::test]
async fn nobody_negotiates_again_within_a_connection() {
    let encrypted = Encrypted::start().await;
    let (served, before) = (&encrypted.served, encrypted.served.resident());
    let (address, root) = (served.address.to_string(), encrypted.authority.root().to_str().unwrap().to_owned());
    let flags = ["s_client", "-connect", &address, "-CAfile", &root, "-servername", NAME, "-tls1_2"];
    for _ in 0..10 {
        let mut command = Command::new("openssl");
        command.args(flags).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let Ok(mut child) = command.spawn() else {
            println!("openssl is not installed: this did not run");
            break;
        };
        // The letter is a command when the handshake has ended. The input stays open: its end would end the program.
        let mut input = child.stdin.take().unwrap();
        input.write_all(b"R\n").unwrap();
        let output = tokio::task::spawn_blocking(move || child.wait_with_output());
        let output = within("the end of openssl", output).await.unwrap().unwrap();
        drop(input);
        let text = String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned();
        assert!(text.contains("Verify return code: 0 (ok)") && text.contains("RENEGOTIATING"), "{text}");
        assert!(!output.status.success() && text.contains("no renegotiation"), "{}: {text}", output.status);
    }
    served.weigh(before, 0, "10 attempts to negotiate again");
    encrypted.end("attempts to negotiate again").await;
}
