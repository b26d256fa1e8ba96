//! temporary
mod bugs;
mod kit;
mod random;
mod world;
pub use bugs::Bug;
pub use kit::{Builder, ClientSocket, Cluster, websocket};
