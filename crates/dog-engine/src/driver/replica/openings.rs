//! What waits for sockets whose `on_open` sends first: [`Openings`]. Pure.

use std::time::Duration;

use dog::{Message, SocketId};

use crate::socket_map::SocketMap;

/// How long something waits for an `on_open` at most: what others send, if it sends first, and publications to the room.
pub(super) const ON_OPEN_HOLDS: Duration = Duration::from_secs(10);

/// How many messages wait for one socket, and how many bytes.
const MOST: usize = 1000;
const MOST_BYTES: usize = 256 * 1024;

/// The sockets that wait for their `on_open` before they get what others send. All others cost nothing here.
#[derive(Debug, Default)]
pub(super) struct Openings(SocketMap<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    messages: Vec<Message>,
    bytes: usize,
    /// Too much has waited, or for too long: the socket is being closed.
    is_given_up: bool,
}

/// What becomes of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Waits {
    /// It waits, as the first one for this socket.
    First,
    /// It waits behind others.
    Behind,
    /// It would be too much.
    TooMuch,
    /// The socket is being closed.
    Never,
}

impl Openings {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The `on_open` of a socket begins.
    pub(super) fn begin(&mut self, socket: SocketId) {
        self.0.insert(socket, Waiting::default());
    }

    pub(super) fn has(&self, socket: SocketId) -> bool {
        self.0.contains_key(&socket)
    }

    /// Somebody else has sent something. `None`: it does not wait.
    pub(super) fn wait(&mut self, socket: SocketId, message: &Message) -> Option<Waits> {
        let waiting = self.0.get_mut(&socket)?;
        if waiting.is_given_up {
            return Some(Waits::Never);
        }
        if waiting.messages.len() >= MOST || waiting.bytes + message.len() > MOST_BYTES {
            return Some(Waits::TooMuch);
        }
        waiting.bytes += message.len();
        waiting.messages.push(message.clone());
        Some(if waiting.messages.len() == 1 { Waits::First } else { Waits::Behind })
    }

    /// The socket is about to be closed: what waits is dropped, and nothing else waits. Returns `false` if `on_open` has ended.
    pub(super) fn give_up(&mut self, socket: SocketId) -> bool {
        let Some(waiting) = self.0.get_mut(&socket).filter(|waiting| !waiting.is_given_up) else { return false };
        *waiting = Waiting { is_given_up: true, ..Waiting::default() };
        true
    }

    /// `on_open` has ended, or the socket. Returns what has waited.
    pub(super) fn end(&mut self, socket: SocketId) -> Vec<Message> {
        self.0.remove(&socket).map(|waiting| waiting.messages).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANN: SocketId = SocketId::from_raw(1);
    const BOB: SocketId = SocketId::from_raw(2);

    #[test]
    fn what_others_send_waits_in_its_order_and_for_those_alone_whose_on_open_runs() {
        let mut openings = Openings::default();
        openings.begin(ANN);
        let waits = |openings: &mut Openings, socket, text: &str| openings.wait(socket, &Message::text(text));
        assert_eq!(waits(&mut openings, ANN, "1"), Some(Waits::First));
        assert_eq!(waits(&mut openings, BOB, "1"), None);
        assert_eq!(waits(&mut openings, ANN, "2"), Some(Waits::Behind));
        assert_eq!(openings.end(ANN), ["1", "2"].map(Message::text));
        assert!(openings.is_empty() && waits(&mut openings, ANN, "3").is_none());
    }

    #[test]
    fn what_waits_is_bounded_by_number_and_by_bytes_and_dropped_beyond() {
        let mut openings = Openings::default();
        for (most, length) in [(MOST, 1), (4, MOST_BYTES / 4)] {
            openings.begin(ANN);
            let message = Message::text("x".repeat(length));
            for _ in 0..most {
                assert!(matches!(openings.wait(ANN, &message), Some(Waits::First | Waits::Behind)));
            }
            assert_eq!(openings.wait(ANN, &message), Some(Waits::TooMuch));
            assert!(openings.give_up(ANN) && !openings.give_up(ANN));
            assert_eq!(openings.wait(ANN, &message), Some(Waits::Never));
            assert!(openings.end(ANN).is_empty() && !openings.give_up(ANN));
        }
    }
}
