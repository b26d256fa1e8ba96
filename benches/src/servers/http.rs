//! Reads what servers report about themselves over HTTP: [`get`].

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

/// How long a server may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// The body at this path.
///
/// # Errors
/// When the server does not answer with status 200 within ten seconds.
pub fn get(address: SocketAddr, path: &str) -> Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    // In HTTP/1.0 no answer is chunked, and each ends with its connection.
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    body(&answer).map(str::to_owned).with_context(|| format!("http://{address}{path}"))
}

fn body(answer: &str) -> Result<&str> {
    let (head, body) = answer.split_once("\r\n\r\n").context("the answer has no complete head")?;
    let status = head.split(' ').nth(1);
    ensure!(status == Some("200"), "the answer is {:?}", head.lines().next());
    Ok(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_status_200_has_a_body() {
        assert_eq!(body("HTTP/1.0 200 OK\r\nA: b\r\n\r\nwhat\r\n\r\n").unwrap(), "what\r\n\r\n");
        assert!(body("HTTP/1.1 404 Not Found\r\n\r\nwhat").is_err());
        assert!(body("HTTP/1.1 200 OK\r\n").is_err());
    }
}
