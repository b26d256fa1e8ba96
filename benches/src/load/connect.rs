//! How clients connect: the opening handshake of RFC 6455, and for Socket.IO the packets after it.
//!
//! Our own code, because a scenario measures connecting, and a library's client would cost more than the server.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::ops::Range;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use rustls::ClientConfig;

use super::connection::Connection;
use super::frame::ENGINE_PONG;
use super::nats;

/// How long a server may take to accept one client.
const PATIENCE: Duration = Duration::from_secs(10);

/// The key of all handshakes: the example in RFC 6455.
pub const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

/// The answer to [`KEY`].
pub const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// The longest answer to a handshake, in bytes.
const LONGEST: u64 = 4096;

/// The compression that clients offer. Without context takeover, a server can compress once for all recipients.
const DEFLATE: &str = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";

/// The protocol of an open socket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// WebSocket messages.
    #[default]
    WebSocket,
    /// Packets of Socket.IO in packets of Engine.IO in WebSocket messages.
    SocketIo,
    /// The protocol of NATS in WebSocket messages.
    Nats,
}

/// How to connect to a server.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// Where it listens.
    pub address: SocketAddr,
    /// The protocol of its sockets.
    pub protocol: Protocol,
    /// Whether clients offer compression. It is an error if the server does not accept it.
    pub compressed: bool,
    /// The settings of clients that speak TLS.
    pub tls: Option<Arc<ClientConfig>>,
}

impl From<SocketAddr> for Endpoint {
    /// WebSocket without compression and without TLS.
    fn from(address: SocketAddr) -> Self {
        Self { address, protocol: Protocol::WebSocket, compressed: false, tls: None }
    }
}

/// In the query of a socket that subscribes to the topic that all messages are for.
pub const SUBSCRIBED: &str = "topic=t";

/// The query of client `number` that wants to be in `room`.
pub fn query(number: usize, room: usize) -> String {
    format!("u=u{number}&room=r{room}")
}

/// Connects the clients with these numbers, up to `at_once` at the same time. `query` gives the query of each.
///
/// # Errors
/// When one of them is not accepted.
pub fn all(
    endpoint: &Endpoint,
    numbers: Range<usize>,
    query: impl Fn(usize) -> String + Sync,
    at_once: usize,
) -> Result<Vec<Connection>> {
    let numbers: Vec<usize> = numbers.collect();
    let share = numbers.len().div_ceil(at_once.max(1)).max(1);
    let connect_one = |number: &usize| {
        connect(endpoint, &query(*number)).with_context(|| format!("client {number} was not accepted"))
    };
    let connect_share = |numbers: &[usize]| numbers.iter().map(connect_one).collect();
    thread::scope(|scope| {
        let threads: Vec<_> = numbers.chunks(share).map(|share| scope.spawn(|| connect_share(share))).collect();
        let mut streams = Vec::with_capacity(numbers.len());
        for thread in threads {
            let share: Result<Vec<Connection>> = thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            streams.extend(share?);
        }
        Ok(streams)
    })
}

/// Connects one client. Its socket is non-blocking.
///
/// # Errors
/// When the server does not accept it within ten seconds.
pub fn connect(endpoint: &Endpoint, query: &str) -> Result<Connection> {
    let stream = TcpStream::connect_timeout(&endpoint.address, PATIENCE)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    // Closing with a reset leaves no port in TIME_WAIT: many rounds do not run out of ports.
    rustix::net::sockopt::set_socket_linger(&stream, Some(Duration::ZERO))?;
    let mut connection = Connection::open(stream, endpoint.tls.as_ref())?;
    connection.write_all(request(endpoint, query).as_bytes())?;
    match endpoint.protocol {
        Protocol::WebSocket => accepted(&mut connection, endpoint, |_| Ok(()))?,
        Protocol::SocketIo => {
            let stream = connection.plain()?;
            accepted(stream, endpoint, |reader| enter_namespace(stream, reader))?;
        }
        Protocol::Nats => {
            let stream = connection.plain()?;
            accepted(stream, endpoint, |reader| greet_nats(stream, reader, query.ends_with(SUBSCRIBED)))?;
        }
    }
    connection.tcp().set_nonblocking(true)?;
    Ok(connection)
}

/// Reads the server's answer, and does what follows it.
fn accepted<R: Read>(
    stream: R,
    endpoint: &Endpoint,
    greet: impl FnOnce(&mut BufReader<R>) -> Result<()>,
) -> Result<()> {
    let mut reader = BufReader::with_capacity(1024, stream);
    check(&read_head(&mut reader)?, endpoint.compressed)?;
    greet(&mut reader)?;
    // Nobody has sent a message yet, so nothing follows the handshake.
    ensure!(reader.buffer().is_empty(), "the server sent more than its handshake");
    Ok(())
}

fn request(endpoint: &Endpoint, query: &str) -> String {
    let path = match endpoint.protocol {
        Protocol::WebSocket | Protocol::Nats => "/ws?",
        Protocol::SocketIo => "/socket.io/?EIO=4&transport=websocket&",
    };
    let extensions =
        if endpoint.compressed { format!("Sec-WebSocket-Extensions: {DEFLATE}\r\n") } else { String::new() };
    format!(
        "GET {path}{query} HTTP/1.1\r\nHost: {}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n{extensions}\r\n",
        endpoint.address
    )
}

fn read_head(reader: &mut impl BufRead) -> Result<String> {
    let mut head = String::new();
    let mut limited = reader.take(LONGEST);
    while !head.ends_with("\r\n\r\n") {
        let read = limited.read_line(&mut head)?;
        ensure!(read > 0, "the server answered {head:?} and no more");
    }
    Ok(head)
}

fn check(response: &str, compressed: bool) -> Result<()> {
    let accepted = response.starts_with("HTTP/1.1 101 ") && response.contains(ACCEPT);
    ensure!(accepted, "the server answered {response:?}");
    ensure!(
        response.contains("permessage-deflate") == compressed,
        "the server does not compress as it was asked to: {response:?}"
    );
    Ok(())
}

/// Reads Socket.IO's greeting, enters the default namespace and reads the confirmation.
fn enter_namespace(mut stream: &TcpStream, reader: &mut BufReader<&TcpStream>) -> Result<()> {
    expect(&mut stream, reader, "0{")?;
    stream.write_all(&[0x81, 0x82, 0, 0, 0, 0, b'4', b'0'])?;
    expect(&mut stream, reader, "40")?;
    // Some servers send a ping at once.
    while !reader.buffer().is_empty() {
        expect(&mut stream, reader, "2")?;
        stream.write_all(ENGINE_PONG)?;
    }
    Ok(())
}

/// Reads what NATS says of itself, connects, perhaps subscribes, and waits until the server has done that.
fn greet_nats(mut stream: &TcpStream, reader: &mut BufReader<&TcpStream>, subscribes: bool) -> Result<()> {
    let about = read_payload(reader)?;
    ensure!(about.starts_with("INFO "), "the server sent {about:?} where INFO was expected");
    stream.write_all(&nats::frame(nats::greeting(subscribes).as_bytes()))?;
    loop {
        match read_payload(reader)?.as_str() {
            "PONG\r\n" => return Ok(()),
            "PING\r\n" => stream.write_all(&nats::pong())?,
            other => bail!("NATS answered {other:?}"),
        }
    }
}

/// Reads a packet that begins like this. Answers pings before it.
fn expect(stream: &mut impl Write, reader: &mut impl Read, begin: &str) -> Result<()> {
    let mut text = read_text(reader)?;
    while text == "2" && begin != "2" {
        stream.write_all(ENGINE_PONG)?;
        text = read_text(reader)?;
    }
    ensure!(text.starts_with(begin), "the server sent {text:?} where {begin:?} was expected");
    Ok(())
}

fn read_text(reader: &mut impl Read) -> Result<String> {
    read_frame(reader, 0x81)
}

/// As [`read_text`], of a binary frame.
fn read_payload(reader: &mut impl Read) -> Result<String> {
    read_frame(reader, 0x82)
}

/// Reads a frame of up to 64 KiB that begins with `first` and has text in it.
fn read_frame(reader: &mut impl Read, first: u8) -> Result<String> {
    let mut header = [0; 2];
    reader.read_exact(&mut header)?;
    ensure!(header[0] == first && header[1] <= 126, "the server sent a frame {header:02x?} during its handshake");
    let mut length = u64::from(header[1]);
    if length == 126 {
        let mut long = [0; 2];
        reader.read_exact(&mut long)?;
        length = u64::from(u16::from_be_bytes(long));
    }
    let mut text = String::new();
    reader.take(length).read_to_string(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_right_answer_is_accepted() {
        let right = format!("HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: {ACCEPT}\r\n\r\n");
        check(&right, false).unwrap();
        assert!(check(&right.replace("101", "200"), false).is_err());
        assert!(check(&right.replace(ACCEPT, KEY), false).is_err());
        assert!(check(&right, true).is_err());
        let compressed = right.replace("\r\n\r\n", "\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n");
        check(&compressed, true).unwrap();
        assert!(check(&compressed, false).is_err());
    }

    #[test]
    fn nothing_after_the_head_is_read() {
        let mut input = b"HTTP/1.1 101 x\r\nA: b\r\n\r\n\x81\x01".as_slice();
        assert_eq!(read_head(&mut input).unwrap(), "HTTP/1.1 101 x\r\nA: b\r\n\r\n");
        assert_eq!(input, b"\x81\x01");
        assert!(read_head(&mut b"HTTP/1.1 101 x\r\n".as_slice()).is_err());
    }

    #[test]
    fn a_greeting_is_read_whole_and_pings_are_answered() {
        let (mut input, mut output) = (b"\x81\x012\x81\x030{}rest".as_slice(), Vec::new());
        expect(&mut output, &mut input, "0{").unwrap();
        assert_eq!((input, output.as_slice()), (b"rest".as_slice(), ENGINE_PONG));
        assert!(expect(&mut output, &mut b"\x81\x0244".as_slice(), "40").is_err());
    }
}
