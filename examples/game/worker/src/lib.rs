//! The game as a Cloudflare Worker. On targets other than wasm, this crate is empty.

#![cfg(target_family = "wasm")]

use dog::{Env, Limit};
use dog_workers::worker;
use game::app::{Arcade, Hall};

dog_workers::export!(Arcade; Hall; env = settings);

/// The most players of one match, from the variable `LIMIT` in `wrangler.toml`.
fn settings(bindings: &worker::Env) -> Env {
    let limit = bindings.var("LIMIT").ok().and_then(|limit| limit.to_string().parse::<Limit>().ok());
    limit.map_or(Env::new(), |limit| Env::new().with(limit))
}
