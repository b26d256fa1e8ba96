//! Tests of the Workers host on the real workerd: the conformance suite, and what is special about this host.
//!
//! `cargo xtask test workers` builds the Workers in `tests/worker` and `tests/door-worker`, installs workerd and sets two environment
//! variables: `DOG_WORKERD` is the program, and `DOG_WORKERS` is the folder with the folders of the Workers, `worker` and `door-worker`.

mod conformance;
mod crowds;
mod door;
mod lives;
mod nobody;
mod places;
mod requests;
mod workerd;
