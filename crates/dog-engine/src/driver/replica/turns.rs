//! The order in which the handlers of each socket run: `on_open`, then messages one at a time, then the end, once. Pure.

use std::collections::VecDeque;
use std::collections::hash_map::Entry;

use bytes::Bytes;
use dog::{Error, Message, SocketId};

use crate::host::End;
use crate::socket_map::SocketMap;

/// How many bytes of messages may wait for a running handler before no more are accepted; the message that exceeds this is. Hosts
/// that read sockets have the same bound.
const READ_AHEAD: usize = 64 * 1024;

/// What each of them counts in addition to its bytes.
const KEEPING: usize = 64;

/// The sockets whose handlers run now, each with what came meanwhile. A socket without a running handler costs nothing here.
#[derive(Debug, Default)]
pub(super) struct Turns(SocketMap<Turn>);

#[derive(Debug)]
struct Turn {
    /// Whether the handler had to wait, so that the host must be told when it has ended.
    waited: bool,
    /// Messages that came meanwhile. It is mostly empty, because hosts that can stop reading do so.
    backlog: VecDeque<Message>,
    /// The socket has ended meanwhile. This is handled last.
    end: Option<End>,
    /// The last attachment of a socket that has ended.
    attachment: Option<Bytes>,
}

/// What a handler is called for.
#[derive(Debug)]
pub(super) enum Event {
    Open,
    Message(Message),
    End(End),
}

/// Who ends a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EndedBy {
    /// The client, or the host: messages that came before are handled first.
    Host,
    /// A verb of the user's code. It may run now, so the last handler must not run within it.
    Verb,
    /// A handler of this socket, which has failed.
    Handler,
}

/// What follows when a handler has ended.
#[derive(Debug)]
pub(super) enum Next {
    /// The next handler.
    Run(Event),
    /// Nothing: the turn is over. If `resume`, the host waits to be told.
    Done { resume: bool },
}

impl Turns {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn is_busy(&self, socket: SocketId) -> bool {
        self.0.contains_key(&socket)
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// Queues a message if a handler of its socket runs; otherwise gives it back. Messages after the end are dropped.
    pub(super) fn queue(&mut self, socket: SocketId, message: Message) -> Option<Message> {
        let Some(turn) = self.0.get_mut(&socket) else { return Some(message) };
        if turn.end.is_none() {
            turn.backlog.push_back(message);
        }
        None
    }

    /// Whether so much waits for a running handler of this socket that nothing more may be accepted for it.
    pub(super) fn is_full(&self, socket: SocketId) -> bool {
        let backlog = self.0.get(&socket).map(|turn| turn.backlog.iter().map(|message| message.len() + KEEPING));
        backlog.is_some_and(|backlog| backlog.sum::<usize>() > READ_AHEAD)
    }

    /// A handler of the socket begins. If it is `by` a verb, the host counts as told to wait.
    pub(super) fn begin(&mut self, socket: SocketId, attachment: Option<Bytes>, by: EndedBy) {
        let waited = by == EndedBy::Verb;
        self.0.insert(socket, Turn { waited, backlog: VecDeque::new(), end: None, attachment });
    }

    /// If the handler still runs after its first poll, the host was told that the socket is busy. Returns whether it does.
    pub(super) fn note_wait(&mut self, socket: SocketId) -> bool {
        let turn = self.0.get_mut(&socket);
        turn.map(|turn| turn.waited = true).is_some()
    }

    /// The socket has ended. If a handler of it runs, the end is handled after it, and after messages that came before
    /// unless the Replica itself has ended the socket. Otherwise the end is given back.
    pub(super) fn end(
        &mut self,
        socket: SocketId,
        end: End,
        attachment: Option<Bytes>,
        by: EndedBy,
    ) -> Option<(End, Option<Bytes>)> {
        let Some(turn) = self.0.get_mut(&socket) else { return Some((end, attachment)) };
        turn.end = Some(end);
        turn.attachment = attachment;
        if by != EndedBy::Host {
            turn.backlog.clear();
        }
        None
    }

    /// A handler of the socket has ended.
    pub(super) fn next(&mut self, socket: SocketId) -> Next {
        let Entry::Occupied(mut entry) = self.0.entry(socket) else { return Next::Done { resume: false } };
        let turn = entry.get_mut();
        if let Some(message) = turn.backlog.pop_front() {
            return Next::Run(Event::Message(message));
        }
        if let Some(end) = turn.end.take() {
            return Next::Run(Event::End(end));
        }
        Next::Done { resume: entry.remove().waited }
    }

    /// The last attachment of a socket that has ended, while its last handler runs.
    ///
    /// # Errors
    /// When the socket has no handler that runs.
    pub(super) fn last_attachment(&self, socket: SocketId) -> Result<Option<Bytes>, Error> {
        self.0.get(&socket).map(|turn| turn.attachment.clone()).ok_or_else(|| Error::of_socket(socket))
    }
}

#[cfg(test)]
mod tests {
    use dog::{Close, CloseCode};

    use super::*;

    const SOCKET: SocketId = SocketId::from_raw(1);

    fn text(text: &str) -> Message {
        Message::text(text)
    }

    fn end() -> End {
        End::Close(Close::new(CloseCode::NORMAL, ""))
    }

    /// What follows, as words.
    fn rest(turns: &mut Turns) -> Vec<String> {
        let mut rest = Vec::new();
        loop {
            match turns.next(SOCKET) {
                Next::Run(Event::Open) => rest.push("open".into()),
                Next::Run(Event::Message(message)) => rest.push(message.as_text().unwrap().into()),
                Next::Run(Event::End(_)) => rest.push("end".into()),
                Next::Done { resume } => {
                    rest.push(if resume { "resume" } else { "done" }.into());
                    return rest;
                }
            }
        }
    }

    #[test]
    fn messages_that_come_while_a_handler_runs_follow_it_in_their_order() {
        let mut turns = Turns::default();
        assert!(turns.queue(SOCKET, text("1")).is_some(), "no handler runs");
        turns.begin(SOCKET, None, EndedBy::Host);
        assert!(turns.is_busy(SOCKET));
        assert!(turns.queue(SOCKET, text("2")).is_none());
        assert!(turns.queue(SOCKET, text("3")).is_none());
        assert_eq!(rest(&mut turns), ["2", "3", "done"]);
        assert!(turns.is_empty());
    }

    #[test]
    fn the_host_is_told_to_resume_only_if_the_handler_had_to_wait() {
        let mut turns = Turns::default();
        turns.begin(SOCKET, None, EndedBy::Host);
        turns.note_wait(SOCKET);
        assert_eq!(rest(&mut turns), ["resume"]);
        turns.begin(SOCKET, None, EndedBy::Verb);
        assert_eq!(rest(&mut turns), ["resume"], "the verb's caller runs before it");
    }

    #[test]
    fn what_waits_for_a_handler_has_a_bound() {
        let mut turns = Turns::default();
        assert!(!turns.is_full(SOCKET));
        turns.begin(SOCKET, None, EndedBy::Host);
        let long = "x".repeat(READ_AHEAD - KEEPING);
        turns.queue(SOCKET, text(&long));
        assert!(!turns.is_full(SOCKET));
        turns.queue(SOCKET, text(""));
        assert!(turns.is_full(SOCKET), "an empty message counts too");
        turns.next(SOCKET);
        assert!(!turns.is_full(SOCKET));
    }

    #[test]
    fn the_end_is_last_and_drops_what_comes_after_it() {
        for (by, expected) in [
            (EndedBy::Host, vec!["before", "end", "done"]),
            (EndedBy::Verb, vec!["end", "done"]),
            (EndedBy::Handler, vec!["end", "done"]),
        ] {
            let mut turns = Turns::default();
            turns.begin(SOCKET, None, EndedBy::Host);
            turns.queue(SOCKET, text("before"));
            assert!(turns.end(SOCKET, end(), Some("kept".into()), by).is_none());
            turns.queue(SOCKET, text("after"));
            assert_eq!(turns.last_attachment(SOCKET).unwrap(), Some("kept".into()));
            assert_eq!(rest(&mut turns), expected, "{by:?}");
            assert!(turns.last_attachment(SOCKET).is_err());
        }
        assert!(Turns::default().end(SOCKET, end(), None, EndedBy::Host).is_some(), "no handler runs");
    }
}
