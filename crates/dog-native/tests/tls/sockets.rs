//! WebSockets over TLS.

use std::time::Duration;

use dog_test_support::client::within;
use dog_test_support::tls::BOTH;
use futures_util::{SinkExt, StreamExt, future};
use rustls::version::{TLS12, TLS13};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_tungstenite::tungstenite::Message as Frame;

use crate::common::{close_code, next, say};
use crate::kit::{TlsClient, start};

/// Answers pings until a message comes.
async fn message(client: &mut TlsClient) -> Frame {
    loop {
        match next(client).await {
            Frame::Ping(_) | Frame::Pong(_) => {}
            other => return other,
        }
    }
}

#[tokio::test]
async fn messages_of_every_size_arrive_in_both_directions_and_both_versions() {
    const MOST: usize = 4 << 20;
    let server = start(|server| server.max_message(MOST).max_outbox(2 * MOST)).await;
    for (version, room) in [(&TLS12, "1.2"), (&TLS13, "1.3")] {
        let config = server.trusting(&[version]);
        let (mut speaker, replica) = server.enter(&config, "speaker", room).await;
        let (mut listener, other) = server.enter(&config, "listener", room).await;
        assert_eq!(replica, other);
        // Around the sizes of a record (16 KiB), of what is encrypted at once (64 KiB), and of the buffers.
        for length in [0, 1, 125, 126, 16_000, 16_384, 16_385, 65_000, 65_536, 65_537, 200_000, 1 << 20, MOST] {
            let sent: Vec<u8> = (0..=250).cycle().take(length).collect();
            let sends = speaker.send(Frame::binary(sent.clone()));
            let (sends, heard) = tokio::join!(sends, message(&mut listener));
            sends.unwrap();
            assert!(heard == Frame::binary(sent), "{length} bytes");
            assert_eq!(message(&mut speaker).await.len(), length);
        }
    }
    server.running.shutdown().await;
}

#[tokio::test]
async fn many_sockets_are_served_and_sent_away_at_the_end() {
    const ROOMS: usize = 100;
    // A busy machine may need longer to answer 200 closes than the server waits by default. It would cut the rest off.
    let slowly = Duration::from_secs(60);
    let server = start(|server| server.drain_within(Duration::from_millis(200)).close_timeout(slowly)).await;
    let config = server.trusting(BOTH);
    let mut rooms = Vec::new();
    for room in 0..ROOMS {
        let room = room.to_string();
        rooms.push([server.enter(&config, "a", &room).await.0, server.enter(&config, "b", &room).await.0]);
    }
    for round in 0..3 {
        let rounds = rooms.iter_mut().enumerate().map(|(room, [a, b])| async move {
            let text = format!("{room} in round {round}");
            say(a, &text).await;
            for client in [a, b] {
                assert_eq!(message(client).await, Frame::text(text.clone()));
            }
        });
        future::join_all(rounds).await;
    }
    let ends = rooms.into_iter().flatten().map(|mut client| async move {
        assert_eq!(close_code(&mut client).await, 1012);
        let _ = client.flush().await;
        // The server sends close_notify, too: an end without it is an error.
        assert!(matches!(within("the end", client.get_mut().read(&mut [0])).await, Ok(0)));
    });
    let shutdown = server.running.shutdown();
    within("the end", async { tokio::join!(future::join_all(ends), shutdown) }).await;
    assert_eq!(server.journal.count("close a 1012") + server.journal.count("close b 1012"), 2 * ROOMS);
}

#[tokio::test]
async fn a_clean_close_of_the_client_ends_tls_too() {
    let server = start(|server| server).await;
    let (mut client, _) = server.enter(&server.trusting(BOTH), "a", "r").await;
    client.close(None).await.unwrap();
    while client.next().await.is_some_and(|frame| frame.is_ok()) {}
    assert!(matches!(within("the end", client.get_mut().read(&mut [0])).await, Ok(0)));
    server.journal.sees("close a 1005").await;
    server.running.shutdown().await;
}

#[tokio::test]
async fn a_stream_that_is_cut_is_an_abnormal_end() {
    let server = start(|server| server).await;
    let config = server.trusting(BOTH);
    // The connection ends without close_notify, in the middle of a record, or with close_notify but no close frame.
    let (client, _) = server.enter(&config, "cut", "r").await;
    let (mut tcp, _) = client.into_inner().into_inner();
    tcp.shutdown().await.unwrap();
    server.journal.sees("error cut lost").await;
    let (client, _) = server.enter(&config, "half", "r").await;
    let (mut tcp, _) = client.into_inner().into_inner();
    tcp.write_all(&[23, 3, 3, 1, 0, 1, 2, 3]).await.unwrap();
    tcp.shutdown().await.unwrap();
    server.journal.sees("error half lost").await;
    let (client, _) = server.enter(&config, "close_notify", "r").await;
    let mut stream = client.into_inner();
    stream.get_mut().1.send_close_notify();
    stream.flush().await.unwrap();
    server.journal.sees("error close_notify lost").await;
    // What is no TLS ends the connection, with an alert.
    let (client, _) = server.enter(&config, "noise", "r").await;
    let (mut tcp, mut tls) = client.into_inner().into_inner();
    tcp.write_all(&[23, 3, 3, 0, 17, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16]).await.unwrap();
    server.journal.sees("error noise lost").await;
    let mut rest = Vec::new();
    let _ = within("the end", tcp.read_to_end(&mut rest)).await;
    let mut rest = &rest[..];
    while !rest.is_empty() {
        tls.read_tls(&mut rest).unwrap();
    }
    assert!(matches!(tls.process_new_packets(), Err(rustls::Error::AlertReceived(_))));
    server.running.shutdown().await;
}

#[tokio::test]
async fn one_that_does_not_read_is_closed_and_costs_the_others_nothing() {
    let server = start(|server| server.max_outbox(256 * 1024)).await;
    let config = server.trusting(BOTH);
    let (mut slow, _) = server.enter(&config, "slow", "r").await;
    let (mut other, _) = server.enter(&config, "other", "r").await;
    // 64 MiB is more than any kernel buffers for a socket.
    say(&mut slow, "flood 1000").await;
    server.journal.sees("error slow slow").await;
    say(&mut other, "still here").await;
    assert_eq!(message(&mut other).await, Frame::text("still here"));
    // It reads whole messages, and then the close.
    let mut whole = 0;
    let code = loop {
        match next(&mut slow).await {
            Frame::Binary(payload) => {
                assert_eq!(payload.len(), 64 * 1024);
                whole += 1;
            }
            Frame::Close(close) => break close.map(|close| close.code.into()),
            other => panic!("{other:?}"),
        }
    };
    assert!((1..1000).contains(&whole) && code == Some(1013_u16), "{code:?} after {whole}");
    server.running.shutdown().await;
}

#[tokio::test]
async fn a_client_that_does_not_read_for_a_while_gets_everything_in_order() {
    let server = start(|server| server.max_outbox(64 << 20)).await;
    let config = server.trusting(BOTH);
    let (mut late, _) = server.enter(&config, "late", "r").await;
    let (mut speaker, _) = server.enter(&config, "speaker", "r").await;
    const MESSAGES: usize = 400;
    for number in 0..MESSAGES {
        let mut payload = vec![0; 1 + number * 97 % 30_000];
        payload[0] = u8::try_from(number % 256).unwrap();
        speaker.send(Frame::binary(payload)).await.unwrap();
        message(&mut speaker).await;
    }
    for number in 0..MESSAGES {
        let payload = message(&mut late).await.into_data();
        assert_eq!((usize::from(payload[0]), payload.len()), (number % 256, 1 + number * 97 % 30_000));
    }
    server.running.shutdown().await;
}
