//! Where clients are put once all is healed: promises 2 and 3, put to the question by newcomers.

use std::time::Duration;

use dog::{Close, CloseCode, Group, GroupId, ReplicaId};
use dog_engine::address::{GroupAddress, Object};
use dog_engine::books::{MemberSeats, MemberState};

use crate::app::Hall;
use crate::explore::Run;
use dog_testing::websocket;
use dog_testing::world::{ClientKey, Driver, Micros, World};

/// Until a newcomer has its socket: longer than a join takes.
const PLACED: Micros = 5_000_000;

/// Until the Group has heard that a client has left.
const LEFT: Micros = 300_000;

/// Where a newcomer belongs.
enum Places {
    /// Nobody has asked its Group for long, and it rests: what is on its books is not known.
    Unknown,
    /// To one of these.
    Any(Vec<ReplicaId>),
    /// To one that is not there yet.
    New,
}

impl Run {
    /// A newcomer comes to each Group, comes again, leaves, and comes back. `false` once something is wrong.
    pub(crate) fn check_placement(&mut self) -> bool {
        (0..self.plan.groups).all(|group| {
            let group = format!("g{group}");
            self.newcomers += 1;
            let name = format!("new{}", self.newcomers);
            let found = self.check_least_used(&group, &name);
            found.is_some_and(|(client, replica)| self.check_sticky(&group, &name, client, replica))
        })
    }

    /// Promise 3: a client that nobody remembers goes where most room is, to a parked Replica before a new one.
    fn check_least_used(&mut self, group: &str, name: &str) -> Option<(ClientKey, ReplicaId)> {
        let books = self.books(group);
        let best = self.best_places(books.as_deref());
        let (client, replica) = self.comes(group, name)?;
        self.witness.ledger().checks.count(3);
        let is_known = books.iter().flatten().any(|member| Some(member.replica) == replica);
        let wrong = match (replica, best) {
            (None, _) => "got no socket".to_owned(),
            (Some(_), Places::New) if is_known => "went to a full Replica".to_owned(),
            (Some(at), Places::Any(best)) if !best.contains(&at) => {
                format!("went to {at:?}, and not to one of {best:?}")
            }
            (Some(at), _) => return Some((client, at)),
        };
        self.witness.ledger().broken(3, format!("a newcomer {wrong}: the books said {books:?}"));
        None
    }

    /// Promise 2: it goes where it is, as long as there is room, and where it was.
    fn check_sticky(&mut self, group: &str, name: &str, client: ClientKey, replica: ReplicaId) -> bool {
        let limit = self.plan.rules.limit;
        let is_it = |member: &&MemberSeats| member.replica == replica;
        let has_room = |books: &Vec<MemberSeats>| books.iter().find(is_it).is_some_and(|member| seats(member) < limit);
        let has_room = self.books(group).as_ref().is_some_and(has_room);
        let Some((second, at)) = self.comes(group, name) else { return false };
        self.witness.ledger().checks.count(2);
        let mut is_held = !has_room || at == Some(replica);
        if is_held && at == Some(replica) {
            for client in [client, second] {
                self.world.client_closes(client, Close::new(CloseCode::NORMAL, ""));
            }
            if !self.pass(self.absence()) {
                return false;
            }
            let Some((_, back)) = self.comes(group, name) else { return false };
            is_held = back == Some(replica);
        }
        if !is_held {
            self.witness.ledger().broken(2, format!("{name} was on {replica:?}, came again, and went elsewhere"));
        }
        is_held
    }

    /// For how long the newcomer stays away: until its Replica is parked, if it is remembered for so long.
    fn absence(&self) -> Micros {
        let policy = self.plan.rules.policy;
        let parked = policy.park_after + Duration::from_secs(1);
        let is_remembered = parked + Duration::from_secs(1) < policy.sticky_for;
        if is_remembered { World::span(parked) } else { LEFT }
    }

    /// A client connects. Where it is then; nothing once something is wrong.
    fn comes(&mut self, group: &str, name: &str) -> Option<(ClientKey, Option<ReplicaId>)> {
        let client = self.world.ask(0, websocket(&format!("/ws?u={name}&g={group}")));
        self.clients.push(client);
        let goes_well = self.pass(PLACED);
        let socket = self.world.sockets.borrow().client(client).socket;
        goes_well.then_some((client, socket.map(|(at, _)| at.replica)))
    }

    /// What the Group believes, if it is awake.
    fn books(&self, group: &str) -> Option<Vec<MemberSeats>> {
        let class = self.world.class(Hall::NAME)?;
        let address = GroupAddress { class, group: GroupId::from_name(Hall::NAME, group) };
        match self.world.driver(Object::Group(address))? {
            Driver::Group(driver) => driver.members(),
            Driver::Replica(_) => None,
        }
    }

    fn best_places(&self, books: Option<&[MemberSeats]>) -> Places {
        let Some(books) = books else { return Places::Unknown };
        let active = books.iter().filter(|member| member.state == MemberState::Active);
        let least = active.clone().map(seats).min().filter(|least| *least < self.plan.rules.limit);
        if let Some(least) = least {
            let best = active.filter(|member| seats(member) == least);
            return Places::Any(best.map(|member| member.replica).collect());
        }
        let parked: Vec<ReplicaId> =
            books.iter().filter(|member| member.state == MemberState::Parked).map(|member| member.replica).collect();
        if parked.is_empty() { Places::New } else { Places::Any(parked) }
    }
}

fn seats(member: &MemberSeats) -> u32 {
    member.occupied + member.reserved
}
