//! What a Group and a Replica have in common.
//!
//! - `object_core`: [`ObjectCore`], which owns all of the following, and [`Living`], an object that tasks run in
//! - `life`: the user's value while it is in memory; `activation`: for how long handles to it are valid
//! - `task`: tasks that end with the life, and end it with a panic; `tasks`: how many of them are the user's
//! - `hibernation`: when an object has been idle for long enough; `idle`: since when it has
//! - `streams`: responses that are being streamed
//! - `alarms`: calls the handlers of alarms; `alarm_book`: which are due, and what is written; `alarm_runs`: what is
//!   under way; `alarm_record`: their stored form; `alarm_storage`: reads them
//! - `storage`: the user's entries; `write`: one write under way; `write_log`: writes that are not durable yet, and conflicts of transactions;
//!   `transactions`: transactions that conflict again and again run one at a time

mod activation;
mod alarm_book;
mod alarm_record;
mod alarm_runs;
mod alarm_storage;
mod alarms;
mod hibernation;
mod idle;
mod life;
mod object_core;
mod storage;
mod streams;
mod task;
mod tasks;
mod transactions;
mod write;
mod write_log;

pub(super) use activation::{Activation, over};
#[cfg(fuzzing)]
pub use alarm_record::rewrite_alarm;
pub(super) use alarms::alarms_due;
pub(super) use hibernation::{note_event, watch, writes_are_done};
pub(super) use object_core::{Living, ObjectCore};
pub(super) use storage::{Outbox, Store, StorePort};
pub(super) use task::{answer, spawn, spawn_of_user, start};
