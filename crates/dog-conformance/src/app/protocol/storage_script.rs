//! Scripts for the storage and the alarms of an object: [`StorageStep`], one step, and [`Found`], its result.

use dog::List;
use serde::{Deserialize, Serialize};

use super::attached::Attached;
use super::report::Why;

/// The prefix of keys that the test App needs for itself. They sort after all keys of scenarios.
pub const OWN: &str = "~";

/// The name of the alarm of most scripts.
pub const ALARM: &str = "alarm";

/// One step of a script.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StorageStep {
    /// Read a text.
    Get(String),
    /// Read the length of a text.
    Measure(String),
    /// Read a number.
    Number(String),
    /// Read a structured value.
    Shape(String),
    /// Store a text.
    Put(String, String),
    /// Store a text of this many bytes.
    PutBytes(String, usize),
    /// Store a structured value.
    PutShape(String, Attached),
    /// Delete an entry.
    Delete(String),
    /// Store these bytes as they are.
    PutRaw(String, Vec<u8>),
    /// Read bytes as they are.
    GetRaw(String),
    /// Read keys.
    Keys(Range),
    /// Delete all entries whose keys begin with this.
    DeletePrefix(String),
    /// Delete all entries.
    DeleteAll,
    /// Read several texts.
    List(Range),
    /// Begin a step without waiting for its end.
    Unawaited(Box<StorageStep>),
    /// Run steps in a transaction.
    Transaction(Vec<StorageStep>),
    /// Emit [`waiting`](super::waiting), then wait until the gate is open. Only in Replicas.
    Pass(String),
    /// Read a number (0 if there is none), let other handlers run this many times, and store the next number. Only in
    /// transactions.
    Add(String, u32),
    /// Run a transaction that reads a key and conflicts in every run with a write of its own body.
    AlwaysConflict(String),
    /// Fail the transaction.
    Fail,
    /// Set the alarm [`ALARM`] to this many milliseconds from now, with an action for each time it rings.
    SetAlarm(u64, Vec<AlarmAction>),
    /// Set the alarm [`ALARM`] to this many milliseconds from now.
    MoveAlarm(u64),
    /// Delete the alarm [`ALARM`].
    DeleteAlarm,
    /// Read the time of the alarm [`ALARM`].
    Alarm,
    /// Read when the alarm [`ALARM`] has rung.
    Rings,
    /// Write a record of the log, of this many bytes, or delete it. Only in transactions.
    WriteRecord(String, Option<usize>),
    /// Publish a text to a topic. Only in transactions.
    Publish(String, String),
    /// Read records of the log.
    Records {
        /// Those with this key and later ones.
        from: String,
        /// Those with earlier keys.
        until: String,
        /// Most records.
        most: usize,
        /// The last ones first.
        reverse: bool,
    },
    /// Set another alarm to this many milliseconds from now, with an action for each attempt. Its handler emits its name and
    /// the number of the attempt.
    SetNamed(String, u64, Vec<AlarmAction>),
    /// Delete another alarm.
    DeleteNamed(String),
    /// Read the time of another alarm.
    Named(String),
    /// Set an alarm far off with a name and a payload of these lengths in bytes.
    SetSized(usize, usize),
    /// Read the names of alarms.
    Alarms(Range),
}

/// What the handler of an alarm does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AlarmAction {
    /// It succeeds.
    Succeed,
    /// It fails.
    Fail,
    /// It panics.
    Panic,
    /// It sets the alarm again, to this many milliseconds from now.
    SetAgain(u64),
    /// The same, and then it waits at a gate. Only in Replicas.
    SetAgainAndPass(u64, String),
    /// It waits at a gate. Only in Replicas.
    Pass(String),
}

/// The result of a step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Found {
    /// The step is done.
    Done,
    /// A text, if there is one.
    Text(Option<String>),
    /// The length of a text, if there is one.
    Length(Option<usize>),
    /// A number, if there is one.
    Number(Option<u64>),
    /// A structured value, if there is one.
    Shape(Option<Attached>),
    /// Keys and texts.
    Entries(Vec<(String, String)>),
    /// A transaction was committed: how often its body ran, and the results of the last run.
    Made(u32, Vec<Found>),
    /// A transaction failed as it was told to: how often its body ran.
    Failed(u32),
    /// The time of the alarm, in milliseconds since 1970.
    Alarm(Option<u64>),
    /// When the alarm has rung.
    Rings(Vec<Ring>),
    /// The names of alarms, or keys.
    Names(Vec<String>),
    /// The keys of records, with the lengths of what was written there.
    Records(Vec<(String, usize)>),
    /// Bytes, if there are any.
    Raw(Option<Vec<u8>>),
    /// The step failed: the kind of the [`dog::Error`], and its text.
    Refused(Why, String),
}

/// One call of `on_alarm`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ring {
    /// The time, in milliseconds since 1970.
    pub at: u64,
    /// The time of the next alarm, as the handler read it.
    pub next: Option<u64>,
}

/// A serialisable [`dog::List`].
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
