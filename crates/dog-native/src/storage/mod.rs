//! Storage of objects on the disk of this machine.
//!
//! - `port`: the trait that the server reads and writes through
//! - `embedded`: its implementation over a database; `key`: how the entries of all objects share one ordered key space;
//!   `alarm`: the stored form of alarms
//! - `database`: opening, checking and writing the database; `commit`: the thread that commits the writes of many
//!   objects together
//! - `mark`: how lost commits are detected
//! - `folder`: the data folder, and which process may use it; `trial`: a trial start on a copy; `quiet`: work without
//!   log lines

mod alarm;
mod commit;
mod database;
mod embedded;
mod folder;
#[cfg(fuzzing)]
pub(crate) mod fuzzing;
mod key;
mod mark;
pub(crate) mod port;
mod quiet;
mod trial;

pub(crate) use embedded::Embedded;
pub(crate) use folder::Folder;
