//! Tests of the Workers host on the real workerd: the conformance suite, and what is special about this host.
//!
//! `cargo xtask test workers` builds the Worker in `tests/worker`, installs workerd and sets two environment variables:
//! `DOG_WORKERD` is the program, and `DOG_WORKER` is the folder of the Worker.

mod conformance;
mod crowds;
mod lives;
mod places;
mod workerd;
