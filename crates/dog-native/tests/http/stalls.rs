//! Clients that stall, vanish or finish early. Their connections and seats become free, and no other client waits for
//! them.

use std::time::Duration;

use dog_test_support::client::connect_with_little_room;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::app::{HOUR, LARGE, SHORT, another_is_let_in, ask, get, in_time, no_seat_is_taken, response, rest, start};

#[tokio::test]
async fn an_answer_that_nobody_reads_gives_back_its_connection_and_its_seat() {
    for path in ["/large", "/endless"] {
        let (running, stage) = start(|server| server.workers(1).stall_timeout(SHORT).max_sockets_per_address(1)).await;
        let _silent = ask(running.local_addr(), &get(path)).await;
        stage.has_begun(path).await;
        another_is_let_in(&running).await;
        no_seat_is_taken(&running).await;
        running.shutdown().await;
    }
}

#[tokio::test]
async fn answers_to_pipelined_requests_that_nobody_reads_give_back_their_connection() {
    let (running, stage) = start(|server| server.workers(1).stall_timeout(SHORT).max_sockets_per_address(1)).await;
    let mut silent = ask(running.local_addr(), &get("/")).await;
    stage.has_begun("/").await;
    let requests = get("/").repeat(1000);
    // Sends until the server has stopped reading and has closed the connection.
    let asks = async { while silent.write_all(requests.as_bytes()).await.is_ok() {} };
    in_time("the server to hang up", asks).await;
    another_is_let_in(&running).await;
    no_seat_is_taken(&running).await;
    running.shutdown().await;
}

#[tokio::test]
async fn an_answer_that_is_read_slowly_arrives_whole() {
    const STEPS: usize = 16;
    let (running, _) = start(|server| server.stall_timeout(Duration::from_secs(5)).keep_alive_timeout(SHORT)).await;
    let mut slow = ask(running.local_addr(), &get("/large")).await;
    let mut piece = vec![0; 1 << 20];
    // The reading as a whole takes longer than the stall timeout. No single pause does.
    for _ in 0..STEPS {
        in_time("more of it", slow.read_exact(&mut piece)).await.unwrap();
        tokio::time::sleep(Duration::from_millis(400)).await;
    }
    let rest = rest(&mut slow).await;
    assert!(rest.len() + STEPS * piece.len() > LARGE && rest.iter().all(|byte| *byte == b'x'));
    running.shutdown().await;
}

#[tokio::test]
async fn a_body_that_does_not_come_frees_the_seat_that_waits_for_it() {
    let (running, stage) = start(|server| server.workers(1).stall_timeout(SHORT)).await;
    let request = "POST /echo HTTP/1.1\r\nhost: test\r\ncontent-length: 10\r\n\r\nhalf";
    let mut silent = ask(running.local_addr(), request).await;
    stage.has_begun("/echo").await;
    let answer = rest(&mut silent).await;
    assert!(!answer.starts_with(b"HTTP/1.1 2"), "{}", String::from_utf8_lossy(&answer));
    no_seat_is_taken(&running).await;
    running.shutdown().await;
}

#[tokio::test]
async fn probes_are_answered_beside_clients_that_ask_and_do_not_read() {
    let (running, _) = start(|server| server).await;
    let admin = running.admin_addr().unwrap();
    let requests = get("/metrics").repeat(20_000);
    let mut silent = Vec::new();
    // More than the server keeps on this address.
    for at in 0..100 {
        let stream = connect_with_little_room(admin).await;
        // One in four connections sends nothing. The others send requests until all buffers are full.
        if at % 4 > 0 {
            while stream.try_write(requests.as_bytes()).is_ok() {}
        }
        silent.push(stream);
    }
    for path in ["/healthz", "/readyz", "/metrics"] {
        let (head, _) = response(&mut ask(admin, &get(path)).await).await;
        assert!(head.starts_with("HTTP/1.1 200"), "{path}: {head}");
    }
    running.shutdown().await;
}

#[tokio::test]
async fn a_client_that_has_said_all_gets_its_answer() {
    let (running, stage) = start(|server| server.stall_timeout(HOUR)).await;
    let mut early = ask(running.local_addr(), &get("/waits")).await;
    early.shutdown().await.unwrap();
    stage.has_begun("/waits").await;
    let mut whole =
        ask(running.local_addr(), "POST /echo HTTP/1.1\r\nhost: test\r\ncontent-length: 4\r\n\r\nbody").await;
    whole.shutdown().await.unwrap();
    assert_eq!(response(&mut whole).await.1, b"body");
    let mut several = ask(running.local_addr(), &get("/app").repeat(3)).await;
    several.shutdown().await.unwrap();
    for _ in 0..3 {
        assert_eq!(response(&mut several).await.1, b"test /app");
    }
    let mut large = ask(running.local_addr(), &get("/large")).await;
    large.shutdown().await.unwrap();
    assert_eq!(response(&mut large).await.1.len(), LARGE);
    stage.open.send_replace(true);
    let (head, body) = response(&mut early).await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    assert_eq!(body, b"it was worth it");
    // The clients can send nothing more, so the server closes the connections.
    for mut stream in [early, several, large] {
        assert_eq!(rest(&mut stream).await, b"");
    }
    running.shutdown().await;
}

/// How a client leaves while its request is being answered.
enum Leaves {
    Resets,
    FinishesAndResets,
    FinishesAndStays,
}

async fn leave(mut stream: TcpStream, leaves: &Leaves) -> Option<TcpStream> {
    if !matches!(leaves, Leaves::Resets) {
        stream.shutdown().await.unwrap();
    }
    if matches!(leaves, Leaves::FinishesAndStays) {
        return Some(stream);
    }
    socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
    None
}

#[tokio::test]
async fn a_client_that_is_gone_frees_its_connection_at_once_and_its_seat_with_the_handler() {
    let cases = [
        ("/waits", Leaves::Resets, HOUR),
        ("/waits", Leaves::FinishesAndResets, HOUR),
        // The client may still be there. The server waits for it as long as the stall timeout.
        ("/waits", Leaves::FinishesAndStays, SHORT),
        ("/quiet", Leaves::Resets, HOUR),
        ("/quiet", Leaves::FinishesAndStays, SHORT),
    ];
    for (path, leaves, stall) in cases {
        let (running, stage) = start(|server| server.workers(1).stall_timeout(stall).max_sockets_per_address(1)).await;
        let stream = ask(running.local_addr(), &get(path)).await;
        stage.has_begun(path).await;
        let stays = leave(stream, &leaves).await;
        another_is_let_in(&running).await;
        // A handler is not cancelled. Its response is dropped.
        stage.open.send_replace(true);
        no_seat_is_taken(&running).await;
        drop(stays);
        running.shutdown().await;
    }
}

#[tokio::test]
async fn a_handshake_whose_client_is_gone_leaves_no_socket() {
    let handshake = "GET /waits-for-a-socket HTTP/1.1\r\nhost: test\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
        sec-websocket-version: 13\r\nsec-websocket-key: AQIDBAUGBwgJCgsMDQ4PEC==\r\n\r\n";
    for leaves in [Leaves::Resets, Leaves::FinishesAndStays] {
        let (running, stage) = start(|server| server.workers(1).stall_timeout(HOUR).max_sockets_per_address(1)).await;
        let stream = ask(running.local_addr(), handshake).await;
        stage.has_begun("/waits-for-a-socket").await;
        let stays = leave(stream, &leaves).await;
        another_is_let_in(&running).await;
        stage.open.send_replace(true);
        no_seat_is_taken(&running).await;
        drop(stays);
        // A client that stays gets its socket.
        let mut stream = ask(running.local_addr(), handshake).await;
        let mut head = [0; 12];
        in_time("the answer", stream.read_exact(&mut head)).await.unwrap();
        assert_eq!(&head, b"HTTP/1.1 101");
        running.shutdown().await;
    }
}

#[tokio::test]
async fn an_idle_connection_outlives_the_time_for_a_handshake() {
    let (running, _) = start(|server| server.handshake_timeout(SHORT).keep_alive_timeout(HOUR)).await;
    let mut kept = ask(running.local_addr(), &get("/app")).await;
    assert_eq!(response(&mut kept).await.1, b"test /app");
    // Nothing may happen here. The wait is four times the timeout that must not apply.
    assert!(tokio::time::timeout(4 * SHORT, kept.read_u8()).await.is_err(), "the idle connection was closed");
    kept.write_all(get("/app").as_bytes()).await.unwrap();
    assert_eq!(response(&mut kept).await.1, b"test /app");
    // A request that has begun must arrive within the handshake timeout.
    kept.write_all(b"GET /app HT").await.unwrap();
    assert_eq!(rest(&mut kept).await, b"");
    // The same is true of a new connection that sends nothing.
    assert_eq!(rest(&mut ask(running.local_addr(), "").await).await, b"");
    running.shutdown().await;
}

#[tokio::test]
async fn an_idle_connection_ends_after_its_time() {
    let (running, _) = start(|server| server.keep_alive_timeout(SHORT).handshake_timeout(HOUR)).await;
    let mut kept = ask(running.local_addr(), &get("/app")).await;
    assert_eq!(response(&mut kept).await.1, b"test /app");
    assert_eq!(rest(&mut kept).await, b"");
    running.shutdown().await;
}

#[tokio::test]
async fn the_end_of_the_server_does_not_wait_for_a_client_that_does_not_read() {
    let (running, stage) = start(|server| server.stall_timeout(SHORT).close_timeout(HOUR)).await;
    let _silent = ask(running.local_addr(), &get("/large")).await;
    stage.has_begun("/large").await;
    in_time("the end", running.shutdown()).await;
}
