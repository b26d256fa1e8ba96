//! Watches the hosts. Checks that each socket receives the messages that it is owed, that clients receive messages in
//! order, and that lives that are over do nothing.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::{Rc, Weak};
use std::time::Duration;

use dog::internal::LogTopic;
use dog::{Bytes, ConnectionId, Epoch, GroupId, LogEpoch, Message, Publication, ReplicaId, SocketId};
use dog_engine::address::{Object, ReplicaAddress, Targets, Ticket, TicketId};
use dog_engine::log::LogEntries;
use dog_engine::presence::{Following, PresenceChanges};
use dog_testing::world::{Admission, ClientKey, ClientState, HEARD_WITHIN, Life, Micros, Observer, World};

use crate::event_streams::StreamClients;
use crate::moment::MessageName;
use crate::owed::Owed;
use crate::parsed::{Parsed, parse};
use crate::publications::PUBLISHER;
use crate::received::Received;
use crate::record::SocketRecord;
use crate::sent::Sent;
use crate::witness::Witness;

/// The longest time that a message may be on its way. All deadlines are shorter.
const IN_TIME: Duration = Duration::from_secs(8);

/// A life whose node was struck off.
#[derive(Clone, Copy)]
struct Superseded {
    node: usize,
    at: Micros,
}

/// The Group whose life this is, and the number of the life.
fn of_group(life: &Life) -> Option<(GroupId, u64)> {
    match life.object()? {
        Object::Group(address) => Some((address.group, life.epoch().as_u64())),
        Object::Replica(_) => None,
    }
}

/// The observer of a run.
pub(crate) struct Watch {
    witness: Witness,
    world: Weak<World>,
    streams: Rc<StreamClients>,
    sent: RefCell<BTreeSet<MessageName>>,
    received: RefCell<BTreeMap<(SocketId, u64), Received>>,
    /// The tickets that were accepted, and by which life.
    tickets: RefCell<BTreeSet<(TicketId, Epoch)>>,
    sockets: RefCell<BTreeMap<SocketId, (ReplicaAddress, Epoch)>>,
    superseded: RefCell<BTreeMap<u64, Superseded>>,
}

impl Watch {
    pub(crate) fn new(witness: Witness, world: &Rc<World>, streams: &Rc<StreamClients>) -> Self {
        Self {
            witness,
            streams: Rc::clone(streams),
            world: Rc::downgrade(world),
            sent: RefCell::default(),
            received: RefCell::default(),
            tickets: RefCell::default(),
            sockets: RefCell::default(),
            superseded: RefCell::default(),
        }
    }

    /// Returns all sockets that were ever open, each with its Replica and life.
    pub(crate) fn lives_of_sockets(&self) -> Vec<(SocketId, (ReplicaAddress, Epoch))> {
        self.sockets.borrow().iter().map(|(socket, life)| (*socket, *life)).collect()
    }

    fn replica_of(&self, socket: SocketId) -> Option<ReplicaId> {
        self.sockets.borrow().get(&socket).map(|(address, _)| address.replica)
    }

    /// Promise 10: only the current life of an object sends. An old one may send until its node notices that it was
    /// struck off.
    fn check_life(&self, from: &Life) {
        let Some(object) = from.object() else { return };
        let mut record = self.witness.record();
        record.checks.count(10);
        let (current, own) = (record.current_life(*object.id()), from.epoch().as_u64());
        if current != own && !from.overlaps() {
            record.broken(10, format!("{from:?} sends in life {own}, but life {current} has begun"));
        }
    }

    /// Promise 10: after a node was struck off and the other nodes know it, they accept no messages from its lives.
    fn check_sender(&self, receiver: &Life, message: &Parsed<'_>) {
        let Some(world) = self.world.upgrade() else { return };
        let superseded = self.superseded.borrow();
        let Some(sender) = superseded.get(&message.name.0).filter(|sender| sender.node != receiver.node()) else {
            return;
        };
        if world.micros() > sender.at + HEARD_WITHIN {
            let (life, number) = message.name;
            let what = format!("{receiver:?} passes on message {number} of life {life}, whose node was struck off");
            self.witness.record().broken(10, what);
        }
    }

    /// Records to which sockets a message is owed: a broadcast to each socket of the cluster, an emit to the sockets of
    /// its life.
    fn owe(&self, from: &Life, message: &Parsed<'_>) {
        let (Some(world), Some(Object::Replica(sender))) = (self.world.upgrade(), from.object()) else { return };
        let mut record = self.witness.record();
        record.faults(&world);
        let is_meant = |_, socket: &SocketRecord, own| (message.kind != 'e' || own) && socket.client != message.about;
        Sent::new(message.name, sender.group.group).is_owed(&mut record, is_meant);
    }

    /// Promises 5 and 6: in order, and at most once.
    fn check_order(&self, socket: SocketId, message: &Parsed<'_>) {
        let mut received = self.received.borrow_mut();
        let received = received.entry((socket, message.name.0)).or_default();
        let mut record = self.witness.record();
        record.checks.count(5);
        let number = message.name.1;
        let label = format!("socket {} received {} {:?}", socket.raw(), message.kind, message.name);
        if !received.names.insert(number) {
            record.broken(6, format!("{label} twice"));
        }
        if message.kind == 'w' {
            let ended = record.whispers.get(&message.name).copied();
            if ended.is_some_and(|ended| received.last > ended) {
                let last = received.last;
                record.broken(5, format!("{label} after {last}, which was sent when the whisper had ended"));
            }
            received.whispered = received.whispered.max(number);
            return;
        }
        if number < received.last {
            record.broken(5, format!("{label} after {}", received.last));
        }
        if number < received.whispered {
            record.broken(5, format!("{label} after whisper {}, which began later", received.whispered));
        }
        received.last = received.last.max(number);
    }

    /// The client of a socket has received a message.
    pub(crate) fn hears(&self, socket: SocketId, message: &Message) {
        let Some(parsed) = parse(message) else { return };
        if parsed.name.0 == PUBLISHER {
            return self.hears_publication(socket, &parsed);
        }
        self.check_order(socket, &parsed);
        let mut record = self.witness.record();
        record.owed.remove(&(parsed.name, socket));
        if parsed.kind == 'v' {
            record.verbs().hears(socket, parsed.name);
        }
        let client = record.sockets.get(&socket).map(|socket| socket.client.clone()).unwrap_or_default();
        let is_its_own = parsed.about == client;
        if parsed.kind == 'w' && !is_its_own {
            let what = format!("socket {} of {client:?} received a whisper to {}", socket.raw(), parsed.about);
            record.broken(6, what);
        }
        if matches!(parsed.kind, 'b' | 't') && is_its_own && record.late().was_named(socket, parsed.name) {
            let what = format!("socket {} received {:?}, which leaves its client out", socket.raw(), parsed.name);
            record.broken(6, what);
        }
        if let Some(topic) = parsed.topic {
            let outcome = record.topics().hears(socket, topic, parsed.name);
            record.check(20, outcome);
        }
    }

    fn hears_publication(&self, socket: SocketId, message: &Parsed<'_>) {
        let mut record = self.witness.record();
        if message.kind == 'r' {
            return record.logs().hears_resumed(socket, message.topic.unwrap_or_default());
        }
        record.hears_publication(socket, message.name.1);
        if record.logs().confirmations().awaits(message.name.1) && self.has_always_read(socket) {
            record.logs().confirmations().hears(message.name.1, socket);
        }
        if let Some(topic) = message.topic {
            let outcome = record.topics().hears(socket, topic, message.name);
            record.check(20, outcome);
        }
    }

    fn has_always_read(&self, socket: SocketId) -> bool {
        self.world.upgrade().is_some_and(|world| {
            let client =
                world.open_sockets().into_iter().find(|open| open.socket == socket).and_then(|open| open.client);
            self.is_read(&world, (socket, client))
        })
    }

    /// Whether the client of a socket reads, and has always done so.
    fn is_read(&self, world: &World, (socket, client): (SocketId, Option<ClientKey>)) -> bool {
        self.streams.is_read(socket).unwrap_or_else(|| {
            client.is_some_and(|client| world.client_state(client) == ClientState::Open && world.reads(client).1)
        })
    }

    /// Reports messages that have been owed for too long, unless they are excused.
    pub(crate) fn check_owed(&self) {
        let Some(world) = self.world.upgrade() else { return };
        let (now, harmed) = (world.now(), world.harmed());
        let mut record = self.witness.record();
        record.now = now;
        record.faults(&world);
        record.check_told();
        let late = record.owed.iter().filter(|(_, owed)| now.since(owed.since) > IN_TIME);
        let late: Vec<((MessageName, SocketId), Owed)> = late.map(|(name, owed)| (*name, owed.clone())).collect();
        if late.is_empty() {
            return;
        }
        let clients: BTreeMap<SocketId, Option<ClientKey>> =
            world.open_sockets().into_iter().map(|open| (open.socket, open.client)).collect();
        for ((name, socket), owed) in late {
            record.owed.remove(&(name, socket));
            let reads = self.is_read(&world, (socket, clients.get(&socket).copied().flatten()));
            let uncut = owed.cuts_so_far == Some(world.cuts_so_far()) || (owed.whispered && owed.harmed == harmed);
            let meant = if owed.whispered { owed.sure } else { owed.sure || owed.addressed };
            // If a message was lost since, the sender may have learned of a new member too late.
            let excused = !owed.addressed && owed.harmed != harmed;
            if !(reads && meant && uncut) || excused {
                continue;
            }
            let replica = self.replica_of(socket);
            let why = match (owed.whispered, owed.addressed) {
                (true, _) => "it was whispered to its client",
                (_, true) => "it was sent to its Replica",
                (_, false) => "the sender did not know its Replica",
            };
            let what = format!("socket {} of {replica:?} did not receive message {name:?}: {why}", socket.raw());
            record.broken(owed.promise(), what);
        }
    }

    /// Records that all faults are healed: from now on the books must be right.
    pub(crate) fn healed(&self) {
        let Some(world) = self.world.upgrade() else { return };
        let mut record = self.witness.record();
        record.harmed_when_healed = world.harmed();
        record.harmed = world.harmed();
    }
}

impl Observer for Watch {
    fn hands_over(&self, from: &Life, message: &Message) {
        self.check_life(from);
        let Some(parsed) = parse(message) else { return };
        self.check_sender(from, &parsed);
        if parsed.kind == 'v' {
            self.witness.record().verbs().is_handed(parsed.name, from.epoch());
        }
        // A sibling that has received the message delivers it too. Only the first time counts as sending.
        if matches!(parsed.kind, 'b' | 'e') && self.sent.borrow_mut().insert(parsed.name) {
            if let Some(world) = self.world.upgrade() {
                world.note(|| format!("{from:?} sends {}", message.as_text().unwrap_or_default()));
            }
            self.owe(from, &parsed);
        }
    }

    fn asks(&self, to: ReplicaId, message: &Message) {
        if let Some(parsed) = parse(message) {
            self.witness.record().asked(parsed.name, to);
        }
    }

    fn shows(&self, from: &Life, topic: &LogTopic, (epoch, publications): (&LogEpoch, &[Publication])) {
        let (mut record, life) = (self.witness.record(), from.epoch().as_u64());
        for one in publications {
            record.publication_is_shown(topic.name(), epoch, one, life);
            record.publication_is_there(epoch, one, life);
        }
    }

    fn sends(&self, from: &Life, epoch: &LogEpoch, publication: &Publication) {
        self.witness.record().publication_is_sent(epoch, publication, from.epoch().as_u64());
    }

    fn tells(&self, from: &Life, changes: &PresenceChanges) {
        if let (Some(world), Some(group)) = (self.world.upgrade(), of_group(from)) {
            self.witness.record().presence_is_told(group, changes, world.now());
        }
    }

    fn counts(&self, group: &Life, replica: (ReplicaId, Epoch), following: Following) {
        if let (Some(world), Some(group)) = (self.world.upgrade(), of_group(group)) {
            self.witness.record().connections_are_counted(group, replica, following, world.now());
        }
    }

    fn names(&self, _: &Life, socket: SocketId, connection: ConnectionId, value: &Bytes) {
        if let Some(world) = self.world.upgrade() {
            self.witness.record().connection_is_named(socket, (connection, value), world.now());
        }
    }

    fn addresses(&self, from: &Life, to: &Targets, message: &Message) {
        if let Some(parsed) = parse(message) {
            let replicas: Vec<ReplicaId> = to.iter().collect();
            self.witness.record().addressed(parsed.name, from.epoch(), |replica| replicas.contains(&replica));
        }
    }

    fn receives(&self, client: ClientKey, message: &Message) {
        let socket = self.world.upgrade().and_then(|world| world.client_socket(client));
        socket.iter().for_each(|(_, socket)| self.hears(*socket, message));
    }

    fn begins(&self, life: &Life) {
        let Some(object) = life.object() else { return };
        self.witness.record().begin_life(*object.id(), life.epoch());
    }

    fn is_superseded(&self, life: &Life) {
        if let Some(world) = self.world.upgrade() {
            let superseded = Superseded { node: life.node(), at: world.micros() };
            self.superseded.borrow_mut().insert(life.epoch().as_u64(), superseded);
            if let Some((group, _)) = of_group(life) {
                self.witness.record().logs().is_superseded(group, world.now());
            }
        }
    }

    fn reserves(&self, ticket: &Ticket) {
        self.witness.record().seats().is_reserved(ticket);
    }

    /// Promise 1: no ticket twice, and none that has expired. Promise 10: none from a node that was struck off.
    fn lets_in(&self, life: &Life, admission: &Admission) {
        let is_new = self.tickets.borrow_mut().insert((admission.ticket, life.epoch()));
        let mut record = self.witness.record();
        record.checks.count(1);
        if admission.has_expired {
            record.broken(1, format!("{life:?} accepted a ticket that had expired"));
        }
        if !is_new {
            record.broken(1, format!("{life:?} accepted a ticket twice"));
        }
        if admission.comes_from_struck_off {
            record.broken(10, format!("{life:?} accepted a ticket from a node that was struck off"));
        }
    }

    /// Promises 10 and 11: no write of an old life lands after a new life has begun.
    fn writes(&self, object: Object, epoch: Epoch, log: &LogEntries) {
        let (Some(world), mut record) = (self.world.upgrade(), self.witness.record()) else { return };
        if let Object::Group(address) = object {
            record.log_is_stored(address.group, log, world.now());
        }
        record.checks.count(10);
        let (current, own) = (record.current_life(*object.id()), epoch.as_u64());
        if own < current {
            record.broken(10, format!("{object:?}: a write of life {own} is stored after life {current} has begun"));
        }
    }

    fn runs(&self, life: Option<Epoch>) {
        self.witness.record().run_life(life);
    }

    fn panics(&self, life: &Life) {
        let mut record = self.witness.record();
        record.presence().crashes();
        record.life_is_lost(None);
        record.checks.count(14);
        match record.panics.checked_sub(1) {
            Some(left) => record.panics = left,
            None => record.broken(14, format!("{life:?}: a panic without a command")),
        }
    }

    fn opens(&self, life: &Life, socket: SocketId) {
        if let Some(Object::Replica(address)) = life.object() {
            self.sockets.borrow_mut().insert(socket, (address, life.epoch()));
            let replica = (address.replica, life.epoch().as_u64());
            self.witness.record().host_opens(socket, address.group.group, replica);
        }
    }

    fn crashes(&self, life: &Life) {
        let own = |(_, (_, epoch)): &(SocketId, (ReplicaAddress, Epoch))| *epoch == life.epoch();
        let sockets: Vec<_> = self.lives_of_sockets().into_iter().filter(own).collect();
        sockets.into_iter().for_each(|(socket, _)| self.ends(socket));
        let mut record = self.witness.record();
        record.presence().crashes();
        record.life_is_lost(Some(life.epoch()));
        record.tasks().crashes(life.epoch().as_u64());
    }

    fn ends(&self, socket: SocketId) {
        let life = self.sockets.borrow().get(&socket).copied();
        if let Some((address, epoch)) = life {
            self.witness.record().host_ends(socket, (address.replica, epoch.as_u64()));
        }
    }
}
