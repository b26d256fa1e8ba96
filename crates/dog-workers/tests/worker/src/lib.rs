//! The test App of the conformance suite as a Worker. Built for wasm alone, and empty elsewhere.

#![cfg(target_family = "wasm")]

use dog_conformance::app::{Brief, Hall, Named, Octet, Pair, Single, TestApp};

dog_workers::export!(TestApp; Single, Pair, Octet, Hall, Brief, Named);
