//! The Workers host on the real workerd: the conformance suite, and what only this host has.
//!
//! `cargo xtask test workers` builds the Worker of `tests/worker`, installs workerd and names both here:
//! `DOG_WORKERD` is the program, `DOG_WORKER` the folder of the Worker.

mod conformance;
mod crowds;
mod lives;
mod places;
mod workerd;
