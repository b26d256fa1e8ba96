//! Checks where new clients are placed when all faults are healed: promises 2 and 3.

use std::time::Duration;

use dog::{Close, CloseCode, Placement, ReplicaId};
use dog_engine::books::{MemberSeats, MemberState};
use dog_testing::world::{ClientKey, Micros, World};

use crate::env::Rules;
use crate::run::Run;

/// The time in which a Group learns that a client has left.
const LEFT: Micros = 300_000;

/// Where a new client must be placed.
enum Expected {
    /// The Group was not called for a long time and is not in memory, so its books are not known.
    Unknown,
    /// On one of these.
    Any(Vec<ReplicaId>),
    /// On a new Replica.
    New,
}

/// Checks the placement of new clients.
pub(crate) struct PlacementCheck<'run> {
    run: &'run mut Run,
}

impl<'run> PlacementCheck<'run> {
    pub(crate) fn new(run: &'run mut Run) -> Self {
        Self { run }
    }

    /// For each Group, a new client comes, opens a second socket, leaves and comes back. Returns `false` if a promise
    /// was broken.
    pub(crate) fn check(&mut self) -> bool {
        (0..self.run.plan().groups).all(|group| {
            let (group, name) = (format!("g{group}"), self.run.newcomer());
            let found = self.check_least_used(&group, &name);
            found.is_some_and(|(client, replica)| self.check_sticky(&group, &name, client, replica))
        })
    }

    /// Promise 3: a client that the Group does not remember is placed on the Replica with most room, or with least if the
    /// policy says so, among those that are not closed to newcomers. A parked Replica is used before a new one.
    fn check_least_used(&mut self, group: &str, name: &str) -> Option<(ClientKey, ReplicaId)> {
        let books = self.run.books(group);
        let expected = self.expected(books.as_deref());
        let (client, replica) = self.run.place(group, name)?;
        self.run.witness().record().checks.count(3);
        let is_known = books.iter().flatten().any(|member| Some(member.replica) == replica);
        let wrong = match (replica, expected) {
            (None, _) => "got no socket".to_owned(),
            (Some(_), Expected::New) if is_known => "went to a full Replica".to_owned(),
            (Some(at), Expected::Any(best)) if !best.contains(&at) => {
                format!("went to {at:?} instead of one of {best:?}")
            }
            (Some(at), _) => return Some((client, at)),
        };
        self.run.witness().record().broken(3, format!("a newcomer {wrong}: the books said {books:?}"));
        None
    }

    /// Promise 2: a client's second socket goes to the same Replica if there is room. A client that left comes back to
    /// the same Replica.
    fn check_sticky(&mut self, group: &str, name: &str, client: ClientKey, replica: ReplicaId) -> bool {
        let limit = self.run.plan().rules.limit;
        let is_it = |member: &&MemberSeats| member.replica == replica;
        let has_room = |books: &Vec<MemberSeats>| books.iter().find(is_it).is_some_and(|member| seats(member) < limit);
        let has_room = self.run.books(group).as_ref().is_some_and(has_room);
        let Some((second, at)) = self.run.place(group, name) else { return false };
        self.run.witness().record().checks.count(2);
        let mut is_held = !has_room || at == Some(replica);
        if is_held && at == Some(replica) {
            for client in [client, second] {
                self.run.world().client_closes(client, Close::new(CloseCode::NORMAL, ""));
            }
            if !self.run.pass(self.absence()) {
                return false;
            }
            let Some((_, back)) = self.run.place(group, name) else { return false };
            is_held = back == Some(replica);
        }
        if !is_held {
            let what = format!("{name} was on {replica:?}, came again, and was placed elsewhere");
            self.run.witness().record().broken(2, what);
        }
        is_held
    }

    /// Returns how long the client stays away: until its Replica is parked, if it is remembered for that long.
    fn absence(&self) -> Micros {
        let policy = self.run.plan().rules.policy;
        let parked = policy.park_after + Duration::from_secs(1);
        let is_remembered = parked + Duration::from_secs(1) < policy.sticky_for;
        if is_remembered { World::span(parked) } else { LEFT }
    }

    fn expected(&self, books: Option<&[MemberSeats]>) -> Expected {
        let Some(books) = books else { return Expected::Unknown };
        let active = books.iter().filter(|member| member.state == MemberState::Active);
        let Rules { limit, policy, .. } = self.run.plan().rules;
        // `check_books` has compared with the truth who is closed.
        let open = active.filter(|member| !member.is_closed);
        let with_room = open.clone().map(seats).filter(|seats| *seats < limit);
        let first = match policy.placement {
            Placement::LeastUsed => with_room.min(),
            Placement::FillFirst => with_room.max(),
        };
        if let Some(first) = first {
            let best = open.filter(|member| seats(member) == first);
            return Expected::Any(best.map(|member| member.replica).collect());
        }
        let parked: Vec<ReplicaId> =
            books.iter().filter(|member| member.state == MemberState::Parked).map(|member| member.replica).collect();
        if parked.is_empty() { Expected::New } else { Expected::Any(parked) }
    }
}

fn seats(member: &MemberSeats) -> u32 {
    member.occupied + member.reserved
}
