#![doc = include_str!("../README.md")]

pub mod app;
pub mod backend;
pub mod door;
mod history;
mod lobby;
mod page;
mod protocol;
mod responses;

/// The page about testing, compiled and run.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/testing.md")]
struct Testing;

/// The page of answers, compiled.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/how-to.md")]
struct HowTo;
