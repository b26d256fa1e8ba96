//! TLS: certificates, which are loaded again when they change, and the handshake.
//!
//! - `pem`: one file; `files`: a certificate and its key
//! - `reloading`: what is loaded now; `watch`: loads it again when the files change
//! - `certificates`: [`Certificates`], for clients; `handshake`: from a connection to HTTP over TLS
//! - `nodes`: [`NodeCertificates`], between the nodes of a cluster, who show certificates to each other
//!
//! How WebSockets are encrypted is in `connection::tls`.

mod certificates;
mod files;
mod handshake;
mod nodes;
mod pem;
mod reloading;
mod watch;

pub(crate) use certificates::Certificates;
pub(crate) use handshake::{Greeting, TlsClient, greet};
pub(crate) use nodes::{NodeCertificates, NodeStream, explain};
pub(crate) use reloading::TlsFigures;
pub(crate) use watch::watch;
