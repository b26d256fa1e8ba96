//! The test App. Its clients can make a Replica do everything that a Replica can do, and see the results from outside.
//!
//! It depends only on `dog` and serde, so that it builds for every host, also for wasm.
//!
//! | path | does |
//! |---|---|
//! | `/CLASS/GROUP/ws?u=CLIENT` | identifies and opens a socket, which takes [`protocol::Command`]s |
//! | `/CLASS/GROUP/ws?u=CLIENT&subprotocol=NAME` | the same, and chooses the subprotocol |
//! | `/CLASS/GROUP/http?u=CLIENT` | identifies and performs the [`protocol::Command`] of the body, without a socket |
//! | `/CLASS/GROUP/stream?u=CLIENT` | identifies, and streams the texts of [`protocol::Act::Push`] until [`protocol::Act::EndStreams`] |
//! | `/CLASS/GROUP/events?u=CLIENT`, `…/lines?u=CLIENT` | identifies and opens an event stream, or one of lines |
//! | `/CLASS/GROUP/deliver?session=SESSION` | hands the body to the event stream as a message of its client |
//! | `/CLASS/GROUP/identify?u=CLIENT` | identifies and drops the ticket: [`protocol::Identified`] |
//! | `/CLASS/GROUP/call` | calls the Group with the [`protocol::GroupAsk`] of the body: a [`protocol::GroupReply`] |
//! | `/CLASS/GROUP/hold?u=CLIENT&gate=GATE&then=use` | identifies, waits at the gate of the hall `GROUP`, performs the command of the body; `then=drop` drops the ticket |
//! | `/CLASS/GROUP/group?do=fail` | sends the request to the Group, which fails, panics, counts (`do=count`), sleeps in a task (`do=sleep`), runs the storage script in the body (`do=storage`, `do=storage_or_fail`), or returns the request (without `do`) |
//! | `/ANYTHING?forward=CLASS/GROUP&u=CLIENT` | identifies and forwards the request unchanged; with `to=group`, to the Group |
//! | any of these with `anonymous=assign` or `anonymous=keep` | identifies nobody |
//! | any of these with `as=TEXT` or `as_bytes=N` | forwards with that identity, or with one of N letters |
//! | `/CLASS/GROUP/verb?verb=count` | performs a verb of the Group; `/CLASS/GROUP/group?do=verb&verb=count` has the Group perform it |
//! | `/CLASS/GROUP/turn-away?code=CODE&reason=TEXT` | refuses after the upgrade |
//! | `/fail`, `/panic` | the App itself fails |
//! | the rest | 404, with the request as JSON: [`protocol::Echo`] |

mod act;
mod class;
mod earlier_life;
mod gate;
mod group_calls;
mod groups;
mod hand_over;
mod journal;
mod log;
mod log_records;
mod presence;
pub mod protocol;
mod responses;
mod room;
mod storage_runner;
mod tap;
mod tasks;
mod test_app;
mod topics;
mod verbs;

pub use class::{
    EightSeats, FiftySeats, FillsFirst, NamedReplicas, OneSeat, ShortTimes, SlowToBegin, TestClass, TwoSeats,
    named_replica,
};
pub use groups::{Brief, Hall, Match, Named, Octet, Pair, Single, Slow};
pub use room::{ClassGroup, Room};
pub use test_app::TestApp;
