//! SIGTERM: the server drains within its time limit, even if some clients and handlers never end. Clients that follow
//! the close code come back to their Replicas.

use std::time::Instant;

use futures_util::future::join_all;

use crate::DATA;
use crate::arena::{self, SEATS};
use crate::child::{LISTEN, PATIENCE, SIGNALS};
use crate::steady::{Client, raw};

/// Well-behaved clients, three per Replica. They are more than the server closes at once.
const CLIENTS: usize = 240;

/// Reads until the close, and connects to the next server at that address. Returns the id of the earlier Replica too.
async fn follow(mut client: Client, name: &str, address: std::net::SocketAddr) -> (String, Client) {
    assert_eq!(client.close_code().await, Some(1012), "{name}");
    let before = client.replica.clone();
    drop(client);
    (before, Client::connect_again(address, "room", name).await)
}

#[tokio::test]
async fn a_signal_drains_within_its_time_and_clients_come_back_to_their_replicas() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().to_str().unwrap();
    let child = arena::start(&[(SIGNALS, "1"), (SEATS, "3"), (DATA, data)]);
    let address = child.address;
    let names: Vec<String> = (0..CLIENTS).map(|at| format!("c{at}")).collect();
    let mut clients = Vec::new();
    for name in &names {
        clients.push(Client::connect(address, "room", name).await);
    }
    // Neither of these two ever ends by itself: a client that answers no close, and a handler that never returns.
    let silent = raw(address, "elsewhere", "silent").await;
    let mut waits = Client::connect(address, "elsewhere", "waits").await;
    waits.say("wait for ever").await;
    assert_eq!(waits.hear().await, "waiting");

    let began = Instant::now();
    let ending = tokio::task::spawn_blocking(move || (child.terminate(), began.elapsed()));
    let come_back = clients.into_iter().zip(&names).map(|(client, name)| follow(client, name, address));
    let restart = async {
        let (errors, took) = ending.await.expect("the server shuts down cleanly");
        assert_eq!(errors, "");
        let listen = address.to_string();
        (arena::start(&[(SIGNALS, "1"), (SEATS, "3"), (DATA, data), (LISTEN, &listen)]), took)
    };
    let all = async { tokio::join!(restart, join_all(come_back)) };
    let ((child, took), back) = tokio::time::timeout(PATIENCE, all).await.expect("all clients come back");
    let returned = back.iter().filter(|(before, client)| *before == client.replica).count();
    assert_eq!(returned, CLIENTS, "some clients are on other Replicas than before");
    println!(
        "goodbye: SIGTERM with {} sockets open: ended after {:.1} s of the 3 s that are stated; {returned} clients came \
         back to their Replicas",
        CLIENTS + 2,
        took.as_secs_f64()
    );
    drop((silent, waits, back));
    assert_eq!(child.terminate(), "");
}
