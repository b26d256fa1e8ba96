//! The chat room as a Cloudflare Worker. On targets other than wasm, this crate is empty.

#![cfg(target_family = "wasm")]

use chat::app::{Chat, Lobby};
use chat::backend::Secret;
use dog::{Env, Limit};
use dog_workers::worker;

dog_workers::export!(Chat; Lobby; env = settings);

/// The seats of one Replica, from the variable `LIMIT` in `wrangler.toml`, and the secret of other programs, from `SECRET`.
fn settings(bindings: &worker::Env) -> Env {
    let variable = |name| bindings.var(name).ok().map(|value| value.to_string());
    let limit = variable("LIMIT").and_then(|limit| limit.parse::<Limit>().ok());
    let env = limit.map_or(Env::new(), |limit| Env::new().with(limit));
    match variable("SECRET").and_then(Secret::new) {
        Some(secret) => env.with(secret),
        None => env,
    }
}
