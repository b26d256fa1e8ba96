//! How scenarios see from outside which seats are free in a Group's books.
//!
//! No event tells of the books, and asking them means to take a ticket for a moment. So the Replicas are brought to
//! differ in room, and strangers are sent until they go where the most room should be. There is always some room
//! elsewhere meanwhile, so that asking too early makes no new Replica.

use dog::ReplicaId;

use crate::check::{Outcome, ensure, same};
use crate::client::Client;
use crate::stage::Place;

/// Seats of a Replica of the classes `octet` and `brief`.
pub(super) const SEATS: usize = 8;

/// Fills one Replica with clients `NAME0` to `NAME7`.
pub(super) async fn fill(place: &Place, name: &str) -> Outcome<Vec<Client>> {
    let clients = join(place, name, SEATS).await?;
    let home = clients[0].replica();
    ensure(
        clients.iter().all(|client| client.replica() == home),
        "eight clients do not fill a Replica of eight seats",
    )?;
    Ok(clients)
}

/// Clients `NAME0`, `NAME1`, … join one after another.
pub(super) async fn join(place: &Place, name: &str, count: usize) -> Outcome<Vec<Client>> {
    let mut clients = Vec::with_capacity(count);
    for number in 0..count {
        clients.push(place.join(&format!("{name}{number}")).await?);
    }
    Ok(clients)
}

/// All leave; the client and the server agree about it.
pub(super) async fn leave(clients: impl IntoIterator<Item = Client>) -> Outcome {
    for client in clients {
        client.leave().await?;
    }
    Ok(())
}

/// One Replica that is full, so that what comes next is on a second one.
pub(super) struct Beside {
    full: Vec<Client>,
}

impl Beside {
    pub(super) async fn new(place: &Place) -> Outcome<Self> {
        Ok(Self { full: fill(place, "beside").await? })
    }

    pub(super) fn replica(&self) -> ReplicaId {
        self.full[0].replica()
    }

    /// Whoever has not a seat on the full Replica. It asks siblings.
    pub(super) fn one(&mut self) -> &mut Client {
        &mut self.full[0]
    }

    /// Sees that every one of the eight seats of `replica` is free: strangers go there, though seven are free here.
    pub(super) async fn all_free(self, place: &Place, replica: ReplicaId) -> Outcome {
        same(replica != self.replica(), true, "another Replica")?;
        let mut full = self.full;
        leave(full.drain(1..)).await?;
        place.settles_on(replica).await
    }
}
