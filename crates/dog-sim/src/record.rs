//! The record of a run, and the checks of it. The handlers of the App write it, and so does
//! [`Watch`](crate::watch::Watch), which observes the hosts. `checks`: checks of what its parts have recorded; `deliveries`: to whom
//! messages are owed.

mod checks;
mod deliveries;

use std::collections::BTreeMap;

use dog::{Epoch, GroupId, ReplicaId, SocketId, Timestamp};
use dog_testing::world::{Random, World};

use crate::call_record::CallRecord;
use crate::checks::{Checks, Violation};
use crate::late_record::LateRecord;
use crate::moment::{MessageName, Moment};
use crate::owed::Owed;
use crate::presence::record::PresenceRecord;
use crate::publications::logs_of_run::LogsOfRun;
use crate::publications::record::LogRecord;
use crate::say_record::SayRecord;
use crate::seat_record::SeatRecord;
use crate::stored::{ObjectId, Stored};
use crate::task_record::TaskRecord;
use crate::topic_record::TopicRecord;
use crate::verb_record::VerbRecord;

/// The handler calls of one socket.
#[derive(Debug, Default)]
pub(crate) struct SocketRecord {
    pub(crate) client: String,
    pub(crate) replica: Option<ReplicaId>,
    life: u64,
    group: Option<GroupId>,
    running: Option<&'static str>,
    pub(crate) opened: bool,
    pub(crate) ends: u32,
    last_command: u64,
    attached: Option<u64>,
    /// Whether it is open at its host.
    pub(crate) is_open: bool,
}

impl SocketRecord {
    /// Whether it belongs to this life of its Replica.
    pub(crate) fn is_of_life(&self, life: u64) -> bool {
        self.life == life
    }
}

/// The record of a run.
#[derive(Debug)]
pub(crate) struct RunRecord {
    pub(crate) violations: Vec<Violation>,
    pub(crate) checks: Checks,
    pub(crate) now: Timestamp,
    pub(crate) random: Random,
    /// How many of 1,000 activations fail.
    pub(crate) activations_fail: u32,
    /// The life whose code runs now.
    running_life: Option<Epoch>,
    /// The current life of each object.
    lives: BTreeMap<ObjectId, Epoch>,
    /// How many messages each life of a Replica has sent.
    sent: BTreeMap<u64, u64>,
    next_attachment: u64,
    /// The number of commanded panics that have not happened yet.
    pub(crate) panics: u32,
    pub(crate) sockets: BTreeMap<SocketId, SocketRecord>,
    seats: SeatRecord,
    pub(crate) owed: BTreeMap<(MessageName, SocketId), Owed>,
    /// How many messages the sender of each whisper had sent when the whisper ended.
    pub(crate) whispers: BTreeMap<MessageName, u64>,
    stored: Stored,
    tasks: TaskRecord,
    topics: TopicRecord,
    logs: LogRecord,
    presence: PresenceRecord,
    late: LateRecord,
    says: SayRecord,
    calls: CallRecord,
    verbs: VerbRecord,
    /// How often handlers have run. A run without handlers checks nothing.
    pub(crate) handled: u64,
    /// How many calls, answers and deliveries were lost or late so far.
    pub(crate) harmed: u64,
    /// The value of `harmed` when the faults were last healed.
    pub(crate) harmed_when_healed: u64,
    /// The number of cuts so far, unless there is one now.
    cuts: Option<u64>,
    relays_are_sure: bool,
}

impl RunRecord {
    pub(crate) fn new(seed: u64, limit: u32, activations_fail: u32) -> Self {
        Self {
            violations: Vec::new(),
            checks: Checks::default(),
            now: Timestamp::default(),
            random: Random::new(!seed),
            activations_fail,
            running_life: None,
            lives: BTreeMap::new(),
            sent: BTreeMap::new(),
            next_attachment: 0,
            panics: 0,
            sockets: BTreeMap::new(),
            seats: SeatRecord::new(limit),
            owed: BTreeMap::new(),
            whispers: BTreeMap::new(),
            stored: Stored::default(),
            tasks: TaskRecord::default(),
            topics: TopicRecord::default(),
            logs: LogRecord::new(LogsOfRun::new(seed)),
            presence: PresenceRecord::default(),
            late: LateRecord::default(),
            says: SayRecord::default(),
            calls: CallRecord::default(),
            verbs: VerbRecord::default(),
            handled: 0,
            harmed: 0,
            harmed_when_healed: 0,
            cuts: None,
            relays_are_sure: false,
        }
    }

    pub(crate) fn broken(&mut self, promise: u8, what: impl Into<String>) {
        self.violations.push(Violation { promise, what: what.into() });
    }

    pub(crate) fn check(&mut self, promise: u8, outcome: Result<(), String>) {
        self.checks.count(promise);
        if let Err(what) = outcome {
            self.broken(promise, what);
        }
    }

    /// Records that a life of an object begins.
    pub(crate) fn begin_life(&mut self, object: ObjectId, epoch: Epoch) {
        self.lives.insert(object, epoch);
    }

    /// Returns the number of the object's current life.
    pub(crate) fn current_life(&self, object: ObjectId) -> u64 {
        self.lives.get(&object).map_or(0, |epoch| epoch.as_u64())
    }

    /// Sets the life whose code the thread runs from now on.
    pub(crate) fn run_life(&mut self, life: Option<Epoch>) {
        self.running_life = life;
    }

    /// Returns the number of the life whose code runs now.
    pub(crate) fn running_life(&self) -> u64 {
        self.running_life.map_or(0, Epoch::as_u64)
    }

    /// Whether the life whose code runs now is the object's current one. An old life may run at the same time for a
    /// while.
    pub(crate) fn runs_current_life(&self, object: ObjectId) -> bool {
        self.running_life() == self.current_life(object)
    }

    /// Returns the name of the next message of a life.
    pub(crate) fn next_message(&mut self, life: u64) -> MessageName {
        let sent = self.sent.entry(life).or_default();
        *sent += 1;
        (life, *sent)
    }

    /// Records that a host has a new socket.
    pub(crate) fn host_opens(&mut self, socket: SocketId, group: GroupId, (replica, life): (ReplicaId, u64)) {
        let outcome = self.seats.socket_opens((replica, life));
        self.check(1, outcome);
        let (group, replica) = (Some(group), Some(replica));
        let record = SocketRecord { is_open: true, group, replica, life, ..SocketRecord::default() };
        self.sockets.insert(socket, record);
    }

    /// Records that a host's socket has ended. No message is owed to it any more.
    pub(crate) fn host_ends(&mut self, socket: SocketId, life: (ReplicaId, u64)) {
        let Some(record) = self.sockets.get_mut(&socket).filter(|record| record.is_open) else { return };
        record.is_open = false;
        self.seats.socket_ends(life);
        self.owed.retain(|(_, owed), _| *owed != socket);
        self.logs.unsubscribed(socket, None);
    }

    /// Promise 7: a handler begins.
    pub(crate) fn handler_begins(&mut self, socket: SocketId, client: &str, handler: &'static str) {
        self.handled += 1;
        self.checks.count(7);
        let record = self.sockets.entry(socket).or_default();
        record.client = client.into();
        let was = record.running.replace(handler);
        let wrong = match handler {
            _ if was.is_some() => Some(format!("{handler} begins while {} runs", was.unwrap_or_default())),
            _ if record.ends > 0 => Some(format!("{handler} comes after the end")),
            "on_open" if record.opened => Some("on_open comes twice".into()),
            "on_open" => {
                record.opened = true;
                None
            }
            _ if !record.opened => Some(format!("{handler} comes before on_open")),
            _ => None,
        };
        if handler == "the end" {
            record.ends += 1;
        }
        if let Some(wrong) = wrong {
            self.broken(7, format!("socket {}: {wrong}", socket.raw()));
        }
    }

    pub(crate) fn handler_ends(&mut self, socket: SocketId) {
        if let Some(record) = self.sockets.get_mut(&socket) {
            record.running = None;
        }
    }

    /// Promise 7: the messages of one socket are handled in order. Those for event streams come in requests of their own.
    pub(crate) fn command(&mut self, socket: SocketId, number: u64) {
        if self.says.is_said(number) {
            let outcome = self.says.handled(number, socket);
            return self.check(7, outcome);
        }
        let Some(record) = self.sockets.get_mut(&socket) else { return };
        let last = std::mem::replace(&mut record.last_command, number);
        if number <= last {
            self.broken(7, format!("socket {}: message {number} is handled after {last}", socket.raw()));
        }
    }

    /// Returns the name of the handler of that socket that runs now.
    pub(crate) fn running_handler(&self, socket: SocketId) -> Option<&'static str> {
        self.sockets.get(&socket)?.running
    }

    /// Returns a new number to attach to a socket.
    pub(crate) fn new_attachment(&mut self) -> u64 {
        self.next_attachment += 1;
        self.next_attachment
    }

    pub(crate) fn attached(&mut self, socket: SocketId, number: u64) {
        if let Some(record) = self.sockets.get_mut(&socket) {
            record.attached = Some(number);
        }
    }

    /// Promise 13: an attachment survives each hibernation of its Replica.
    pub(crate) fn finds_attached(&mut self, socket: SocketId, found: Option<u64>) {
        let attached = self.sockets.get(&socket).and_then(|record| record.attached);
        let wrong = || format!("socket {}: {found:?} is attached, expected {attached:?}", socket.raw());
        self.check(13, if found == attached { Ok(()) } else { Err(wrong()) });
    }

    /// Returns what is known of seats.
    pub(crate) fn seats(&mut self) -> &mut SeatRecord {
        &mut self.seats
    }

    /// Returns what objects have stored.
    pub(crate) fn stored(&mut self) -> &mut Stored {
        &mut self.stored
    }

    /// Returns what is known of typed calls.
    pub(crate) fn calls(&mut self) -> &mut CallRecord {
        &mut self.calls
    }

    /// Returns what is known of the verbs of Groups.
    pub(crate) fn verbs(&mut self) -> &mut VerbRecord {
        &mut self.verbs
    }

    /// Returns what clients of event streams have said.
    pub(crate) fn says(&mut self) -> &mut SayRecord {
        &mut self.says
    }

    /// Returns what is known of clients that become known later.
    pub(crate) fn late(&mut self) -> &mut LateRecord {
        &mut self.late
    }

    /// Returns what is known of publications.
    pub(crate) fn logs(&mut self) -> &mut LogRecord {
        &mut self.logs
    }

    /// Returns what is known of presence.
    pub(crate) fn presence(&mut self) -> &mut PresenceRecord {
        &mut self.presence
    }

    /// Returns what is known of topics.
    pub(crate) fn topics(&mut self) -> &mut TopicRecord {
        &mut self.topics
    }

    /// Records how many faults there were so far.
    pub(crate) fn faults(&mut self, world: &World) {
        self.harmed = world.harmed();
        self.cuts = world.is_whole().then(|| world.cuts_so_far());
    }

    /// Returns the number of cuts so far, unless there is one now.
    pub(crate) fn cuts(&self) -> Option<u64> {
        self.cuts
    }

    /// Says whether Groups pass on all messages that they have to, if nothing is lost and no life ends without warning: no
    /// disk fails, and no node stands still.
    pub(crate) fn set_relays_are_sure(&mut self, are_sure: bool) {
        self.relays_are_sure = are_sure;
    }

    pub(crate) fn relays_are_sure(&self) -> bool {
        self.relays_are_sure
    }

    /// Returns the current moment.
    pub(crate) fn moment(&self) -> Moment {
        Moment::new(&self.sent)
    }

    /// Returns the sockets of a Group that are open at their hosts.
    pub(crate) fn open_sockets_of(&self, group: GroupId) -> impl Iterator<Item = (SocketId, &SocketRecord)> {
        let all = self.sockets.iter().map(|(socket, record)| (*socket, record));
        all.filter(move |(_, record)| record.is_open && record.group == Some(group))
    }

    /// Returns what is known of tasks.
    pub(crate) fn tasks(&mut self) -> &mut TaskRecord {
        &mut self.tasks
    }
}
