//! A handler that does something to every socket of a large room.

use crate::arena::{self, HOST};
use crate::steady::{Client, Steady};

/// As many sockets as fit into 1,024 descriptors, the default limit of a process on many systems.
const CROWD: usize = 900;

#[tokio::test]
async fn a_handler_that_closes_every_socket_of_its_room() {
    let child = arena::start(&[]);
    let steady = Steady::start(child.address, "steady").await;
    let host = Client::connect(child.address, "crowd", HOST).await;
    let mut crowd = Vec::new();
    for number in 0..CROWD {
        crowd.push(Client::connect(child.address, "crowd", &format!("guest{number}")).await);
    }
    host.leave().await;
    for guest in &mut crowd {
        assert_eq!(guest.close_code().await, Some(4000));
    }
    let mut next = Client::connect(child.address, "crowd", "next").await;
    next.say("on we go").await;
    assert_eq!(next.hear().await, "on we go");
    steady.end("a room that is closed at once").await;
}
