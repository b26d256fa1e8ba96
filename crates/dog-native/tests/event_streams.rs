//! Event streams over HTTP: their end with the server and with their client.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on may panic")]

mod common;

use std::time::Duration;

use common::{PATIENCE, connect, next, say, start};
use dog_native::Running;
use futures_util::SinkExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message as Frame;

/// Opens an event stream, and reads until its Replica has written its name.
async fn listen(running: &Running, client: &str, room: &str) -> TcpStream {
    let mut stream = TcpStream::connect(running.local_addr()).await.unwrap();
    let request = format!("GET /events?u={client}&room={room} HTTP/1.1\r\nhost: test\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let head = read_until(&mut stream, "\n\n\r\n").await;
    assert!(head.starts_with("HTTP/1.1 200") && head.contains("x-accel-buffering: no"), "{head}");
    stream
}

/// Reads until the text ends with `end`, or to the end of the connection.
async fn read_until(stream: &mut TcpStream, end: &str) -> String {
    let mut text = String::new();
    let reading = async {
        while end.is_empty() || !text.ends_with(end) {
            let mut some = [0; 1024];
            match stream.read(&mut some).await {
                Ok(0) | Err(_) => break,
                Ok(length) => text.push_str(std::str::from_utf8(&some[..length]).unwrap()),
            }
        }
    };
    tokio::time::timeout(PATIENCE, reading).await.expect("in time");
    text
}

#[tokio::test]
async fn the_end_of_the_server_is_the_last_event_and_the_replicas_are_told() {
    let (running, journal) = start(|server| server.drain_within(Duration::from_millis(300))).await;
    let mut streams = Vec::new();
    for room in ["a", "b", "c"] {
        streams.push(listen(&running, room, room).await);
    }
    let reading = async {
        for stream in &mut streams {
            let rest = read_until(stream, "").await;
            let last = "event: close\ndata: {\"code\":1012,\"reason\":\"the server restarts\"}\n\n\r\n0\r\n\r\n";
            assert!(rest.ends_with(last), "{rest}");
        }
    };
    let ends = async { tokio::join!(reading, running.shutdown()) };
    tokio::time::timeout(PATIENCE, ends).await.expect("the server ends");
    for room in ["a", "b", "c"] {
        assert_eq!(journal.count(&format!("close {room} 1012")), 1);
    }
}

#[tokio::test]
async fn a_client_that_shuts_down_its_side_or_resets_has_left() {
    let (running, journal) = start(|server| server).await;
    let mut finished = listen(&running, "finished", "room").await;
    let broken = listen(&running, "broken", "room").await;
    finished.shutdown().await.unwrap();
    journal.sees("error finished lost").await;
    broken.set_zero_linger().unwrap();
    drop(broken);
    journal.sees("error broken lost").await;
    running.shutdown().await;
}

#[tokio::test]
async fn the_next_request_of_a_connection_is_answered_after_a_refused_stream() {
    let (running, _) = start(|server| server).await;
    let mut stream = TcpStream::connect(running.local_addr()).await.unwrap();
    let post = "POST /events?u=ann&room=room HTTP/1.1\r\nhost: test\r\ncontent-length: 0\r\n\r\n";
    stream.write_all(post.as_bytes()).await.unwrap();
    let refused = read_until(&mut stream, "GET").await;
    assert!(refused.starts_with("HTTP/1.1 405") && refused.contains("allow: GET"), "{refused}");
    let get = "GET /events?u=ann&room=room HTTP/1.1\r\nhost: test\r\n\r\n";
    stream.write_all(get.as_bytes()).await.unwrap();
    let opened = read_until(&mut stream, "\n\n\r\n").await;
    assert!(opened.contains("HTTP/1.1 200"), "{opened}");
    let (mut socket, _) = connect(&running, "bob", "room").await;
    say(&mut socket, "hello").await;
    assert_eq!(next(&mut socket).await, Frame::text("hello"));
    let heard = read_until(&mut stream, "\n\n\r\n").await;
    assert!(heard.ends_with("\r\ndata: hello\n\n\r\n"), "{heard}");
    running.shutdown().await;
}

/// A client sends many times what may wait. It is held back, so that the event stream, whose client reads, gets everything.
#[tokio::test]
async fn an_event_stream_that_is_read_is_never_closed_as_slow() {
    const MESSAGES: usize = 2_000;
    const SIZE: usize = 4096;
    let (running, journal) = start(|server| server.max_outbox(64 * 1024)).await;
    let mut stream = listen(&running, "listener", "room").await;
    let (mut speaker, _) = connect(&running, "speaker", "room").await;
    let sending = async {
        for number in 0..MESSAGES {
            speaker.send(Frame::text(format!("others {number:0SIZE$}"))).await.unwrap();
        }
    };
    let listening = async {
        let (mut read, mut number, mut some) = (Vec::new(), 0, vec![0; 64 * 1024]);
        while number < MESSAGES {
            let length = stream.read(&mut some).await.unwrap();
            assert_ne!(length, 0, "the stream ended after {number} messages");
            read.extend_from_slice(&some[..length]);
            // The number is at the end of a message.
            while let Some(at) = read.windows(3).position(|window| window == b"\n\n\r" || window == b"\n\nd") {
                let event: Vec<u8> = read.drain(..at + 2).collect();
                assert!(event.ends_with(format!("{number}\n\n").as_bytes()), "{number} is missing");
                number += 1;
            }
        }
    };
    let all = async { tokio::join!(sending, listening) };
    tokio::time::timeout(PATIENCE * 3, all).await.expect("in time");
    assert_eq!(journal.count("error listener slow"), 0);
    running.shutdown().await;
}
