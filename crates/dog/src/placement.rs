//! Which Replica gets a new client: [`Placement`], [`Door`].

use serde::{Deserialize, Serialize};

/// Which of the Replicas with a free seat gets a client that has none to return to: [`Policy::placement`].
///
/// A client that has used a Replica before goes back to it in either case. If no Replica has a free seat, a parked one is used
/// before a new one is made. In a cluster of servers, the Replicas on the client's own node come first.
///
/// [`Policy::placement`]: crate::Policy::placement
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Placement {
    /// The one with the most free seats. It spreads the load: chats, documents, dashboards.
    #[default]
    LeastUsed,
    /// The one with the fewest free seats, so that each Replica is full before the next one is used. Use it where people have to
    /// meet: the matches of a game, calls, auctions.
    FillFirst,
}

/// Whether a Replica takes newcomers: clients that its Group does not remember there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Door {
    /// It does.
    #[default]
    Open,
    /// It does not.
    Closed,
}
