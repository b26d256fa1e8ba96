//! A Group's books: its members, their seats, the tickets, and where each client is. Pure: time and ids come in, decisions go
//! out.
//!
//! - this file: [`Books`], its members' coming and going, and what time does
//! - `placement`: which Replica serves a client (promises 1, 2 and 3)
//! - `reports`: what Replicas report, and who is asked because of silence (promises 4 and 8)
//! - `listeners`: whom the Group itself reaches
//!
//! The books own:
//!
//! - `members`: all members and their indexes; `member`: one of them
//! - `tickets`: reserved seats
//! - `clients`: where each client is, and was (promise 2)
//! - `liveness`: when each member is asked for its seats
//! - `topics`: which members have subscribers of which topics (promise 20)

mod clients;
mod listeners;
mod liveness;
mod member;
mod members;
mod placement;
mod reports;
mod sweep;
#[cfg(test)]
mod tests;
mod tickets;
mod topics;

use dog::{ClientId, Epoch, Limit, Policy, ReplicaId, Timestamp};

use crate::address::{NodeId, View, ViewVersion};

use clients::Clients;
use liveness::{LivenessQueue, SilenceChecks};
use members::Members;
use tickets::Tickets;
use topics::Interests;

pub use clients::ClientRecord;
pub use listeners::Listeners;
pub use member::{MemberRecord, MemberSeats, MemberState};
pub use placement::Decision;
pub use topics::TopicAudience;

/// Everything that a Group knows in one life.
#[derive(Debug)]
pub struct Books {
    epoch: Epoch,
    limit: Limit,
    policy: Policy,
    /// Whether the limit and the policy are those of the user's value. Until then nobody is placed.
    configured: bool,
    members: Members,
    tickets: Tickets,
    clients: Clients,
    /// How many client ids were generated.
    generated: u64,
    interests: Interests,
    liveness: LivenessQueue,
    checks: SilenceChecks,
    view: View,
}

/// Sums over all members, for tests and metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Totals {
    /// Members that are not parked.
    pub members: usize,
    /// Parked members.
    pub parked: usize,
    /// Seats taken, as last reported.
    pub occupied: u32,
    /// Valid tickets.
    pub tickets: usize,
    /// Clients that are known.
    pub clients: usize,
    /// Clients with open sockets, as last reported.
    pub connected: usize,
    /// Open sockets, as last reported.
    pub sockets: usize,
}

impl Books {
    /// The books of a new Group.
    pub fn new(epoch: Epoch, limit: Limit, policy: Policy) -> Self {
        Self::restore(epoch, limit, policy, [])
    }

    /// The books of a Group that wakes, from its stored members. Members that were not parked are
    /// [`Uncounted`](MemberState::Uncounted) until they report their seats.
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
            configured: true,
            members: Members::default(),
            tickets: Tickets::new(epoch, policy.ticket_lifetime),
            generated: 0,
            clients: Clients::default(),
            interests: Interests::default(),
            liveness: LivenessQueue::default(),
            checks: SilenceChecks::default(),
            view: View::default(),
        };
        for record in records {
            let state = if record.parked { MemberState::Parked } else { MemberState::Uncounted };
            books.members.enter(record.replica, state);
            // It is not known. At worst the member is examined later than it could be.
            books.members.note(record.replica, |member| member.served = true);
        }
        books.renew_view();
        books
    }

    /// The same before the user's value is in memory: enough to count members, and to reach and count their sockets. Silent
    /// members are asked [on demand](Books::check_on_demand) until then.
    pub fn open(epoch: Epoch, records: impl IntoIterator<Item = MemberRecord>) -> Self {
        let mut books = Self::restore(epoch, Limit::new(1), Policy::default(), records);
        books.configured = false;
        books.check_on_demand();
        books
    }

    /// The user's value is in memory. Members that were counted without it are [`Uncounted`](MemberState::Uncounted) again:
    /// they have to be told the limit and the view before a client is sent to any of them.
    pub fn configure(&mut self, limit: Limit, policy: Policy) {
        (self.limit, self.policy, self.configured) = (limit, policy, true);
        self.tickets.set_lifetime(policy.ticket_lifetime);
        for replica in self.members.ordered(|member| member.state != MemberState::Parked) {
            self.members.change(replica, |member| {
                member.state = MemberState::Uncounted;
                member.counted = false;
            });
        }
    }

    /// Whether the user's limit and policy are known.
    pub fn is_configured(&self) -> bool {
        self.configured
    }

    /// Seats of one Replica.
    pub fn limit(&self) -> Limit {
        self.limit
    }

    /// The times that these books use.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// The members as Replicas should know them.
    pub fn view(&self) -> &View {
        &self.view
    }

    /// Seats of a Replica that are taken or reserved.
    pub fn seats(&self, replica: ReplicaId) -> u32 {
        self.members.seats(replica)
    }

    /// The state of a member. `None` if it is not a member.
    pub fn state(&self, replica: ReplicaId) -> Option<MemberState> {
        self.members.state(replica)
    }

    /// The seats of each member, the older before the younger.
    pub fn members(&self) -> Vec<MemberSeats> {
        let members = self.members.ordered(|_| true).into_iter();
        members.filter_map(|replica| Some(self.members.get(replica)?.summary(replica))).collect()
    }

    /// Sums over all members.
    pub fn totals(&self) -> Totals {
        Totals {
            members: self.members.unparked_count(),
            parked: self.members.parked_count(),
            occupied: self.members.iter().map(|(_, member)| member.occupied).sum(),
            tickets: self.tickets.len(),
            clients: self.clients.len(),
            connected: self.clients.connected(),
            sockets: self.clients.sockets(),
        }
    }

    /// The members that the Group itself reaches.
    pub fn listeners(&self) -> Listeners<'_> {
        Listeners::new(&self.members, &self.clients)
    }

    /// The clients with open sockets, as last reported: those after `after`, ordered by their bytes, at most `limit` of them,
    /// each with the number of its sockets on all Replicas. Also returns whether others follow. The time that it takes grows
    /// with the number of all clients, whatever `limit` is.
    pub fn clients_after(&self, after: Option<&ClientId>, limit: usize) -> (Vec<(ClientId, u32)>, bool) {
        self.clients.page(after, limit)
    }

    /// What has to be stored of all members.
    pub fn records(&self) -> impl Iterator<Item = MemberRecord> + '_ {
        // The order decides between equals, so it has to be the same in the next life.
        self.members.ordered(|_| true).into_iter().filter_map(|replica| self.record(replica))
    }

    /// What has to be stored of one member.
    pub fn record(&self, replica: ReplicaId) -> Option<MemberRecord> {
        let state = self.state(replica)?;
        Some(MemberRecord { replica, parked: state == MemberState::Parked })
    }

    /// Every client that is known, those that departed first at the front: what is stored when the host shuts down.
    pub fn client_records(&self, now: Timestamp) -> Vec<ClientRecord> {
        self.clients.records(now)
    }

    /// Restores what an earlier life knew of clients. They are forgotten when that life would have forgotten them. Called
    /// before any client is placed; clients that are known already stay as they are.
    pub fn restore_clients(&mut self, records: Vec<ClientRecord>, now: Timestamp) {
        self.clients.restore(records, now);
        self.clients.forget(now, self.policy.sticky_for);
    }

    /// Takes a new or parked Replica into the cluster. It and its siblings have to be told the [`view`](Books::view) before
    /// [`joined`](Books::joined). Returns `false` if it is a member already.
    ///
    /// It is to live on the default node: [`admit_at`](Books::admit_at) names another.
    pub fn admit(&mut self, replica: ReplicaId, now: Timestamp) -> bool {
        self.admit_at(replica, NodeId::default(), now)
    }

    /// [`admit`](Books::admit) with the node that it should live on. It reports itself where it lives in the end.
    pub fn admit_at(&mut self, replica: ReplicaId, node: NodeId, now: Timestamp) -> bool {
        match self.state(replica) {
            None => self.members.enter(replica, MemberState::Joining),
            Some(MemberState::Parked) => self.members.set_state(replica, MemberState::Joining),
            Some(_) => return false,
        }
        self.members.change(replica, |member| {
            member.node = node;
            member.examined = false;
        });
        self.members.note_emptiness(replica, now);
        self.renew_view();
        true
    }

    /// Removes a Replica that could not join, and its tickets.
    pub fn remove(&mut self, replica: ReplicaId, now: Timestamp) {
        self.clear_seats(replica, now);
        self.release_all(replica, now);
        if self.members.remove(replica).is_some() {
            self.interests.forget(replica);
            self.liveness.remove(replica);
            self.renew_view();
        }
    }

    fn release_all(&mut self, replica: ReplicaId, now: Timestamp) {
        for ticket in self.tickets.of_replica(replica) {
            self.release(ticket, now);
        }
    }

    /// Parked members, the longest parked first.
    pub fn parked(&self) -> impl Iterator<Item = ReplicaId> {
        self.members.parked()
    }

    /// Those of these parked members that have never served a client: Replicas that were made for clients who left before they
    /// came. The caller examines whether they store anything, and [forgets](Books::forget) those that do not.
    pub fn never_served(&mut self, parked: &[ReplicaId]) -> Vec<ReplicaId> {
        self.members.unexamined(parked, |member| !member.served)
    }

    /// All parked members that were not examined since they were parked. For when no client is left or remembered.
    pub fn all_unexamined(&mut self) -> Vec<ReplicaId> {
        let parked: Vec<_> = self.members.parked().collect();
        self.members.unexamined(&parked, |_| true)
    }

    /// These parked members store nothing, so a new Replica is as good: they are members no more. The view does not change,
    /// because they are not in it. Returns those that were removed. If one is heard again, it is unknown.
    pub fn forget(&mut self, replicas: &[ReplicaId]) -> Vec<ReplicaId> {
        let gone = self.members.forget(replicas);
        gone.iter().for_each(|replica| self.liveness.remove(*replica));
        gone
    }

    /// Does what is due: tickets expire, clients are forgotten, empty Replicas are parked. Returns those that were parked; if
    /// there are any, the view has changed.
    pub fn advance(&mut self, now: Timestamp) -> Vec<ReplicaId> {
        while let Some(ticket) = self.tickets.next_expired(now) {
            self.release(ticket, now);
        }
        self.clients.forget(now, self.policy.sticky_for);
        let parked = self.members.park_empty(self.policy.park_after, now);
        parked.iter().for_each(|replica| self.interests.forget(*replica));
        if !parked.is_empty() {
            self.renew_view();
        }
        parked
    }

    /// When [`advance`](Books::advance) or [`to_ask`](Books::to_ask) has something to do next. It is never too early, because a
    /// timer for nothing costs where it keeps the Group in memory.
    pub fn next_deadline(&mut self) -> Option<Timestamp> {
        let expiry = self.tickets.next_expiry();
        let forgetting = self.clients.next_to_forget(self.policy.sticky_for);
        let parking = self.members.next_parking(self.policy.park_after);
        [expiry, forgetting, parking, self.liveness.next()].into_iter().flatten().min()
    }

    fn renew_view(&mut self) {
        let change = if self.view.version.epoch == self.epoch { self.view.version.change + 1 } else { 1 };
        self.view = View { version: ViewVersion { epoch: self.epoch, change }, members: self.members.unparked() };
    }
}
