//! Ten thousand that connect and leave at once, in every way there is.

use std::net::SocketAddr;

use futures_util::future::join_all;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::arena::{self, SLACK};
use crate::child::{PATIENCE, setting};
use crate::steady::{Steady, handshake};

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
    let child = arena::start(&[]);
    let steady = Steady::start(child.address, "same").await;
    let mut settled = Vec::new();
    let mut left = 0;
    for _ in 0..3 {
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
    println!("{what}: resident after each wave: {settled:?} bytes");
    assert!(settled[2] <= settled[0] + SLACK, "each wave leaves something behind: {settled:?}");
    steady.end(&format!("{what}, three times ({left})")).await;
    assert_eq!(child.end(), "");
}
