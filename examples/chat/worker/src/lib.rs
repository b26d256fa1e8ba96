//! The chat room as a Cloudflare Worker. On targets other than wasm, this crate is empty.

#![cfg(target_family = "wasm")]

use std::sync::Once;
use std::time::Duration;

use chat::app::{Chat, Lobby};
use chat::backend::Secret;
use chat::door::Door;
use dog::{Env, Limit};
use dog_door::Sessions;
use dog_workers::worker;

dog_workers::export!(Chat; Lobby; env = settings);

/// The seats of one Replica, from the variable `LIMIT` in `wrangler.toml`, the secret of other programs, from `SECRET`, and the
/// [`door`].
fn settings(bindings: &worker::Env) -> Env {
    let variable = |name| bindings.var(name).ok().map(|value| value.to_string());
    let mut env = Env::new();
    if let Some(limit) = variable("LIMIT").and_then(|limit| limit.parse::<Limit>().ok()) {
        env = env.with(limit);
    }
    if let Some(secret) = variable("SECRET").and_then(Secret::new) {
        env = env.with(secret);
    }
    match door(variable) {
        Some(door) => env.with(door),
        None => env,
    }
}

/// Users log in if there is a `SESSION_SECRET`; their sessions last for `SESSION_LASTS` seconds, or a week. Otherwise the room is open if the variable `OPEN` is 1. Without both, nobody enters.
fn door(variable: impl Fn(&'static str) -> Option<String>) -> Option<Door> {
    if let Some(secret) = variable("SESSION_SECRET") {
        return match Sessions::new(secret.as_bytes()) {
            Ok(sessions) => {
                Some(Door::login(match variable("SESSION_LASTS").and_then(|seconds| seconds.parse().ok()) {
                    Some(seconds) => sessions.lifetime(Duration::from_secs(seconds)),
                    None => sessions,
                }))
            }
            Err(error) => {
                worker::console_error!("SESSION_SECRET: {error}");
                None
            }
        };
    }
    let is_open = variable("OPEN").is_some_and(|open| open == "1");
    is_open.then(|| {
        // Every object asks for its settings.
        static SAID: Once = Once::new();
        SAID.call_once(|| worker::console_warn!("{}", Door::OPEN));
        Door::Open
    })
}
