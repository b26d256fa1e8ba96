//! Which Replica gets a new client: [`Placement`], [`Door`]. The times of a Group: [`Policy`].

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::close::CloseCode;
use crate::presence::Presence;

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

/// How a [`Group`](crate::Group) places its clients, and the times that it uses for that and for calls. Start with the default and change what you need:
///
/// ```
/// use std::time::Duration;
/// let policy = dog::Policy { sticky_for: Duration::from_secs(600), ..dog::Policy::default() };
/// # assert_eq!(policy.ticket_lifetime, Duration::from_secs(10));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Which of the Replicas with a free seat gets a new client. Default [`Placement::LeastUsed`].
    pub placement: Placement,
    /// How many seats one client may have in the Group, on all Replicas and nodes together: sockets, event streams, requests in
    /// progress, and seats that are reserved for it. Identifying it once more fails with
    /// [`Error::is_too_many_seats`](crate::Error::is_too_many_seats), which answers 429; no Replica hears of it. Default `None`: any
    /// number. It does not refuse [`Socket::assign`](crate::Socket::assign), but the sockets that were assigned count. When the Group
    /// begins another life, it counts the seats first, but does not know the tickets that it gave before: for `ticket_lifetime`, a
    /// client may get as many seats more.
    ///
    /// ```
    /// // A fifth tab of one user is refused.
    /// let policy = dog::Policy { max_seats_per_client: Some(4), ..dog::Policy::default() };
    /// # assert_eq!(policy.sticky_for.as_secs(), 60);
    /// ```
    pub max_seats_per_client: Option<u32>,
    /// How long a seat stays reserved for a client that has not come yet. Default 10 s.
    pub ticket_lifetime: Duration,
    /// How long a client goes back to its Replica after its last seat there. Default 60 s.
    pub sticky_for: Duration,
    /// How long a Replica has no sockets before it is parked: broadcasts and gossip skip it, and it is the first to be used
    /// again. Default 60 s.
    pub park_after: Duration,
    /// How long the Group waits for its Replicas to learn of a new sibling. After that it serves clients without the
    /// Replicas that do not answer. Default 2 s.
    pub join_deadline: Duration,
    /// How long a [call](crate::Group::on_call) may take, from its arrival at the Group. Default 3 s. More than 30 s counts as 30 s:
    /// work that takes longer is better begun by the call and reported later.
    pub call_deadline: Duration,
    /// How long a publication may wait for its position, from its arrival at the Group, and from its call if a Replica makes it.
    /// Default 3 s. More than 30 s counts as 30 s.
    pub publish_deadline: Duration,
    /// The most publications that one [`Socket::resume`](crate::Socket::resume) replays, and that a Replica keeps per topic for
    /// this. Default 1,000. More than 1,000 count as 1,000.
    pub resume_publications: u32,
    /// The most bytes of publications that one [`Socket::resume`](crate::Socket::resume) replays, and that a Replica keeps per
    /// topic for this. Default 512 KiB. More than 512 KiB count as 512 KiB.
    pub resume_bytes: u32,
    /// How long a socket of an [anonymous](crate::GroupHandle::identify_anonymous) client may stay open before
    /// [`Socket::assign`](crate::Socket::assign) has named its client. Then it closes. Default 10 s. It does not apply to
    /// [`Anonymous::ForGood`](crate::Anonymous::ForGood).
    pub assign_deadline: Duration,
    /// The code with which such a socket closes. Default 1008 ([`CloseCode::POLICY`]).
    pub unassigned_code: CloseCode,
    /// Whether the Group knows who is in it, and tells its own code and the Replicas that want to know. Default `None`: it costs
    /// nothing then. It needs the feature `presence`, and with that it is `Some(Presence::default())`, or one with other times.
    pub presence: Option<Presence>,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            placement: Placement::default(),
            max_seats_per_client: None,
            ticket_lifetime: Duration::from_secs(10),
            sticky_for: Duration::from_secs(60),
            park_after: Duration::from_secs(60),
            join_deadline: Duration::from_secs(2),
            call_deadline: Duration::from_secs(3),
            publish_deadline: Duration::from_secs(3),
            resume_publications: 1000,
            resume_bytes: 512 * 1024,
            assign_deadline: Duration::from_secs(10),
            unassigned_code: CloseCode::POLICY,
            presence: None,
        }
    }
}
