//! Clients that connect and leave at once, in all combinations of how far they get and how they leave: 2,000 by
//! default, and 10,000 in `cargo xtask test faults`.

use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::arena::{self, MAX_HEADER, SLACK};
use crate::child::{PATIENCE, setting, within};
use crate::steady::{Steady, handshake, until_no_handler_waits, until_the_books_say};

/// The memory that one connection may use before it is a WebSocket: the buffers for its request and its response, and
/// the tasks that handle them.
const IN_HANDSHAKE: usize = 2 * MAX_HEADER + 8 * 1024;

/// How far a client gets before it leaves.
#[derive(Clone, Copy, Debug)]
enum Far {
    Connected,
    HalfShaken,
    Asked,
    Open,
}

const WAYS: [(Far, bool); 8] = [
    (Far::Connected, false),
    (Far::Connected, true),
    (Far::HalfShaken, false),
    (Far::HalfShaken, true),
    (Far::Asked, false),
    (Far::Asked, true),
    (Far::Open, false),
    (Far::Open, true),
];

async fn come(address: SocketAddr, at: usize, far: Far) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = handshake("crowd", &format!("c{at}"));
    let sent = match far {
        Far::Connected => "",
        Far::HalfShaken => &request[..request.len() / 2],
        Far::Asked | Far::Open => &request,
    };
    stream.write_all(sent.as_bytes()).await.unwrap();
    if matches!(far, Far::Open) {
        let answer = tokio::time::timeout(PATIENCE, stream.read_u8()).await.expect("an answer");
        assert_eq!(answer.unwrap(), b'H');
    }
    stream
}

/// Prepares the end of a connection, which closes when it is dropped: with a reset if `reset` says so, otherwise with a
/// regular close.
fn leave(stream: &TcpStream, reset: bool) {
    if reset {
        socket2::SockRef::from(stream).set_linger(Some(Duration::ZERO)).unwrap();
    }
}

/// Raises this process's limit of open files. Many systems begin with 1,024 and let a process have more.
fn allow_descriptors(sockets: usize) {
    let process = std::process::id().to_string();
    let limit = format!("--nofile={}:", sockets + 4_000);
    let raised = Command::new("prlimit").args(["--pid", &process, &limit]).status();
    if !raised.is_ok_and(|status| status.success()) {
        println!("the limit of open files stays as it is");
    }
}

#[tokio::test]
async fn ten_thousand_that_come_and_leave_at_once() {
    let many: usize = setting("DOG_CROWD").unwrap_or(2_000);
    let what = format!("{many} that come and leave at once");
    allow_descriptors(many);
    let child = arena::start(&[]);
    let steady = Steady::start(child.address, "beside").await;
    let before = child.resident();
    let mut settled = Vec::new();
    let mut left = 0;
    for _ in 0..4 {
        let coming = (0..many).map(|at| come(child.address, at, WAYS[at % WAYS.len()].0));
        let streams = tokio::time::timeout(PATIENCE, join_all(coming)).await.expect("all clients connect");
        for (at, stream) in streams.iter().enumerate() {
            leave(stream, WAYS[at % WAYS.len()].1);
        }
        left += streams.len();
        drop(streams);
        // The server is done with these clients when it has only the descriptors that it needs for the others. After
        // that its books must know only the others too.
        let done = async {
            while child.descriptors() > 100 {
                // Another process sends no event for this, so the test polls. The interval affects only how often it
                // does.
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(PATIENCE, done).await.expect("the server drops the connections of clients that left");
        until_the_books_say(&child, 2).await;
        settled.push(child.resident());
    }
    println!("{what}: resident after each wave: {settled:?}");
    // Memory depends on how many clients are there at once, not on how many there have been.
    let most = settled.into_iter().max().unwrap_or_default();
    within(most, before, many * IN_HANDSHAKE + SLACK, &what);
    steady.end(&format!("{what}, {left} in all")).await;
    assert_eq!(child.end(), "");
}

/// Each socket that closes makes its Replica send gossip to all siblings. With two seats per Replica the number of
/// calls is half the square of the number of clients that leave. All at once they would take about 400 MB of memory.
#[tokio::test]
async fn a_room_that_leaves_at_once_is_asked_in_turn() {
    const MANY: usize = 800;
    let what = format!("{MANY} that leave at once, each of whom is asked after everywhere");
    allow_descriptors(MANY);
    let child = arena::start(&[(arena::SEATS, "2"), (arena::ASKS_AT_CLOSE, "yes")]);
    let mut streams = Vec::new();
    while streams.len() < MANY {
        let coming = (streams.len()..MANY).take(50).map(|at| come(child.address, at, Far::Open));
        streams.extend(tokio::time::timeout(PATIENCE, join_all(coming)).await.expect("all clients connect"));
    }
    until_the_books_say(&child, MANY as u64).await;
    let before = child.most_resident();
    drop(streams);
    until_the_books_say(&child, 0).await;
    until_no_handler_waits(&child).await;
    within(child.most_resident(), before, 96 * 1024 * 1024, &what);
    assert_eq!(child.end(), "");
}
