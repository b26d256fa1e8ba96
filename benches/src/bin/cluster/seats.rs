//! How fast a Group places clients: those that ask for a seat and no more, and those that open a socket.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use dog_benches::connect;
use dog_benches::measure::as_float;

use crate::records::Sample;
use crate::stage::Cluster;

/// Connections over which seats are asked for, one at a time on each.
const CONNECTIONS: usize = 32;

/// Clients that open sockets at the same time, and how many of them come before those go that came first.
const AT_ONCE: usize = 4;
const BATCH: usize = 100;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Clients that nobody has seen ask this node for seats, for so long.
pub(crate) fn ask(cluster: &Cluster, node: usize, time: Duration) -> Result<Sample> {
    let (address, next, over) = (cluster.nodes[node].door.address, AtomicUsize::new(0), AtomicBool::new(false));
    let asked: Result<Sample> = thread::scope(|scope| {
        let work = || keep_asking(address, node, &next, &over);
        let threads: Vec<_> = (0..CONNECTIONS).map(|_| scope.spawn(work)).collect();
        thread::sleep(time / 4);
        let sample = count(cluster, || {
            let begun = next.load(Ordering::Relaxed);
            thread::sleep(time);
            Ok(next.load(Ordering::Relaxed) - begun)
        });
        over.store(true, Ordering::Relaxed);
        for thread in threads {
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        }
        sample
    });
    asked
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
        take_answer(&mut reader)?;
    }
    Ok(())
}

/// Reads an answer to its end.
fn take_answer(reader: &mut impl BufRead) -> Result<()> {
    let (mut status, mut length) = (String::new(), None);
    reader.read_line(&mut status)?;
    ensure!(status.starts_with("HTTP/1.1 200"), "no seat was promised: {status:?}");
    loop {
        let mut line = String::new();
        ensure!(reader.read_line(&mut line)? > 0, "the answer has no end");
        match line.trim().split_once(':') {
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => length = Some(value.trim().parse()?),
            Some(_) => {}
            None => break,
        }
    }
    let length: usize = length.context("an answer without a length")?;
    reader.read_exact(&mut vec![0; length])?;
    Ok(())
}

/// Clients open sockets at this node, and leave, for so long.
pub(crate) fn visit(cluster: &Cluster, node: usize, time: Duration) -> Result<Sample> {
    let door = cluster.nodes[node].door;
    let visit = |first: usize| {
        let query = |number: usize| format!("u=v{node}c{number}&room=seats");
        connect::all(door, first..first + BATCH, query, AT_ONCE).map(drop)
    };
    // Once uncounted: code has been loaded by then, and memory taken.
    visit(0)?;
    count(cluster, || {
        let (begun, mut visits) = (Instant::now(), 0);
        while begun.elapsed() < time {
            visit(BATCH + visits)?;
            visits += BATCH;
        }
        Ok(visits)
    })
}

/// What each took of those that `work` does and counts.
fn count(cluster: &Cluster, work: impl FnOnce() -> Result<usize>) -> Result<Sample> {
    let (begun, used, traffic) = (Instant::now(), cluster.used()?, cluster.traffic()?);
    let count = as_float(work()? as u64);
    let (elapsed, (nodes, broker)) = (begun.elapsed(), cluster.used()?.since(&used));
    let traffic = cluster.traffic()?.since(traffic);
    ensure!(count > 0.0, "nobody was placed in the time that is measured");
    Ok(Sample::from([
        ("a second", count / elapsed.as_secs_f64()),
        ("nodes", nodes / count),
        ("broker", broker / count),
        ("letters", as_float(traffic.letters) / count),
    ]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read_to_its_end_and_no_further() {
        let mut answer = b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\nA: b\r\n\r\nabcHTTP".as_slice();
        take_answer(&mut answer).unwrap();
        assert_eq!(answer, b"HTTP");
        assert!(take_answer(&mut b"HTTP/1.1 503 x\r\ncontent-length: 0\r\n\r\n".as_slice()).is_err());
        assert!(take_answer(&mut b"HTTP/1.1 200 OK\r\n\r\n".as_slice()).is_err());
        assert!(take_answer(&mut b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n".as_slice()).is_err());
    }
}
