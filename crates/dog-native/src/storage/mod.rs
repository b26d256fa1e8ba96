//! What objects store on this machine's disk.
//!
//! - `port`: the trait that the server reads and writes through
//! - `embedded`: its implementation over a database; `key`: how the entries of all objects share one ordered key space;
//!   `alarm`: how alarms are stored
//! - `database`: the database beneath; `commit`: the thread that makes the writes of many objects durable at once
//! - `mark`: how lost commits are noticed
//! - `folder`: the data folder, and who may use it; `trial`: a trial start on a copy; `quiet`: work without log lines

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
