//! temporary
mod bugs;
mod explore;
mod kit;
mod random;
mod world;
pub use bugs::Bug;
pub use explore::{Checks, Failure, Options, Outcome, Summary, explore, explore_and_tell, explore_many};
pub use kit::{Builder, ClientSocket, Cluster, websocket};
