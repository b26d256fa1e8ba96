//! WebSocket clients that show the test every frame.

use std::net::SocketAddr;

use dog_test_support::client::connect_with_little_room;
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use crate::PATIENCE;

/// A frame from the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Frame {
    Text(String),
    Binary(usize),
    Ping,
    Pong(Vec<u8>),
    Close(u16),
    /// The connection ended without a close frame.
    End,
}

impl Frame {
    /// Splits `bytes` into frames. A last frame that is incomplete is left out.
    pub(crate) fn all(mut bytes: &[u8]) -> Vec<Self> {
        let mut frames = Vec::new();
        while let [first, length, rest @ ..] = bytes {
            let (length, rest) = match (length, rest) {
                (126, [a, b, rest @ ..]) => (usize::from(u16::from_be_bytes([*a, *b])), rest),
                (127, rest) if rest.len() > 8 => {
                    let (length, rest) = rest.split_first_chunk::<8>().unwrap();
                    (usize::try_from(u64::from_be_bytes(*length)).unwrap(), rest)
                }
                (length, rest) => (usize::from(*length), rest),
            };
            let Some((payload, rest)) = rest.split_at_checked(length) else { break };
            frames.push(Self::of(*first, payload));
            bytes = rest;
        }
        frames
    }

    fn of(first: u8, payload: &[u8]) -> Self {
        match first {
            0x81 => Self::Text(String::from_utf8(payload.to_vec()).unwrap()),
            0x82 => Self::Binary(payload.len()),
            0x88 => Self::Close(payload.first_chunk().map_or(1005, |code| u16::from_be_bytes(*code))),
            0x89 => Self::Ping,
            0x8a => Self::Pong(payload.to_vec()),
            other => panic!("a frame that begins with {other:#x}"),
        }
    }
}

/// One WebSocket connection.
pub(crate) struct Client {
    stream: BufReader<TcpStream>,
}

/// Returns a frame as a client sends it, masked with zeros.
pub(crate) fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match payload.len() {
        length @ 0..126 => frame.push(0x80 | u8::try_from(length).unwrap()),
        length @ 126..65_536 => {
            frame.push(0x80 | 126);
            frame.extend(u16::try_from(length).unwrap().to_be_bytes());
        }
        length => {
            frame.push(0x80 | 127);
            frame.extend((length as u64).to_be_bytes());
        }
    }
    frame.extend([0; 4]);
    frame.extend(payload);
    frame
}

impl Client {
    pub(crate) async fn open(address: SocketAddr, room: &str, name: &str) -> Self {
        Self::over(TcpStream::connect(address).await.unwrap(), room, name).await
    }

    /// Opens a WebSocket whose receive buffer in the kernel is small.
    pub(crate) async fn narrow(address: SocketAddr, room: &str, name: &str) -> Self {
        Self::over(connect_with_little_room(address).await, room, name).await
    }

    async fn over(mut stream: TcpStream, room: &str, name: &str) -> Self {
        stream.set_nodelay(true).unwrap();
        let request = format!(
            "GET /?u={name}&room={room} HTTP/1.1\r\nhost: test\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
             sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(tokio::time::timeout(PATIENCE, stream.read_u8()).await.expect("an answer").unwrap());
        }
        assert!(head.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&head));
        let mut client = Self { stream: BufReader::with_capacity(256 * 1024, stream) };
        assert_eq!(client.next().await, Frame::Text("open".into()));
        client
    }

    /// Returns the connection. Nothing has been read ahead once the WebSocket is open.
    pub(crate) fn into_stream(self) -> TcpStream {
        self.stream.into_inner()
    }

    pub(crate) async fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.stream.get_mut().write_all(bytes).await
    }

    pub(crate) async fn say(&mut self, text: &str) {
        self.write(&frame(0x81, text.as_bytes())).await.unwrap();
    }

    /// Waits for the next frame.
    pub(crate) async fn next(&mut self) -> Frame {
        tokio::time::timeout(PATIENCE, self.read()).await.expect("a frame in time").unwrap_or(Frame::End)
    }

    /// Waits for the next text, and skips other frames.
    pub(crate) async fn hear(&mut self) -> String {
        loop {
            match self.next().await {
                Frame::Text(text) => return text,
                end @ (Frame::Close(_) | Frame::End) => panic!("{end:?}"),
                _ => {}
            }
        }
    }

    /// Reads `most` bytes, or until the connection ends, in small steps, so that it takes at least `time`.
    pub(crate) async fn read_slowly(&mut self, most: usize, time: std::time::Duration) -> Vec<u8> {
        let (mut read, mut buffer) = (Vec::new(), vec![0; 64 * 1024]);
        let pause = time / 200;
        let mut next = 64 * 1024;
        while read.len() < most {
            let room = buffer.len().min(most - read.len());
            match tokio::time::timeout(PATIENCE, self.stream.read(&mut buffer[..room])).await.expect("more bytes") {
                Ok(length) if length > 0 => read.extend_from_slice(&buffer[..length]),
                _ => break,
            }
            if read.len() >= next {
                next = read.len() + 64 * 1024;
                // This sleep waits for nothing. It makes the client slow.
                tokio::time::sleep(pause).await;
            }
        }
        read
    }

    async fn read(&mut self) -> std::io::Result<Frame> {
        let first = self.stream.read_u8().await?;
        let length = match self.stream.read_u8().await? {
            126 => usize::from(self.stream.read_u16().await?),
            127 => usize::try_from(self.stream.read_u64().await?).unwrap(),
            length => usize::from(length),
        };
        let mut payload = vec![0; length];
        self.stream.read_exact(&mut payload).await?;
        Ok(Frame::of(first, &payload))
    }
}
