//! A proxy between clients without compression and a server that offers it. It compresses the clients' messages and
//! inflates the server's. It forwards everything unchanged that is not a whole message of at most 2 MiB.

use std::io;
use std::net::SocketAddr;

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// First bytes of a whole text message and of a whole binary message.
const MESSAGES: [u8; 2] = [0x81, 0x82];
const COMPRESSED: u8 = 0x40;
const MASKED: u8 = 0x80;
/// The largest payload that is compressed or inflated, in bytes.
const MOST: usize = 2 << 20;

/// Starts a proxy for `server`, and returns its address.
pub(crate) async fn before(server: SocketAddr) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            tokio::spawn(async move {
                // If one side breaks off, both streams are dropped, so the other side breaks off too.
                let _ = pass_on(client, server).await;
            });
        }
    });
    address
}

async fn pass_on(mut client: TcpStream, server: SocketAddr) -> io::Result<()> {
    let mut server = TcpStream::connect(server).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let mut request = head(&mut client).await?;
    let shakes_hands = String::from_utf8_lossy(&request).to_ascii_lowercase().contains("upgrade: websocket");
    if !shakes_hands {
        server.write_all(&request).await?;
        return tokio::io::copy_bidirectional(&mut client, &mut server).await.map(drop);
    }
    request.truncate(request.len() - 2);
    request.extend(b"sec-websocket-extensions: permessage-deflate\r\n\r\n");
    server.write_all(&request).await?;
    let response = head(&mut server).await?;
    client.write_all(&response).await?;
    if !response.starts_with(b"HTTP/1.1 101") {
        return tokio::io::copy_bidirectional(&mut client, &mut server).await.map(drop);
    }
    let agreed = String::from_utf8_lossy(&response).contains("permessage-deflate; server_no_context_takeover");
    assert!(agreed, "the server does not compress");
    let (mut from_client, mut to_client) = client.split();
    let (mut from_server, mut to_server) = server.split();
    let there = frames(&mut from_client, &mut to_server, compressed);
    let back = frames(&mut from_server, &mut to_client, inflated);
    tokio::try_join!(there, back).map(drop)
}

/// Reads up to the empty line, or to the end of the stream.
async fn head(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).await? > 0 {
        head.push(byte[0]);
    }
    Ok(head)
}

/// Forwards frames, each changed by `turn`. If a frame is too large, forwards that and the rest unchanged.
async fn frames<R: AsyncRead + Unpin, W: AsyncWrite + Unpin>(
    from: &mut R,
    to: &mut W,
    turn: fn(u8, &[u8], bool) -> Vec<u8>,
) -> io::Result<()> {
    let mut buffer = Vec::new();
    loop {
        match frame_of(&buffer) {
            Some(Ok((header, length))) if buffer.len() >= header + length => {
                let rest = buffer.split_off(header + length);
                let frame = std::mem::replace(&mut buffer, rest);
                to.write_all(&turned(&frame, header, turn)).await?;
            }
            Some(Err(())) => {
                to.write_all(&buffer).await?;
                tokio::io::copy(from, to).await?;
                return to.shutdown().await;
            }
            _ => {
                if from.read_buf(&mut buffer).await? == 0 {
                    to.write_all(&buffer).await?;
                    return to.shutdown().await;
                }
            }
        }
    }
}

/// Returns the lengths of a frame's header and payload once the header has arrived. The error is a frame that is too
/// large.
fn frame_of(bytes: &[u8]) -> Option<Result<(usize, usize), ()>> {
    let &[_, second, ref rest @ ..] = bytes else { return None };
    let (header, length) = match second & !MASKED {
        126 => (4, u64::from(u16::from_be_bytes(*rest.first_chunk()?))),
        127 => (10, u64::from_be_bytes(*rest.first_chunk()?)),
        short => (2, u64::from(short)),
    };
    let mask = if second & MASKED != 0 { 4 } else { 0 };
    Some(usize::try_from(length).ok().filter(|length| *length <= MOST).map(|length| (header + mask, length)).ok_or(()))
}

fn turned(frame: &[u8], header: usize, turn: fn(u8, &[u8], bool) -> Vec<u8>) -> Vec<u8> {
    let (masked, mut payload) = (frame[1] & MASKED != 0, frame[header..].to_vec());
    if !MESSAGES.contains(&(frame[0] & !COMPRESSED)) {
        return frame.to_vec();
    }
    if masked {
        let mask = &frame[header - 4..header];
        payload.iter_mut().zip(mask.iter().cycle()).for_each(|(byte, key)| *byte ^= key);
    }
    turn(frame[0], &payload, masked)
}

fn compressed(first: u8, payload: &[u8], masked: bool) -> Vec<u8> {
    let mut deflated = Vec::with_capacity(payload.len() + payload.len() / 8 + 100);
    let mut stream = Compress::new(Compression::fast(), false);
    stream.compress_vec(payload, &mut deflated, FlushCompress::Sync).expect("there is room");
    deflated.truncate(deflated.len() - 4);
    laid_out(first | COMPRESSED, &deflated, masked)
}

fn inflated(first: u8, payload: &[u8], masked: bool) -> Vec<u8> {
    if first & COMPRESSED == 0 {
        return laid_out(first, payload, masked);
    }
    let mut plain = Vec::with_capacity(MOST);
    let whole = [payload, &[0, 0, 0xff, 0xff]].concat();
    let mut stream = Decompress::new(false);
    stream.decompress_vec(&whole, &mut plain, FlushDecompress::Sync).expect("the server's compression is valid");
    laid_out(first & !COMPRESSED, &plain, masked)
}

/// Returns a frame, under a mask of zeros if `masked`.
fn laid_out(first: u8, payload: &[u8], masked: bool) -> Vec<u8> {
    let mask = if masked { MASKED } else { 0 };
    let mut frame = vec![first];
    match u8::try_from(payload.len()) {
        Ok(length @ 0..=125) => frame.push(mask | length),
        _ => {
            frame.push(mask | 127);
            frame.extend((payload.len() as u64).to_be_bytes());
        }
    }
    frame.extend(std::iter::repeat_n(0, if masked { 4 } else { 0 }));
    frame.extend(payload);
    frame
}
