//! TLS for clients: certificates, which are loaded again when they change, and the handshake.
//!
//! - `files`: from the files of the certificates and their key to the settings of TLS
//! - `certificates`: [`Certificates`], what is loaded now; `watch`: loads them again when the files change
//! - `handshake`: from a connection to HTTP over TLS
//!
//! How WebSockets are encrypted is in `connection::tls`.

mod certificates;
mod files;
mod handshake;
mod watch;

pub(crate) use certificates::{Certificates, TlsFigures};
pub(crate) use handshake::{Greeting, TlsClient, greet};
pub(crate) use watch::watch;
