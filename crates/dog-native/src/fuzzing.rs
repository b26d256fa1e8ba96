//! What `fuzz/` tries out and nobody else has a use for: there in a build with `--cfg fuzzing` only, so that the ordinary
//! one shows none of it.

use dog::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::upgrade::OnUpgrade;

use crate::config::Config;
use crate::upgrade;

pub use crate::storage::fuzzing::*;

/// HTTP with the default settings.
pub fn http() -> http1::Builder {
    upgrade::http(&Config::default())
}

/// The request with our body, and what becomes its connection if it is upgraded.
pub fn take_upgrade(request: hyper::Request<Incoming>) -> (Request, Option<OnUpgrade>) {
    upgrade::take_upgrade(request)
}
