//! How a client gets in: the handshake.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::ops::Range;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

/// How long a server may take to let one client in.
const PATIENCE: Duration = Duration::from_secs(10);

/// The key of all our handshakes, which is the one in RFC 6455.
pub const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

/// What a server must make of [`KEY`].
pub const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// The most that a server may say in its handshake.
const LONGEST: usize = 4096;

/// Opens the sockets of the clients with these numbers, up to `at_once` at the same time, each in the room that `room`
/// says.
///
/// # Errors
/// When one of them is not let in.
pub fn all(
    address: SocketAddr,
    numbers: Range<usize>,
    room: impl Fn(usize) -> usize + Sync,
    at_once: usize,
) -> Result<Vec<TcpStream>> {
    let numbers: Vec<usize> = numbers.collect();
    let share = numbers.len().div_ceil(at_once.max(1)).max(1);
    let connect_share =
        |numbers: &[usize]| numbers.iter().map(|number| connect(address, *number, room(*number))).collect();
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

/// Opens the socket of client `number` in a room. It does not block from then on.
///
/// # Errors
/// When the server does not let it in, within ten seconds and by the rules.
pub(crate) fn connect(address: SocketAddr, number: usize, room: usize) -> Result<TcpStream> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    // Ended by a reset, a connection leaves no port behind in TIME_WAIT, and rounds do not run out of them.
    rustix::net::sockopt::set_socket_linger(&stream, Some(Duration::ZERO))?;
    let request = format!(
        "GET /ws?u=u{number}&room=r{room} HTTP/1.1\r\nHost: {address}\r\nUpgrade: websocket\r\n\
         Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n\r\n"
    );
    stream.write_all(request.as_bytes())?;
    let response = read_head(&mut stream).with_context(|| format!("client {number} was not let in"))?;
    check(&response)?;
    stream.set_nonblocking(true)?;
    Ok(stream)
}

fn read_head(stream: &mut TcpStream) -> Result<String> {
    let mut head = Vec::new();
    let mut buffer = [0; 1024];
    while !head.ends_with(b"\r\n\r\n") {
        let read = stream.read(&mut buffer)?;
        ensure!(read > 0, "the server hung up after {:?}", String::from_utf8_lossy(&head));
        head.extend_from_slice(&buffer[..read]);
        // Nobody has sent a message yet, so nothing comes after the head; a refusal may have a body, and ends here.
        ensure!(head.len() <= LONGEST, "the server answered {:?}", String::from_utf8_lossy(&head));
        if head.windows(4).any(|window| window == b"\r\n\r\n") {
            break;
        }
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}

fn check(response: &str) -> Result<()> {
    let accepted = response.starts_with("HTTP/1.1 101 ") && response.contains(ACCEPT) && response.ends_with("\r\n\r\n");
    ensure!(accepted, "the server answered {response:?}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_right_answer_lets_a_client_in() {
        let right = format!("HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: {ACCEPT}\r\n\r\n");
        check(&right).unwrap();
        assert!(check(&right.replace("101", "200")).is_err());
        assert!(check(&right.replace(ACCEPT, KEY)).is_err());
        assert!(check(&format!("{right}more")).is_err());
    }
}
