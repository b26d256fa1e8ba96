//! How fast a Group places clients: [`measure`]. Some clients only ask for a seat, and some open a socket.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use crate::harness::rounds::Measured;
use crate::harness::sample::{Sample, Series};
use crate::scenarios::connects::{self, Visits};
use crate::servers::deployment::Deployment;
use crate::servers::entrant::{Entrant, Program};
use anyhow::{Context, Result, ensure};

use super::contenders::{ClusterSettings, ours};

/// The scenario.
pub const SEATS: &str = "seats";

/// The rows: each kind of client, at the Group's node and at the other one.
pub const ROWS: [[&str; 2]; 2] = [
    ["asked at the Group's node", "asked at the other node"],
    ["socket opened at the Group's node", "socket opened at the other node"],
];

/// Nodes: the Group lives at the first.
pub const NODES: usize = 2;

/// Connections that ask for seats, one at a time each.
const CONNECTIONS: usize = 32;

/// Clients that open sockets.
const VISITS: Visits = Visits { batch: 100, at_once: 4 };

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// The server.
pub fn entrant() -> Entrant {
    ours("seats", Program::Verbs, None).with(&["--verb", "whisper"])
}

/// Measures a Group on two nodes.
///
/// # Errors
/// When the servers do not do what they should.
pub fn measure(settings: &ClusterSettings, deployment: &Deployment) -> Result<Vec<Measured>> {
    // The first client activates the Group at its node. Then the Group has a Replica at each node.
    let present = deployment.connect(NODES, |number| format!("u=first{number}&room=seats"))?;
    let time = settings.timing.measured;
    let [asked, opened] = ROWS;
    let mut samples = Vec::new();
    for node in 0..NODES {
        let measured = |name: &str, sample| Measured { series: Series::new(SEATS, name), repetition: 0, sample };
        samples.push(measured(asked[node], ask(deployment, node, time)?));
        let query = |number: usize| format!("u=v{node}c{number}&room=seats");
        samples.push(measured(opened[node], connects::visits(deployment, node, VISITS, time, query)?));
    }
    drop(present);
    Ok(samples)
}

/// New clients ask a node for seats.
fn ask(deployment: &Deployment, node: usize, time: Duration) -> Result<Sample> {
    let (address, next, over) = (deployment.endpoint(node).address, AtomicUsize::new(0), AtomicBool::new(false));
    thread::scope(|scope| {
        let work = || keep_asking(address, node, &next, &over);
        let threads: Vec<_> = (0..CONNECTIONS).map(|_| scope.spawn(work)).collect();
        thread::sleep(time / 4);
        let sample = connects::cost(deployment, || {
            let begun = next.load(Ordering::Relaxed);
            thread::sleep(time);
            Ok(next.load(Ordering::Relaxed) - begun)
        });
        over.store(true, Ordering::Relaxed);
        for thread in threads {
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        }
        sample
    })
}

fn keep_asking(address: SocketAddr, node: usize, next: &AtomicUsize, over: &AtomicBool) -> Result<()> {
    let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut reader = BufReader::new(&stream);
    while !over.load(Ordering::Relaxed) {
        let number = next.fetch_add(1, Ordering::Relaxed);
        let request = format!("GET /seat?u=n{node}c{number}&room=seats HTTP/1.1\r\nHost: {address}\r\n\r\n");
        (&stream).write_all(request.as_bytes())?;
        read_answer(&mut reader)?;
    }
    Ok(())
}

/// Reads one answer.
fn read_answer(reader: &mut impl BufRead) -> Result<()> {
    let (mut status, mut length) = (String::new(), None);
    reader.read_line(&mut status)?;
    ensure!(status.starts_with("HTTP/1.1 200"), "no seat was reserved: {status:?}");
    loop {
        let mut line = String::new();
        ensure!(reader.read_line(&mut line)? > 0, "the answer is cut");
        match line.trim().split_once(':') {
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => length = Some(value.trim().parse()?),
            Some(_) => {}
            None => break,
        }
    }
    let length: usize = length.context("the answer has no length")?;
    reader.read_exact(&mut vec![0; length])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read_exactly_to_its_end() {
        let mut answer = b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\nA: b\r\n\r\nabcHTTP".as_slice();
        read_answer(&mut answer).unwrap();
        assert_eq!(answer, b"HTTP");
        assert!(read_answer(&mut b"HTTP/1.1 503 x\r\ncontent-length: 0\r\n\r\n".as_slice()).is_err());
        assert!(read_answer(&mut b"HTTP/1.1 200 OK\r\n\r\n".as_slice()).is_err());
        assert!(read_answer(&mut b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n".as_slice()).is_err());
    }
}
