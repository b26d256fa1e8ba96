//! The relay as a Cloudflare Worker: `npx wrangler dev` in this example's folder.

use dog::{Env, Limit};
use dog_workers::worker;

use crate::{Relay, Room};

dog_workers::export!(Relay; Room; env = settings);

/// Seats on one Replica, as the variable `LIMIT` in `wrangler.toml` says.
fn settings(bindings: &worker::Env) -> Env {
    let limit = bindings.var("LIMIT").ok().and_then(|limit| limit.to_string().parse::<Limit>().ok());
    limit.map_or(Env::new(), |limit| Env::new().with(limit))
}
