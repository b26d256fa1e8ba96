//! Floods: of messages, handshakes, rooms, identities, and addresses of one network.

use std::pin::pin;
use std::time::Instant;

use dog_test_support::client::{Client, handshake, within};
use futures_util::StreamExt;
use futures_util::future::{join_all, select};
use futures_util::stream::FuturesUnordered;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::tungstenite::Message;

use crate::app::{path, token};
use crate::served::{PER_ADDRESS, PER_CLIENT, RATE, Served};
use crate::steady::NOISE;

/// The most that one connection may take that has a request in progress: its head, and what the kernel hands over at once.
const CONNECTION: usize = 64 * 1024;
/// The most that an idle room and its socket may take.
const ROOM: usize = 64 * 1024;

#[tokio::test]
async fn a_flood_of_messages_costs_its_own_room_only() {
    let served = Served::start(&[]).await;
    let (steady, before) = (served.steady().await, served.resident());
    let mut flooder = served.enter(&token("flooder", "f")).await;
    for round in 0..50_u32 {
        for _ in 0..200 {
            flooder.send_raw(Message::text("x".repeat(1000))).await;
        }
        // It reads, so that it is the flood that is measured and not a slow reader.
        flooder.send_raw(Message::text(round.to_string())).await;
        while flooder.next_raw().await != Message::text(round.to_string()) {}
    }
    // What waits for one socket at most, and what was read of it.
    served.weigh(before, 2 * 1024 * 1024, "10,000 messages of one client");
    steady.end("a flood of messages").await;
    served.end();
}

#[tokio::test]
async fn a_flood_of_messages_in_a_room_with_a_rate_is_heard_at_that_rate() {
    const PER_SECOND: u64 = 50;
    let served = Served::start(&[(RATE, &PER_SECOND.to_string())]).await;
    let (steady, before) = (served.steady().await, served.resident());
    let began = Instant::now();
    let path = format!("{}&room=steady", path(&token("flooder", "f")));
    let mut flooder = Client::open(handshake(served.address, &path)).await.expect("a valid token");
    // It goes on until it is not read any more, and longer.
    let flood = async {
        loop {
            flooder.send_raw(Message::text(format!("{NOISE}{}", "x".repeat(1000)))).await;
        }
    };
    let enough = async {
        while steady.noise() < 2 * PER_SECOND {
            tokio::task::yield_now().await;
        }
    };
    within("what the rate allows", select(pin!(flood), pin!(enough))).await;
    served.weigh(before, 2 * 1024 * 1024, "a flood over the rate of its socket");
    let (heard, time) = (steady.noise(), began.elapsed());
    // A burst of one second, and the rate since then.
    let allowed = PER_SECOND + u64::try_from(time.as_millis()).unwrap() * PER_SECOND / 1000 + 1;
    println!(
        "door: a flood over the rate of its socket: others heard {heard} messages in {time:?}, {allowed} is the bound"
    );
    assert!(heard <= allowed, "{heard} messages in {time:?}");
    steady.end("a flood over the rate of its socket").await;
    served.end();
}

#[tokio::test]
async fn a_client_that_opens_one_socket_after_the_other_gets_no_more_than_it_may_have() {
    const MOST: usize = 20;
    let served = Served::start(&[(PER_CLIENT, &MOST.to_string())]).await;
    let (steady, before) = (served.steady().await, served.resident());
    let greedy = token("greedy", "g");
    let open = || Client::open(handshake(served.address, &path(&greedy)));
    let all = join_all((0..10 * MOST).map(|_| open())).await;
    let (sockets, refused): (Vec<_>, Vec<_>) = all.into_iter().partition(Result::is_ok);
    assert_eq!(sockets.len(), MOST);
    assert!(refused.iter().all(|refused| refused.as_ref().err() == Some(&429)), "they are told to wait");
    drop(served.enter(&token("modest", "m")).await);
    served.weigh(before, MOST * CONNECTION, "200 sockets that one client wants");
    steady.end("a client that wants 200 sockets").await;
    drop(sockets);
    served.end();
}

#[tokio::test]
async fn a_flood_of_handshakes_and_of_connections_that_say_nothing_is_bounded_per_address() {
    const MOST: usize = 200;
    const OVER: usize = 50;
    let served = Served::start(&[(PER_ADDRESS, "200")]).await;
    let (steady, before) = (served.steady().await, served.resident());
    for _ in 0..5 {
        let all = join_all((0..100).map(|_| served.refusal("forged"))).await;
        assert!(all.iter().all(|status| *status == Some(401)), "{all:?}");
    }
    // They say nothing, and those over the limit are told so.
    let silent = async || status(&mut TcpStream::connect(served.address).await.ok()?).await;
    let mut all: FuturesUnordered<_> = (0..MOST + OVER).map(|_| silent()).collect();
    let mut refused = 0;
    while refused < OVER {
        let status = within("a refusal", all.next()).await.expect("more than those that are admitted");
        refused += usize::from(status == Some(503));
    }
    served.weigh(before, MOST * CONNECTION, "200 connections of one address");
    drop(all);
    steady.end("a flood of handshakes").await;
    served.end();
}

#[tokio::test]
async fn a_flood_of_rooms_and_identities_takes_a_bounded_share_of_memory_each() {
    const MANY: usize = 150;
    let served = Served::start(&[]).await;
    let (steady, before) = (served.steady().await, served.resident());
    let mut clients = Vec::new();
    for number in 0..MANY {
        let token = token(&format!("client-{number}"), &format!("id-{number}"));
        let path = format!("{}&room=room-{number}", path(&token));
        clients.push(Client::open(handshake(served.address, &path)).await.expect("a valid token"));
    }
    served.weigh(before, MANY * ROOM, "150 rooms of 150 clients");
    // Rooms cannot be invented without a token.
    for number in 0..MANY {
        assert_eq!(served.refusal(&format!("forged&room=invented-{number}")).await, Some(401));
    }
    steady.end("a flood of rooms and identities").await;
    drop(clients);
    served.end();
}

/// Reads the status of a response, if there is one.
async fn status(stream: &mut TcpStream) -> Option<u16> {
    let mut head = [0; 12];
    stream.read_exact(&mut head).await.ok()?;
    std::str::from_utf8(&head[9..]).ok()?.parse().ok()
}

/// Opens a socket through the proxy 127.0.0.2, for a client of this address. Returns the status of the response.
async fn through_proxy(served: &Served, address: &str, token: &str) -> (u16, TcpStream) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
    let mut stream = socket.connect(served.address).await.unwrap();
    let request = format!(
        "GET {} HTTP/1.1\r\nhost: {}\r\nx-forwarded-for: {address}\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        path(token),
        served.address,
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    (within("a response", status(&mut stream)).await.expect("a status"), stream)
}

#[tokio::test]
async fn an_address_for_each_connection_of_one_ipv6_network_is_still_one_address() {
    const MOST: usize = 20;
    let served = Served::start(&[(PER_ADDRESS, "20")]).await;
    let steady = served.steady().await;
    let ann = token("ann", "a");
    let mut sockets = Vec::new();
    for number in 0..MOST {
        let address = format!("2001:db8:1:2:{number:x}:{number:x}::1");
        let (status, socket) = through_proxy(&served, &address, &ann).await;
        assert_eq!(status, 101, "{address}");
        sockets.push(socket);
    }
    for number in 0..MOST {
        let address = format!("2001:db8:1:2:ffff::{number:x}");
        assert_eq!(through_proxy(&served, &address, &ann).await.0, 503, "{address}");
    }
    assert_eq!(through_proxy(&served, "2001:db8:1:3::1", &ann).await.0, 101, "the next network");
    steady.end("the addresses of one network").await;
    drop(sockets);
    served.end();
}
