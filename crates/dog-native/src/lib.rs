//! The native host of Durable Object Groups. (Map to come.)

pub mod websocket;
