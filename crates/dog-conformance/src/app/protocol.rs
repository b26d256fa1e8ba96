//! What the test App and its clients say to each other, as JSON: a [`Command`] to a Replica, a [`Reply`] back.
//!
//! A text message that is no command, and every binary one, comes back as it was.

use dog::{AutoResponse, ClientId, Jurisdiction, Place, Region, ReplicaId};
use serde::{Deserialize, Serialize};

pub use super::keep::{Found, Keep, OWN, Range, Ring, Then};
pub use super::report::{Answer, Ask, Cause, End, Entry, Event, Report, Why};

/// The header of a handshake's response in which a Replica says its id.
pub const REPLICA_HEADER: &str = "replica";

/// The header in which the App says whether an object's response had the extension that objects put into theirs.
pub const MARKED_HEADER: &str = "marked";

/// A socket of a client with this prefix waits in `on_open` for the gate of that client's name.
pub const GATED: &str = "gated-";
/// A socket of a client with this prefix fails in `on_open`.
pub const FAILING: &str = "failing-";
/// A socket of a client with this prefix is closed in `on_open`, with 1008.
pub const UNWANTED: &str = "unwanted-";
/// A socket of a client with this prefix has [`Attached`] with the client's name from the beginning.
pub const TAGGED: &str = "tagged-";
/// `on_close` fails for a client with this prefix.
pub const SORE: &str = "sore-";
/// `on_close` closes all other sockets of the Replica for a client with this prefix, with [`OVER`].
pub const HOST: &str = "host-";
/// With what the sockets are closed that a [`HOST`] leaves behind.
pub const OVER: (u16, &str) = (4000, "over");
/// `clusterize` of the class `named` fails for a client with this prefix.
pub const UNPLACEABLE: &str = "unplaceable-";
/// The Replica that the class `named` makes for a client with this prefix fails to wake.
pub const UNWAKEABLE: &str = "unwakeable-";
/// The Replica that the class `named` makes for a client with this prefix is to live in [`FAR`].
pub const PLACED: &str = "placed-";
/// Where Replicas of clients with the prefix [`PLACED`] live.
pub const FAR: Place = Place::Near(Region::Oceania);
/// The same for this prefix, in [`BOUND`].
pub const BOUND_THERE: &str = "bound-";
/// Where Replicas of clients with the prefix [`BOUND_THERE`] live.
pub const BOUND: Place = Place::Within(Jurisdiction::EuropeanUnion);
/// What every Replica answers by itself, and with what.
pub const AUTO_RESPONSE: AutoResponse = AutoResponse::new("are you there?", "I am");
/// `clusterize` of the class `named` says the same Replica for all clients with this prefix.
pub const TOGETHER: &str = "together-";

/// One thing to do, asked over a socket or, without a socket, by `POST`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Command {
    /// Comes back in the [`Reply`].
    pub id: u64,
    /// What to do.
    #[serde(flatten)]
    pub act: Act,
}

/// What a Replica can be told to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub enum Act {
    /// Send to the socket that asks.
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
    /// Broadcast, and say whom it reached.
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
    /// Send the numbers from 0 on, each by the verb that [`Step::of`] says.
    Sequence {
        /// How many.
        count: u32,
        /// Whom the whispers go to, in turn.
        clients: Vec<ClientId>,
    },
    /// Answer as if a sibling had asked.
    Ask {
        /// What.
        ask: Ask,
    },
    /// Ask the siblings.
    Gossip {
        /// What.
        ask: Ask,
    },
    /// Say whose sockets are open here.
    Sockets,
    /// Attach a value to this socket.
    Attach {
        /// Which.
        value: Attached,
    },
    /// Say what is attached to this socket.
    Attachment,
    /// Read what is attached to this socket as a number, which it is not.
    MisreadAttachment,
    /// Attach so many bytes to this socket.
    AttachBytes {
        /// How many.
        length: usize,
    },
    /// Emit [`waiting`], then wait until the gate is open.
    Wait {
        /// Which.
        gate: String,
    },
    /// Open a gate of this Replica, for good.
    Open {
        /// Which.
        gate: String,
    },
    /// Do with storage and alarm what a script says.
    Keep {
        /// The script.
        steps: Vec<Keep>,
    },
    /// The same, without a transaction in it: what the library refuses fails the handler.
    Insist {
        /// The script.
        steps: Vec<Keep>,
    },
    /// Run a transaction that reads a key, changes it past itself, and puts `out`: it can never be made.
    Quarrel {
        /// Which.
        key: String,
    },
    /// Put a number into a field of the Replica, and say which was there: 0 if none was, in this life in memory.
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
    /// Close all sockets of the Replica but this one, while a field is borrowed that all handlers borrow.
    CloseOthers {
        /// The code.
        code: u16,
        /// The reason.
        reason: String,
    },
    /// Use every verb that needs no waiting while that field is borrowed, and make the futures of all others and drop them.
    HoldBorrow,
    /// Keep the socket of this client, [wait](Act::Wait) at the gate, then send to the one that was kept.
    SendLate {
        /// Whose socket.
        client: ClientId,
        /// Which gate.
        gate: String,
        /// Whether an error fails the handler, as `?` has it; else it is told.
        fails: bool,
    },
    /// Say this in every response that this Replica streams.
    Push {
        /// What.
        text: String,
    },
    /// End every response that this Replica streams.
    EndStreams,
    /// Leave this life's context and this socket where a later life can find them.
    Bury {
        /// Under which name.
        name: String,
    },
    /// Do everything that a life can do with what an earlier one has left.
    Haunt {
        /// Under which name.
        name: String,
    },
    /// Fail with this text.
    Fail {
        /// What must not be seen outside.
        text: String,
    },
    /// Panic with this text.
    Panic {
        /// What must not be seen outside.
        text: String,
    },
}

/// What a Replica emits when a handler begins to wait at a gate.
pub fn waiting(gate: &str) -> String {
    format!("waiting at {gate}")
}

/// [`dog::To`], as it travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Whom {
    /// All but the client that speaks.
    Others,
    /// All.
    Everyone,
}

impl From<Whom> for dog::To {
    fn from(whom: Whom) -> Self {
        match whom {
            Whom::Others => Self::Others,
            Whom::Everyone => Self::Everyone,
        }
    }
}

/// How one number of an [`Act::Sequence`] is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// To the socket that asked.
    Send,
    /// To all sockets of the Replica.
    Emit,
    /// To all sockets of the cluster.
    Broadcast,
    /// To all sockets of the cluster, awaited.
    Confirmed,
    /// To one of the clients, awaited: which.
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

/// Something with a shape, to attach.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attached {
    /// Text.
    pub name: String,
    /// A number.
    pub visits: u64,
    /// Nested.
    pub tags: Vec<Option<String>>,
}

/// The answer to a [`Command`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reply {
    /// Which command.
    pub reply: u64,
    /// Who did it.
    pub replica: ReplicaId,
    /// What came of it.
    #[serde(flatten)]
    pub told: Told,
}

/// What came of a [`Command`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "told", rename_all = "snake_case")]
pub enum Told {
    /// It is done.
    Done,
    /// It failed with one of [`dog::Error`]'s kinds.
    Refused {
        /// Which.
        why: Why,
    },
    /// To [`Act::Confirmed`].
    Reached {
        /// How many sockets took it.
        sockets: usize,
        /// Who did not answer.
        missing: Vec<ReplicaId>,
    },
    /// To [`Act::Whisper`].
    Took {
        /// How many sockets took it.
        sockets: usize,
    },
    /// To [`Act::Gossip`].
    Heard {
        /// Who answered, and what.
        answers: Vec<(ReplicaId, Answer)>,
        /// Who did not, and why.
        missing: Vec<(ReplicaId, Why)>,
        /// Who was not asked because it is parked; `None` if the Group did not say.
        parked: Option<Vec<ReplicaId>>,
    },
    /// To [`Act::Ask`].
    Answered {
        /// What.
        answer: Answer,
    },
    /// To [`Act::Sockets`].
    Sockets {
        /// One for each socket, sorted.
        clients: Vec<ClientId>,
    },
    /// To [`Act::Haunt`].
    Haunted {
        /// Each verb, and why it was refused; `None` if it was done.
        outcomes: Vec<(String, Option<Why>)>,
        /// How many sockets are open to it.
        sockets: usize,
    },
    /// To [`Act::Keep`].
    Kept {
        /// What each step has found.
        found: Vec<Found>,
    },
    /// To [`Act::SwapField`].
    Field {
        /// The number that was there.
        value: u64,
    },
    /// To [`Act::Attachment`].
    Attachment {
        /// The value.
        value: Option<Attached>,
    },
}

/// Where `identify` says that a client belongs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identified {
    /// The Group that was asked.
    pub group: dog::GroupId,
    /// The Replica it named.
    pub replica: ReplicaId,
}

/// A request as it arrived where nobody expected it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Echo {
    /// Who saw it: the `app`, a `group` or a `replica`.
    pub seen_by: String,
    /// Its method.
    pub method: String,
    /// Its path, without the query.
    pub path: String,
    /// Its headers.
    pub headers: Vec<(String, String)>,
    /// Its body.
    pub body: String,
    /// Whether it has the extension that the App puts into every request that it passes on.
    pub marked: bool,
}
