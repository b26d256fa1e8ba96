//! What this project's tests start and talk to. It is not published.
//!
//! Reading order:
//! - [`process`]: a child process that prints when it is ready and is killed when its value is dropped.
//! - [`nats`]: one NATS server or a cluster of them, on free ports and in a temporary folder.
//! - [`workerd`]: Cloudflare's runtime with a Worker of this project.
//! - [`app`] (feature `app`): an App and a Replica, for tests that are about something else.
//! - [`client`] (feature `client`): a WebSocket client and an HTTP client, both with a deadline on every wait.
//! - [`certificates`] (feature `tls`): certificates for servers, and the authority that signs them; [`tls`]: clients that trust it.
//! - [`browser`] (feature `browser`): windows of a real browser.
//! - [`command_line`] (feature `client`): the checks that the command line of every example passes.
//!
//! The functions panic when something does not start, because a test cannot go on without it. Only [`process`] returns
//! errors: `cargo xtask` uses it too.

#[cfg(feature = "app")]
pub mod app;
#[cfg(feature = "browser")]
pub mod browser;
#[cfg(feature = "tls")]
pub mod certificates;
#[cfg(feature = "client")]
pub mod client;
#[cfg(feature = "client")]
pub mod command_line;
pub mod nats;
pub mod process;
#[cfg(feature = "tls")]
pub mod tls;
pub mod workerd;
