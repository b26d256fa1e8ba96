use std::time::Duration;

use super::*;
use crate::presence::{Following, OwnConnections, PresenceFollower, PresenceNews};

/// One Replica and the Group. Messages arrive at once.
struct Room {
    now: Timestamp,
    group: GroupPresence,
    own: OwnConnections,
    follower: PresenceFollower,
}

fn client(number: usize) -> ClientId {
    ClientId::new(format!("u{number:06}")).unwrap()
}

fn replica() -> ReplicaId {
    ReplicaId::from_name("room", "1")
}

fn settings() -> PresenceSettings {
    PresenceSettings::default()
}

impl Room {
    /// These clients were there from the beginning of the epoch.
    fn new(members: usize) -> Self {
        let mut room = Self {
            now: Timestamp::from_millis(1_000_000),
            group: GroupPresence::new(Epoch::from_raw(1), settings()),
            own: OwnConnections::new(replica(), Epoch::from_raw(1)),
            follower: PresenceFollower::default(),
        };
        for number in 0..members {
            room.open(number);
        }
        room.report();
        assert_eq!(room.group.start(room.now), PresenceStart::Reset);
        assert!(matches!(room.catch_up(), Some(PresenceNews::Reset(_))));
        room
    }

    fn open(&mut self, number: usize) -> ConnectionId {
        self.own.open(client(number), Bytes::from_static(b"here")).unwrap()
    }

    fn report(&mut self) {
        if let Some((round, report)) = self.own.report(self.follower.following()) {
            let answer = self.group.report(report, self.now);
            self.own.answered(round, answer);
        }
    }

    /// The Replica asks for what it has missed.
    fn catch_up(&mut self) -> Option<PresenceNews> {
        self.follower.told(self.group.told()?.1);
        let mut news = None;
        while let Some(question) = self.follower.begin_fetch() {
            news = self.follower.fetched(self.group.answer(&question));
        }
        news
    }

    /// Time passes. Returns what is told meanwhile.
    fn pass(&mut self, millis: u64) -> Vec<PresenceChange> {
        let told = self.pass_all(millis).into_iter();
        told.map(|RosterChange { topic, change }| topic.is_none().then_some(change).unwrap()).collect()
    }

    /// The same with topics.
    fn pass_all(&mut self, millis: u64) -> Vec<RosterChange> {
        self.report();
        let (until, mut told) = (self.now + Duration::from_millis(millis), Vec::new());
        while self.now < until {
            self.now = self.now + Duration::from_millis(10);
            if let Some(list) = self.group.advance(self.now) {
                assert!(matches!(self.follower.came(&list), None | Some(PresenceNews::Changed { .. })));
                told.extend(list.changes);
            }
        }
        told
    }

    /// The Group begins another life, which reads what was told.
    fn restart(&mut self) -> PresenceStart {
        self.group = GroupPresence::new(Epoch::from_raw(self.group.life.as_u64() + 1), settings());
        self.own.ask();
        self.report();
        let mut start = self.group.start(self.now);
        while let PresenceStart::Ask(asked, question) = start {
            let page = self.follower.page_for_group(&question, settings().list).unwrap();
            start = self.group.roster(asked, page, self.now).unwrap();
        }
        start
    }
}

fn arrived(number: usize) -> PresenceChange {
    PresenceChange::Arrived { client: client(number) }
}

fn left(number: usize) -> PresenceChange {
    PresenceChange::Left { client: client(number) }
}

fn closed(number: usize, connection: ConnectionId) -> PresenceChange {
    PresenceChange::Closed { client: client(number), connection }
}

#[test]
fn a_reload_is_no_leave_and_a_client_leaves_5_s_after_its_last_connection() {
    let mut room = Room::new(0);
    let first = room.open(1);
    assert_eq!(room.pass(110)[0], arrived(1));
    room.own.close(first, ConnectionEnd::Gone);
    assert_eq!(room.pass(2000), [closed(1, first)]);
    let second = room.open(1);
    assert!(matches!(room.pass(2000)[..], [PresenceChange::Opened { .. }]));
    room.own.close(second, ConnectionEnd::Gone);
    assert_eq!(room.pass(4990), [closed(1, second)]);
    let roster = room.follower.rosters().room();
    assert!(roster.has(&client(1)) && !roster.has_connections(&client(1)), "it is in its grace time");
    assert_eq!(room.pass(200), [left(1)]);
    assert!(room.group.is_settled());
}

#[test]
fn a_disconnected_client_leaves_at_once_and_one_of_a_shutdown_stays_longer() {
    let mut room = Room::new(0);
    let connections = [room.open(1), room.open(2), room.open(3)];
    room.pass(110);
    room.own.close(connections[0], ConnectionEnd::Disconnected);
    room.own.close(connections[1], ConnectionEnd::Restarting);
    room.own.close(connections[2], ConnectionEnd::Gone);
    assert!(room.pass(110).contains(&left(1)));
    room.group.disconnect(&client(3), room.now);
    assert_eq!(room.pass(110), [left(3)], "a disconnect ends the grace time");
    assert_eq!(room.pass(19_500), []);
    assert_eq!(room.pass(500), [left(2)]);
}

#[test]
fn what_comes_and_goes_within_a_tick_is_not_told() {
    let mut room = Room::new(0);
    let connection = room.open(1);
    room.report();
    room.own.close(connection, ConnectionEnd::Gone);
    assert_eq!(room.pass(110), []);
    let connection = room.open(2);
    room.report();
    room.own.set_value(connection, Bytes::from_static(b"away")).unwrap();
    assert_eq!(room.pass(110).len(), 2, "it arrives with its newest value");
    room.own.set_value(connection, Bytes::from_static(b"here")).unwrap();
    room.report();
    room.own.set_value(connection, Bytes::from_static(b"away")).unwrap();
    assert_eq!(room.pass(110), []);
}

#[test]
fn a_life_goes_on_where_the_one_before_has_ended() {
    let mut room = Room::new(10_000);
    let connection = room.open(20_000);
    room.pass(110);
    room.own.close(connection, ConnectionEnd::Gone);
    let newcomer = room.open(20_001);
    assert_eq!(room.restart(), PresenceStart::Continued);
    let told = room.pass(110);
    assert_eq!(
        (told.len(), told.contains(&closed(20_000, connection)), told.contains(&arrived(20_001))),
        (3, true, true)
    );
    assert_eq!(room.pass(5000), [left(20_000)], "its grace time begins with the life");
    room.own.close(newcomer, ConnectionEnd::Gone);
    room.pass(100);
    assert_eq!(room.restart(), PresenceStart::Continued);
    assert_eq!(room.pass(5100), [left(20_001)], "the grace time of a client without a connection too");
    assert_eq!(room.follower.version(), room.group.told().map(|(_, version)| version));
}

#[test]
fn without_a_replica_that_knows_there_is_another_epoch() {
    let mut room = Room::new(3);
    room.follower = PresenceFollower::default();
    assert_eq!(room.restart(), PresenceStart::Reset);
    assert_eq!(room.pass(110), []);
    assert!(matches!(room.catch_up(), Some(PresenceNews::Reset(version)) if version.epoch == Epoch::from_raw(2)));
    assert_eq!(room.follower.rosters().counts(None).clients, 3);
}

impl Room {
    /// The topics of a connection are these from now on.
    fn subscribe(&mut self, connection: ConnectionId, topics: &[&str]) {
        let topics = topics.iter().map(|name| topic(name)).collect();
        assert!(self.own.set_topics(connection, topics));
    }

    fn clients_of(&self, name: &str) -> usize {
        let told = self.group.told().unwrap().0.counts(Some(&topic(name)));
        assert_eq!(self.follower.rosters().counts(Some(&topic(name))), told);
        told.clients
    }
}

fn topic(name: &str) -> Topic {
    Topic::new(name).unwrap()
}

fn in_topic(name: &str, change: PresenceChange) -> RosterChange {
    RosterChange { topic: Some(topic(name)), change }
}

#[test]
fn a_subscription_is_a_connection_in_the_topic() {
    let mut room = Room::new(0);
    let [ann, bob] = [room.open(1), room.open(2)];
    room.subscribe(ann, &["a", "b"]);
    assert_eq!(room.pass_all(110).len(), 8, "both are in the room, ann in two topics");
    room.subscribe(bob, &["a"]);
    let told = room.pass_all(110);
    assert_eq!((told.len(), &told[0]), (2, &in_topic("a", arrived(2))));
    assert_eq!((room.clients_of("a"), room.clients_of("b")), (2, 1));
    assert!(room.own.set_value(ann, Bytes::from_static(b"away")).unwrap());
    assert_eq!(room.pass_all(110).len(), 3, "the room and two topics see another value");
    room.subscribe(ann, &["b"]);
    assert_eq!(room.pass_all(110), [in_topic("a", closed(1, ann))]);
    assert_eq!(room.pass_all(4800), []);
    assert_eq!(room.pass_all(200), [in_topic("a", left(1))], "there is a grace time in the topic, too");
    room.subscribe(ann, &["a", "b"]);
    room.pass_all(110);
    room.subscribe(ann, &[]);
    assert_eq!(room.pass_all(110).len(), 2);
    room.subscribe(ann, &["b"]);
    assert_eq!(room.pass_all(6000).len(), 2, "one opens in b again, and leaves a");
    assert_eq!((room.clients_of("a"), room.clients_of("b")), (1, 1));
    assert!(room.group.is_settled());
}

#[test]
fn the_end_of_a_connection_ends_it_in_its_topics() {
    let mut room = Room::new(0);
    let [ann, bob] = [room.open(1), room.open(2)];
    room.subscribe(ann, &["a", "b"]);
    room.subscribe(bob, &["a"]);
    room.pass_all(110);
    room.own.close(ann, ConnectionEnd::Gone);
    assert_eq!(room.pass_all(110).len(), 3);
    room.group.disconnect(&client(1), room.now);
    assert_eq!(room.pass_all(110).len(), 3, "it leaves everywhere");
    room.group.lost(replica(), Epoch::from_raw(1), ConnectionEnd::Disconnected, room.now);
    assert_eq!(room.pass_all(110).len(), 4, "closed and left, in the room and in a");
    assert_eq!((room.clients_of("a"), room.clients_of("b")), (0, 0));
    assert!(room.group.told().unwrap().0.of(Some(&topic("a"))).is_none(), "nothing is kept of it");
}

#[test]
fn a_client_that_becomes_known_is_another_one_in_its_topics() {
    let mut room = Room::new(0);
    let connection = room.open(1);
    room.subscribe(connection, &["a"]);
    room.pass_all(110);
    assert!(room.own.assign(connection, client(2)));
    let told = room.pass_all(110);
    assert!(told.contains(&in_topic("a", arrived(2))) && told.contains(&in_topic("a", closed(1, connection))));
    assert_eq!(room.clients_of("a"), 2, "the one before has its grace time");
    room.pass_all(5000);
    assert_eq!(room.clients_of("a"), 1);
}

#[test]
fn a_life_goes_on_with_the_topics_of_the_one_before() {
    let mut room = Room::new(0);
    let [ann, bob, cat] = [room.open(1), room.open(2), room.open(3)];
    room.subscribe(ann, &["a"]);
    room.subscribe(bob, &["a", "b"]);
    room.subscribe(cat, &["b"]);
    room.pass_all(110);
    // While there is no Group.
    room.subscribe(bob, &["a"]);
    room.own.close(cat, ConnectionEnd::Gone);
    room.subscribe(ann, &["a", "c"]);
    assert_eq!(room.restart(), PresenceStart::Continued);
    let told = room.pass_all(110);
    assert_eq!(told.len(), 5, "{told:?}");
    assert!(told.contains(&in_topic("b", closed(2, bob))) && told.contains(&in_topic("b", closed(3, cat))));
    assert!(told.contains(&in_topic("c", arrived(1))));
    assert_eq!(room.pass_all(5000), [left(3).into(), in_topic("b", left(2)), in_topic("b", left(3))]);
    assert_eq!((room.clients_of("a"), room.clients_of("b"), room.clients_of("c")), (2, 0, 1));
    room.follower = PresenceFollower::default();
    assert_eq!(room.restart(), PresenceStart::Reset);
    room.catch_up();
    assert_eq!((room.clients_of("a"), room.clients_of("c")), (2, 1), "a new epoch has the topics, too");
}

/// What is sent for one client that comes to another Replica, changes its value, and goes.
fn bytes_of_one(members: usize) -> Vec<usize> {
    let mut room = Room::new(members);
    room.own = OwnConnections::new(ReplicaId::from_name("room", "2"), Epoch::from_raw(1));
    room.report();
    let connection = room.open(500_000);
    let mut bytes = Vec::new();
    for step in 0..3 {
        match step {
            0 => {}
            1 => assert!(room.own.set_value(connection, Bytes::from_static(b"away")).unwrap()),
            _ => assert!(room.own.close(connection, ConnectionEnd::Disconnected)),
        }
        let (round, report) = room.own.report(Following::No).unwrap();
        bytes.push(encoded(&report));
        let answer = room.group.report(report, room.now);
        room.own.answered(round, answer);
        room.now = room.now + Duration::from_millis(100);
        let list = room.group.advance(room.now).unwrap();
        bytes.push(encoded(&list));
        for follower in room.group.followers() {
            room.group.acknowledged(follower, list.version(), room.now);
        }
        assert!(room.group.is_settled() && room.group.next_deadline().is_none(), "nothing else is sent");
    }
    bytes
}

fn encoded<T: serde::Serialize>(value: &T) -> usize {
    dog::internal::encode(value).unwrap().len()
}

#[test]
fn the_bytes_of_a_change_do_not_grow_with_the_members() {
    let few = bytes_of_one(100);
    assert_eq!(few, bytes_of_one(100_000));
    assert!(few.iter().all(|bytes| (1..400).contains(bytes)), "{few:?}");
}
