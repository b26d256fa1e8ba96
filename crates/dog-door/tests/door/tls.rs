//! Clients that begin TLS and do not go on. `crates/dog-native/tests/tls` has the rest.

use std::sync::Arc;

use dog_test_support::certificates::Authority;
use dog_test_support::client::within;
use dog_test_support::tls::{self, NAME};
use futures_util::future::join_all;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::app::{path, token};
use crate::served::{HANDSHAKE, Served, TLS};
use crate::steady::Steady;

/// The most that a handshake may take that has not ended: the session of rustls, and what was read.
const HALF_OPEN: usize = 64 * 1024;
const MANY: usize = 200;

/// The first bytes of a ClientHello of 512 bytes.
const BEGIN: [u8; 9] = [22, 3, 1, 2, 0, 1, 0, 1, 252];

#[tokio::test]
async fn handshakes_of_tls_that_stop_or_dawdle_or_are_none_end_in_time() {
    let authority = Authority::new();
    let files = authority.vouches_for(NAME).map(|path| path.to_str().unwrap().to_owned()).join(" ");
    let served = Served::start(&[(TLS, &files), (HANDSHAKE, "3")]).await;
    let config = tls::trusting(authority.root(), tls::BOTH);
    let open = async |token: &str| {
        let stream = within("TLS", tls::connect(&Arc::clone(&config), served.address)).await.unwrap();
        tokio_tungstenite::client_async(format!("wss://{NAME}{}", path(token)), stream).await
    };
    let steady = token("steady", "steady");
    let socket = Box::pin(within("a socket", async {
        loop {
            // Until the server has read its list it says 503.
            if let Ok((socket, _)) = open(&steady).await {
                return socket;
            }
        }
    }));
    let (steady, before) = (Steady::begin(socket.await), served.resident());
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
    assert!(open("forged").await.is_err(), "TLS opens no gate");
    steady.end("half-open TLS").await;
    served.end();
}
