//! Commands and their replies.

use std::net::IpAddr;

use dog::{ClientId, ReplicaId};
use serde::{Deserialize, Serialize};

use super::attached::Attached;
use super::group_ask::{GroupAsk, GroupReply};
use super::log::{LogAct, LogTold};
use super::presence::{PresenceAct, PresenceTold};
use super::report::{Answer, Ask, Why};
use super::storage_script::{Found, StorageStep};
use super::task_act::TaskAct;
use super::topics::TopicAct;
use super::whom::Whom;

/// A command, sent over a socket or, without a socket, by `POST`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Command {
    /// The number that comes back in the [`CommandReply`].
    pub id: u64,
    /// What to do.
    #[serde(flatten)]
    pub act: Act,
}

/// The action of a command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub enum Act {
    /// Send to the socket of the command.
    Send {
        /// What.
        text: String,
    },
    /// Emit.
    Emit {
        /// What.
        text: String,
        /// To whom.
        to: Whom,
    },
    /// Broadcast.
    Broadcast {
        /// What.
        text: String,
        /// To whom.
        to: Whom,
    },
    /// Broadcast with confirmation.
    Confirmed {
        /// What.
        text: String,
        /// To whom.
        to: Whom,
    },
    /// Whisper.
    Whisper {
        /// What.
        text: String,
        /// To whom.
        client: ClientId,
    },
    /// Send the numbers from 0 on, each with the verb that [`Step::of`] returns.
    Sequence {
        /// How many.
        count: u32,
        /// The receivers of whispers, in turn.
        clients: Vec<ClientId>,
    },
    /// Something about topics.
    Topic(TopicAct),
    /// Something about publications.
    Log(LogAct),
    /// Something about presence.
    Presence(PresenceAct),
    /// Answer a question as if a sibling had asked it.
    Ask {
        /// What.
        ask: Ask,
    },
    /// Call the Group of this Replica, or another one of the same class.
    Call {
        /// The name of the other one.
        group: Option<String>,
        /// What for.
        ask: GroupAsk,
    },
    /// Ask the siblings, with gossip.
    Gossip {
        /// What.
        ask: Ask,
    },
    /// Return the clients of the open sockets.
    Sockets,
    /// Attach a value to this socket.
    Attach {
        /// Which.
        value: Attached,
    },
    /// Return the attachment of this socket.
    Attachment,
    /// Count a visit in the attachment of this socket. Returns how many there are.
    CountVisit,
    /// Put this into the attachment as its name with an update.
    UpdateName {
        /// How long the name is.
        length: usize,
    },
    /// Add a number to what this socket keeps in memory. Returns the sum.
    AddInMemory {
        /// The number.
        value: u64,
    },
    /// Return the identity of this socket.
    Identity,
    /// Name the client of this socket.
    Assign {
        /// The client.
        client: ClientId,
    },
    /// Return the client of this socket, after its handler has awaited something. Anonymous ones have the name `?`.
    Client,
    /// Read the attachment of this socket as a number, which it is not.
    MisreadAttachment,
    /// Attach this many bytes to this socket.
    AttachBytes {
        /// How many.
        length: usize,
    },
    /// Emit [`waiting`], then wait until the gate is open.
    Wait {
        /// Which.
        gate: String,
    },
    /// Open a gate of this Replica.
    Open {
        /// Which.
        gate: String,
    },
    /// Run a script on the storage and the alarm.
    Storage {
        /// The script.
        steps: Vec<StorageStep>,
    },
    /// Run a script without transactions. An error of the library fails the handler.
    StorageOrFail {
        /// The script.
        steps: Vec<StorageStep>,
    },
    /// Run a transaction that reads a key, changes it outside of the transaction, and writes `out`. It can never commit.
    AlwaysConflict {
        /// Which.
        key: String,
    },
    /// Write a number into a field of the Replica and return the previous one: 0 after an activation.
    SwapField {
        /// The number.
        value: u64,
    },
    /// Send "last words", close this socket, try to send more.
    Close {
        /// The code.
        code: u16,
        /// The reason.
        reason: String,
    },
    /// Close all sockets of the Replica but this one, while the handler holds the borrow that every handler takes.
    CloseOthers {
        /// The code.
        code: u16,
        /// The reason.
        reason: String,
    },
    /// Call every verb while the handler holds that borrow. Futures are created and dropped.
    HoldBorrow,
    /// Keep the sockets of this client, [wait](Act::Wait) at the gate, and then send to them.
    SendLate {
        /// Whose socket.
        client: ClientId,
        /// Which gate.
        gate: String,
        /// Whether an error fails the handler. Otherwise it comes in the reply.
        fails: bool,
    },
    /// Close the Replica to newcomers.
    CloseToNewcomers,
    /// Open the Replica to newcomers.
    OpenToNewcomers,
    /// Push this text into every response that this Replica streams.
    Push {
        /// What.
        text: String,
    },
    /// End every response that this Replica streams.
    EndStreams,
    /// Use tasks and timers.
    Task {
        /// What for.
        task: TaskAct,
    },
    /// Keep the context of this life and this socket for a later life.
    KeepForLaterLife {
        /// Under which name.
        name: String,
    },
    /// Call everything on the context and the socket that an earlier life has kept.
    UseEarlierLife {
        /// Under which name.
        name: String,
    },
    /// Fail with this text.
    Fail {
        /// The text, which clients must not see.
        text: String,
    },
    /// Refuse with this status and text.
    Refuse {
        /// The status.
        status: u16,
        /// The text.
        text: String,
    },
    /// Panic with this text.
    Panic {
        /// The text, which clients must not see.
        text: String,
    },
}

/// What a Replica emits when a handler begins to wait at a gate.
pub fn waiting(gate: &str) -> String {
    format!("waiting at {gate}")
}

/// How one number of an [`Act::Sequence`] is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// To the socket of the command.
    Send,
    /// To all sockets of the Replica.
    Emit,
    /// To all sockets of the cluster.
    Broadcast,
    /// To all sockets of the cluster, awaited.
    Confirmed,
    /// To one of the clients, by its index, awaited.
    Whisper(usize),
}

impl Step {
    /// The verb for `number` where whispers go to `clients` in turn.
    pub fn of(number: u32, clients: usize) -> Self {
        match number % 5 {
            0 => Self::Send,
            1 => Self::Emit,
            2 => Self::Broadcast,
            3 => Self::Confirmed,
            _ => Self::Whisper((number / 5) as usize % clients.max(1)),
        }
    }
}

/// The answer to a [`Command`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommandReply {
    /// Which command.
    pub reply: u64,
    /// The Replica that executed it.
    pub replica: ReplicaId,
    /// Its result.
    #[serde(flatten)]
    pub told: Told,
}

/// The result of a [`Command`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "told", rename_all = "snake_case")]
pub enum Told {
    /// It is done.
    Done,
    /// It failed with a [`dog::Error`].
    Refused {
        /// Which.
        why: Why,
    },
    /// To [`Act::Confirmed`].
    Reached {
        /// How many sockets accepted it.
        sockets: usize,
        /// The Replicas that did not answer.
        missing: Vec<ReplicaId>,
    },
    /// To [`Act::Whisper`].
    Took {
        /// How many sockets accepted it.
        sockets: usize,
    },
    /// To [`Act::Gossip`].
    Heard {
        /// The Replicas that answered, each with its answer.
        answers: Vec<(ReplicaId, Answer)>,
        /// The Replicas that did not answer, each with the reason.
        missing: Vec<(ReplicaId, Why)>,
        /// The Replicas that were not asked because they are parked. `None` if the Group did not answer.
        parked: Option<Vec<ReplicaId>>,
    },
    /// To [`Act::Call`].
    Replied {
        /// What.
        by_group: GroupReply,
    },
    /// To [`Act::Ask`].
    Answered {
        /// What.
        answer: Answer,
    },
    /// To [`Act::Log`].
    Log {
        /// The result.
        log: LogTold,
    },
    /// To [`PresenceAct::Read`].
    Present {
        /// Who.
        there: PresenceTold,
    },
    /// To [`TopicAct::Topics`].
    Topics {
        /// Their names, sorted.
        topics: Vec<String>,
    },
    /// To [`Act::Sockets`].
    Sockets {
        /// One for each socket, sorted.
        clients: Vec<ClientId>,
    },
    /// To [`Act::UseEarlierLife`].
    UsedEarlierLife {
        /// Each call, with its error. `None` if it succeeded.
        outcomes: Vec<(String, Option<Why>)>,
        /// How many sockets it lists as open.
        sockets: usize,
    },
    /// To [`Act::Storage`].
    Storage {
        /// The result of each step.
        found: Vec<Found>,
    },
    /// To [`Act::SwapField`], [`Act::CountVisit`] and [`Act::AddInMemory`].
    Field {
        /// The previous number.
        value: u64,
    },
    /// To [`TaskAct::Ticks`] and [`TaskAct::Return`].
    Number {
        /// What.
        value: u64,
    },
    /// To [`TaskAct::Skip`].
    Skipped {
        /// Before the second and the third tick.
        ticks: [u64; 2],
        /// From the start of the interval to the third tick, in milliseconds.
        millis: u64,
    },
    /// To [`TaskAct::Fill`].
    Filled {
        /// How many tasks there were.
        tasks: u64,
        /// Why there are no more.
        why: Why,
        /// How many were aborted before they had ended.
        aborted: u64,
    },
    /// To [`Act::Client`].
    Client {
        /// Its name.
        name: String,
    },
    /// To [`Act::Identity`].
    Identity {
        /// The identity.
        value: Option<String>,
    },
    /// To [`Act::Attachment`].
    Attachment {
        /// The value.
        value: Option<Attached>,
    },
}

/// Where a client was placed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identified {
    /// The Group.
    pub group: dog::GroupId,
    /// The Replica.
    pub replica: ReplicaId,
}

/// A request, as it arrived at the App or at an object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Echo {
    /// Where it arrived: at the `app`, a `group` or a `replica`.
    pub seen_by: String,
    /// Its method.
    pub method: String,
    /// Its path, without the query.
    pub path: String,
    /// Its headers.
    pub headers: Vec<(String, String)>,
    /// Its body.
    pub body: String,
    /// The address of the client that has sent it.
    pub peer: Option<IpAddr>,
    /// Its identity.
    pub identity: Option<String>,
    /// Whether it has the extension that the App adds to every request that it forwards.
    pub marked: bool,
}
