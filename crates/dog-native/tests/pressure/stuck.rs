//! A handler that blocks its thread does not stop the other threads.

use std::path::Path;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::app::Hall;
use crate::client::{Client, Frame, frame};

/// Makes the client's Replica block its thread until the file `release` exists.
async fn stand_still(client: &mut Client, release: &Path) {
    client.say(&format!("stand still {}", release.display())).await;
    let stands = async {
        while !release.with_extension("stands").exists() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(crate::PATIENCE, stands).await.expect("the handler runs");
}

async fn says_hello(hall: &Hall) {
    let mut stream = TcpStream::connect(hall.running.local_addr()).await.unwrap();
    stream.write_all(b"GET /hello HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    let read = tokio::time::timeout(crate::PATIENCE, stream.read_to_string(&mut answer)).await;
    read.expect("an answer in time").unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[tokio::test]
async fn while_a_worker_stands_still_every_new_connection_is_answered() {
    let folder = tempfile::tempdir().unwrap();
    let release = folder.path().join("release");
    let hall = Hall::open(1000, |server| server.workers(2)).await;
    let mut stands = Client::open(hall.running.local_addr(), "room", "stands").await;
    stand_still(&mut stands, &release).await;
    // The kernel gives about half of the connections to each worker.
    for _ in 0..20 {
        says_hello(&hall).await;
    }
    std::fs::write(&release, "").unwrap();
    stands.say("ping").await;
    assert_eq!(stands.hear().await, "pong");
    for _ in 0..20 {
        says_hello(&hall).await;
    }
    let address = hall.running.local_addr();
    stands.write(&frame(0x88, &1000_u16.to_be_bytes())).await.unwrap();
    assert_eq!(stands.next().await, Frame::Close(1000));
    hall.running.shutdown().await;
    assert!(TcpStream::connect(address).await.is_err(), "the server still listens");
}

/// One Replica of a Group is on a worker whose thread is blocked. What waits for that worker is bounded, and the
/// clients on the other worker receive everything.
#[tokio::test]
async fn what_waits_for_a_worker_that_stands_still_is_bounded_and_the_others_go_on() {
    const SIZE: usize = 64 * 1024;
    /// Twice the number of messages that may wait for one worker.
    const MESSAGES: usize = 2048;
    let folder = tempfile::tempdir().unwrap();
    let release = folder.path().join("release");
    // One seat per Replica, and Replicas on both workers.
    let hall = Hall::open(1, |server| server.workers(2).max_outbox(64 << 20)).await;
    let address = hall.running.local_addr();
    let mut stands = Client::open(address, "room", "stands").await;
    let mut others = Vec::new();
    for at in 0..4 {
        others.push(Client::open(address, "room", &format!("other{at}")).await);
    }
    stand_still(&mut stands, &release).await;
    // Those clients whose Replicas are on the other worker.
    let mut awake = Vec::new();
    for mut other in others {
        other.say("ping").await;
        let heard = tokio::time::timeout(std::time::Duration::from_secs(2), other.hear()).await;
        if heard.is_ok() {
            awake.push(other);
        }
    }
    assert!(!awake.is_empty(), "new Replicas are spread over the workers");
    let mut speaker = awake.remove(0);
    for _ in 0..MESSAGES / 16 {
        speaker.write(&frame(0x82, &vec![7; SIZE]).repeat(16)).await.unwrap();
        for _ in 0..16 {
            assert_eq!(speaker.next().await, Frame::Binary(SIZE));
            for other in &mut awake {
                assert_eq!(other.next().await, Frame::Binary(SIZE));
            }
        }
    }
    std::fs::write(&release, "").unwrap();
    // Each turn of the worker handles some of the messages that waited. The loop ends after a turn that brought none.
    let (mut heard, mut before) = (0, None);
    while before != Some(heard) {
        before = Some(heard);
        stands.say("ping").await;
        loop {
            match stands.next().await {
                Frame::Binary(SIZE) => heard += 1,
                Frame::Text(pong) if pong == "pong" => break,
                Frame::Ping => {}
                other => panic!("{other:?}"),
            }
        }
    }
    // The bound is 64 MiB. More than half of it was kept, and the rest was dropped.
    assert!((MESSAGES / 4..MESSAGES * 3 / 4).contains(&heard), "{heard} of {MESSAGES} messages waited");
    hall.running.shutdown().await;
}
