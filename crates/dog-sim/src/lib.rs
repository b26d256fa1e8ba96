//! temporary
mod bugs;
mod explore;
mod kit;
mod random;
mod world;
pub use bugs::Bug;
pub use explore::{Failure, Options, Outcome, explore, explore_and_tell};
pub use kit::{Builder, ClientSocket, Cluster, websocket};
