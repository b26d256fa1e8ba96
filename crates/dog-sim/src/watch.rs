//! Watches the host: which message is owed to which socket, and what order clients get them in.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use dog::{Epoch, Message, ReplicaId, SocketId};
use dog_engine::address::{Object, ReplicaAddress, Targets, TicketId};

use crate::ledger::{MessageName, Owed, Witness};
use dog_testing::world::{ClientKey, ClientState, Observer, Party, Place, World};

/// How long a message may be on its way; all deadlines are shorter.
const IN_TIME: Duration = Duration::from_secs(8);

/// What has come to one socket from one life.
#[derive(Default)]
struct Heard {
    /// The last message that was handed over when it was said.
    last: u64,
    /// The beginning of the latest whisper: what was said before must not come after it.
    whispered: u64,
    names: BTreeSet<u64>,
}

/// A message of the simulated runs, read.
struct Said<'a> {
    kind: char,
    name: MessageName,
    about: &'a str,
}

fn read(message: &Message) -> Option<Said<'_>> {
    let mut words = message.as_text()?.split(' ');
    let kind = words.next().filter(|kind| kind.len() == 1)?.chars().next()?;
    let name = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    Some(Said { kind, name, about: words.next().unwrap_or_default() })
}

pub(crate) struct Watch {
    witness: Witness,
    said: RefCell<BTreeSet<MessageName>>,
    heard: RefCell<BTreeMap<(SocketId, u64), Heard>>,
    /// Tickets that were taken, and in which life.
    tickets: RefCell<BTreeSet<(TicketId, Epoch)>>,
    /// The life that each socket belongs to.
    pub(crate) sockets: RefCell<BTreeMap<SocketId, (ReplicaAddress, Epoch)>>,
}

impl Watch {
    pub(crate) fn new(witness: Witness) -> Self {
        Self {
            witness,
            said: RefCell::default(),
            heard: RefCell::default(),
            tickets: RefCell::default(),
            sockets: RefCell::default(),
        }
    }

    fn replica_of(&self, socket: SocketId) -> Option<ReplicaId> {
        self.sockets.borrow().get(&socket).map(|(address, _)| address.replica)
    }

    /// Promise 10: only the present life of an object acts.
    fn check_life(&self, place: &Place) {
        let Party::Object(object) = place.party else { return };
        let mut ledger = self.witness.ledger();
        ledger.checks.count(10);
        let (present, own) = (ledger.life_of(*object.id()), place.epoch.as_u64());
        if present != own {
            ledger.broken(10, format!("{place:?} sends in life {own}, and life {present} has begun"));
        }
    }

    /// A broadcast is owed to every socket of the cluster, an emit to those of its Replica.
    fn owe(&self, world: &World, from: &Place, said: &Said<'_>) {
        let Party::Object(Object::Replica(speaker)) = from.party else { return };
        let network = world.network.borrow();
        let sockets = world.sockets.borrow();
        let mut ledger = self.witness.ledger();
        for (socket, connection) in sockets.open().filter(|(_, open)| open.replica.group == speaker.group) {
            let own = connection.replica == speaker;
            let Some(handled) = ledger.sockets.get(&socket) else { continue };
            if (said.kind == 'e' && !own) || handled.client == said.about || !handled.opened {
                continue;
            }
            let owed = Owed {
                speaker: from.epoch,
                since: ledger.now,
                addressed: own,
                asked: false,
                sure: own || network.harmed == ledger.clean_since,
                cut_ever: network.is_whole().then_some(network.cut_ever),
                harmed: network.harmed,
                whispered: false,
            };
            ledger.checks.count(if own { 6 } else { 4 });
            ledger.owed.insert((said.name, socket), owed);
        }
    }

    /// Promises 5 and 6: in order, and at most once.
    fn check_order(&self, socket: SocketId, said: &Said<'_>) {
        let mut heard = self.heard.borrow_mut();
        let heard = heard.entry((socket, said.name.0)).or_default();
        let mut ledger = self.witness.ledger();
        ledger.checks.count(5);
        let (number, tell) = (said.name.1, format!("socket {} got {} {:?}", socket.raw(), said.kind, said.name));
        if !heard.names.insert(number) {
            ledger.broken(6, format!("{tell} twice"));
        }
        if said.kind == 'w' {
            let ended = ledger.whispers.get(&said.name).copied();
            if ended.is_some_and(|ended| heard.last > ended) {
                ledger.broken(5, format!("{tell} after {}, which was said when the whisper had ended", heard.last));
            }
            heard.whispered = heard.whispered.max(number);
            return;
        }
        if number < heard.last {
            ledger.broken(5, format!("{tell} after {}", heard.last));
        }
        if number < heard.whispered {
            ledger.broken(5, format!("{tell} after whisper {}, which was begun later", heard.whispered));
        }
        heard.last = heard.last.max(number);
    }

    /// Whatever has been owed for too long is missing, if nothing excuses it.
    pub(crate) fn check_owed(&self, world: &World) {
        let network = world.network.borrow();
        let sockets = world.sockets.borrow();
        let mut ledger = self.witness.ledger();
        ledger.now = world.agenda.now();
        ledger.harmed = network.harmed;
        let now = ledger.now;
        let late: Vec<((MessageName, SocketId), Owed)> = ledger
            .owed
            .iter()
            .filter(|(_, owed)| now.since(owed.since) > IN_TIME)
            .map(|(name, owed)| (*name, owed.clone()))
            .collect();
        for ((name, socket), owed) in late {
            ledger.owed.remove(&(name, socket));
            let reads = sockets.connection(socket).and_then(|connection| connection.client).is_some_and(|client| {
                let client = sockets.client(client);
                client.state == ClientState::Open && !client.has_stalled
            });
            let uncut = owed.cut_ever == Some(network.cut_ever) || (owed.whispered && owed.harmed == network.harmed);
            let meant = if owed.whispered { owed.sure } else { owed.sure || owed.addressed };
            // In the clean, nothing else may have been lost since either: a member may have been told too late.
            let clean = owed.addressed || owed.harmed == network.harmed;
            if !(reads && meant && uncut && clean) {
                continue;
            }
            let replica = self.replica_of(socket);
            let (promise, why) = match (owed.whispered, owed.addressed) {
                (true, _) => (6, "it was whispered to its client"),
                (_, true) => (6, "it was sent to its Replica"),
                (_, false) => (4, "whoever spoke did not know its Replica"),
            };
            let what = format!("socket {} of {replica:?} did not get message {name:?}: {why}", socket.raw());
            ledger.broken(promise, what);
        }
    }

    /// The books may be wrong from now on, or must be right.
    pub(crate) fn now_clean(&self, world: &World) {
        let harmed = world.network.borrow().harmed;
        let mut ledger = self.witness.ledger();
        ledger.clean_since = harmed;
        ledger.harmed = harmed;
    }
}

impl Observer for Watch {
    fn hands_over(&self, world: &World, from: &Place, message: &Message) {
        self.check_life(from);
        let Some(said) = read(message).filter(|said| matches!(said.kind, 'b' | 'e')) else { return };
        // A sibling that got it hands it over too: only the first time is it said.
        if self.said.borrow_mut().insert(said.name) {
            world.note(|| format!("{from:?} says {}", message.as_text().unwrap_or_default()));
            self.owe(world, from, &said);
        }
    }

    fn asks(&self, to: ReplicaId, message: &Message) {
        if let Some(said) = read(message) {
            self.witness.ledger().asked(said.name, to);
        }
    }

    fn addresses(&self, to: &Targets, message: &Message) {
        if let Some(said) = read(message) {
            let replicas: Vec<ReplicaId> = to.iter().collect();
            self.witness.ledger().addressed(said.name, |replica| replicas.contains(&replica));
        }
    }

    fn receives(&self, world: &World, client: ClientKey, message: &Message) {
        let Some(said) = read(message) else { return };
        let Some((_, socket)) = world.sockets.borrow().client(client).socket else { return };
        self.check_order(socket, &said);
        let mut ledger = self.witness.ledger();
        ledger.owed.remove(&(said.name, socket));
        let client = ledger.sockets.get(&socket).map_or("", |handled| &handled.client);
        if said.kind == 'b' && said.about == client {
            let what = format!("socket {} got {:?}, which left its client out", socket.raw(), said.name);
            ledger.broken(6, what);
        }
    }

    fn begins(&self, place: &Place) {
        if let Party::Object(object) = place.party {
            self.witness.ledger().lives.insert(*object.id(), place.epoch);
        }
    }

    fn lets_in(&self, place: &Place, ticket: TicketId, expired: bool) {
        let is_new = self.tickets.borrow_mut().insert((ticket, place.epoch));
        let mut ledger = self.witness.ledger();
        ledger.checks.count(1);
        if expired {
            ledger.broken(1, format!("{place:?} took a ticket that had expired"));
        }
        if !is_new {
            ledger.broken(1, format!("{place:?} took a ticket twice"));
        }
    }

    fn panics(&self, place: &Place) {
        let mut ledger = self.witness.ledger();
        ledger.checks.count(14);
        match ledger.panics.checked_sub(1) {
            Some(left) => ledger.panics = left,
            None => ledger.broken(14, format!("{place:?}: a panic that nobody asked for")),
        }
    }

    fn opens(&self, _: &World, place: &Place, socket: SocketId) {
        if let Party::Object(Object::Replica(address)) = place.party {
            self.sockets.borrow_mut().insert(socket, (address, place.epoch));
            self.witness.ledger().host_opens(socket, address.group.group, address.replica);
        }
    }

    fn crashes(&self, place: &Place) {
        self.witness.ledger().owed.retain(|_, owed| owed.speaker != place.epoch);
    }

    fn ends(&self, socket: SocketId) {
        if let Some(replica) = self.replica_of(socket) {
            self.witness.ledger().host_ends(socket, replica);
        }
    }
}
