//! Hostile clients. Meanwhile the server goes on to serve other clients, and its memory stays below a bound that
//! follows from its settings.

use std::net::SocketAddr;
use std::time::Duration;

use dog_test_support::client::connect_with_little_room;
use futures_util::future::join_all;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Barrier;

use crate::arena::{self, HANDSHAKE, MAX_HEADER, MAX_MESSAGE, MAX_OUTBOX, SLACK};
use crate::child::{Child, PATIENCE, within};
use crate::steady::{
    Client, Steady, frame, handshake, last_close_code, raw, read_to_end, until_the_books_say, waiting,
};

/// Fails if the server uses more memory than `before`, `allowed` for these clients, and the slack together.
fn weigh(child: &Child, before: usize, allowed: usize, what: &str) {
    within(child.resident(), before, allowed + SLACK, what);
}

async fn begin(what: &str) -> (Child, Steady, usize) {
    begin_with(what, &[]).await
}

async fn begin_with(what: &str, settings: &[(&str, &str)]) -> (Child, Steady, usize) {
    println!("{what}");
    let child = arena::start(settings);
    let steady = Steady::start(child.address, "same").await;
    let before = child.resident();
    (child, steady, before)
}

/// Checks that the Group's books know only the two well-behaved clients, that these were served, and that the server
/// printed no error.
async fn finish(child: Child, steady: Steady, what: &str) {
    until_the_books_say(&child, 2).await;
    steady.end(what).await;
    assert_eq!(child.end(), "", "{what}");
}

/// Opens a connection whose receive buffer in the kernel is small.
async fn narrow(address: SocketAddr, name: &str) -> TcpStream {
    let mut stream = connect_with_little_room(address).await;
    stream.write_all(handshake("same", name).as_bytes()).await.unwrap();
    stream
}

#[tokio::test]
async fn those_that_never_read() {
    const SLOW: usize = 50;
    const ROUNDS: usize = 400;
    let what = "fifty that never read";
    let (child, steady, before) = begin(what).await;
    let names: Vec<String> = (0..SLOW).map(|at| format!("slow{at}")).collect();
    let mut slow = join_all(names.iter().map(|name| narrow(child.address, name))).await;
    // The flooder is in their room, so each of its messages is sent to all of them: 75 MiB per socket.
    let mut flooder = Client::connect(child.address, "same", "flooder").await;
    for round in 0..ROUNDS {
        flooder.say("flood 3 65536").await;
        flooder.say(format!("keep {round}")).await;
        while flooder.hear().await != "kept" {}
    }
    weigh(&child, before, (SLOW + 3) * (MAX_OUTBOX + 65_536), what);
    drop(flooder);
    finish(child, steady, what).await;
    // The slow clients were cut off. They received what the kernels had buffered, and not the rest.
    for stream in &mut slow {
        let received = read_to_end(stream).await.len();
        assert!(received < ROUNDS * 3 * 65_536 / 2, "{received} bytes came to one that did not read");
    }
}

#[tokio::test]
async fn those_that_never_read_what_is_small() {
    const SLOW: usize = 50;
    let what = "fifty that never read what is small";
    let (child, steady, before) = begin(what).await;
    let names: Vec<String> = (0..SLOW).map(|at| format!("slow{at}")).collect();
    let slow = join_all(names.iter().map(|name| narrow(child.address, name))).await;
    let mut flooder = Client::connect(child.address, "same", "flooder").await;
    let mut most = 0;
    // Floods until the kernels' buffers are full and bytes wait in the server for each of the sockets.
    while waiting(&child).await < (SLOW * 65_536) as f64 {
        flooder.say("flood 1 65536").await;
        flooder.say("keep 0").await;
        while flooder.hear().await != "kept" {}
    }
    // 84,000 messages of one byte each. In a queue such a message takes more memory than its frame has bytes.
    for round in 0..280 {
        flooder.say("flood 300 1").await;
        flooder.say(format!("keep {round}")).await;
        while flooder.hear().await != "kept" {}
        most = most.max(child.resident());
    }
    within(most, before, (SLOW + 3) * 2 * MAX_OUTBOX + SLACK, what);
    drop((slow, flooder));
    finish(child, steady, what).await;
}

#[tokio::test]
async fn handshakes_of_a_byte_a_second() {
    const MANY: usize = 1000;
    let what = "a thousand handshakes of a byte a second";
    let (child, steady, before) = begin_with(what, &[(HANDSHAKE, "4")]).await;
    let bytes = handshake("same", "slow");
    let all_have_begun = Barrier::new(MANY + 1);
    let one = async || {
        let mut stream = TcpStream::connect(child.address).await.unwrap();
        let mut second = tokio::time::interval(Duration::from_secs(1));
        let mut answer = Vec::new();
        all_have_begun.wait().await;
        for byte in bytes.as_bytes() {
            second.tick().await;
            // The write fails once the server has closed the connection.
            if stream.write_all(&[*byte]).await.is_err() {
                break;
            }
            let mut buffer = [0; 512];
            match stream.try_read(&mut buffer) {
                Ok(0) => return answer,
                Ok(length) => answer.extend_from_slice(&buffer[..length]),
                Err(_) => {}
            }
        }
        answer
    };
    let all = tokio::time::timeout(PATIENCE, join_all((0..MANY).map(|_| one())));
    let weighing = async {
        all_have_begun.wait().await;
        weigh(&child, before, MANY * MAX_HEADER, what);
    };
    let (answers, ()) = futures_util::future::join(all, weighing).await;
    for answer in answers.expect("the server closes all connections in time") {
        assert!(!answer.starts_with(b"HTTP/1.1 101"), "a slow handshake succeeded");
    }
    finish(child, steady, what).await;
}

#[tokio::test]
async fn one_that_floods() {
    let what = "one that floods with messages and never reads";
    let (child, steady, before) = begin(what).await;
    let (mut flooder, mut most) = (raw(child.address, "elsewhere", "flooder").await, 0);
    const ROUNDS: usize = 80;
    // Each message waits for the disk, which takes longer than sending it. So the server has to stop reading, or 80 MiB
    // would be in memory. Each message is answered, and the client reads no answer.
    let messages: Vec<u8> =
        (0..16).flat_map(|_| frame(0x81, format!("wait {}", "x".repeat(MAX_MESSAGE - 100)).as_bytes())).collect();
    for _ in 0..ROUNDS {
        if tokio::time::timeout(PATIENCE, flooder.write_all(&messages)).await.expect("read or closed").is_err() {
            break;
        }
        most = most.max(child.resident());
    }
    within(most, before, 2 * MAX_MESSAGE + MAX_OUTBOX + SLACK, what);
    drop(flooder);
    finish(child, steady, what).await;
}

#[tokio::test]
async fn one_that_pings_and_never_reads() {
    let what = "one that pings and never reads";
    let (child, steady, before) = begin(what).await;
    let mut pinger = narrow(child.address, "pinger").await;
    let pings: Vec<u8> = (0..8000).flat_map(|_| frame(0x89, &[7; 125])).collect();
    // 72 MiB of pings. The server has to answer each with as many bytes.
    for _ in 0..72 {
        if tokio::time::timeout(PATIENCE, pinger.write_all(&pings)).await.expect("read or closed").is_err() {
            break;
        }
    }
    weigh(&child, before, MAX_OUTBOX, what);
    drop(pinger);
    finish(child, steady, what).await;
}

#[tokio::test]
async fn lies_about_lengths() {
    let what = "two hundred frames of 2^60 bytes";
    let (child, steady, before) = begin(what).await;
    let mut liars = Vec::new();
    for at in 0..200 {
        let mut liar = raw(child.address, "liars", &format!("liar{at}")).await;
        let mut header = vec![0x82, 0x80 | 127];
        header.extend((1_u64 << 60).to_be_bytes());
        header.extend([0; 4]);
        header.extend([1; 100]);
        liar.write_all(&header).await.unwrap();
        liars.push(liar);
    }
    weigh(&child, before, 200 * MAX_MESSAGE, what);
    for liar in &mut liars {
        assert_eq!(last_close_code(&read_to_end(liar).await), Some(1009));
    }
    // Messages of a length that is allowed, which are then not sent whole.
    let mut claims = Vec::new();
    for at in 0..200 {
        let mut claimant = raw(child.address, "liars", &format!("claimant{at}")).await;
        let mut header = vec![0x82, 0x80 | 126];
        header.extend(u16::MAX.to_be_bytes());
        claimant.write_all(&[header, vec![0; 4], vec![1; 100]].concat()).await.unwrap();
        claims.push(claimant);
    }
    weigh(&child, before, 400 * MAX_MESSAGE, "two hundred that claim a long message and send little of it");
    drop((claims, liars));
    finish(child, steady, what).await;
}

#[tokio::test]
async fn fragments_without_end() {
    let what = "fragments without end";
    let (child, steady, before) = begin(what).await;
    let mut full = raw(child.address, "elsewhere", "full").await;
    let mut fragments = frame(0x02, &[1]);
    fragments.extend((0..2 * MAX_MESSAGE).flat_map(|_| frame(0x00, &[1])));
    // The server closes the connection before all is sent.
    let _ = tokio::time::timeout(PATIENCE, full.write_all(&fragments)).await.expect("the server reads or closes");
    assert_eq!(last_close_code(&read_to_end(&mut full).await), Some(1009));

    let mut empty = raw(child.address, "elsewhere", "empty").await;
    empty.write_all(&frame(0x02, &[])).await.unwrap();
    let fragments: Vec<u8> = (0..100_000).flat_map(|_| frame(0x00, &[])).collect();
    for _ in 0..20 {
        let sent = tokio::time::timeout(PATIENCE, empty.write_all(&fragments)).await;
        sent.expect("the server reads on").expect("empty fragments break no rule");
    }
    weigh(&child, before, 2 * MAX_MESSAGE, what);
    drop((full, empty));
    finish(child, steady, what).await;
}

#[tokio::test]
async fn headers_without_end() {
    let what = "a hundred requests with headers without end";
    let (child, steady, before) = begin(what).await;
    let one = async || {
        let mut stream = TcpStream::connect(child.address).await.unwrap();
        stream.write_all(b"GET /?u=a&room=r HTTP/1.1\r\nhost: test\r\n").await.unwrap();
        let line = format!("x: {}\r\n", "y".repeat(1000));
        let mut sent = 0;
        while sent < 4 * 1024 * 1024 && stream.write_all(line.as_bytes()).await.is_ok() {
            sent += line.len();
        }
        assert!(sent < 4 * 1024 * 1024, "the server reads headers without a limit");
        let mut answer = Vec::new();
        // The reset of the connection may discard the answer.
        let _ = stream.read_to_end(&mut answer).await;
        assert!(!answer.starts_with(b"HTTP/1.1 2"), "{}", String::from_utf8_lossy(&answer));
    };
    tokio::time::timeout(PATIENCE, join_all((0..100).map(|_| one()))).await.expect("the server closes all connections");
    weigh(&child, before, 100 * MAX_HEADER, what);
    finish(child, steady, what).await;
}
