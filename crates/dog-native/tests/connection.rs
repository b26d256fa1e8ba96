//! How the native host handles silent clients, slow clients, too many connections, panics and its own shutdown. What
//! every host must do is in the conformance suite.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on may panic")]

mod common;

use std::time::Duration;

use common::{Test, close_code, connect, next, say, start};
use dog_native::{Running, Server, SlowConsumer};
use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message as Frame};

#[tokio::test]
async fn a_silent_client_is_pinged_and_one_that_does_not_answer_is_ended() {
    // The timeouts are long enough for an answer on a busy machine.
    let set = |server: Server<Test>| server.ping_after(Duration::from_secs(1)).idle_timeout(Duration::from_secs(6));
    let (running, journal) = start(set).await;
    // This client never reads, so it answers no ping.
    let (_dead, _) = connect(&running, "dead", "r").await;
    let (mut alive, _) = connect(&running, "alive", "r").await;
    let mut pings = 0;
    let answers = async {
        loop {
            assert!(matches!(next(&mut alive).await, Frame::Ping(_)), "only pings come, and the library answers each");
            pings += 1;
        }
    };
    tokio::select! {
        () = journal.sees("error dead silent") => {}
        () = answers => {}
    }
    assert_eq!(journal.count("error alive silent"), 0);
    assert!(pings > 0, "a silent client is pinged first");
    running.shutdown().await;
}

/// Also what is attached to a socket whose connection breaks is there in its last handler.
#[tokio::test]
async fn a_connection_that_breaks_ends_its_socket_with_its_attachment() {
    let (running, journal) = start(|server| server).await;
    let (mut client, _) = connect(&running, "broken", "r").await;
    say(&mut client, "attach").await;
    journal.sees("attached broken").await;
    socket2::SockRef::from(client.get_ref().get_ref()).set_linger(Some(Duration::ZERO)).unwrap();
    drop(client);
    journal.sees("error broken lost").await;
    journal.sees("attached to broken kept").await;
    running.shutdown().await;
}

#[tokio::test]
async fn one_that_does_not_read_is_closed_and_costs_the_others_nothing() {
    let (running, journal) = start(|server| server.max_outbox(256 * 1024)).await;
    let (mut slow, _) = connect(&running, "slow", "r").await;
    let (mut other, _) = connect(&running, "other", "r").await;
    // 64 MiB is more than any kernel buffers for a socket.
    say(&mut slow, "flood 1000").await;
    journal.sees("error slow slow").await;
    say(&mut other, "still here").await;
    assert_eq!(next(&mut other).await, Frame::text("still here"));
    running.shutdown().await;
}

#[tokio::test]
async fn with_the_other_policy_the_newest_is_dropped_and_the_socket_stays() {
    let set = |server: Server<Test>| server.max_outbox(256 * 1024).slow_consumer(SlowConsumer::DropNewest);
    let (running, journal) = start(set).await;
    let (mut slow, _) = connect(&running, "slow", "r").await;
    say(&mut slow, "flood 1000").await;
    journal.sees("flooded slow").await;
    say(&mut slow, "after the flood").await;
    let mut received = 0;
    loop {
        match next(&mut slow).await {
            Frame::Binary(_) => received += 1,
            Frame::Text(text) => break assert_eq!(text.as_str(), "after the flood"),
            other => panic!("{other:?}"),
        }
    }
    assert!((1..1000).contains(&received), "{received} of 1000");
    running.shutdown().await;
}

/// Messages are dropped for it, but publications are not: it gets them when it reads.
#[tokio::test]
async fn a_slow_socket_gets_every_publication_although_messages_are_dropped() {
    const COUNT: u32 = 300;
    let set = |server: Server<Test>| server.max_outbox(256 * 1024).slow_consumer(SlowConsumer::DropNewest);
    let (running, journal) = start(set).await;
    let (mut slow, _) = connect(&running, "slow", "r").await;
    let (mut other, _) = connect(&running, "other", "r").await;
    say(&mut other, &format!("publish {COUNT}")).await;
    for reader in [&mut other, &mut slow] {
        for number in 0..COUNT {
            let Frame::Binary(bytes) = next(reader).await else { panic!("no publication {number}") };
            assert_eq!(bytes[..4], number.to_be_bytes());
        }
    }
    journal.sees("published other").await;
    assert_eq!(journal.count("error slow slow"), 0);
    running.shutdown().await;
}

#[tokio::test]
async fn a_handshake_that_takes_too_long_is_ended() {
    let (running, _) = start(|server| server.handshake_timeout(Duration::from_secs(1))).await;
    let mut stream = TcpStream::connect(running.local_addr()).await.unwrap();
    stream.write_all(b"GET /?u=a HTTP/1.1\r\nhos").await.unwrap();
    let mut answer = Vec::new();
    let ended = tokio::time::timeout(common::PATIENCE, stream.read_to_end(&mut answer)).await;
    assert!(ended.is_ok(), "the server must close the connection");
    running.shutdown().await;
}

#[tokio::test]
async fn an_address_with_too_many_connections_is_told_so_and_may_come_back() {
    let (running, journal) = start(|server| server.max_sockets_per_address(2)).await;
    let (mut first, _) = connect(&running, "a", "r").await;
    let (_second, _) = connect(&running, "b", "r").await;
    let url = format!("ws://{}/?u=c&room=r", running.local_addr());
    let refused = connect_async(&url).await.unwrap_err();
    assert!(refused.to_string().contains("503"), "{refused}");
    first.close(None).await.unwrap();
    while first.next().await.is_some() {}
    drop(first);
    journal.sees("close a 1005").await;
    // The server lets go of the connection some time after the client has. Until then it counts.
    let back = async {
        while connect_async(&url).await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(common::PATIENCE, back).await.unwrap();
    running.shutdown().await;
}

#[tokio::test]
async fn a_panic_of_a_replica_costs_its_sockets_and_frees_their_seats() {
    let (running, _) = start(|server| server).await;
    let (mut first, replica) = connect(&running, "a", "r").await;
    let (mut second, same) = connect(&running, "b", "r").await;
    let (mut elsewhere, other) = connect(&running, "c", "r").await;
    assert_eq!(replica, same);
    assert_ne!(replica, other);
    say(&mut first, "panic").await;
    assert_eq!(close_code(&mut first).await, 1011);
    assert_eq!(close_code(&mut second).await, 1011);
    say(&mut elsewhere, "still here").await;
    assert_eq!(next(&mut elsewhere).await, Frame::text("still here"));
    // The client is sticky to this Replica, and the seats are free.
    assert_eq!(connect(&running, "a", "r").await.1, replica);
    running.shutdown().await;
}

#[tokio::test]
async fn a_panic_of_a_group_splits_no_cluster() {
    let (running, journal) = start(|server| server).await;
    let (mut a, first) = connect(&running, "a", "r").await;
    let (mut b, _) = connect(&running, "b", "r").await;
    let (mut c, second) = connect(&running, "c", "r").await;
    let (_d, _) = connect(&running, "d", "r").await;
    let made = journal.clusterized.load(std::sync::atomic::Ordering::Relaxed);
    let url = format!("ws://{}/?u=panics%20the%20Group&room=r", running.local_addr());
    assert!(connect_async(url).await.is_err());
    // The Group's next life knows that both Replicas are full, and on which Replica each client is.
    let (mut e, third) = connect(&running, "e", "r").await;
    assert!(third != first && third != second);
    assert_eq!(
        journal.clusterized.load(std::sync::atomic::Ordering::Relaxed),
        made + 2,
        "the call that panicked, and the one for e"
    );
    say(&mut e, "one cluster").await;
    for client in [&mut a, &mut b, &mut c, &mut e] {
        assert_eq!(next(client).await, Frame::text("one cluster"));
    }
    running.shutdown().await;
}

#[tokio::test]
async fn a_panic_of_the_app_is_a_500_and_shows_nothing() {
    let (running, _) = start(|server| server).await;
    let error = connect_async(format!("ws://{}/?panic=1", running.local_addr())).await.unwrap_err();
    let tokio_tungstenite::tungstenite::Error::Http(response) = error else { panic!("{error}") };
    assert_eq!(response.status(), 500);
    assert_eq!(response.body().as_deref(), Some(&b"internal error"[..]));
    running.shutdown().await;
}

#[tokio::test]
async fn the_end_of_the_server_closes_with_1012_and_waits_for_goodbyes() {
    let (running, journal) = start(|server| server).await;
    let address = running.local_addr();
    let (mut client, _) = connect(&running, "a", "r").await;
    let code = tokio::spawn(async move { close_code(&mut client).await });
    running.shutdown().await;
    assert_eq!(code.await.unwrap(), 1012);
    journal.sees("close a 1012").await;
    assert!(TcpStream::connect(address).await.is_err(), "the server still listens");
}

#[tokio::test]
async fn a_port_in_use_is_told_in_one_line() {
    let (running, _) = start(|server| server).await;
    let address = running.local_addr().to_string();
    let error = Server::new(Test).bind(&address).start().await.expect_err("the port is taken");
    assert!(error.is_bind());
    assert_eq!(error.to_string(), format!("bind: {address} is in use by another program"));
    running.shutdown().await;
}

#[tokio::test]
async fn many_large_messages_both_ways_arrive_whole_and_in_order() {
    let (running, _) = start(|server| server.max_outbox(64 << 20)).await;
    let (client, _) = connect(&running, "a", "r").await;
    let (mut sink, mut stream) = client.split();
    let sizes: Vec<usize> = (0..60).map(|n| [1, 70_000, 125, 900_000, 0, 65_536][n % 6] + n).collect();
    let sent = sizes.clone();
    let sending = tokio::spawn(async move {
        for (at, size) in sent.into_iter().enumerate() {
            sink.send(Frame::binary(vec![u8::try_from(at).unwrap(); size])).await.unwrap();
        }
        sink
    });
    for (at, size) in sizes.into_iter().enumerate() {
        let received =
            tokio::time::timeout(common::PATIENCE, stream.next()).await.unwrap().unwrap().unwrap().into_data();
        assert!(received.len() == size && received.iter().all(|byte| usize::from(*byte) == at), "message {at}");
    }
    drop(sending.await.unwrap());
    running.shutdown().await;
}

/// Asks the App for the address of the client. Returns the status line and the body.
async fn whence(stream: &mut TcpStream, forwarded_for: Option<&str>) -> (String, String) {
    let forwarded = forwarded_for.map(|value| format!("x-forwarded-for: {value}\r\n")).unwrap_or_default();
    let request = format!("GET /?whence HTTP/1.1\r\nhost: a\r\n{forwarded}\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let read = async {
        while !answer.ends_with(b"\r\n\r\n") {
            answer.push(stream.read_u8().await.unwrap());
        }
        let head = String::from_utf8(answer).unwrap();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap().parse().unwrap();
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await.unwrap();
        (head.lines().next().unwrap().to_owned(), String::from_utf8(body).unwrap())
    };
    tokio::time::timeout(common::PATIENCE, read).await.unwrap()
}

async fn connect_for(running: &Running, client: &str, forwarded_for: &str) -> Result<common::Client, Error> {
    let url = format!("ws://{}/?u={client}&room=r", running.local_addr());
    let mut request = url.into_client_request()?;
    request.headers_mut().insert("x-forwarded-for", forwarded_for.parse().unwrap());
    Ok(connect_async(request).await?.0)
}

#[tokio::test]
async fn a_header_of_a_client_does_not_change_its_address() {
    let (running, _) = start(|server| server.max_sockets_per_address(1)).await;
    let mut stream = TcpStream::connect(running.local_addr()).await.unwrap();
    assert_eq!(whence(&mut stream, Some("192.0.2.1")).await.1, "Some(127.0.0.1)");
    assert_eq!(whence(&mut stream, None).await.1, "Some(127.0.0.1)");
    drop(stream);
    running.shutdown().await;
}

#[tokio::test]
async fn behind_a_trusted_proxy_the_address_and_its_limit_are_the_clients() {
    let (running, journal) =
        start(|server| server.max_sockets_per_address(1).trusted_proxies(["127.0.0.0/8".parse().unwrap()])).await;
    // One connection of the proxy carries the requests of many clients.
    let mut proxy = TcpStream::connect(running.local_addr()).await.unwrap();
    for (header, address) in [
        (Some("192.0.2.1"), "192.0.2.1"),
        (Some("192.0.2.1, 2001:db8::7"), "2001:db8::7"),
        (Some("192.0.2.3, ::ffff:127.0.0.9"), "192.0.2.3"),
        (Some("nonsense"), "127.0.0.1"),
        (None, "127.0.0.1"),
    ] {
        assert_eq!(whence(&mut proxy, header).await.1, format!("Some({address})"), "{header:?}");
    }

    let mut ann = connect_for(&running, "ann", "192.0.2.1").await.unwrap();
    let refused = connect_for(&running, "ann-again", "192.0.2.1").await.unwrap_err();
    assert!(refused.to_string().contains("503"), "{refused}");
    assert!(whence(&mut proxy, Some("192.0.2.1")).await.0.contains("503"), "a request counts too");
    assert!(whence(&mut proxy, Some("192.0.2.2")).await.0.contains("200"), "the proxy's connection goes on");
    let _bob = connect_for(&running, "bob", "192.0.2.2").await.unwrap();
    assert!(whence(&mut proxy, Some("192.0.2.2")).await.0.contains("503"));

    ann.close(None).await.unwrap();
    while ann.next().await.is_some() {}
    drop(ann);
    journal.sees("close ann 1005").await;
    // The server lets go of the connection some time after the client has. Until then it counts.
    let back = async {
        while connect_for(&running, "ann", "192.0.2.1").await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(common::PATIENCE, back).await.unwrap();
    drop(proxy);
    running.shutdown().await;
}
