//! The relay as a Cloudflare Worker. On targets other than wasm, this crate is empty.

#![cfg(target_family = "wasm")]

use dog::{Env, Limit};
use dog_workers::worker;
use relay::{Relay, Room};

dog_workers::export!(Relay; Room; env = settings);

/// The seats of one Replica, from the variable `LIMIT` in `wrangler.toml`.
fn settings(bindings: &worker::Env) -> Env {
    let limit = bindings.var("LIMIT").ok().and_then(|limit| limit.to_string().parse::<Limit>().ok());
    limit.map_or(Env::new(), |limit| Env::new().with(limit))
}
