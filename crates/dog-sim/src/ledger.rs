//! What the objects of a run write down as it goes on, and what must be true of it. Their handlers write here, and so
//! does the one who watches the host.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use dog::{Epoch, GroupId, ReplicaId, SocketId, Timestamp};

use crate::checks::Checks;
use crate::keeping::Kept;
use dog_testing::world::Random;

/// A promise that was broken.
#[derive(Clone, Debug)]
pub(crate) struct Violation {
    pub(crate) promise: u8,
    pub(crate) what: String,
}

/// Names a message: the life of the Replica that said it, and which of its messages it is.
pub(crate) type MessageName = (u64, u64);

/// How far the handlers of one socket are.
#[derive(Debug, Default)]
pub(crate) struct Handled {
    pub(crate) client: String,
    /// Where it is.
    pub(crate) replica: Option<ReplicaId>,
    group: Option<GroupId>,
    running: Option<&'static str>,
    pub(crate) opened: bool,
    pub(crate) ends: u32,
    last_command: u64,
    pub(crate) attached: Option<u64>,
    /// Whether the host has it open.
    pub(crate) is_open: bool,
}

/// A message that a socket is to get.
#[derive(Clone, Debug)]
pub(crate) struct Owed {
    /// The life that said it: what it had not sent when it crashed is excused. A whisper is owed by who ends it only.
    pub(crate) speaker: Epoch,
    pub(crate) since: Timestamp,
    /// Its Replica was among those that the speaker sent it to.
    pub(crate) addressed: bool,
    /// Its Replica was asked to say that it has got it.
    pub(crate) asked: bool,
    /// Everyone had to know everyone when it was said.
    pub(crate) sure: bool,
    /// Nothing was cut when it was said, and so often something had been.
    pub(crate) cut_ever: Option<u64>,
    /// As many calls and answers were lost when it was said.
    pub(crate) harmed: u64,
    pub(crate) whispered: bool,
}

#[derive(Debug)]
pub(crate) struct Ledger {
    pub(crate) violations: Vec<Violation>,
    pub(crate) checks: Checks,
    pub(crate) limit: u32,
    pub(crate) now: Timestamp,
    pub(crate) random: Random,
    /// How many of a thousand awakenings fail.
    pub(crate) fails_to_wake: u32,
    /// The present life of each object.
    pub(crate) lives: BTreeMap<[u8; 32], Epoch>,
    /// How much each life of a Replica has said.
    said: BTreeMap<u64, u64>,
    pub(crate) next_attachment: u64,
    /// Panics that were asked for and have not come yet.
    pub(crate) panics: u32,
    pub(crate) sockets: BTreeMap<SocketId, Handled>,
    /// Requests that are being answered, or whose answers are being read, in each life of a Replica.
    in_flight: BTreeMap<(ReplicaId, u64), u32>,
    pub(crate) open: BTreeMap<ReplicaId, u32>,
    pub(crate) owed: BTreeMap<(MessageName, SocketId), Owed>,
    /// What each whisper's speaker had said when it had ended.
    pub(crate) whispers: BTreeMap<MessageName, u64>,
    pub(crate) kept: Kept,
    /// What has been handled, to see that a run was not idle.
    pub(crate) handled: u64,
    /// As the host counts them.
    pub(crate) harmed: u64,
    pub(crate) clean_since: u64,
}

/// The ledger, as objects find it in their [`Env`](dog::Env).
#[derive(Clone, Debug)]
pub(crate) struct Witness(Arc<Mutex<Ledger>>);

impl Witness {
    pub(crate) fn new(seed: u64, limit: u32, fails_to_wake: u32) -> Self {
        Self(Arc::new(Mutex::new(Ledger {
            violations: Vec::new(),
            checks: Checks::default(),
            limit,
            now: Timestamp::default(),
            random: Random::new(!seed),
            fails_to_wake,
            lives: BTreeMap::new(),
            said: BTreeMap::new(),
            next_attachment: 0,
            panics: 0,
            sockets: BTreeMap::new(),
            in_flight: BTreeMap::new(),
            open: BTreeMap::new(),
            owed: BTreeMap::new(),
            whispers: BTreeMap::new(),
            kept: BTreeMap::new(),
            handled: 0,
            harmed: 0,
            clean_since: 0,
        })))
    }

    pub(crate) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A request has a seat until what this returns is dropped.
    pub(crate) fn seated(&self, replica: ReplicaId, life: u64) -> InFlight {
        let mut ledger = self.ledger();
        *ledger.in_flight.entry((replica, life)).or_default() += 1;
        ledger.check_limit(replica);
        InFlight { witness: self.clone(), seat: (replica, life) }
    }
}

/// A request that has a seat.
#[derive(Debug)]
pub(crate) struct InFlight {
    witness: Witness,
    seat: (ReplicaId, u64),
}

impl Drop for InFlight {
    fn drop(&mut self) {
        if let Some(count) = self.witness.ledger().in_flight.get_mut(&self.seat) {
            *count -= 1;
        }
    }
}

impl Ledger {
    pub(crate) fn broken(&mut self, promise: u8, what: impl Into<String>) {
        self.violations.push(Violation { promise, what: what.into() });
    }

    /// Promise 1.
    pub(crate) fn check_limit(&mut self, replica: ReplicaId) {
        self.checks.count(1);
        // Of the last life: the requests of earlier ones are over, and nobody has told whoever waits for them yet.
        let lives = self.in_flight.range((replica, 0)..=(replica, u64::MAX));
        let in_flight = lives.last().map_or(0, |(_, count)| *count);
        let open = self.open.get(&replica).copied().unwrap_or_default();
        if in_flight + open > self.limit {
            let limit = self.limit;
            self.broken(1, format!("{replica:?} has {open} sockets and {in_flight} requests where {limit} fit"));
        }
    }

    /// The number of the object's present life: the same after a rest that has left it in memory.
    pub(crate) fn life_of(&self, object: [u8; 32]) -> u64 {
        self.lives.get(&object).map_or(0, |epoch| epoch.as_u64())
    }

    /// Another message of that life.
    pub(crate) fn says(&mut self, life: u64) -> MessageName {
        let said = self.said.entry(life).or_default();
        *said += 1;
        (life, *said)
    }

    /// The host has a new socket.
    pub(crate) fn host_opens(&mut self, socket: SocketId, group: GroupId, replica: ReplicaId) {
        *self.open.entry(replica).or_default() += 1;
        self.check_limit(replica);
        let place = (Some(group), Some(replica));
        self.sockets.insert(socket, Handled { is_open: true, group: place.0, replica: place.1, ..Handled::default() });
    }

    /// The host's socket has ended. Nothing is owed to it any more.
    pub(crate) fn host_ends(&mut self, socket: SocketId, replica: ReplicaId) {
        if let Some(open) = self.open.get_mut(&replica) {
            *open -= 1;
        }
        if let Some(handled) = self.sockets.get_mut(&socket) {
            handled.is_open = false;
        }
        self.owed.retain(|(_, owed), _| *owed != socket);
    }

    /// Promise 7: a handler begins.
    pub(crate) fn begins(&mut self, socket: SocketId, client: &str, handler: &'static str) {
        self.handled += 1;
        self.checks.count(7);
        let handled = self.sockets.entry(socket).or_default();
        handled.client = client.into();
        let was = handled.running.replace(handler);
        let wrong = match handler {
            _ if was.is_some() => Some(format!("{handler} begins while {} runs", was.unwrap_or_default())),
            _ if handled.ends > 0 => Some(format!("{handler} comes after the end")),
            "on_open" if handled.opened => Some("on_open comes twice".into()),
            "on_open" => {
                handled.opened = true;
                None
            }
            _ if !handled.opened => Some(format!("{handler} comes before on_open")),
            _ => None,
        };
        if handler == "the end" {
            handled.ends += 1;
        }
        if let Some(wrong) = wrong {
            self.broken(7, format!("socket {}: {wrong}", socket.raw()));
        }
    }

    pub(crate) fn ends(&mut self, socket: SocketId) {
        if let Some(handled) = self.sockets.get_mut(&socket) {
            handled.running = None;
        }
    }

    /// Promise 7: the messages of one socket come in order.
    pub(crate) fn command(&mut self, socket: SocketId, number: u64) {
        let Some(handled) = self.sockets.get_mut(&socket) else { return };
        let last = std::mem::replace(&mut handled.last_command, number);
        if number <= last {
            self.broken(7, format!("socket {}: message {number} is handled after {last}", socket.raw()));
        }
    }

    /// Whether a handler of that socket runs, by its name.
    pub(crate) fn running(&self, socket: SocketId) -> Option<&'static str> {
        self.sockets.get(&socket)?.running
    }

    /// A whisper begins: the sockets that `client` has open are to get it, if it says that it worked. Until then it owes
    /// nothing: whoever began it may die.
    pub(crate) fn whispers(&mut self, name: MessageName, group: GroupId, client: &str) {
        let owed = Owed {
            speaker: Epoch::default(),
            since: self.now,
            addressed: false,
            asked: false,
            sure: false,
            cut_ever: None,
            harmed: self.harmed,
            whispered: true,
        };
        let is_meant = |handled: &Handled| handled.is_open && handled.group == Some(group) && handled.client == client;
        let open = self.sockets.iter().filter(|(_, handled)| is_meant(handled));
        self.owed.extend(open.map(|(socket, _)| ((name, *socket), owed.clone())));
    }

    /// What a message is owed to, each with its Replica.
    fn owed_by(&mut self, name: MessageName) -> impl Iterator<Item = (Option<ReplicaId>, &mut Owed)> {
        let (sockets, all) = (&self.sockets, (name, SocketId::from_raw(0))..=(name, SocketId::from_raw(u64::MAX)));
        let replica = |socket| sockets.get(socket).and_then(|handled: &Handled| handled.replica);
        self.owed.range_mut(all).map(move |((_, socket), owed)| (replica(socket), owed))
    }

    /// A message has been sent to some Replicas, in a way that loses none.
    pub(crate) fn addressed(&mut self, name: MessageName, is_meant: impl Fn(ReplicaId) -> bool) {
        for (replica, owed) in self.owed_by(name) {
            owed.addressed |= replica.is_some_and(&is_meant);
        }
    }

    /// A Replica is asked to say that it has got a message.
    pub(crate) fn asked(&mut self, name: MessageName, whom: ReplicaId) {
        for (_, owed) in self.owed_by(name).filter(|(replica, _)| *replica == Some(whom)) {
            owed.asked = true;
        }
    }

    /// A broadcast was confirmed: it owes nothing to Replicas that it names as missing, and has reached the others that
    /// it knew.
    pub(crate) fn confirmed(&mut self, name: MessageName, missing: &[ReplicaId]) {
        let sockets = &self.sockets;
        let replica = |socket: &SocketId| sockets.get(socket).and_then(|handled: &Handled| handled.replica);
        self.owed.retain(|(owed, socket), _| {
            *owed != name || !replica(socket).is_some_and(|replica| missing.contains(&replica))
        });
        self.owed_by(name).for_each(|(_, owed)| owed.addressed |= owed.asked);
    }

    /// It has ended. One that failed says so, and owes nothing.
    pub(crate) fn whispered(&mut self, name: MessageName, worked: bool) {
        self.whispers.insert(name, self.said.get(&name.0).copied().unwrap_or_default());
        if !worked {
            self.owed.retain(|(owed, _), _| *owed != name);
        }
        let (clean, harmed) = (self.clean_since, self.harmed);
        self.owed_by(name).for_each(|(_, owed)| owed.sure = owed.harmed == clean && harmed == clean);
    }
}
