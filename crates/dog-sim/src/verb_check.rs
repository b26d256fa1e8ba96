//! Checks of the verbs of Groups when all faults are healed: promises 6 and 8.

use std::collections::{BTreeMap, BTreeSet};

use dog::{Group, GroupId, SocketId};
use dog_engine::address::{GroupAddress, Object};
use dog_testing::world::Micros;

use crate::objects::Hall;
use crate::record::RunRecord;
use crate::run::Run;
use crate::topics::TOPICS;
use crate::verb_record::{Outcome, VerbRecord};

/// How long a verb and its consequences may take.
const DONE: Micros = 5_000_000;

/// The open sockets of a Group, with their clients.
fn open(record: &RunRecord, group: GroupId) -> BTreeMap<SocketId, String> {
    record.open_sockets_of(group).map(|(socket, open)| (socket, open.client.clone())).collect()
}

/// Checks the verbs when all is healed.
pub(crate) struct VerbCheck<'run> {
    run: &'run mut Run,
}

impl<'run> VerbCheck<'run> {
    pub(crate) fn new(run: &'run mut Run) -> Self {
        Self { run }
    }

    /// Uses each verb in each Group, and in one that does not exist. Returns `false` if a promise was broken.
    pub(crate) fn check(&mut self) -> bool {
        self.run.world().note(|| "— the App uses the verbs of its Groups —".into());
        (0..self.run.plan().groups).all(|group| self.check_group(&format!("g{group}"))) && self.check_nobody()
    }

    /// Begins a verb.
    fn begin(&mut self, group: &str, what: &str) -> u64 {
        let number = self.run.witness().record().verbs().begins();
        self.run.request(self.run.any_node(), &format!("/verb?do={what}&number={number}&g={group}"));
        number
    }

    fn check_group(&mut self, name: &str) -> bool {
        let group = GroupId::from_name(Hall::NAME, name);
        let before = open(&self.run.witness().record(), group);
        let someone = before.values().find(|client| client.starts_with('c')).cloned();
        let kicked = someone.clone().unwrap_or_else(|| "nobody".into());
        let [count, clients, broadcast] = ["count", "clients", "broadcast"].map(|verb| self.begin(name, verb));
        let whisper = self.begin(name, &format!("whisper&to={kicked}"));
        let topics: Vec<u64> =
            TOPICS.iter().map(|topic| self.begin(name, &format!("broadcast-to&topic={topic}"))).collect();
        if !self.run.pass(DONE) {
            return false;
        }
        let all: BTreeSet<SocketId> = before.keys().copied().collect();
        let its: BTreeSet<SocketId> =
            before.iter().filter(|(_, client)| **client == kicked).map(|(socket, _)| *socket).collect();
        let mut sockets: BTreeMap<String, u32> = BTreeMap::new();
        before.values().for_each(|client| *sockets.entry(client.clone()).or_default() += 1);
        let number = u32::try_from(sockets.len()).unwrap_or(u32::MAX);
        let counted = |clients| Outcome { sockets: all.len(), clients, missing: Vec::new() };
        self.expect(6, |verbs| verbs.check_reached(broadcast, &all));
        self.expect(6, |verbs| verbs.check_reached(whisper, &its));
        self.expect(8, |verbs| verbs.check_said(count, &counted(BTreeMap::from([("all".into(), number)]))));
        self.expect(8, |verbs| verbs.check_said(clients, &counted(sockets.clone())));
        for (number, topic) in topics.into_iter().zip(TOPICS) {
            let subscribed = self.run.witness().record().topics().subscribers(topic);
            self.expect(20, |verbs| verbs.check_heard(number, &subscribed.intersection(&all).copied().collect()));
        }
        self.check_disconnect(name, &kicked, &before, its.len())
    }

    /// Exactly the sockets of one client are closed.
    fn check_disconnect(
        &mut self,
        name: &str,
        kicked: &str,
        before: &BTreeMap<SocketId, String>,
        sockets: usize,
    ) -> bool {
        let disconnect = self.begin(name, &format!("disconnect&to={kicked}"));
        if !self.run.pass(DONE) {
            return false;
        }
        let mut left = before.clone();
        left.retain(|_, client| client != kicked);
        let after = open(&self.run.witness().record(), GroupId::from_name(Hall::NAME, name));
        let wrong = || format!("{kicked} was disconnected from {before:?}, and {after:?} are open");
        self.expect(6, |_| if after == left { Ok(()) } else { Err(wrong()) });
        self.expect(6, |verbs| verbs.check_said(disconnect, &Outcome { sockets, ..Outcome::default() }));
        self.run.is_well()
    }

    /// A verb to a Group that never existed answers 0, and leaves nothing.
    fn check_nobody(&mut self) -> bool {
        let stored = self.run.world().entries();
        let verbs = ["count", "broadcast", "disconnect&to=c1"].map(|verb| self.begin("nobody", verb));
        if !self.run.pass(DONE) {
            return false;
        }
        let nothing = |clients| Outcome { clients, ..Outcome::default() };
        let counted = BTreeMap::from([("all".into(), 0)]);
        for (number, clients) in verbs.into_iter().zip([counted, BTreeMap::new(), BTreeMap::new()]) {
            self.expect(6, |verbs| verbs.check_said(number, &nothing(clients)));
        }
        let Some(class) = self.run.world().class(Hall::NAME) else { return false };
        let nobody = Object::Group(GroupAddress { class, group: GroupId::from_name(Hall::NAME, "nobody") });
        let is_left = self.run.world().current(nobody).is_some() || self.run.world().entries() > stored;
        self.expect(6, |_| if is_left { Err("a verb has left something of a Group".into()) } else { Ok(()) });
        self.run.is_well()
    }

    fn expect(&self, promise: u8, check: impl FnOnce(&VerbRecord) -> Result<(), String>) {
        let mut record = self.run.witness().record();
        let outcome = check(record.verbs());
        record.check(promise, outcome);
    }
}
