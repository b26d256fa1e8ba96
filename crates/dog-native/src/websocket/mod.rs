//! The server side of the WebSocket protocol (RFC 6455) without I/O: bytes in, [`Event`]s out.
//!
//! Read in this order:
//! - `decode`: [`Decoder`], which turns the bytes of a client into events, and has eight bytes between two messages;
//! - `header`: the two to fourteen bytes before a client's payload, and the rules that one frame can break;
//! - `server_frame`: the two to ten bytes before a server's payload;
//! - `mask`: unmasks a client's payload in place;
//! - `utf8`: checks text while it arrives;
//! - `inflate` and `deflate`: compressed messages, where compression was negotiated;
//! - `control`: the close, ping and pong frames that a server sends, and the payload of a client's close frame;
//! - `error`: [`ProtocolError`], and the close code to answer it with.
//!
//! There is no encoder for a server's messages: a [`dog::Message`] already has the layout of a frame. Only a compressed
//! message gets a new frame.
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
