//! Records what clients do and what they receive while a test runs. All times are from one clock. Afterwards
//! [`checker`](crate::checker) checks the promises over the whole record.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::app::{Client, LIMIT};
use crate::checker::{self, Checked};
use crate::registers;

/// The time since the record began.
pub(crate) type Time = Duration;

/// One life of a Replica, as the Replica itself reports it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Life {
    pub(crate) replica: String,
    /// The Replica stores this number. Each life has a higher number than all lives before it.
    pub(crate) number: u64,
    pub(crate) process: u32,
}

/// A message from a Replica, with the life that sent it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sent {
    /// Whether it is an answer to one socket. Otherwise it is a broadcast.
    pub(crate) answer: bool,
    pub(crate) life: Life,
    /// Its number among all messages of this life.
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

/// A message that a socket received.
#[derive(Clone, Debug)]
pub(crate) struct Heard {
    pub(crate) at: Time,
    /// If it is an answer: when the question was sent.
    pub(crate) asked: Option<Time>,
    pub(crate) sent: Sent,
}

/// A socket from beginning to end, as its client saw it.
#[derive(Clone, Debug)]
pub(crate) struct SocketRecord {
    pub(crate) client: String,
    pub(crate) room: String,
    /// The node that it connected to.
    pub(crate) entry: SocketAddr,
    pub(crate) replica: String,
    /// The process that runs its Replica.
    pub(crate) process: u32,
    /// The number of sockets that its Replica reported when this one opened. It includes this one.
    pub(crate) seats: usize,
    /// When its client began to connect.
    pub(crate) asked: Time,
    pub(crate) opened: Time,
    /// When its client closed it, or noticed that it had ended.
    pub(crate) ended: Option<Time>,
    pub(crate) code: Option<u16>,
    pub(crate) said: Vec<(Time, String)>,
    pub(crate) heard: Vec<Heard>,
}

/// A client's command and its result.
#[derive(Clone, Debug)]
pub(crate) enum Action {
    /// A put of a number.
    Put(u32),
    /// A read of all stored numbers. Each has the number of the life that wrote it.
    Read(BTreeMap<u32, u64>),
    /// A count of the sockets in the cluster.
    Count(usize),
    /// A command to the registers, and its answer if one came.
    Register(registers::Command, Option<registers::Answer>),
}

#[derive(Clone, Debug)]
pub(crate) struct Operation {
    pub(crate) socket: usize,
    pub(crate) invoked: Time,
    /// `None` if no answer came: it may or may not have been executed.
    pub(crate) completed: Option<Time>,
    /// The life that answered.
    pub(crate) by: Option<Life>,
    pub(crate) action: Action,
}

/// The target of a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Victim {
    /// A node, by its process.
    Node(u32),
    /// The NATS servers, which carry messages between nodes.
    Nats,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Fault {
    pub(crate) victim: Victim,
    pub(crate) from: Time,
    /// `None`: until the end of the test.
    pub(crate) until: Option<Time>,
}

/// The whole record.
#[derive(Clone, Debug, Default)]
pub(crate) struct History {
    pub(crate) sockets: Vec<SocketRecord>,
    /// Failed attempts to connect: the room, the start and the end.
    pub(crate) attempts: Vec<(String, Time, Time)>,
    pub(crate) operations: Vec<Operation>,
    pub(crate) faults: Vec<Fault>,
    /// The lease time of the cluster.
    pub(crate) lease: Duration,
}

#[derive(Debug)]
struct Shared {
    began: Instant,
    history: Mutex<History>,
}

/// Writes the record. All clones write to the same one.
#[derive(Clone, Debug)]
pub(crate) struct Recorder(Arc<Shared>);

impl Recorder {
    /// Starts a record of a cluster with this lease time.
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

    /// Connects a client to this node. Retries until it succeeds.
    pub(crate) async fn join(&self, entry: SocketAddr, room: &str, name: &str) -> Client {
        Client::join_recorded(self, entry, room, name).await
    }

    /// Connects a client to this node, without retries. The error says why the client could not connect.
    pub(crate) async fn try_to_join(&self, entry: SocketAddr, room: &str, name: &str) -> Result<Client, String> {
        Client::try_to_join_recorded(self, entry, room, name).await
    }

    /// Records that a fault begins. Returns the number of the fault.
    pub(crate) fn fault(&self, victim: Victim) -> usize {
        let from = self.now();
        let mut history = self.history();
        history.faults.push(Fault { victim, from, until: None });
        history.faults.len() - 1
    }

    /// Records that a fault is over.
    pub(crate) fn is_well(&self, fault: usize) {
        let now = self.now();
        self.history().faults[fault].until = Some(now);
    }

    /// Describes the open sockets, to find out what hangs.
    pub(crate) fn open(&self) -> String {
        let history = self.history();
        let open = history.sockets.iter().filter(|socket| socket.ended.is_none()).map(|socket| {
            let SocketRecord { client, room, entry, process, opened, said, heard, .. } = socket;
            let (said, heard) = (said.last(), heard.last().map(|heard| heard.at));
            format!("{client} in {room} by {entry} at {process} since {opened:?}, said {said:?}, heard {heard:?}")
        });
        format!("now {:?}, faults {:?}:\n{}", self.now(), history.faults, open.collect::<Vec<_>>().join("\n"))
    }

    /// Checks all promises over the record. Panics if one is broken.
    pub(crate) fn check(&self) -> Checked {
        match checker::check(&self.history(), LIMIT as usize) {
            Ok(checked) => checked,
            Err(broken) => panic!("{broken}"),
        }
    }
}
