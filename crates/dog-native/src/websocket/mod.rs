//! The WebSocket protocol (RFC 6455) without I/O, as a server speaks it: bytes in, [`Event`]s out.
//!
//! Read in this order:
//! - `decode`: [`Decoder`], which turns what a client sent into events, and is eight bytes between two messages;
//! - `header`: the two to fourteen bytes before a client's payload, and the rules that a frame can break on its own;
//! - `server_frame`: the two to ten bytes before a server's payload;
//! - `mask`: takes the client's mask off, in place;
//! - `utf8`: checks text while it arrives;
//! - `inflate` and `deflate`: messages that are compressed, where that was agreed on;
//! - `control`: the close, ping and pong frames a server sends, and what a client's close frame says;
//! - `error`: [`ProtocolError`], and the close code to answer it with.
//!
//! Data that a server sends needs no encoder here: a [`dog::Message`] is laid out as a frame when it is made. Only one
//! that goes out compressed is laid out anew.
//!
//! ```
//! use dog_native::websocket::{Decoder, Event, Limits};
//!
//! // "Hi" from a client: final, text, masked, two bytes; the mask; the payload under the mask.
//! let mut input = [0x81, 0x82, 1, 2, 3, 4, b'H' ^ 1, b'i' ^ 2];
//! let limits = Limits { message: 1024 };
//! let (used, event) = Decoder::new().decode(&mut input, &limits)?;
//! assert_eq!(used, input.len());
//! assert_eq!(event, Some(Event::Message("Hi".into())));
//! # Ok::<(), dog_native::websocket::ProtocolError>(())
//! ```
#![deny(unsafe_code)]

mod control;
mod decode;
mod deflate;
mod error;
mod header;
mod inflate;
mod mask;
mod server_frame;
mod utf8;

#[cfg(test)]
mod testing;

pub use control::{CloseFrame, close_frame, is_close_code, ping_frame, pong_frame};
pub use decode::{Decoder, Event, Limits};
pub use deflate::Deflater;
pub use error::ProtocolError;
pub use inflate::Inflater;
pub(crate) use server_frame::{FrameBoundary, payload};
