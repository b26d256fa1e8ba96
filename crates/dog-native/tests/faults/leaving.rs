//! Ten thousand that connect and leave at once, in every way there is.

use std::net::SocketAddr;

use futures_util::future::join_all;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::arena::{self, HANDSHAKE, MAX_HEADER, SLACK};
use crate::child::{PATIENCE, setting};
use crate::steady::{Steady, handshake};

/// What one connection may take before it is a socket: what is read of its request, what is written of its response, the
/// tasks that see to both.
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
    let request = handshake("same", &format!("c{at}"));
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

/// With a reset where it is wanted, and in good order else.
fn leave(stream: &TcpStream, reset: bool) {
    if reset {
        socket2::SockRef::from(stream).set_linger(Some(std::time::Duration::ZERO)).unwrap();
    }
}

#[tokio::test]
async fn ten_thousand_that_come_and_leave_at_once() {
    let many: usize = setting("DOG_CROWD").unwrap_or(2_000);
    let what = format!("{many} that come and leave at once");
    // They connect before any of them speaks, and there are many.
    let child = arena::start(&[(HANDSHAKE, "60")]);
    let steady = Steady::start(child.address, "same").await;
    let before = child.resident();
    let mut settled = Vec::new();
    let mut left = 0;
    for _ in 0..4 {
        let coming = (0..many).map(|at| come(child.address, at, WAYS[at % WAYS.len()].0));
        let streams = tokio::time::timeout(PATIENCE, join_all(coming)).await.expect("all are let in");
        for (at, stream) in streams.iter().enumerate() {
            leave(stream, WAYS[at % WAYS.len()].1);
        }
        left += streams.len();
        drop(streams);
        // The server is done with them when it has no more descriptors than for those who stay.
        let done = async {
            while child.descriptors() > 100 {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, done).await.expect("the server lets go of those who left");
        settled.push(child.resident());
    }
    let bound = before + many * IN_HANDSHAKE + SLACK;
    println!("{what}: {before} bytes resident before, {settled:?} after each wave; the bound is {bound}");
    // However many came: those who are there at once are what counts.
    assert!(settled.iter().all(|resident| *resident <= bound), "{settled:?} is beyond {bound}");
    steady.end(&format!("{what}, {left} in all")).await;
    assert_eq!(child.end(), "");
}
