//! What an object can be told to do with its storage and its alarm: [`Keep`], one step of a script, and what it
//! [`Found`].

use dog::List;
use serde::{Deserialize, Serialize};

use super::protocol::Attached;
use super::report::Why;

/// Keys that the test App needs for itself begin with this, and stand behind all that scenarios use.
pub const OWN: &str = "~";

/// One step of a script.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Keep {
    /// Read a text.
    Get(String),
    /// Read a text, and say how long it is.
    Measure(String),
    /// Read a number.
    Number(String),
    /// Read something with a shape.
    Shape(String),
    /// Keep a text.
    Put(String, String),
    /// Keep a text of so many bytes.
    PutBytes(String, usize),
    /// Keep something with a shape.
    PutShape(String, Attached),
    /// Take away.
    Delete(String),
    /// Take everything away.
    DeleteAll,
    /// Read several texts.
    List(Range),
    /// Begin a step, and do not wait for its end.
    Unawaited(Box<Keep>),
    /// Do steps as one, as far as a transaction can do them.
    Transaction(Vec<Keep>),
    /// Emit [`waiting`](super::protocol::waiting), then wait until the gate is open. In Replicas only.
    Pass(String),
    /// Read a number, 0 if there is none, wait for other handlers so many times, and put the next number. In transactions
    /// only.
    Add(String, u32),
    /// Run a transaction that reads a key, and changes it past itself in every run.
    Quarrel(String),
    /// Fail the transaction.
    Fail,
    /// Set the alarm, so many milliseconds from now, and say what is to come of it each time it rings.
    SetAlarm(u64, Vec<Then>),
    /// Set the alarm, so many milliseconds from now.
    MoveAlarm(u64),
    /// Take the alarm back.
    DeleteAlarm,
    /// Say when it is set for.
    Alarm,
    /// Say when it has rung.
    Rings,
}

/// What comes of an alarm.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Then {
    /// Nothing: the handler succeeds.
    Succeed,
    /// The handler fails.
    Fail,
    /// The handler panics.
    Panic,
    /// The handler sets the alarm anew, so many milliseconds from now.
    SetAgain(u64),
    /// The same, and waits at a gate then. In Replicas only.
    SetAgainAndPass(u64, String),
}

/// What a step has found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Found {
    /// It is done.
    Done,
    /// A text, if there is one.
    Text(Option<String>),
    /// The length of a text, if there is one.
    Length(Option<usize>),
    /// A number, if there is one.
    Number(Option<u64>),
    /// Something with a shape, if there is one.
    Shape(Option<Attached>),
    /// Keys and texts.
    Entries(Vec<(String, String)>),
    /// A transaction was made: how often its body ran, and what the last run found.
    Made(u32, Vec<Found>),
    /// A transaction failed, as it was told to: how often its body ran.
    Failed(u32),
    /// When the alarm is set for, in milliseconds since 1970.
    Alarm(Option<u64>),
    /// When the alarm has rung.
    Rings(Vec<Ring>),
    /// It failed with one of [`dog::Error`]'s kinds, and says so in words.
    Refused(Why, String),
}

/// One call of `on_alarm`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ring {
    /// When, in milliseconds since 1970.
    pub at: u64,
    /// When the alarm was set for, as the handler found it.
    pub next: Option<u64>,
}

/// [`dog::List`], as it travels.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Range {
    /// `List::prefix`
    pub prefix: String,
    /// `List::start`
    pub start: Option<String>,
    /// `List::end`
    pub end: Option<String>,
    /// `List::limit`
    pub limit: Option<usize>,
    /// `List::reverse`
    pub reverse: bool,
}

impl From<&Range> for List {
    fn from(range: &Range) -> Self {
        let mut list = Self::prefix(range.prefix.clone());
        if let Some(start) = &range.start {
            list = list.start(start.clone());
        }
        if let Some(end) = &range.end {
            list = list.end(end.clone());
        }
        if let Some(limit) = range.limit {
            list = list.limit(limit);
        }
        if range.reverse { list.reverse() } else { list }
    }
}
