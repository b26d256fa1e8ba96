//! The protocol between the test App and its clients, in JSON: a [`Command`] to a Replica, and a [`CommandReply`] back.
//!
//! A text message that is not a command, and every binary message, comes back unchanged.

mod attached;
mod command;
mod group_ask;
mod log;
mod names;
mod presence;
mod report;
mod storage_script;
mod task_act;
mod topics;
mod whom;

pub use attached::Attached;
pub use command::{Act, Command, CommandReply, Echo, Identified, Step, Told, waiting};
pub use group_ask::{GroupAsk, GroupReply};
pub use log::{FORMAT, LOGGED, LogAct, LogTold, SHORT, SINCE, rendered};
pub use names::{
    AUTO_RESPONSE, BOUND, BOUND_THERE, CUT_OFF, DELAYED, DROPPED, FAILING, FAR, GATED, GREETED, HELD, HOST,
    MARKED_HEADER, OVER, PLACED, REPLICA_HEADER, RETURNING, SORE, TAGGED, TALKING, TOGETHER, TOPICAL, UNPLACEABLE,
    UNWAKEABLE, UNWANTED,
};
pub use presence::{PRESENT, PRESENT_TOO, PresenceAct, PresenceLine, PresenceTold, arrived, arrived_in, left, left_in};
pub use report::{Answer, Ask, Cause, Entry, JournalReport, SocketEnd, SocketEvent, Why};
pub use storage_script::{ALARM, AlarmAction, Found, OWN, Range, Ring, StorageStep};
pub use task_act::{TaskAct, ticked};
pub use topics::{TopicAct, TopicStep};
pub use whom::Whom;
