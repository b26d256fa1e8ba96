//! The Cloudflare Workers host of Durable Object Groups: the same Groups and Replicas as natively, as Durable Objects.
//!
//! `export!` makes the Worker of an App and its Groups. The engine decides; this crate moves bytes: sockets by the
//! hibernation API, storage in each object's own SQLite database, alarms, and calls from object to object by JS RPC.
//!
//! The crate is empty but for wasm: what of a program is for Workers stands behind `cfg(target_family = "wasm")`.
//!
//! # The files, in reading order
//! - `export`: `export!`; `front`: the way in; `object`: one object, as the runtime drives it
//! - `host`: what the engine runs on; `primitives`: what it can do there; `guard`: what follows from a drop
//! - `stubs`: ways to other objects; `letters`: where what they say goes; `post`: how it leaves
//! - `calls`: requests that are passed on; `http`: requests and responses
//! - `sockets`, `storage`, `time`, `log`, `turns`: what their names say, over the platform
//! - `platform`: what of the platform is used

#![cfg(target_family = "wasm")]

mod calls;
mod export;
mod front;
mod guard;
mod host;
mod http;
mod letters;
mod log;
mod object;
mod platform;
mod post;
mod primitives;
mod sockets;
mod storage;
mod stubs;
mod time;
mod turns;

pub use worker;

/// For the code that `export!` makes.
#[doc(hidden)]
pub mod internal {
    pub use dog::{App, Group, Groups};
    pub use dog_engine::classes;
    pub use js_sys::Promise;
    pub use pastey;
    pub use wasm_bindgen::{self, JsValue};
    pub use web_sys::Request;

    pub use crate::front::answer;
    pub use crate::host::{Exports, Host, Worker};
    pub use crate::object::Object;
    pub use crate::platform::{ExecutionContext, State, WebSocket};

    /// The bindings as they are.
    pub fn bindings(bindings: &worker::Env) -> dog::Env {
        dog::Env::new().with(bindings.clone())
    }

    /// That an App's Groups and what is exported are the same, each by a name of its own.
    pub const fn assert_exported(groups: &[&str], exported: &[&str]) {
        use dog::internal::{are_among, are_distinct};
        assert!(
            are_distinct(groups) && are_distinct(exported),
            "two Groups of App::Groups have the same Group::NAME, so one would answer for the other: give each its own"
        );
        assert!(are_among(groups, exported), "a Group of App::Groups is missing in export!");
        assert!(are_among(exported, groups), "a Group of export! is missing in App::Groups");
    }

    /// Once a Worker begins.
    pub fn adopt() {
        crate::platform::begin();
    }
}
