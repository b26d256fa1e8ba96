//! The Cloudflare Workers host of Durable Object Groups. The same Groups and Replicas that run on the native host run
//! as Durable Objects.
//!
//! `export!` makes the Worker of an App and its Groups. The engine decides; this crate moves bytes: sockets with the
//! hibernation API, storage in the SQLite database of each object, alarms, and calls between objects with JS RPC.
//!
//! The crate is empty unless it is built for wasm. Put what a program has for Workers behind
//! `cfg(target_family = "wasm")`.
//!
//! # The files, in reading order
//! - `export`: `export!`; `front`: a request from outside; `object`: one object, as the runtime calls it
//! - `host`: the host that the engine runs on; `host_port`: the engine's traits for it; `drop_guard`: actions at a drop
//! - `stubs`: stubs of other objects; `names`: their names; `outbox`: how calls and casts leave
//! - `fetch`: requests to other objects; `request_head`: what goes with them; `http`: requests and responses of the platform
//! - `sockets`, `storage`, `time`, `log`, `spawn`: sockets, storage, timers, the log and tasks over the platform
//! - `platform`: the functions of the platform that this crate uses

#![cfg(target_family = "wasm")]

mod drop_guard;
mod export;
mod fetch;
mod front;
mod host;
mod host_port;
mod http;
mod log;
mod names;
mod object;
mod outbox;
mod platform;
mod request_head;
mod sockets;
mod spawn;
mod storage;
mod stubs;
mod time;

pub use worker;

/// For the code that `export!` generates only. It may change in any release.
#[doc(hidden)]
pub mod internal {
    pub use dog::{App, Group, Groups};
    pub use dog_engine::classes;
    pub use js_sys::Promise;
    pub use pastey;
    pub use wasm_bindgen::{self, JsValue};
    pub use web_sys::Request;

    pub use crate::front::answer;
    pub use crate::host::{WorkerDefinition, WorkersHost};
    pub use crate::object::DurableObject;
    pub use crate::platform::{ExecutionContext, ObjectState, WebSocket};
    pub use crate::stubs::GroupExports;

    /// The default `Env`: the bindings themselves.
    pub fn bindings(bindings: &worker::Env) -> dog::Env {
        dog::Env::new().with(bindings.clone())
    }

    /// Checks that `App::Groups` and `export!` contain the same Groups, with different names.
    pub const fn assert_exported(groups: &[&str], exported: &[&str]) {
        use dog::internal::{are_among, are_distinct};
        assert!(
            are_distinct(groups) && are_distinct(exported),
            "two Groups of App::Groups have the same Group::NAME, so one would answer for the other: give each its own"
        );
        assert!(are_among(groups, exported), "a Group of App::Groups is missing in export!: add it");
        assert!(are_among(exported, groups), "a Group of export! is missing in App::Groups: add its type to the tuple");
    }

    /// Called once, when a Worker starts.
    pub fn start() {
        crate::platform::start();
    }
}
