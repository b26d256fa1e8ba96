//! What one change of presence costs a Group and a Replica that follows, and that this does not grow with the members: `cargo
//! bench -p durable-object-groups-engine --bench presence`. The test command runs each benchmark once.

#![allow(clippy::unwrap_used, reason = "a benchmark that cannot continue may panic")]

use std::time::Duration;

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput};
use dog::internal::ConnectionId;
use dog::{ClientId, Epoch, ReplicaId, Timestamp};
use dog_engine::presence::{
    ConnectionEnd, GroupPresence, OwnConnections, PresenceChanges, PresenceFollower, PresenceSettings, PresenceStart,
};

const MEMBERS: [usize; 3] = [100, 10_000, 100_000];

/// A Group, its clients on one Replica, and what that Replica knows of all.
struct Room {
    now: Timestamp,
    group: GroupPresence,
    own: OwnConnections,
    follower: PresenceFollower,
}

impl Room {
    fn new(members: usize) -> Self {
        let life = Epoch::from_raw(1);
        let mut room = Self {
            now: Timestamp::from_millis(0),
            group: GroupPresence::new(life, PresenceSettings::default()),
            own: OwnConnections::new(ReplicaId::from_name("room", "1"), life),
            follower: PresenceFollower::default(),
        };
        for number in 0..members {
            room.open(&ClientId::new(format!("u{number}")).unwrap());
        }
        room.report();
        assert_eq!(room.group.start(room.now), PresenceStart::Reset);
        room.follower.told(room.group.told().unwrap().1);
        while let Some(question) = room.follower.begin_fetch() {
            room.follower.fetched(room.group.answer(&question));
        }
        assert_eq!(room.follower.rosters().counts(None).clients, members);
        room
    }

    fn open(&mut self, client: &ClientId) -> ConnectionId {
        self.own.open(client.clone(), Bytes::from_static(b"here")).unwrap()
    }

    fn report(&mut self) {
        let (round, report) = self.own.report(self.follower.following()).unwrap();
        let answer = self.group.report(report, self.now);
        self.own.answered(round, answer);
    }

    /// The change is reported, and told with the next tick.
    fn tell(&mut self) -> PresenceChanges {
        self.report();
        self.now = self.now + Duration::from_millis(100);
        let list = self.group.advance(self.now).unwrap();
        self.follower.came(&list).unwrap();
        list
    }
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let newcomer = ClientId::new("newcomer").unwrap();
    let mut group = criterion.benchmark_group("presence, a client comes and goes");
    group.throughput(Throughput::Elements(4));
    for members in MEMBERS {
        let mut room = Room::new(members);
        group.bench_function(BenchmarkId::from_parameter(format!("{members} clients")), |bencher| {
            bencher.iter(|| {
                let connection = room.open(&newcomer);
                assert_eq!(room.tell().changes.len(), 2);
                room.own.close(connection, ConnectionEnd::Disconnected);
                assert_eq!(room.tell().changes.len(), 2);
            });
        });
    }
    group.finish();
    criterion.final_summary();
}
