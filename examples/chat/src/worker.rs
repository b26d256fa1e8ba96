//! The chat room as a Cloudflare Worker.

use dog::{Env, Limit};
use dog_workers::worker;

use crate::app::{Chat, Lobby};
use crate::backend::Secret;

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
