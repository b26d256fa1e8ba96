//! The checks after all faults are healed and time has passed: the books must be right, the cluster must be complete,
//! and acknowledged values must be stored.

use std::collections::BTreeMap;
use std::time::Duration;

use dog::{Bytes, ReplicaId};
use dog_engine::address::{GroupAddress, Object};
use dog_engine::books::{MemberSeats, MemberState};
use dog_engine::message::SeatCount;
use dog_testing::world::{ClientKey, DiskConfig, Driver, Micros, Weather, World};

use crate::closing::ClosingCheck;
use crate::entries::RECORD;
use crate::per_client::PerClientCheck;
use crate::placement::PlacementCheck;
use crate::presence::check::{Grace, PresenceCheck};
use crate::publications::check::LogCheck;
use crate::run::Run;
use crate::seat_record::Door;
use crate::topics::TOPICS;
use crate::verb_check::VerbCheck;

/// The time for healing. It is longer than each ticket, lease, retry and deadline.
const HEALING: Micros = 60_000_000;

/// How long a Group trusts a silent member, and as much longer as a report of the time before may be late.
const LEASE: Micros = 35_000_000;

/// An object may be checked for hibernation this much later than it could hibernate.
const HIBERNATION_DELAY: Duration = Duration::from_secs(1);

/// How long a message may take to reach everyone.
const ARRIVAL: Micros = 10_000_000;

/// Heals a run and checks it.
pub(crate) struct Settlement<'run> {
    run: &'run mut Run,
}

impl<'run> Settlement<'run> {
    pub(crate) fn new(run: &'run mut Run) -> Self {
        Self { run }
    }

    /// Heals all faults and checks. Returns `false` if a promise was broken.
    pub(crate) fn settle(&mut self) -> bool {
        self.run.world().note(|| "— everything is healed —".into());
        self.heal();
        if !self.pass_while_healing() {
            return false;
        }
        self.run.watch().healed();
        // A life that should be over spoils what the other checks look at.
        self.check_lives();
        self.check_books();
        self.check_handlers();
        self.check_unassigned();
        self.run.witness().record().check_calls();
        self.check_stored();
        LogCheck::new(self.run).check();
        // A verb that closes sockets comes last: it leaves Replicas that are parked soon.
        if !self.check_hibernation()
            || !PresenceCheck::new(self.run).check(Grace::Over)
            || !self.check_broadcasts()
            || !VerbCheck::new(self.run).check()
            || !PresenceCheck::new(self.run).check(Grace::MayRun)
        {
            return false;
        }
        let plan = self.run.plan();
        self.run.world().set_weather(plan.config.weather);
        self.run.world().set_disk(plan.config.disk);
        self.run.witness().record().activations_fail = plan.activations_fail;
        self.run.watch().healed();
        self.run.is_well()
    }

    /// Lets time pass. If objects do not check on each other by timers, a client must come to each Group: at once, and
    /// again when the last reports of silent members are too old to count.
    fn pass_while_healing(&mut self) -> bool {
        if self.run.plan().config.liveness.are_timed() {
            return self.run.pass(HEALING);
        }
        self.visit_groups();
        if !self.run.pass(LEASE) {
            return false;
        }
        self.visit_groups();
        self.run.pass(HEALING - LEASE)
    }

    fn visit_groups(&mut self) {
        for group in 0..self.run.plan().groups {
            let name = self.run.newcomer();
            self.run.request(self.run.any_node(), &format!("/drop?u={name}&g=g{group}"));
        }
    }

    fn heal(&mut self) {
        let world = self.run.world();
        world.end_outages();
        world.heal_cuts();
        world.set_weather(Weather::CALM);
        world.set_disk(DiskConfig::default());
        self.run.witness().record().activations_fail = 0;
        self.run.streams().all_read();
        for client in self.run.clients() {
            world.set_reads(*client, true);
            // Clients that read a stream, or still wait for an answer, give up.
            world.give_up(*client);
            let response = world.take_response(*client);
            drop(response);
        }
    }

    /// Promise 7: a life that still runs was told of the end of each socket exactly once, and no handler hangs.
    fn check_handlers(&self) {
        let mut record = self.run.witness().record();
        for (socket, (address, epoch)) in self.run.watch().lives_of_sockets() {
            let current = self.run.world().current(Object::Replica(address));
            let goes_on = current.is_some_and(|running| running.life.epoch() == epoch);
            let Some(handled) = record.sockets.get(&socket).filter(|_| goes_on) else { continue };
            let (is_open, ends, opened) = (handled.is_open, handled.ends, handled.opened);
            let wrong = if let Some(handler) = record.running_handler(socket) {
                format!("{handler} has not ended")
            } else if !opened {
                "on_open was never called".into()
            } else if is_open && ends > 0 {
                "its Replica was told of its end, but it is open".into()
            } else if !is_open && ends != 1 {
                format!("its Replica was told of its end {ends} times instead of once")
            } else {
                continue;
            };
            record.broken(7, format!("socket {}: {wrong}", socket.raw()));
        }
    }

    /// Promise 12: no socket is open whose client had to be assigned.
    fn check_unassigned(&self) {
        let now = self.run.world().now();
        self.run.witness().record().check_unassigned(now);
    }

    /// Promises 3 and 8: the books of Groups that are awake are right.
    fn check_books(&self) {
        for (object, running) in self.run.world().lives() {
            let (Object::Group(group), Driver::Group(driver)) = (object, running.driver) else { continue };
            let Some(books) = driver.members() else { continue };
            let truth = self.open_sockets(group);
            self.compare(&books, &truth);
        }
    }

    /// Returns the number of open sockets of each client on each Replica.
    fn open_sockets(&self, group: GroupAddress) -> BTreeMap<ReplicaId, BTreeMap<String, u32>> {
        let record = self.run.witness().record();
        let mut truth: BTreeMap<ReplicaId, BTreeMap<String, u32>> = BTreeMap::new();
        for (_, open) in record.open_sockets_of(group.group) {
            if let Some(replica) = open.replica {
                *truth.entry(replica).or_default().entry(open.client.clone()).or_default() += 1;
            }
        }
        truth
    }

    fn compare(&self, books: &[MemberSeats], truth: &BTreeMap<ReplicaId, BTreeMap<String, u32>>) {
        let mut record = self.run.witness().record();
        for (replica, clients) in truth {
            match books.iter().find(|member| member.replica == *replica) {
                None => record.broken(9, format!("{replica:?} has sockets, but its Group does not know it")),
                Some(member) if member.state == MemberState::Parked => {
                    record.broken(8, format!("{replica:?} has sockets of {clients:?}, but is parked"));
                }
                Some(member) => {
                    let life = record.current_life(*replica.as_bytes());
                    let door = record.seats().door((*replica, life));
                    let is_right = door == Door::Unknown || member.is_closed == (door == Door::Closed);
                    let wrong = || format!("the door of {replica:?} is {door:?}, but the books say {member:?}");
                    record.check(3, if is_right { Ok(()) } else { Err(wrong()) });
                }
            }
        }
        for member in books {
            record.checks.count(8);
            let none = BTreeMap::new();
            let clients = truth.get(&member.replica).unwrap_or(&none);
            let open: u32 = clients.values().sum();
            // Nothing but sockets is left, so both counts of each client are the number of its sockets.
            let count = |sockets: u32| SeatCount { seats: sockets, sockets };
            let expected: BTreeMap<&str, SeatCount> =
                clients.iter().map(|(client, sockets)| (client.as_str(), count(*sockets))).collect();
            let believed: BTreeMap<&str, SeatCount> =
                member.clients.iter().map(|(client, count)| (client.as_str(), *count)).collect();
            if member.occupied != open || member.reserved != 0 || believed != expected {
                record.broken(8, format!("the books say {member:?}, but the open sockets are {clients:?}"));
            }
        }
    }

    /// Promises 9 and 10: no life goes on whose node was struck off, sockets belong to current lives, and the Group of each
    /// Replica with sockets is alive.
    fn check_lives(&self) {
        let mut record = self.run.witness().record();
        for (object, epoch) in self.run.world().superseded_lives() {
            record.broken(
                10,
                format!("life {epoch:?} of {object:?} goes on, and its node has noticed that it was struck off"),
            );
        }
        for (socket, (replica, own)) in self.run.watch().lives_of_sockets() {
            if !record.sockets.get(&socket).is_some_and(|socket| socket.is_open) {
                continue;
            }
            record.checks.count(9);
            record.checks.count(10);
            let current = self.run.world().current(Object::Replica(replica)).map(|running| running.life.epoch());
            if current != Some(own) {
                let socket = socket.raw();
                let what = format!("socket {socket} of life {own:?} is open, but the current life is {current:?}");
                record.broken(10, what);
            }
            if self.run.world().current(Object::Group(replica.group)).is_none() {
                record.broken(9, format!("{replica:?} has sockets, but nobody has woken its Group"));
            }
        }
    }

    /// Promise 13: when nothing has happened for a while, only objects with seats are in memory. A Group checks on its
    /// members from time to time. An object that is in use for that reason is not in use at the next check.
    fn check_hibernation(&mut self) -> bool {
        let Some(hibernate_after) = self.run.plan().config.hibernate_after else { return true };
        let mut awake = self.needlessly_awake();
        // A Group needs two periods from its last event on: after the first, it examines its parked members.
        for _ in 0..3 {
            if awake.is_empty() || !self.run.pass(World::span(hibernate_after + HIBERNATION_DELAY)) {
                break;
            }
            let now = self.needlessly_awake();
            awake.retain(|object| now.contains(object));
        }
        let mut record = self.run.witness().record();
        record.checks.count(13);
        if let Some(object) = awake.first() {
            record.broken(13, format!("{object:?} does not hibernate"));
        }
        record.violations.is_empty()
    }

    /// Returns the objects that are in memory without need.
    fn needlessly_awake(&self) -> Vec<Object> {
        let is_needless = |object: &Object, driver: &Driver| match driver {
            Driver::Replica(replica) => replica.status().seats == 0 || replica.status().awake,
            Driver::Group(_) => !self.is_used(*object),
        };
        let lives = self.run.world().lives().into_iter();
        lives.filter(|(object, running)| is_needless(object, &running.driver)).map(|(object, _)| object).collect()
    }

    fn is_used(&self, group: Object) -> bool {
        let Object::Group(address) = group else { return false };
        let (now, mut record) = (self.run.world().now(), self.run.witness().record());
        record.open_sockets_of(address.group).next().is_some() || record.logs().keep(address.group, now)
    }

    /// Promises 11 and 21: acknowledged entries are on disk, and alarms have rung.
    fn check_stored(&self) {
        let world = self.run.world();
        let mut record = self.run.witness().record();
        record.now = world.now();
        for object in world.known_objects() {
            let stored = [
                world.stored(object, "first"),
                world.stored(object, "second"),
                world.stored_log_record(object, RECORD),
            ];
            let count =
                |stored: Option<Bytes>| stored.and_then(|bytes| dog::internal::decode(&bytes).ok()).unwrap_or(0);
            record.found(*object.id(), stored.map(count));
            record.check_alarms(*object.id());
        }
    }

    /// Promises 6, 9 and 20: one client of each Replica broadcasts, and all clients of its cluster receive it, or all that
    /// are subscribed. Then new clients must be placed correctly and receive broadcasts too.
    fn check_broadcasts(&mut self) -> bool {
        self.run.world().note(|| "— one client of every Replica broadcasts —".into());
        let mut senders: BTreeMap<ReplicaId, ClientKey> = BTreeMap::new();
        for client in self.run.open_clients() {
            if let Some((address, _)) = self.run.world().client_socket(client) {
                senders.insert(address.replica, client);
            }
        }
        LogCheck::new(self.run).publish();
        let first = self.run.next_command();
        for client in senders.into_values().chain(self.run.streams().open()) {
            self.run.command(client, "all", "");
            TOPICS.iter().for_each(|topic| self.run.command(client, "to", topic));
        }
        if !self.run.pass(ARRIVAL) {
            return false;
        }
        self.run.witness().record().check_says(first);
        LogCheck::new(self.run).check();
        ClosingCheck::new(self.run).check()
            && PlacementCheck::new(self.run).check()
            && PerClientCheck::new(self.run).check()
    }
}
