//! Blocking clients with buffers of a fixed size. They allocate nothing while a server's allocations are counted.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Longer than anything here takes. Only a test that hangs reaches it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The payload of each message. Traces are searched for its first words.
pub(crate) const WORD: &[u8] = b"counted, and not by the clock   ";

/// The length of a frame with that payload as a server sends it, with two bytes before the payload.
const FRAME: usize = 2 + WORD.len();

/// The most messages that are sent with one write.
pub(crate) const TOGETHER: usize = 32;

/// Sockets in one room.
pub(crate) struct Crowd {
    sockets: Vec<TcpStream>,
    /// [`TOGETHER`] messages as a client sends them.
    outgoing: Vec<u8>,
    incoming: Vec<u8>,
}

impl Crowd {
    /// Opens `sockets` sockets, each for a client of its own.
    pub(crate) fn connect(address: SocketAddr, sockets: usize) -> Self {
        // A mask of zeros leaves the payload unchanged.
        let masked = [&[0x82, 0x80 | u8::try_from(WORD.len()).unwrap(), 0, 0, 0, 0], WORD].concat();
        Self {
            sockets: (0..sockets).map(|number| enter(address, number)).collect(),
            outgoing: masked.repeat(TOGETHER),
            incoming: vec![0; FRAME * TOGETHER],
        }
    }

    /// Sends `messages` messages at once on the first socket, and receives them on all sockets.
    pub(crate) fn say(&mut self, messages: usize) {
        let Self { sockets, outgoing, incoming } = self;
        let all = outgoing.len() / TOGETHER * messages;
        (&sockets[0]).write_all(&outgoing[..all]).unwrap();
        let incoming = &mut incoming[..FRAME * messages];
        for mut socket in &*sockets {
            socket.read_exact(incoming).unwrap();
            assert!(incoming.chunks(FRAME).all(|frame| &frame[2..] == WORD));
        }
    }
}

fn enter(address: SocketAddr, number: usize) -> TcpStream {
    let mut socket = reach(address);
    shake_hands(&mut socket, address, number);
    socket
}

pub(crate) fn reach(address: SocketAddr) -> TcpStream {
    let socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.set_nodelay(true).unwrap();
    socket
}

/// Makes a connection the WebSocket of a client.
pub(crate) fn shake_hands(socket: &mut (impl Read + Write), address: SocketAddr, number: usize) {
    let request = format!(
        "GET /?u=u{number} HTTP/1.1\r\nHost: {address}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    socket.write_all(request.as_bytes()).unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        socket.read_exact(&mut byte).unwrap();
        head.extend_from_slice(&byte);
    }
    assert!(head.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&head));
}
