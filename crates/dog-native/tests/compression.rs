//! permessage-deflate over real connections, with a minimal client: what is negotiated, which sockets get compressed
//! messages, and what ends a connection.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on may panic")]

mod common;

use common::{PATIENCE, connect, next, say, start};
use dog_native::{Compression, Running};
use flate2::{Compress, Decompress, FlushCompress, FlushDecompress};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message as Frame;

const OFFER: &str = "permessage-deflate; client_max_window_bits";
const AGREED: &str = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";

/// First bytes of frames that are whole messages.
const TEXT: u8 = 0x81;
const BINARY: u8 = 0x82;
const COMPRESSED: u8 = 0x40;
const CLOSE: u8 = 0x88;

/// A WebSocket client that sends and reads raw frames.
struct Raw {
    stream: TcpStream,
}

impl Raw {
    /// Performs the handshake with this offer. Returns the client and the server's answer to the offer.
    async fn connect(running: &Running, client: &str, room: &str, offer: &str) -> (Self, Option<String>) {
        let mut stream = TcpStream::connect(running.local_addr()).await.unwrap();
        let request = format!(
            "GET /?u={client}&room={room} HTTP/1.1\r\nhost: test\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
             sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
             sec-websocket-extensions: {offer}\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        let head = String::from_utf8(head).unwrap();
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        let answer = head.lines().find_map(|line| line.strip_prefix("sec-websocket-extensions: "));
        (Self { stream }, answer.map(str::to_owned))
    }

    /// The same with the usual offer. Also reads the greeting.
    async fn compressing(running: &Running, client: &str, room: &str) -> Self {
        let (mut raw, answer) = Self::connect(running, client, room, OFFER).await;
        assert_eq!(answer.as_deref(), Some(AGREED));
        raw.message().await;
        raw
    }

    async fn send(&mut self, first: u8, payload: &[u8]) {
        // A mask of zeros leaves the payload unchanged.
        let mut frame = vec![first];
        match u8::try_from(payload.len()) {
            Ok(length @ 0..=125) => frame.push(0x80 | length),
            _ => {
                frame.push(0x80 | 127);
                frame.extend((payload.len() as u64).to_be_bytes());
            }
        }
        frame.extend([0; 4]);
        frame.extend(payload);
        self.stream.write_all(&frame).await.unwrap();
    }

    /// Waits for the next frame. Returns its first byte and its payload.
    async fn frame(&mut self) -> (u8, Vec<u8>) {
        let read = async {
            let first = self.stream.read_u8().await?;
            let length = match self.stream.read_u8().await? {
                126 => u64::from(self.stream.read_u16().await?),
                127 => self.stream.read_u64().await?,
                short => u64::from(short),
            };
            let mut payload = vec![0; usize::try_from(length).unwrap()];
            self.stream.read_exact(&mut payload).await?;
            Ok::<_, std::io::Error>((first, payload))
        };
        tokio::time::timeout(PATIENCE, read).await.expect("a frame in time").unwrap()
    }

    /// Waits for the next message. Returns its payload, inflated, and whether it came compressed.
    async fn message(&mut self) -> (Vec<u8>, bool) {
        let (first, payload) = self.frame().await;
        assert!([TEXT, BINARY].contains(&(first & !COMPRESSED)), "{first:#x}");
        let compressed = first & COMPRESSED != 0;
        (if compressed { inflated(&payload) } else { payload }, compressed)
    }

    async fn close_code(&mut self) -> u16 {
        loop {
            let (first, payload) = self.frame().await;
            if first == CLOSE {
                return u16::from_be_bytes([payload[0], payload[1]]);
            }
        }
    }
}

fn deflated(payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(payload.len() + 100);
    let mut stream = Compress::new(flate2::Compression::best(), false);
    stream.compress_vec(payload, &mut out, FlushCompress::Sync).unwrap();
    out.strip_suffix(&[0, 0, 0xff, 0xff]).unwrap().to_vec()
}

fn inflated(payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(2 << 20);
    let whole = [payload, &[0, 0, 0xff, 0xff]].concat();
    Decompress::new(false).decompress_vec(&whole, &mut out, FlushDecompress::Sync).unwrap();
    out
}

async fn started() -> (Running, common::Shared) {
    start(|server| server.compress(Compression::new().at_least(100))).await
}

#[tokio::test]
async fn nothing_is_agreed_on_unless_it_was_asked_for_on_both_sides() {
    let (running, _) = start(|server| server).await;
    let (mut client, answer) = Raw::connect(&running, "a", "r", OFFER).await;
    assert_eq!(answer, None, "compression is off by default");
    client.message().await;
    client.send(TEXT | COMPRESSED, &deflated(b"Hello")).await;
    assert_eq!(client.close_code().await, 1002);
    running.shutdown().await;

    let (running, _) = started().await;
    for offer in ["", "permessage-deflate; server_max_window_bits=7", "x-webkit-deflate-frame"] {
        let (mut client, answer) = Raw::connect(&running, "a", offer.get(..1).unwrap_or("r"), offer).await;
        assert_eq!(answer, None, "{offer}");
        client.message().await;
        client.send(TEXT, "a".repeat(1_000).as_bytes()).await;
        assert_eq!(client.message().await, ("a".repeat(1_000).into_bytes(), false));
        client.send(TEXT | COMPRESSED, &deflated(b"Hello")).await;
        assert_eq!(client.close_code().await, 1002, "{offer}");
    }
    running.shutdown().await;
}

#[tokio::test]
async fn in_a_mixed_room_each_is_sent_what_it_takes() {
    let (running, _) = started().await;
    let mut compressing = Raw::compressing(&running, "a", "r").await;
    let (mut plain, _) = connect(&running, "b", "r").await;
    // This client is on another Replica of the cluster, which may be on another thread.
    let (mut narrow, answer) = Raw::connect(&running, "c", "r", "permessage-deflate; server_max_window_bits=9").await;
    assert_eq!(answer, Some(format!("{AGREED}; server_max_window_bits=9")));
    narrow.message().await;
    for (length, compresses, narrowly) in [(50, false, false), (500, true, true), (5_000, true, false)] {
        let text = "grüezi ".repeat(length).chars().take(length).collect::<String>();
        compressing.send(TEXT | COMPRESSED, &deflated(text.as_bytes())).await;
        // 500 characters are more than 512 bytes, unless each of them is one byte.
        let narrowly = narrowly && text.len() < 500;
        assert_eq!(compressing.message().await, (text.clone().into_bytes(), compresses), "{length}");
        assert_eq!(narrow.message().await, (text.clone().into_bytes(), narrowly), "{length}");
        assert_eq!(next(&mut plain).await, Frame::text(&text));
        say(&mut plain, &text).await;
        assert_eq!(compressing.message().await, (text.clone().into_bytes(), compresses), "{length}");
        narrow.message().await;
        assert_eq!(next(&mut plain).await, Frame::text(&text));
    }
    let fits = "a".repeat(300).into_bytes();
    compressing.send(BINARY, &fits).await;
    assert_eq!(narrow.message().await, (fits.clone(), true));
    assert_eq!(compressing.message().await, (fits, true));
    running.shutdown().await;
}

#[tokio::test]
async fn fragments_are_one_message_with_pings_in_between() {
    let (running, _) = started().await;
    let mut client = Raw::compressing(&running, "a", "r").await;
    let text = "one message in several frames, ".repeat(50);
    let payload = deflated(text.as_bytes());
    let (head, tail) = payload.split_at(payload.len() / 2);
    client.send(0x01 | COMPRESSED, head).await;
    client.send(0x89, b"?").await;
    client.send(0x00, b"").await;
    client.send(0x80, tail).await;
    assert_eq!(client.frame().await, (0x8a, b"?".to_vec()), "a control frame is never compressed");
    assert_eq!(client.message().await, (text.into_bytes(), true));
    for empty in [&[0x00][..], &[0x02, 0x00], &[]] {
        client.send(TEXT | COMPRESSED, empty).await;
        assert_eq!(client.frame().await, (TEXT, vec![]), "an empty message is sent uncompressed");
    }
    running.shutdown().await;
}

#[tokio::test]
async fn what_breaks_a_rule_ends_its_connection_and_no_other() {
    let (running, _) = start(|server| server.compress(Compression::new()).max_message(100_000)).await;
    let mut other = Raw::compressing(&running, "other", "s").await;
    let (bomb, just) = (deflated(&vec![0; 50 << 20]), vec![7; 100_000]);
    let cases: [(u8, &[u8], u16); 8] = [
        (BINARY | COMPRESSED, &bomb, 1009),
        (BINARY | COMPRESSED, &deflated(&vec![0; 100_001]), 1009),
        (BINARY | COMPRESSED, b"this is not DEFLATE", 1007),
        (BINARY | COMPRESSED, &deflated(&just)[..20], 1007),
        (TEXT | COMPRESSED, &deflated(b"\xff\xfe"), 1007),
        // Control frames and continuations with the bit for compression, and another reserved bit.
        (0x89 | COMPRESSED, b"", 1002),
        (0x80 | COMPRESSED, b"", 1002),
        (TEXT | 0x20, b"", 1002),
    ];
    for (first, payload, code) in cases {
        let mut client = Raw::compressing(&running, "a", "r").await;
        client.send(BINARY | COMPRESSED, &deflated(&just)).await;
        assert_eq!(client.message().await, (just.clone(), true));
        client.send(first, payload).await;
        assert_eq!(client.close_code().await, code, "{first:#x}");
        other.send(TEXT | COMPRESSED, &deflated(b"still here")).await;
        assert_eq!(other.message().await.0, b"still here");
    }
    running.shutdown().await;
}

#[tokio::test]
async fn what_says_much_in_few_bytes_is_read_in_shares_and_in_order() {
    let (running, _) = started().await;
    let mut client = Raw::compressing(&running, "a", "r").await;
    // All of them fit into one read, and each inflates to more than the server handles in one step.
    let payloads: Vec<Vec<u8>> = (0..30).map(|number| vec![number; 300_000]).collect();
    let mut frames = Vec::new();
    for payload in &payloads {
        let deflated = deflated(payload);
        frames.extend([BINARY | COMPRESSED, 0x80 | 126]);
        frames.extend(u16::try_from(deflated.len()).unwrap().to_be_bytes());
        frames.extend([0; 4]);
        frames.extend(deflated);
    }
    assert!(frames.len() < 64 * 1024);
    client.stream.write_all(&frames).await.unwrap();
    for payload in payloads {
        assert_eq!(client.message().await, (payload, true));
    }
    running.shutdown().await;
}

#[tokio::test]
async fn what_is_sent_before_the_connection_has_come_is_compressed_too() {
    // A client that opens receives its Replica's id, 64 hex digits. That message is sent before the Replica's worker
    // has the connection.
    let (running, _) = start(|server| server.compress(Compression::new().at_least(0))).await;
    let (mut client, _) = Raw::connect(&running, "a", "r", OFFER).await;
    let (id, compressed) = client.message().await;
    assert_eq!((id.len(), compressed), (64, true));
    running.shutdown().await;
}
