//! The conformance suite's test App as a Worker. On targets other than wasm, this crate is empty.

#![cfg(target_family = "wasm")]

#[cfg(twins)]
#[path = "../../../../dog-conformance/tests/twins/mod.rs"]
mod twins;

#[cfg(twins)]
use twins::{Chat, Game, Twins};

#[cfg(twins)]
dog_workers::export!(Twins; Chat, Game);

#[cfg(not(twins))]
use dog_conformance::app::{Brief, Hall, Match, Named, Octet, Pair, Single, Slow, TestApp};

#[cfg(not(twins))]
dog_workers::export!(TestApp; Single, Pair, Octet, Hall, Match, Brief, Named, Slow);
