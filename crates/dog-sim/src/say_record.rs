//! What clients of event streams have said in requests of their own: [`SayRecord`]. Promise 7.

use std::collections::BTreeMap;

use dog::SocketId;

/// What was said. Part of the [`RunRecord`](crate::record::RunRecord).
#[derive(Debug, Default)]
pub(crate) struct SayRecord {
    /// By the number of the command.
    says: BTreeMap<u64, Say>,
    /// Counts what happens, so that it is known what came first.
    happened: u64,
}

/// One message for an event stream.
#[derive(Debug)]
struct Say {
    socket: SocketId,
    /// Whether the stream had ended before.
    is_over: bool,
    began: u64,
    /// When it was answered that the Replica has the message.
    taken: Option<u64>,
    is_refused: bool,
    handled: u32,
}

impl SayRecord {
    fn happens(&mut self) -> u64 {
        self.happened += 1;
        self.happened
    }

    /// A request with this command begins.
    pub(crate) fn begins(&mut self, number: u64, socket: SocketId, is_over: bool) {
        let began = self.happens();
        self.says.insert(number, Say { socket, is_over, began, taken: None, is_refused: false, handled: 0 });
    }

    /// The request was answered: the Replica has the message.
    pub(crate) fn taken(&mut self, number: u64) -> Result<(), String> {
        let now = self.happens();
        let Some(say) = self.says.get_mut(&number) else { return Ok(()) };
        say.taken = Some(now);
        if say.is_over {
            return Err(format!("socket {} takes message {number} after its end", say.socket.raw()));
        }
        Ok(())
    }

    /// The request was answered: there is no such stream.
    pub(crate) fn refused(&mut self, number: u64) -> Result<(), String> {
        let Some(say) = self.says.get_mut(&number) else { return Ok(()) };
        say.is_refused = true;
        if say.handled > 0 {
            return Err(format!("message {number} for socket {} was refused, and handled", say.socket.raw()));
        }
        Ok(())
    }

    /// Whether a client of an event stream has said this.
    pub(crate) fn is_said(&self, number: u64) -> bool {
        self.says.contains_key(&number)
    }

    /// The handler of an event stream has the message.
    pub(crate) fn handled(&mut self, number: u64, socket: SocketId) -> Result<(), String> {
        let label = format!("message {number} for event stream {}", socket.raw());
        let Some(say) = self.says.get_mut(&number) else { return Err(format!("{label} comes from nobody")) };
        say.handled += 1;
        let Say { taken, is_refused, handled, .. } = *say;
        let wrong = if say.socket != socket {
            format!("is for {}", say.socket.raw())
        } else if handled > 1 {
            format!("is handled {handled} times")
        } else if is_refused {
            "was refused".into()
        } else if let Some(later) = self.overtaken_by(socket, taken) {
            format!("is handled after {later}, which was said when this one had been taken")
        } else {
            return Ok(());
        };
        Err(format!("{label} {wrong}"))
    }

    /// Returns a message of that socket that was handled, but was said later than this one was taken.
    fn overtaken_by(&self, socket: SocketId, taken: Option<u64>) -> Option<u64> {
        let taken = taken?;
        let is_later = |say: &Say| say.socket == socket && say.handled > 0 && say.began > taken;
        self.says.iter().find(|(_, say)| is_later(say)).map(|(number, _)| *number)
    }

    /// Checks that all messages since `first` were taken and handled whose streams are open, and all those before that were
    /// taken were handled.
    pub(crate) fn check_handled(&self, first: u64, is_open: impl Fn(SocketId) -> bool) -> Result<(), String> {
        let is_missing = |number: u64, say: &Say| {
            say.handled == 0 && (number >= first || say.taken.is_some()) && is_open(say.socket)
        };
        match self.says.iter().find(|(number, say)| is_missing(**number, say)) {
            Some((number, say)) => {
                Err(format!("event stream {} never got message {number}: {say:?}", say.socket.raw()))
            }
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: SocketId = SocketId::from_raw(1 << 63);

    fn said(numbers: &[u64]) -> SayRecord {
        let mut says = SayRecord::default();
        numbers.iter().for_each(|number| says.begins(*number, STREAM, false));
        says
    }

    #[test]
    fn a_message_is_handled_once_by_its_own_stream() {
        let mut says = said(&[1, 2]);
        says.handled(1, STREAM).unwrap();
        says.handled(1, STREAM).unwrap_err();
        says.handled(2, SocketId::from_raw(7)).unwrap_err();
        says.handled(3, STREAM).unwrap_err();
    }

    #[test]
    fn messages_that_follow_each_other_keep_their_order() {
        let mut says = said(&[1, 2]);
        says.handled(2, STREAM).unwrap();
        says.handled(1, STREAM).unwrap();
        says.taken(2).unwrap();
        says.begins(3, STREAM, false);
        says.taken(3).unwrap();
        says.begins(4, STREAM, false);
        says.handled(4, STREAM).unwrap();
        says.handled(3, STREAM).unwrap_err();
    }

    #[test]
    fn one_that_was_refused_is_not_handled() {
        let mut says = said(&[1, 2]);
        says.refused(1).unwrap();
        says.handled(1, STREAM).unwrap_err();
        says.handled(2, STREAM).unwrap();
        says.refused(2).unwrap_err();
        says.begins(3, STREAM, true);
        says.taken(3).unwrap_err();
    }

    #[test]
    fn what_was_taken_is_handled_if_its_stream_goes_on() {
        let mut says = said(&[1]);
        says.check_handled(2, |_| true).unwrap();
        says.check_handled(1, |_| true).unwrap_err();
        says.taken(1).unwrap();
        says.check_handled(2, |_| true).unwrap_err();
        says.check_handled(2, |_| false).unwrap();
        says.handled(1, STREAM).unwrap();
        says.check_handled(1, |_| true).unwrap();
    }
}
