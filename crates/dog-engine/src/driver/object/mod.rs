//! What a Group and a Replica have in common.
//!
//! - `object_core`: [`ObjectCore`], which owns all of the following, and [`Living`], an object that tasks run in
//! - `life`: the user's value while it is in memory; `activation`: for how long handles to it are valid
//! - `task`: tasks that end with the life, and end it with a panic; `tasks`: how many of them are the user's
//! - `hibernation`: when an object has been idle for long enough; `idle`: since when it has
//! - `streams`: responses that are being streamed
//! - `alarm`: the object's alarm
//! - `storage`: the user's entries; `write_log`: writes that are not durable yet, and conflicts of transactions;
//!   `transactions`: transactions that conflict again and again run one at a time

mod activation;
mod alarm;
mod hibernation;
mod idle;
mod life;
mod object_core;
mod storage;
mod streams;
mod task;
mod tasks;
mod transactions;
mod write_log;

pub(super) use activation::{Activation, over};
pub(super) use hibernation::{note_event, watch, writes_are_done};
pub(super) use object_core::{Living, ObjectCore};
pub(super) use storage::{Store, StorePort};
pub(super) use task::{answer, spawn, spawn_of_user, start};
