//! A Group's books: its members, their seats, the tickets, and where each client is. Pure: time and ids come in,
//! decisions go out.
//!
//! - `placing`: which Replica serves a client (promises 1, 2, 3)
//! - `members`: who belongs to the cluster: joining, parking, losing, the view (promises 4, 9)
//! - `counting`: reports, census and expiry (promise 8); `asking`: members whose word is missing
//! - `forgetting`: parked members that nobody needs to remember
//! - `remembering`: where clients were, from one life of the host to the next (promise 2)

mod asking;
mod clients;
mod counting;
mod forgetting;
mod members;
mod placing;
mod remembering;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::time::Duration;

use dog::{ClientId, Epoch, Limit, Policy, ReplicaId, Timestamp};

use crate::address::{NodeId, TicketId, View, ViewVersion};

use asking::Watch;
use clients::Clients;
pub use members::{MemberRecord, Standing};
pub use placing::Placement;
pub use remembering::ClientRecord;

/// How much longer than the Replica the Group counts a ticket: a report that a ticket was taken in its last moment may
/// be on its way.
const TICKET_MARGIN: Duration = Duration::from_secs(5);

/// All that a Group knows in one life.
#[derive(Debug)]
pub struct Books {
    epoch: Epoch,
    limit: Limit,
    policy: Policy,
    members: HashMap<ReplicaId, Member>,
    /// How many stand as uncounted.
    uncounted: usize,
    /// Those that are not parked, the older before the younger.
    unparked: BTreeMap<u64, ReplicaId>,
    /// Members that may be given clients, those of one node together, least used first, the older before the younger.
    by_use: BTreeSet<(NodeId, u32, u64, ReplicaId)>,
    /// Parked ones, longest parked first.
    parked: VecDeque<ReplicaId>,
    next_order: u64,
    tickets: HashMap<TicketId, Promise>,
    /// In the order of expiry, which is the order of giving, since all live equally long. Spent ones are passed over.
    expiries: VecDeque<(Timestamp, TicketId)>,
    next_ticket: u64,
    clients: Clients,
    /// Members by when they became empty, with the number of that time; those that are no longer so are passed over.
    empty: VecDeque<(Timestamp, u64, ReplicaId)>,
    next_emptiness: u64,
    /// When each member is to be asked for its seats, unless it has been heard by then. One entry a member at most.
    asks: BTreeSet<(Timestamp, ReplicaId)>,
    watch: Watch,
    view: View,
}

/// A ticket, as the Group counts it.
#[derive(Debug)]
struct Promise {
    replica: ReplicaId,
    client: ClientId,
}

/// One Replica in the books.
#[derive(Debug)]
struct Member {
    standing: Standing,
    /// Where it lives, by its own word; where it is to live, until it has been heard.
    node: NodeId,
    /// The life that `sequence` and `occupied` speak of; unknown until it has been heard.
    epoch: Epoch,
    sequence: u64,
    /// As last reported.
    occupied: u32,
    /// Live tickets that no report has named.
    promised: u32,
    /// Whether this life of the Group has had its whole truth, so that what has changed since is enough.
    counted: bool,
    /// Seats of each client there, as reported.
    clients: HashMap<ClientId, u32>,
    /// Smaller for older members.
    order: u64,
    /// Numbers the time for which it has been empty: the clock may not tell two of them apart.
    emptiness: Option<u64>,
    /// When it said something last.
    heard: Timestamp,
    /// A view that it may not know.
    missed: Option<ViewVersion>,
    /// Its place in `asks`.
    ask_at: Option<Timestamp>,
    /// Whether anybody has ever had a seat there, as far as is known.
    served: bool,
    /// Whether it was looked at, since it was parked, if it is worth remembering.
    examined: bool,
}

impl Member {
    fn seats(&self) -> u32 {
        self.occupied + self.promised
    }

    /// Whether it is to be asked for its seats. Those that are joining answer that with a census, and so will those that
    /// are parked.
    fn is_uncounted(&self) -> bool {
        !self.counted && !matches!(self.standing, Standing::Joining | Standing::Parked)
    }

    /// Where it stands in the order of placement.
    fn place(&self, replica: ReplicaId) -> (NodeId, u32, u64, ReplicaId) {
        (self.node, self.seats(), self.order, replica)
    }
}

impl Books {
    /// The books of a Group that never was.
    pub fn new(epoch: Epoch, limit: Limit, policy: Policy) -> Self {
        Self::restore(epoch, limit, policy, [])
    }

    /// The books of a Group that wakes: `records` is what it kept. Members that were not parked stand as
    /// [`Standing::Uncounted`] until they tell their seats.
    pub fn restore(
        epoch: Epoch,
        limit: Limit,
        policy: Policy,
        records: impl IntoIterator<Item = MemberRecord>,
    ) -> Self {
        let mut books = Self {
            epoch,
            limit,
            policy,
            members: HashMap::new(),
            uncounted: 0,
            unparked: BTreeMap::new(),
            by_use: BTreeSet::new(),
            parked: VecDeque::new(),
            next_order: 0,
            tickets: HashMap::new(),
            expiries: VecDeque::new(),
            next_ticket: 0,
            clients: Clients::default(),
            empty: VecDeque::new(),
            next_emptiness: 0,
            asks: BTreeSet::new(),
            watch: Watch::default(),
            view: View::default(),
        };
        for record in records {
            let standing = if record.parked { Standing::Parked } else { Standing::Uncounted };
            books.enter(record.replica, standing);
            // It is not known, and it does not matter much.
            books.change(record.replica, |member| member.served = true);
        }
        books.renew_view();
        books
    }

    /// Seats of one Replica.
    pub fn limit(&self) -> Limit {
        self.limit
    }

    /// The times that these books go by.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// The members as Replicas should know them.
    pub fn view(&self) -> &View {
        &self.view
    }

    /// Seats of a Replica as the Group counts them: taken or promised.
    pub fn seats(&self, replica: ReplicaId) -> u32 {
        self.members.get(&replica).map_or(0, Member::seats)
    }

    /// How a Replica stands, or `None` of a stranger.
    pub fn standing(&self, replica: ReplicaId) -> Option<Standing> {
        self.members.get(&replica).map(|member| member.standing)
    }

    /// What is counted of each member, the older before the younger.
    pub fn members(&self) -> Vec<MemberSeats> {
        let mut members: Vec<_> =
            self.members.iter().map(|(replica, member)| (member.order, *replica, member)).collect();
        members.sort_unstable_by_key(|(order, ..)| *order);
        let seats = |(_, replica, member): (u64, ReplicaId, &Member)| {
            let mut clients: Vec<_> = member.clients.iter().map(|(client, seats)| (client.clone(), *seats)).collect();
            clients.sort_unstable();
            let Member { standing, occupied, promised, .. } = *member;
            MemberSeats { replica, standing, occupied, promised, clients }
        };
        members.into_iter().map(seats).collect()
    }

    /// Everything that is counted anywhere: seats of members and, apart, live tickets.
    pub fn totals(&self) -> Totals {
        Totals {
            members: self.members.len() - self.parked.len(),
            parked: self.parked.len(),
            occupied: self.members.values().map(|member| member.occupied).sum(),
            tickets: self.tickets.len(),
            clients: self.clients.len(),
        }
    }

    /// Changes a member, and where it stands in the order of placement. Every change of a member's seats or standing
    /// goes through here, so that the order cannot go stale.
    fn change<T>(&mut self, replica: ReplicaId, change: impl FnOnce(&mut Member) -> T) -> Option<T> {
        let member = self.members.get_mut(&replica)?;
        if member.standing.takes_clients() {
            self.by_use.remove(&member.place(replica));
        }
        let before = member.standing;
        let changed = change(member);
        if member.standing.takes_clients() {
            self.by_use.insert(member.place(replica));
        }
        let (order, after) = (member.order, member.standing);
        if before != after {
            self.stands(replica, order, before, Some(after));
        }
        Some(changed)
    }

    /// Keeps what is kept of standings, so that nobody has to look at all members for it.
    fn stands(&mut self, replica: ReplicaId, order: u64, before: Standing, after: Option<Standing>) {
        self.uncounted -= usize::from(before == Standing::Uncounted);
        self.uncounted += usize::from(after == Some(Standing::Uncounted));
        match after {
            Some(Standing::Parked) | None => drop(self.unparked.remove(&order)),
            Some(_) => drop(self.unparked.insert(order, replica)),
        }
    }

    /// Notes since when a member has been empty, after its seats have changed.
    fn note_emptiness(&mut self, replica: ReplicaId, now: Timestamp) {
        let Some(member) = self.members.get_mut(&replica) else { return };
        match (member.seats(), member.emptiness) {
            (0, None) => {
                let emptiness = self.next_emptiness;
                self.next_emptiness += 1;
                member.emptiness = Some(emptiness);
                self.empty.push_back((now, emptiness, replica));
                let members = &self.members;
                sweep(&mut self.empty, members.len(), |(_, emptiness, replica)| {
                    is_empty_since(members, *replica, *emptiness)
                });
            }
            (1.., Some(_)) => member.emptiness = None,
            _ => {}
        }
    }
}

/// Whether a member is still empty, and has been since the time of that number.
fn is_empty_since(members: &HashMap<ReplicaId, Member>, replica: ReplicaId, emptiness: u64) -> bool {
    members.get(&replica).is_some_and(|member| member.emptiness == Some(emptiness))
}

/// Drops what is to be passed over from a queue of deadlines once it is more than half of it: so a queue is never much
/// longer than what it is for, and each entry is looked at a bounded number of times.
fn sweep<T>(queue: &mut VecDeque<T>, live: usize, is_live: impl FnMut(&T) -> bool) {
    if queue.len() > 2 * live + 64 {
        queue.retain(is_live);
    }
}

/// What the books say of one member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberSeats {
    /// Who.
    pub replica: ReplicaId,
    /// How it stands.
    pub standing: Standing,
    /// Seats taken, as reported.
    pub occupied: u32,
    /// Live tickets.
    pub promised: u32,
    /// Seats of each client, as reported, in the order of their identifiers.
    pub clients: Vec<(ClientId, u32)>,
}

/// Sums over all members, for tests and metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Totals {
    /// Members that are not parked.
    pub members: usize,
    /// Parked ones.
    pub parked: usize,
    /// Seats taken, as reported.
    pub occupied: u32,
    /// Live tickets.
    pub tickets: usize,
    /// Clients that are remembered.
    pub clients: usize,
}
