//! What is known of presence in a run: [`PresenceRecord`]. Promise 19.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use dog::{
    Bytes, ClientId, ConnectionId, Epoch, GroupId, Presence, PresenceChange, PresenceNews, PresencePage,
    PresenceVersion, ReplicaId, SocketId, Timestamp,
};
use dog_engine::presence::{Following, PresenceChanges};

use super::model::{People, PresenceModel};

/// How long a client stays whose socket was closed with 1012: the time that a shutdown takes in the simulated hosts, and 10 s.
const RESTART_GRACE: Duration = Duration::from_secs(20);

/// A client that was disconnected has no grace time, and news of that may be as late as this.
const DISCONNECTED: Duration = Duration::from_secs(60);

/// Within this time a Group learns of a socket, if nothing goes wrong. One that ends before may never be seen.
const LEARNED: Duration = Duration::from_secs(1);

/// Objects see whole milliseconds.
const PRECISION: Duration = Duration::from_millis(2);

/// A life of a Replica.
pub(crate) type ReplicaLife = (ReplicaId, u64);

/// What the host knows of the connection of a socket.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Named {
    connection: ConnectionId,
    value: Option<u64>,
    at: Timestamp,
    faults: Faults,
}

impl Named {
    pub(crate) fn connection(self) -> ConnectionId {
        self.connection
    }

    pub(crate) fn value(self) -> Option<u64> {
        self.value
    }
}

/// What has gone wrong in the run so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Faults {
    /// How many messages were lost or late.
    pub(crate) harmed: u64,
    /// How many cuts there were, unless there is one now.
    pub(crate) cuts: Option<u64>,
    /// How many lives have crashed.
    pub(crate) crashes: u64,
}

impl Faults {
    /// Whether everything has arrived in time since then.
    fn all_has_arrived_since(self, then: Self) -> bool {
        self.harmed == then.harmed && self.cuts.is_some() && self.cuts == then.cuts
    }
}

/// A life of a Replica has told a life of its Group, when it was counted, what it was told.
#[derive(Clone, Copy, Debug)]
struct Census {
    life: u64,
    version: PresenceVersion,
    at: Timestamp,
    faults: Faults,
}

/// A client that stays, because its socket was closed with 1012.
#[derive(Clone, Copy, Debug)]
struct Stay {
    until: Timestamp,
    group_life: u64,
    faults: Faults,
}

/// Part of the [`RunRecord`](crate::record::RunRecord).
#[derive(Debug, Default)]
pub(crate) struct PresenceRecord {
    presence: Option<Presence>,
    models: BTreeMap<GroupId, PresenceModel>,
    named: BTreeMap<SocketId, Named>,
    /// What the code of each life of a Replica was told last.
    followed: BTreeMap<ReplicaLife, (PresenceVersion, People)>,
    censuses: BTreeMap<(GroupId, u64), BTreeMap<ReplicaId, Census>>,
    /// Which clients are there for the code of a life of a Group.
    hooked: BTreeMap<(GroupId, u64), BTreeMap<String, bool>>,
    /// If one of these sockets is open still, this is wrong.
    suspicions: Vec<(BTreeSet<SocketId>, String)>,
    /// When each client had an open socket that its Group must have learned of, and what had gone wrong before that opened.
    here: BTreeMap<(GroupId, String), (Timestamp, Faults)>,
    stays: BTreeMap<(GroupId, String), Stay>,
    disconnected: BTreeMap<(GroupId, String), Timestamp>,
    crashes: u64,
    pages: BTreeMap<u64, Result<People, String>>,
}

impl PresenceRecord {
    /// The Groups of the run have this presence.
    pub(crate) fn begin(&mut self, presence: Option<Presence>) {
        self.presence = presence;
    }

    pub(crate) fn is_on(&self) -> bool {
        self.presence.is_some()
    }

    fn grace(&self) -> Duration {
        self.presence.map(|presence| presence.grace_time()).unwrap_or_default()
    }

    /// A life has ended without warning, or has panicked.
    pub(crate) fn crashes(&mut self) {
        self.crashes += 1;
    }

    pub(crate) fn crashes_so_far(&self) -> u64 {
        self.crashes
    }

    /// The connection of a socket has a name and a value.
    pub(crate) fn names(
        &mut self,
        socket: SocketId,
        (connection, value): (ConnectionId, &Bytes),
        faults: Faults,
        now: Timestamp,
    ) {
        let value = if value.is_empty() { None } else { dog::internal::decode(value).ok() };
        let named = self.named.entry(socket).or_insert(Named { connection, value, at: now, faults });
        (named.connection, named.value) = (connection, value);
    }

    /// What its host knows of the connection of a socket.
    pub(crate) fn named(&self, socket: SocketId) -> Option<Named> {
        self.named.get(&socket).copied()
    }

    /// A handler of an open socket runs: its connection is open.
    pub(crate) fn is_open(
        &mut self,
        socket: SocketId,
        (group, client): (GroupId, &ClientId),
        now: Timestamp,
    ) -> Result<(), String> {
        let learned = self.named(socket).filter(|named| named.at + LEARNED <= now);
        self.here.extend(learned.map(|named| ((group, client.as_str().to_owned()), (now, named.faults))));
        let wrong = self.suspicions.iter().find(|(sockets, _)| sockets.contains(&socket));
        wrong.map_or(Ok(()), |(_, wrong)| Err(wrong.clone()))
    }

    /// A socket is closed with 1012.
    pub(crate) fn restarts(
        &mut self,
        socket: SocketId,
        (group, client): (GroupId, &ClientId),
        group_life: u64,
        faults: Faults,
        now: Timestamp,
    ) {
        let learned = self.named(socket).filter(|named| named.at + LEARNED <= now);
        if learned.is_none_or(|named| !faults.all_has_arrived_since(named.faults)) {
            return;
        }
        let stay = Stay { until: now + RESTART_GRACE, group_life, faults };
        self.stays.insert((group, client.as_str().to_owned()), stay);
    }

    /// A client is being disconnected, or was.
    pub(crate) fn disconnects(&mut self, group: GroupId, client: &str, now: Timestamp) {
        self.disconnected.insert((group, client.to_owned()), now);
    }

    /// Whether a client was disconnected not long ago.
    pub(crate) fn was_disconnected(&self, group: GroupId, client: &str, now: Timestamp) -> bool {
        let at = self.disconnected.get(&(group, client.to_owned()));
        at.is_some_and(|at| now < *at + DISCONNECTED)
    }

    /// A life of a Group tells changes.
    pub(crate) fn told(&mut self, group: GroupId, list: &PresenceChanges) -> Result<(), String> {
        self.models.entry(group).or_default().told(list.since, list.life, &list.changes)
    }

    /// The grace time of those who are said to leave is over.
    pub(crate) fn check_left(
        &self,
        group: (GroupId, u64),
        list: &PresenceChanges,
        faults: Faults,
        now: Timestamp,
    ) -> Result<(), String> {
        let changes = list.changes.iter().map(|told| &told.change);
        let left = changes.filter(|change| matches!(change, PresenceChange::Left { .. }));
        left.into_iter().try_for_each(|change| self.leaves(group, change.client(), faults, now))
    }

    /// Who has a generated id has no grace time, and neither has who was disconnected.
    fn leaves(
        &self,
        (group, life): (GroupId, u64),
        client: &ClientId,
        faults: Faults,
        now: Timestamp,
    ) -> Result<(), String> {
        if client.is_anonymous() || self.was_disconnected(group, client.as_str(), now) {
            return Ok(());
        }
        let of = (group, client.as_str().to_owned());
        let here = self.here.get(&of).filter(|(_, before)| faults.all_has_arrived_since(*before));
        if let Some((open, _)) = here.filter(|(open, _)| now + PRECISION < *open + self.grace()) {
            return Err(format!("{client} is said to leave at {now:?}, and had an open socket at {open:?}"));
        }
        let stays = self.stays.get(&of).filter(|stay| stay.group_life == life && stay.faults == faults);
        match stays.filter(|stay| now + PRECISION < stay.until) {
            Some(stay) => Err(format!("{client} is said to leave at {now:?}, but its server restarts: {stay:?}")),
            None => Ok(()),
        }
    }

    /// The code of a life of a Replica has read who is there, after it was told that what it knew does not count.
    pub(crate) fn read(
        &mut self,
        group: GroupId,
        life: ReplicaLife,
        told: PresenceVersion,
        page: &PresencePage,
    ) -> Result<(), String> {
        self.followed.remove(&life);
        let (Some(version), people) = (page.version, People::of_page(page)?) else { return Ok(()) };
        self.models.entry(group).or_default().seen(version, &people)?;
        if version < told {
            return Err(format!("{life:?} was told {told:?}, and reads {version:?}"));
        }
        self.followed.insert(life, (version, people));
        Ok(())
    }

    /// The code of a life of a Replica could not read who is there.
    pub(crate) fn cannot_read(&mut self, life: ReplicaLife) {
        self.followed.remove(&life);
    }

    /// The code of a life of a Replica is told changes. What it knows already is not told again.
    pub(crate) fn follows(&mut self, group: GroupId, life: ReplicaLife, news: &PresenceNews) -> Result<(), String> {
        let PresenceNews::Changed { version, changes, .. } = news else { return Ok(()) };
        let Some((known, people)) = self.followed.get_mut(&life).filter(|(known, _)| *known < *version) else {
            return Ok(());
        };
        for change in changes {
            people.apply(change).map_err(|wrong| format!("{life:?}: {wrong}"))?;
        }
        *known = *version;
        let people = people.clone();
        self.models.entry(group).or_default().seen(*version, &people)
    }

    /// Who is there for the code of a life of a Replica.
    pub(crate) fn followed(&self, life: ReplicaLife) -> Option<&People> {
        self.followed.get(&life).map(|(_, people)| people)
    }

    /// A life of a Group has counted the connections of a life of a Replica.
    pub(crate) fn counts(
        &mut self,
        group: (GroupId, u64),
        (replica, life): (ReplicaId, Epoch),
        following: Following,
        faults: Faults,
        now: Timestamp,
    ) {
        let counted = self.censuses.entry(group).or_default();
        match following {
            Following::At(version) => {
                let census = Census { life: life.as_u64(), version, at: now, faults };
                // Only the first one counts: the Group may have asked for what it knows, and got no answer, before the next came.
                let first = counted.entry(replica).or_insert(census);
                if first.life < census.life {
                    *first = census;
                }
            }
            Following::No | Following::New => drop(counted.remove(&replica)),
        }
    }

    /// A life of a Group begins a new presence. It may not, if a Replica has told it before what it knows, and follows still.
    /// `sockets`: the open sockets of a life of a Replica.
    pub(crate) fn begins_anew(
        &mut self,
        group: (GroupId, u64),
        faults: Faults,
        now: Timestamp,
        sockets: impl Fn(ReplicaLife) -> Vec<SocketId>,
    ) {
        self.hooked.remove(&group);
        for (replica, census) in self.censuses.get(&group).into_iter().flatten() {
            // Both calls and their answers come, if nothing is lost.
            if census.faults != faults || faults.cuts.is_none() || census.at >= now {
                continue;
            }
            let was_open = |socket: &SocketId| self.named.get(socket).is_some_and(|named| named.at < census.at);
            let since: BTreeSet<_> = sockets((*replica, census.life)).into_iter().filter(was_open).collect();
            let version = census.version;
            self.suspicions.push((
                since,
                format!("life {} of {:?} begins a new presence, but {replica:?} knows {version:?}", group.1, group.0),
            ));
        }
    }

    /// The code of a life of a Group is told that a client has arrived or has left.
    pub(crate) fn hooked(&mut self, group: (GroupId, u64), client: &ClientId, arrives: bool) -> Result<(), String> {
        let before = self.hooked.entry(group).or_default().insert(client.as_str().to_owned(), arrives);
        if before != Some(arrives) {
            return Ok(());
        }
        let what = if arrives { "arrives" } else { "leaves" };
        Err(format!("{client} {what} twice in life {} of {:?}", group.1, group.0))
    }

    /// The App has read who is in a Group.
    pub(crate) fn page(
        &mut self,
        number: Option<u64>,
        group: GroupId,
        page: &Result<PresencePage, dog::Error>,
    ) -> Result<(), String> {
        let people = match page {
            Ok(page) => {
                let people = People::of_page(page)?;
                if let Some(version) = page.version {
                    self.models.entry(group).or_default().seen(version, &people)?;
                }
                Ok(people)
            }
            Err(error) => Err(error.to_string()),
        };
        self.pages.extend(number.map(|number| (number, people)));
        Ok(())
    }

    /// What the App has read under this number.
    pub(crate) fn page_of(&self, number: u64) -> Result<People, String> {
        self.pages.get(&number).cloned().unwrap_or_else(|| Err("it was not answered".into()))
    }
}
