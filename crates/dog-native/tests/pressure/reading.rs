//! Clients that read fast, clients that read slowly, and clients that do not read.

use std::time::Duration;

use dog_native::Server;
use futures_util::future::join_all;

use crate::app::Hall;
use crate::client::{Client, Frame, frame};

/// Answers pings until `text` comes. Returns the number of binary messages before it.
async fn binaries_until(client: &mut Client, text: &str) -> usize {
    let mut binaries = 0;
    loop {
        match client.next().await {
            Frame::Binary(_) => binaries += 1,
            Frame::Ping => client.write(&frame(0x8a, b"")).await.unwrap(),
            Frame::Text(heard) if heard == text => return binaries,
            Frame::Text(_) | Frame::Pong(_) => {}
            end @ (Frame::Close(_) | Frame::End) => panic!("{end:?} after {binaries}"),
        }
    }
}

#[tokio::test]
async fn twenty_thousand_empty_messages_at_once_close_nobody() {
    let mut hall = Hall::open(1000, |server| server).await;
    let address = hall.running.local_addr();
    let names: Vec<String> = (0..5).map(|at| format!("reader{at}")).collect();
    let mut readers = join_all(names.iter().map(|name| Client::open(address, "room", name))).await;
    let mut speaker = Client::open(address, "room", "speaker").await;
    let mut piece = frame(0x82, &[]).repeat(20_000);
    piece.extend(frame(0x81, b"end"));
    speaker.write(&piece).await.unwrap();
    readers.push(speaker);
    let heard = join_all(readers.iter_mut().map(|reader| binaries_until(reader, "end"))).await;
    assert_eq!(heard, [20_000; 6]);
    assert_eq!(hall.seen(), Vec::<String>::new(), "a socket was closed");
    hall.running.shutdown().await;
}

/// After a server has been suspended for a minute, all that was sent meanwhile arrives at once. The clients that read
/// still receive all of it, on every worker.
#[tokio::test]
async fn whoever_reads_hears_all_of_a_flood_however_little_may_wait() {
    const MESSAGES: usize = 600;
    for (workers, limit) in [(1, 1000), (3, 2)] {
        let set = |server: Server<_>| server.workers(workers).max_outbox(64 * 1024);
        let mut hall = Hall::open(limit, set).await;
        let address = hall.running.local_addr();
        let names: Vec<String> = (0..8).map(|at| format!("reader{at}")).collect();
        let mut readers = join_all(names.iter().map(|name| Client::open(address, "room", name))).await;
        let mut speaker = Client::open(address, "room", "speaker").await;
        let speaking = async {
            for _ in 0..MESSAGES / 100 {
                speaker.write(&frame(0x82, &[7; 2_000]).repeat(100)).await.unwrap();
            }
            speaker.say("end").await;
        };
        let reading = join_all(readers.iter_mut().map(|reader| binaries_until(reader, "end")));
        let (heard, ()) = futures_util::future::join(reading, speaking).await;
        assert_eq!(heard, [MESSAGES; 8], "{workers} workers");
        assert_eq!(hall.seen(), Vec::<String>::new(), "a socket was closed");
        hall.running.shutdown().await;
    }
}

#[tokio::test]
async fn one_that_does_not_read_is_let_go_and_the_others_hear_everything() {
    const MESSAGES: usize = 3_000;
    let mut hall = Hall::open(1000, |server| server.max_outbox(256 * 1024)).await;
    let address = hall.running.local_addr();
    let mut reader = Client::open(address, "room", "reader").await;
    let _deaf = Client::narrow(address, "room", "deaf").await;
    let mut speaker = Client::open(address, "room", "speaker").await;
    let speaking = async {
        for _ in 0..MESSAGES / 100 {
            speaker.write(&frame(0x82, &[7; 2_000]).repeat(100)).await.unwrap();
            // The speaker receives its own messages too.
            for _ in 0..100 {
                assert_eq!(speaker.next().await, Frame::Binary(2_000));
            }
        }
        speaker.say("end").await;
    };
    let (heard, ()) = futures_util::future::join(binaries_until(&mut reader, "end"), speaking).await;
    assert_eq!(heard, MESSAGES);
    assert_eq!(hall.next_event().await, "deaf is slow");
    hall.running.shutdown().await;
}

/// The client reads for longer than it may be silent, and for longer than a close may take. Most of that time the bytes
/// that wait for it delay the ping.
#[tokio::test]
async fn a_slow_reader_that_goes_on_reading_is_not_taken_for_dead() {
    const SIZE: usize = 1_000_000;
    let set = |server: Server<_>| {
        let times = server.ping_after(Duration::from_secs(1)).idle_timeout(Duration::from_secs(3));
        times.max_outbox(64 << 20).max_message(16 << 20)
    };
    let mut hall = Hall::open(1000, set).await;
    let mut slow = Client::narrow(hall.running.local_addr(), "room", "slow").await;
    slow.say(&format!("give 14 {SIZE}")).await;
    assert_eq!(hall.next_event().await, "given");
    let mut rest = slow.read_slowly(14 * (SIZE + 10), Duration::from_secs(8)).await;
    // The client closes its WebSocket. What waits for it then is still written to the end, although that takes longer
    // than the close timeout.
    assert_eq!(hall.seen(), Vec::<String>::new(), "a socket was closed");
    slow.say(&format!("give 14 {SIZE}")).await;
    slow.write(&frame(0x88, &1000_u16.to_be_bytes())).await.unwrap();
    rest.extend(slow.read_slowly(usize::MAX, Duration::from_secs(4)).await);
    let frames = Frame::all(&rest);
    let messages = frames.iter().filter(|frame| **frame == Frame::Binary(SIZE)).count();
    assert_eq!(messages, 28, "all messages arrive, complete");
    assert_eq!(frames.last(), Some(&Frame::Close(1000)));
    hall.running.shutdown().await;
}
