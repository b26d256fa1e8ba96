//! What is known of presence in a run: [`PresenceRecord`]. Promise 19.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use dog::{
    Bytes, ClientId, ConnectionId, Epoch, GroupId, Presence, PresenceChange, PresenceNews, PresencePage,
    PresenceVersion, ReplicaId, SocketId, Timestamp,
};
use dog_engine::presence::{Following, PresenceChanges};

use super::faults::Faults;
use super::grace::Graces;
use super::model::{People, PresenceModel};
use super::place::Place;

/// Within this time a Group learns of a socket, or of a subscription, if nothing goes wrong. One that ends before may never be
/// seen.
const LEARNED: Duration = Duration::from_secs(1);

/// A life of a Replica.
pub(crate) type ReplicaLife = (ReplicaId, u64);

/// What the host knows of the connection of a socket.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Named {
    connection: ConnectionId,
    value: Option<u64>,
}

impl Named {
    pub(crate) fn connection(self) -> ConnectionId {
        self.connection
    }

    pub(crate) fn value(self) -> Option<u64> {
        self.value
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

/// Since when a socket is in a place, and what had gone wrong until then.
#[derive(Clone, Copy, Debug)]
struct Since {
    at: Timestamp,
    faults: Faults,
}

/// Part of the [`RunRecord`](crate::record::RunRecord).
#[derive(Debug, Default)]
pub(crate) struct PresenceRecord {
    presence: Option<Presence>,
    models: BTreeMap<(GroupId, Place), PresenceModel>,
    named: BTreeMap<SocketId, Named>,
    /// Since when the sockets are in the room, and in topics.
    since: BTreeMap<(SocketId, Place), Since>,
    /// What the code of each life of a Replica was told last.
    followed: BTreeMap<(ReplicaLife, Place), (PresenceVersion, People)>,
    censuses: BTreeMap<(GroupId, u64), BTreeMap<ReplicaId, Census>>,
    /// Which clients are there for the code of a life of a Group.
    hooked: BTreeMap<(GroupId, u64), BTreeMap<(Place, String), bool>>,
    /// If one of these sockets is open still, this is wrong.
    suspicions: Vec<(BTreeSet<SocketId>, String)>,
    graces: Graces,
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
        self.named.insert(socket, Named { connection, value });
        self.since.entry((socket, Place::ROOM)).or_insert(Since { at: now, faults });
    }

    /// A socket is subscribed to a topic.
    pub(crate) fn subscribed(&mut self, socket: SocketId, topic: &str, faults: Faults, now: Timestamp) {
        if let Some(place) = Place::of_topic(topic) {
            self.since.entry((socket, place)).or_insert(Since { at: now, faults });
        }
    }

    /// A socket is not subscribed to a topic any more.
    pub(crate) fn unsubscribed(&mut self, socket: SocketId, topic: &str) {
        Place::of_topic(topic).map(|place| self.since.remove(&(socket, place)));
    }

    /// The places where a socket is, as far as its Group must have learned, and since when.
    fn places(&self, socket: SocketId, now: Timestamp) -> Vec<(Place, Since)> {
        let since = |place| self.since.get(&(socket, place)).map(|since| (place, *since));
        Place::ALL.into_iter().filter_map(since).filter(|(_, since)| since.at + LEARNED <= now).collect()
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
        for (place, since) in self.places(socket, now) {
            self.graces.is_here(group, (place, client), now, since.faults);
        }
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
        for (place, since) in self.places(socket, now) {
            if faults.all_has_arrived_since(since.faults) {
                self.graces.stays((group, group_life), (place, client), faults, now);
            }
        }
    }

    /// A client is being disconnected, or was.
    pub(crate) fn disconnects(&mut self, group: GroupId, client: &str, now: Timestamp) {
        self.graces.disconnects(group, client, now);
    }

    /// Whether a client was disconnected not long ago.
    pub(crate) fn was_disconnected(&self, group: GroupId, client: &str, now: Timestamp) -> bool {
        self.graces.was_disconnected(group, client, now)
    }

    /// A life of a Group tells changes.
    pub(crate) fn told(&mut self, group: GroupId, list: &PresenceChanges) -> Result<(), String> {
        let places = list.changes.iter().map(|told| Place::of_change(told.topic.as_ref()));
        let changes: Vec<_> =
            places.zip(&list.changes).map(|(place, told)| Ok((place?, &told.change))).collect::<Result<_, String>>()?;
        Place::ALL.into_iter().try_for_each(|place| {
            let here = changes.iter().map(|(of, change)| (*of == place).then_some(*change));
            self.model(group, place).told(list.since, list.life, here)
        })
    }

    fn model(&mut self, group: GroupId, place: Place) -> &mut PresenceModel {
        self.models.entry((group, place)).or_default()
    }

    /// The grace time of those who are said to leave is over.
    pub(crate) fn check_left(
        &self,
        group: (GroupId, u64),
        list: &PresenceChanges,
        faults: Faults,
        now: Timestamp,
    ) -> Result<(), String> {
        let left = list.changes.iter().filter(|told| matches!(told.change, PresenceChange::Left { .. }));
        left.into_iter().try_for_each(|told| {
            let of = (Place::of_change(told.topic.as_ref())?, told.change.client());
            self.graces.check_leaves(group, of, self.grace(), faults, now)
        })
    }

    /// The code of a life of a Replica has read who is in a place, after it was told that what it knew does not count.
    pub(crate) fn read(
        &mut self,
        (group, place): (GroupId, Place),
        life: ReplicaLife,
        told: PresenceVersion,
        page: &PresencePage,
    ) -> Result<(), String> {
        self.cannot_read(life, place);
        let (Some(version), people) = (page.version, People::of_page(page)?) else { return Ok(()) };
        self.model(group, place).seen(version, &people)?;
        if version < told {
            return Err(format!("{life:?} was told {told:?}, and reads {version:?} of {place:?}"));
        }
        self.followed.insert((life, place), (version, people));
        Ok(())
    }

    /// The code of a life of a Replica could not read who is in a place.
    pub(crate) fn cannot_read(&mut self, life: ReplicaLife, place: Place) {
        self.followed.remove(&(life, place));
    }

    /// The code of a life of a Replica is told changes. What it knows already is not told again.
    pub(crate) fn follows(&mut self, group: GroupId, life: ReplicaLife, news: &PresenceNews) -> Result<(), String> {
        let PresenceNews::Changed { version, changes, in_topics } = news else { return Ok(()) };
        let in_topics = in_topics.iter().map(|told| Ok((Place::of_change(Some(&told.topic))?, &told.change)));
        let in_topics: Vec<_> = in_topics.collect::<Result<_, String>>()?;
        for place in Place::ALL {
            let here = in_topics.iter().filter(|(of, _)| *of == place).map(|(_, change)| *change);
            let in_room = changes.iter().filter(|_| place == Place::ROOM);
            self.follows_in((group, place), life, *version, in_room.chain(here))?;
        }
        Ok(())
    }

    fn follows_in<'a>(
        &mut self,
        (group, place): (GroupId, Place),
        life: ReplicaLife,
        version: PresenceVersion,
        mut changes: impl Iterator<Item = &'a PresenceChange>,
    ) -> Result<(), String> {
        let followed = self.followed.get_mut(&(life, place)).filter(|(known, _)| *known < version);
        let Some((known, people)) = followed else { return Ok(()) };
        changes.try_for_each(|change| people.apply(change)).map_err(|wrong| format!("{life:?}, {place:?}: {wrong}"))?;
        *known = version;
        let people = people.clone();
        self.model(group, place).seen(version, &people)
    }

    /// Who is in a place for the code of a life of a Replica.
    pub(crate) fn followed(&self, life: ReplicaLife, place: Place) -> Option<&People> {
        self.followed.get(&(life, place)).map(|(_, people)| people)
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
    pub(crate) fn begins_again(
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
            let since = |socket: &SocketId| self.since.get(&(*socket, Place::ROOM));
            let was_open = |socket: &SocketId| since(socket).is_some_and(|since| since.at < census.at);
            let open: BTreeSet<_> = sockets((*replica, census.life)).into_iter().filter(was_open).collect();
            let version = census.version;
            self.suspicions.push((
                open,
                format!("life {} of {:?} begins a new presence, but {replica:?} knows {version:?}", group.1, group.0),
            ));
        }
    }

    /// The code of a life of a Group is told that a client has arrived somewhere or has left.
    pub(crate) fn hooked(
        &mut self,
        group: (GroupId, u64),
        (place, client): (Place, &ClientId),
        arrives: bool,
    ) -> Result<(), String> {
        let before = self.hooked.entry(group).or_default().insert((place, client.as_str().to_owned()), arrives);
        if before != Some(arrives) {
            return Ok(());
        }
        let what = if arrives { "arrives" } else { "leaves" };
        Err(format!("{client} {what} twice in life {} of {:?}, {place:?}", group.1, group.0))
    }

    /// The App has read who is in a place.
    pub(crate) fn page(
        &mut self,
        number: Option<u64>,
        (group, place): (GroupId, Place),
        page: &Result<PresencePage, dog::Error>,
    ) -> Result<(), String> {
        let people = match page {
            Ok(page) => {
                let people = People::of_page(page)?;
                if let Some(version) = page.version {
                    self.model(group, place).seen(version, &people)?;
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
