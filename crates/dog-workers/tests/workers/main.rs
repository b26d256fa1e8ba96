//! Tests of the Workers host on the real workerd: the conformance suite, and what is special about this host.
//!
//! `cargo xtask test workers` builds the Worker in `tests/worker`, installs workerd and sets two environment variables:
//! `DOG_WORKERD` is the program, and `DOG_WORKERS` is the folder with the folder of the Worker, `worker`.

mod conformance;
mod crowds;
mod lives;
mod nobody;
mod places;
mod workerd;
