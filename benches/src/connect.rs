//! How a client gets in: the handshake.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::ops::Range;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::frame::ENGINE_PONG;

/// How long a server may take to let one client in.
const PATIENCE: Duration = Duration::from_secs(10);

/// The key of all our handshakes, which is the one in RFC 6455.
pub const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

/// What a server must make of [`KEY`].
pub const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// The most that a server may say in its handshake.
const LONGEST: u64 = 4096;

/// How a client asks for compression: so that one compressed frame can serve all.
const DEFLATE: &str = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";

/// What is spoken once a socket is open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// Messages, and nothing besides.
    #[default]
    WebSocket,
    /// Packets of Engine.IO, and in them those of Socket.IO.
    SocketIo,
}

/// The way into a server.
#[derive(Clone, Copy, Debug)]
pub struct Door {
    /// Where it is.
    pub address: SocketAddr,
    /// What is spoken behind it.
    pub protocol: Protocol,
    /// Whether clients ask for compression, and do not come in without.
    pub compressed: bool,
}

impl From<SocketAddr> for Door {
    /// The plain one.
    fn from(address: SocketAddr) -> Self {
        Self { address, protocol: Protocol::WebSocket, compressed: false }
    }
}

/// What client `number` asks for who wants to be in `room`.
pub fn query(number: usize, room: usize) -> String {
    format!("u=u{number}&room=r{room}")
}

/// Opens the sockets of the clients with these numbers, up to `at_once` at the same time, each with the query that
/// `query` says.
///
/// # Errors
/// When one of them is not let in.
pub fn all(
    door: Door,
    numbers: Range<usize>,
    query: impl Fn(usize) -> String + Sync,
    at_once: usize,
) -> Result<Vec<TcpStream>> {
    let numbers: Vec<usize> = numbers.collect();
    let share = numbers.len().div_ceil(at_once.max(1)).max(1);
    let connect_one =
        |number: &usize| connect(door, &query(*number)).with_context(|| format!("client {number} was not let in"));
    let connect_share = |numbers: &[usize]| numbers.iter().map(connect_one).collect();
    thread::scope(|scope| {
        let threads: Vec<_> = numbers.chunks(share).map(|share| scope.spawn(|| connect_share(share))).collect();
        let mut streams = Vec::with_capacity(numbers.len());
        for thread in threads {
            let share: Result<Vec<TcpStream>> = thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            streams.extend(share?);
        }
        Ok(streams)
    })
}

/// Opens a socket. It does not block from then on.
///
/// # Errors
/// When the server does not let it in, within ten seconds and by the rules.
pub fn connect(door: Door, query: &str) -> Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&door.address, PATIENCE)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    // Ended by a reset, a connection leaves no port behind in TIME_WAIT, and rounds do not run out of them.
    rustix::net::sockopt::set_socket_linger(&stream, Some(Duration::ZERO))?;
    (&stream).write_all(request(door, query).as_bytes())?;
    let mut reader = BufReader::with_capacity(1024, &stream);
    check(&read_head(&mut reader)?, door.compressed)?;
    if door.protocol == Protocol::SocketIo {
        enter_namespace(&stream, &mut reader)?;
    }
    // Nobody has sent a message yet, so nothing comes after the handshake.
    ensure!(reader.buffer().is_empty(), "the server said more than it was asked");
    stream.set_nonblocking(true)?;
    Ok(stream)
}

fn request(door: Door, query: &str) -> String {
    let path = match door.protocol {
        Protocol::WebSocket => "/ws?",
        Protocol::SocketIo => "/socket.io/?EIO=4&transport=websocket&",
    };
    let extensions = if door.compressed { format!("Sec-WebSocket-Extensions: {DEFLATE}\r\n") } else { String::new() };
    format!(
        "GET {path}{query} HTTP/1.1\r\nHost: {}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n{extensions}\r\n",
        door.address
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
        "the server compresses if it is not asked to, or not"
    );
    Ok(())
}

/// What Socket.IO wants before anything else: its greeting heard, the namespace entered, and that confirmed.
fn enter_namespace(mut stream: &TcpStream, reader: &mut BufReader<&TcpStream>) -> Result<()> {
    expect(&mut stream, reader, "0{")?;
    stream.write_all(&[0x81, 0x82, 0, 0, 0, 0, b'4', b'0'])?;
    expect(&mut stream, reader, "40")?;
    // Some servers ask at once whether we are there.
    while !reader.buffer().is_empty() {
        expect(&mut stream, reader, "2")?;
        stream.write_all(ENGINE_PONG)?;
    }
    Ok(())
}

/// Takes in a packet that begins like this, and before it answers pings.
fn expect(stream: &mut impl Write, reader: &mut impl Read, begin: &str) -> Result<()> {
    let mut text = read_text(reader)?;
    while text == "2" && begin != "2" {
        stream.write_all(ENGINE_PONG)?;
        text = read_text(reader)?;
    }
    ensure!(text.starts_with(begin), "the server greets with {text:?}");
    Ok(())
}

fn read_text(reader: &mut impl Read) -> Result<String> {
    let mut header = [0; 2];
    reader.read_exact(&mut header)?;
    ensure!(header[0] == 0x81 && header[1] <= 126, "the server greets with a frame {header:02x?}");
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
    fn only_the_right_answer_lets_a_client_in() {
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
    fn a_head_ends_where_it_ends() {
        let mut input = b"HTTP/1.1 101 x\r\nA: b\r\n\r\n\x81\x01".as_slice();
        assert_eq!(read_head(&mut input).unwrap(), "HTTP/1.1 101 x\r\nA: b\r\n\r\n");
        assert_eq!(input, b"\x81\x01");
        assert!(read_head(&mut b"HTTP/1.1 101 x\r\n".as_slice()).is_err());
    }

    #[test]
    fn a_greeting_is_taken_in_whole_and_pings_are_answered() {
        let (mut input, mut output) = (b"\x81\x012\x81\x030{}rest".as_slice(), Vec::new());
        expect(&mut output, &mut input, "0{").unwrap();
        assert_eq!((input, output.as_slice()), (b"rest".as_slice(), ENGINE_PONG));
        assert!(expect(&mut output, &mut b"\x81\x0244".as_slice(), "40").is_err());
    }
}
