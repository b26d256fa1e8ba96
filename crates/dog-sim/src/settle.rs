//! All is healed and time has passed: now the books must be right, the cluster whole, and everything kept.

use std::collections::BTreeMap;
use std::time::Duration;

use dog::ReplicaId;
use dog_engine::address::{GroupAddress, Object};
use dog_engine::books::{MemberSeats, MemberState};

use crate::explore::Run;
use dog_testing::world::{ClientKey, Disk, Driver, Micros, Weather, World};

/// Longer than any ticket, lease, retry and deadline.
const HEALING: Micros = 60_000_000;

/// For how long the books take the word of a member that says nothing, and a little more.
const LEASE: Micros = 31_000_000;

/// How much longer than the time after which objects rest one waits until one looks at them again.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

impl Run {
    /// Heals everything, and looks. `false` once something is wrong.
    pub(crate) fn settle(&mut self) -> bool {
        self.world.note(|| "— everything is healed —".into());
        self.heal();
        if !self.pass_while_healing() {
            return false;
        }
        self.watch.now_clean(&self.world);
        self.check_books();
        self.check_handlers();
        self.check_kept();
        self.check_lives();
        if !self.check_hibernation() || !self.speak_up() {
            return false;
        }
        let storm = self.plan.making;
        self.world.network.borrow_mut().weather = storm.weather;
        self.world.disk.set(storm.disk);
        self.witness.ledger().fails_to_wake = self.plan.fails_to_wake;
        self.watch.now_clean(&self.world);
        self.witness.ledger().violations.is_empty()
    }

    /// Where objects do not look after each other, somebody has to come to each Group: at once, and when whatever the
    /// others said before is too old to count.
    fn pass_while_healing(&mut self) -> bool {
        if self.plan.making.keeps_watch {
            return self.pass(HEALING);
        }
        self.visit();
        if !self.pass(LEASE) {
            return false;
        }
        self.visit();
        self.pass(HEALING - LEASE)
    }

    fn visit(&mut self) {
        for group in 0..self.plan.groups {
            self.newcomers += 1;
            self.ask(&format!("/drop?u=visitor{}&g=g{group}", self.newcomers));
        }
    }

    fn heal(&mut self) {
        self.world.all_up();
        {
            let mut network = self.world.network.borrow_mut();
            network.heal();
            network.weather = Weather::CALM;
        }
        self.world.disk.set(Disk::default());
        self.witness.ledger().fails_to_wake = 0;
        for client in self.clients.clone() {
            self.world.set_reads(client, true);
            // Whoever was reading a stream, or still waits for an answer, gives up.
            self.world.give_up(client);
            let response = self.world.sockets.borrow_mut().client_mut(client).response.take();
            drop(response);
        }
    }

    /// Promise 7: whatever has ended in a life that goes on was told so, once, and nothing hangs.
    fn check_handlers(&self) {
        let sockets = self.watch.sockets.borrow();
        let mut ledger = self.witness.ledger();
        for (socket, (address, epoch)) in sockets.iter() {
            let lives = self.world.living(Object::Replica(*address)).is_some_and(|life| life.place.epoch == *epoch);
            let Some(handled) = ledger.sockets.get(socket).filter(|_| lives) else { continue };
            let (is_open, ends, opened) = (handled.is_open, handled.ends, handled.opened);
            let wrong = if let Some(handler) = ledger.running(*socket) {
                format!("{handler} has not ended")
            } else if !opened {
                "on_open was never called".into()
            } else if is_open && ends > 0 {
                "its end was told, and it is open".into()
            } else if !is_open && ends != 1 {
                format!("its end was told {ends} times")
            } else {
                continue;
            };
            ledger.broken(7, format!("socket {}: {wrong}", socket.raw()));
        }
    }

    /// Promise 8: what the Groups that are awake believe is what is true.
    fn check_books(&self) {
        for (object, life) in self.world.lives() {
            let (Object::Group(group), Driver::Group(driver)) = (object, life.driver) else { continue };
            let Some(books) = driver.members() else { continue };
            let truth = self.open_sockets(group);
            self.compare(&books, &truth);
        }
    }

    /// The open sockets of each client on each Replica.
    fn open_sockets(&self, group: GroupAddress) -> BTreeMap<ReplicaId, BTreeMap<String, u32>> {
        let sockets = self.world.sockets.borrow();
        let ledger = self.witness.ledger();
        let mut truth: BTreeMap<ReplicaId, BTreeMap<String, u32>> = BTreeMap::new();
        for (socket, open) in sockets.open().filter(|(_, open)| open.replica.group == group) {
            let client = ledger.sockets.get(&socket).map(|handled| handled.client.clone()).unwrap_or_default();
            *truth.entry(open.replica.replica).or_default().entry(client).or_default() += 1;
        }
        truth
    }

    fn compare(&self, books: &[MemberSeats], truth: &BTreeMap<ReplicaId, BTreeMap<String, u32>>) {
        let mut ledger = self.witness.ledger();
        for (replica, clients) in truth {
            match books.iter().find(|member| member.replica == *replica) {
                None => ledger.broken(9, format!("{replica:?} has sockets, and its Group does not know it")),
                Some(member) if member.state == MemberState::Parked => {
                    ledger.broken(8, format!("{replica:?} has sockets of {clients:?} and is parked"));
                }
                Some(_) => {}
            }
        }
        for member in books {
            ledger.checks.count(8);
            let none = BTreeMap::new();
            let clients = truth.get(&member.replica).unwrap_or(&none);
            let open: u32 = clients.values().sum();
            let believed: BTreeMap<String, u32> =
                member.clients.iter().map(|(client, seats)| (client.as_str().to_owned(), *seats)).collect();
            if member.occupied != open || member.reserved != 0 || believed != *clients {
                let what = format!("the books say {member:?}, and open are {clients:?}");
                ledger.broken(8, what);
            }
        }
    }

    /// Promises 9 and 10: whose Replicas have sockets is there, and sockets are those of present lives.
    fn check_lives(&self) {
        let sockets = self.world.sockets.borrow();
        let mut ledger = self.witness.ledger();
        for (socket, open) in sockets.open() {
            let (replica, group) = (open.replica, Object::Group(open.replica.group));
            ledger.checks.count(9);
            ledger.checks.count(10);
            if self.world.living(group).is_none() {
                ledger.broken(9, format!("{replica:?} has sockets, and nobody has woken its Group"));
            }
            let present = self.world.living(Object::Replica(replica)).map(|life| life.place.epoch);
            if present != Some(open.place.epoch) {
                let own = open.place.epoch;
                ledger.broken(10, format!("socket {} of life {own:?} is open in {present:?}", socket.raw()));
            }
        }
    }

    /// Promise 13: where nothing has happened for long nothing is in memory but who is seated, and where. Now and then a
    /// Group asks after its members: what is in use for that reason is not when it is looked at again.
    fn check_hibernation(&mut self) -> bool {
        let Some(hibernate_after) = self.plan.making.hibernate_after else { return true };
        let mut restless = self.restless();
        for _ in 0..2 {
            if restless.is_empty() || !self.pass(World::span(hibernate_after + LOOK_AGAIN)) {
                break;
            }
            let now = self.restless();
            restless.retain(|object| now.contains(object));
        }
        let mut ledger = self.witness.ledger();
        ledger.checks.count(13);
        if let Some(object) = restless.first() {
            ledger.broken(13, format!("{object:?} does not rest"));
        }
        ledger.violations.is_empty()
    }

    /// What is in memory, but need not be.
    fn restless(&self) -> Vec<Object> {
        let is_restless = |object: &Object, driver: &Driver| match driver {
            Driver::Replica(replica) => replica.status().seats == 0 || replica.status().awake,
            Driver::Group(_) => !self.is_used(*object),
        };
        let lives = self.world.lives().into_iter().filter(|(object, life)| is_restless(object, &life.driver));
        lives.map(|(object, _)| object).collect()
    }

    fn is_used(&self, group: Object) -> bool {
        self.world.sockets.borrow().open().any(|(_, open)| Object::Group(open.replica.group) == group)
    }

    /// Promise 11, and alarms: they must have rung by now.
    fn check_kept(&self) {
        let mut ledger = self.witness.ledger();
        ledger.now = self.world.agenda.now();
        for object in self.world.known_objects() {
            let read = |key| self.world.stored(object, key).and_then(|bytes| dog::internal::decode(&bytes).ok());
            let counts = (read("first").unwrap_or(0), read("second").unwrap_or(0));
            ledger.found(*object.id(), counts);
            ledger.check_alarm(*object.id());
        }
    }

    /// Promises 6 and 9: every Replica that has a client says something, and everyone in its cluster hears it. Then a
    /// newcomer is put where it belongs, and hears it too.
    fn speak_up(&mut self) -> bool {
        self.world.note(|| "— everyone speaks up —".into());
        let mut speakers: BTreeMap<ReplicaId, ClientKey> = BTreeMap::new();
        for client in self.open_clients() {
            if let Some((address, _)) = self.world.sockets.borrow().client(client).socket {
                speakers.insert(address.replica, client);
            }
        }
        for client in speakers.into_values() {
            self.say(client, "all", "");
        }
        self.pass(10_000_000) && self.check_placement()
    }
}
