//! What clients do, and what they get for it, taken down by one clock while a test runs. Afterwards [`checker`](crate::checker)
//! asks whether the promises hold over all of it.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::app::{Client, LIMIT};
use crate::checker::{self, Checked};
use crate::registers;

/// Since the record began.
pub(crate) type Time = Duration;

/// One life of a Replica, as it says itself.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Life {
    pub(crate) replica: String,
    /// Kept by the Replica itself: each life's is higher than those of the lives before it.
    pub(crate) number: u64,
    pub(crate) process: u32,
}

/// What a Replica sends: a text, signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sent {
    /// To the one who has asked; else to everyone.
    pub(crate) answer: bool,
    pub(crate) life: Life,
    /// The how manieth of that life.
    pub(crate) number: u64,
    pub(crate) text: String,
}

impl fmt::Display for Sent {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { answer, life: Life { replica, number: life, process }, number, text } = self;
        write!(formatter, "{} {process} {replica} {life} {number} {text}", if *answer { "answer" } else { "all" })
    }
}

impl Sent {
    pub(crate) fn parse(frame: &str) -> Option<Self> {
        let mut words = frame.splitn(6, ' ');
        let answer = words.next()? == "answer";
        let process = words.next()?.parse().ok()?;
        let replica = words.next()?.to_owned();
        let life = Life { process, replica, number: words.next()?.parse().ok()? };
        Some(Self { answer, life, number: words.next()?.parse().ok()?, text: words.next()?.to_owned() })
    }
}

/// What was heard on a socket.
#[derive(Clone, Debug)]
pub(crate) struct Heard {
    pub(crate) at: Time,
    /// When it was asked for, of an answer.
    pub(crate) asked: Option<Time>,
    pub(crate) sent: Sent,
}

/// A socket's life, as its client has seen it.
#[derive(Clone, Debug)]
pub(crate) struct SocketRecord {
    pub(crate) client: String,
    pub(crate) room: String,
    /// The node that it came in by, and the process that has its Replica.
    pub(crate) entry: SocketAddr,
    pub(crate) replica: String,
    pub(crate) process: u32,
    /// Sockets that its Replica said it had, with this one.
    pub(crate) seats: usize,
    /// When its client began to come in.
    pub(crate) asked: Time,
    pub(crate) opened: Time,
    /// When its client let it go, or heard that it is over.
    pub(crate) ended: Option<Time>,
    pub(crate) code: Option<u16>,
    pub(crate) said: Vec<(Time, String)>,
    pub(crate) heard: Vec<Heard>,
}

/// What a client did, and what it got.
#[derive(Clone, Debug)]
pub(crate) enum Action {
    /// A number, that is to be kept.
    Put(u32),
    /// Which numbers are kept, and the life that wrote each.
    Read(BTreeMap<u32, u64>),
    /// How many sockets the cluster has.
    Count(usize),
    /// With its answer, unless that never came.
    Register(registers::Command, Option<registers::Answer>),
}

#[derive(Clone, Debug)]
pub(crate) struct Operation {
    pub(crate) socket: usize,
    pub(crate) invoked: Time,
    /// `None`: nobody knows whether it was done.
    pub(crate) completed: Option<Time>,
    /// Who has answered.
    pub(crate) by: Option<Life>,
    pub(crate) action: Action,
}

/// What is done to the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Victim {
    /// A node, by its process.
    Node(u32),
    /// What carries messages between nodes.
    Nats,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Fault {
    pub(crate) victim: Victim,
    pub(crate) from: Time,
    /// `None`: to the end.
    pub(crate) until: Option<Time>,
}

/// All that was taken down.
#[derive(Clone, Debug, Default)]
pub(crate) struct History {
    pub(crate) sockets: Vec<SocketRecord>,
    /// Who tried to come in and did not: the room, from when, until when.
    pub(crate) attempts: Vec<(String, Time, Time)>,
    pub(crate) operations: Vec<Operation>,
    pub(crate) faults: Vec<Fault>,
    /// How long a node is waited for that is not heard of.
    pub(crate) lease: Duration,
}

#[derive(Debug)]
struct Shared {
    began: Instant,
    history: Mutex<History>,
}

/// Takes down. Clones take down in the same record.
#[derive(Clone, Debug)]
pub(crate) struct Recorder(Arc<Shared>);

impl Recorder {
    /// Of a cluster with such leases.
    pub(crate) fn new(lease: Duration) -> Self {
        let history = History { lease, ..History::default() };
        Self(Arc::new(Shared { began: Instant::now(), history: Mutex::new(history) }))
    }

    pub(crate) fn now(&self) -> Time {
        self.0.began.elapsed()
    }

    pub(crate) fn history(&self) -> MutexGuard<'_, History> {
        self.0.history.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A client that comes in by that node, as often as it takes.
    pub(crate) async fn join(&self, entry: SocketAddr, room: &str, name: &str) -> Client {
        Client::join_recorded(self, entry, room, name).await
    }

    /// The same, and is told why not if it does not get in at once.
    pub(crate) async fn try_to_join(&self, entry: SocketAddr, room: &str, name: &str) -> Result<Client, String> {
        Client::try_to_join_recorded(self, entry, room, name).await
    }

    /// Something is being done to that; returns which fault it is.
    pub(crate) fn fault(&self, victim: Victim) -> usize {
        let from = self.now();
        let mut history = self.history();
        history.faults.push(Fault { victim, from, until: None });
        history.faults.len() - 1
    }

    /// It is well again.
    pub(crate) fn is_well(&self, fault: usize) {
        let now = self.now();
        self.history().faults[fault].until = Some(now);
    }

    /// The sockets that are open, for whoever wants to know what hangs.
    pub(crate) fn open(&self) -> String {
        let history = self.history();
        let open = history.sockets.iter().filter(|socket| socket.ended.is_none()).map(|socket| {
            let SocketRecord { client, room, entry, process, opened, said, heard, .. } = socket;
            let (said, heard) = (said.last(), heard.last().map(|heard| heard.at));
            format!("{client} in {room} by {entry} at {process} since {opened:?}, said {said:?}, heard {heard:?}")
        });
        format!("now {:?}, faults {:?}:\n{}", self.now(), history.faults, open.collect::<Vec<_>>().join("\n"))
    }

    /// Asks whether all promises hold over all that was taken down.
    pub(crate) fn check(&self) -> Checked {
        match checker::check(&self.history(), LIMIT as usize) {
            Ok(checked) => checked,
            Err(broken) => panic!("{broken}"),
        }
    }
}
