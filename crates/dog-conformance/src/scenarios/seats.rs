//! How scenarios find out which seats are free in a Group's books.
//!
//! There is no event for this, and every question takes a ticket for a moment. So a scenario gives the Replicas different amounts
//! of room, and sends new clients until they are placed where the most room should be. Another Replica always has some room, so
//! that asking too early does not create a new one.

use dog::ReplicaId;

use crate::check::{Outcome, ensure, same};
use crate::client::Client;
use crate::stage::TestGroup;

/// The limit of the classes `octet` and `brief`.
pub(super) const SEATS: usize = 8;

/// Fills one Replica with clients `NAME0` to `NAME7`.
pub(super) async fn fill(group: &TestGroup, name: &str) -> Outcome<Vec<Client>> {
    let clients = join(group, name, SEATS).await?;
    let home = clients[0].replica();
    ensure(
        clients.iter().all(|client| client.replica() == home),
        "eight clients do not fill a Replica of eight seats",
    )?;
    Ok(clients)
}

/// Clients `NAME0`, `NAME1`, … join one after another.
pub(super) async fn join(group: &TestGroup, name: &str, count: usize) -> Outcome<Vec<Client>> {
    let mut clients = Vec::with_capacity(count);
    for number in 0..count {
        clients.push(group.join(&format!("{name}{number}")).await?);
    }
    Ok(clients)
}

/// All clients leave, with a complete closing handshake.
pub(super) async fn leave(clients: impl IntoIterator<Item = Client>) -> Outcome {
    for client in clients {
        client.leave().await?;
    }
    Ok(())
}

/// A Replica that is full, so that the next clients are on a second one.
pub(super) struct Beside {
    full: Vec<Client>,
}

impl Beside {
    pub(super) async fn new(group: &TestGroup) -> Outcome<Self> {
        Ok(Self { full: fill(group, "beside").await? })
    }

    pub(super) fn replica(&self) -> ReplicaId {
        self.full[0].replica()
    }

    /// A client that is not on the full Replica. It asks siblings.
    pub(super) fn one(&mut self) -> &mut Client {
        &mut self.full[0]
    }

    /// Checks that all eight seats of `replica` are free: new clients go there, although seven are free here.
    pub(super) async fn all_free(self, group: &TestGroup, replica: ReplicaId) -> Outcome {
        same(replica != self.replica(), true, "another Replica")?;
        let mut full = self.full;
        leave(full.drain(1..)).await?;
        group.settles_on(replica).await
    }
}
