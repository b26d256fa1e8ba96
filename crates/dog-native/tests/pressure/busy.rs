//! What the server still does for a socket while a handler of that socket waits.

use std::time::Duration;

use dog_native::Server;

use crate::app::Hall;
use crate::client::{Client, Frame, frame};

async fn waits(hall: &Hall, name: &str) -> Client {
    let mut client = Client::open(hall.running.local_addr(), "room", name).await;
    client.say("wait").await;
    assert_eq!(client.hear().await, "waiting");
    client
}

#[tokio::test]
async fn pings_and_automatic_questions_are_answered_while_the_handler_waits() {
    let hall = Hall::open(1000, |server| server).await;
    let mut busy = waits(&hall, "busy").await;
    // This message comes before the pings, and its handler cannot run yet.
    busy.say("ping").await;
    for number in 0..100_u8 {
        busy.write(&frame(0x89, &[number])).await.unwrap();
        assert_eq!(busy.next().await, Frame::Pong(vec![number]));
        busy.say("are you there?").await;
        assert_eq!(busy.next().await, Frame::Text("I am".into()));
    }
    hall.scene.gate.add_permits(1);
    assert_eq!(busy.hear().await, "waited");
    assert_eq!(busy.hear().await, "pong");
    hall.running.shutdown().await;
}

/// Three clients whose handlers wait. One answers its pings, one has sent so much that the server reads no more from
/// it, and one does neither.
#[tokio::test]
async fn a_busy_socket_is_silent_only_if_its_client_is() {
    let set = |server: Server<_>| server.ping_after(Duration::from_secs(1)).idle_timeout(Duration::from_secs(4));
    let hall = Hall::open(1000, set).await;
    let mut answers = waits(&hall, "answers").await;
    let mut sends = waits(&hall, "sends").await;
    let sending = tokio::spawn(async move {
        // Sends more than all buffers can hold.
        let messages = frame(0x82, &[7; 50_000]);
        while tokio::time::timeout(Duration::from_secs(1), sends.write(&messages)).await.is_ok_and(|sent| sent.is_ok())
        {
        }
        sends
    });
    let mut silent = waits(&hall, "silent").await;
    let answering = async {
        loop {
            if answers.next().await == Frame::Ping {
                answers.write(&frame(0x8a, b"")).await.unwrap();
            }
        }
    };
    let ending = async {
        // This client does not answer its ping.
        assert_eq!(silent.next().await, Frame::Ping);
        assert_eq!(silent.next().await, Frame::Close(1001));
    };
    tokio::select! {
        () = ending => {}
        () = answering => unreachable!(),
    }
    let mut sends = sending.await.unwrap();
    hall.scene.gate.add_permits(3);
    // All that the client could send was kept by the server and by the kernels. It is handled now.
    loop {
        match sends.next().await {
            Frame::Text(said) if said == "waited" => break,
            Frame::Ping | Frame::Pong(_) => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(sends.next().await, Frame::Binary(50_000));
    hall.running.shutdown().await;
}

/// The seat is free and broadcasts no longer reach the socket at once. Only `on_close` waits for the handler.
#[tokio::test]
async fn whoever_leaves_while_the_handler_waits_is_gone_at_once() {
    let mut hall = Hall::open(2, |server| server).await;
    let address = hall.running.local_addr();
    let mut other = Client::open(address, "room", "other").await;
    // Slightly more than the server reads ahead per socket (64 KiB). The server notices the end of a connection only
    // after it has read all bytes before it, and the kernel's buffers have to hold the bytes that the server does not
    // read yet.
    let long = [frame(0x82, &[7; 60_000]).repeat(2), frame(0x82, &[7; 20_000])].concat();
    for (how, last_words) in [("closes", vec![]), ("vanishes", vec![]), ("talks", long)] {
        let mut busy = waits(&hall, how).await;
        busy.write(&last_words).await.unwrap();
        if how == "closes" {
            busy.write(&frame(0x88, &1000_u16.to_be_bytes())).await.unwrap();
            assert_eq!(busy.next().await, Frame::Close(1000));
        } else {
            drop(busy);
        }
        loop {
            other.say("sockets").await;
            if other.hear().await == "1" {
                break;
            }
        }
        // Takes the other seat of the same Replica for a short time.
        let mut next = Client::open(address, "room", "next").await;
        next.say("sockets").await;
        assert_eq!(next.hear().await, "2");
        next.write(&frame(0x88, &1000_u16.to_be_bytes())).await.unwrap();
        assert_eq!(next.next().await, Frame::Close(1000));
        assert_eq!(hall.next_event().await, "next closed with 1000");
        assert_eq!(hall.seen(), Vec::<String>::new(), "the handler of the client that left has not ended");
        hall.scene.gate.add_permits(1);
        let end = if how == "closes" { "closes closed with 1000".into() } else { format!("{how} is lost") };
        assert_eq!(hall.next_event().await, end);
    }
    hall.running.shutdown().await;
}
