//! What `fuzz/` tests. It exists only in a build with `--cfg fuzzing`, so that the normal API contains none of it.

use dog::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::upgrade::OnUpgrade;

use crate::config::Config;
use crate::upgrade;

pub use crate::storage::fuzzing::*;

/// Returns the HTTP settings with the default configuration.
pub fn http() -> http1::Builder {
    upgrade::http(&Config::default())
}

/// Returns the request with a body of type [`Body`](dog::Body), and the future of its connection if it is upgraded.
pub fn take_upgrade(request: hyper::Request<Incoming>) -> (Request, Option<OnUpgrade>) {
    upgrade::take_upgrade(request)
}
