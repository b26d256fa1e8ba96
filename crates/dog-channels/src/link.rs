//! Whether a client is still there, and for how long it may stay: [`Link`]. Pure code: time comes in, decisions come out.

use std::time::Duration;

use dog::Timestamp;

use crate::protocol::{Disconnect, ErrorCode};
use crate::session::{ClientSession, State};

/// A client is sent a ping this often.
pub(crate) const PING: Duration = Duration::from_secs(25);

/// A client answers a ping within this time.
const PONG: Duration = Duration::from_secs(8);

/// What has expired may be renewed for this time. The client was told to do it before.
const EXPIRED: Duration = Duration::from_secs(25);

/// The pings of one connection.
#[derive(Debug, Default)]
pub(crate) struct Link {
    /// When the next ping is due, or a client that was refused has to be gone. `None`: it has just begun.
    next: Option<Timestamp>,
    /// When the ping was sent that is not answered.
    sent: Option<Timestamp>,
}

/// What is due for a connection.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Due {
    Nothing,
    Ping,
    Close(Disconnect),
}

impl Link {
    /// What is due now. A ping that is due is sent.
    pub(crate) fn due(&mut self, session: &ClientSession, now: Timestamp) -> Due {
        match session.state {
            // The Group closes a connection that does not say who it is.
            State::Opened => return Due::Nothing,
            State::Refused => {
                let leaves = *self.next.get_or_insert(now + PONG);
                return if now < leaves { Due::Nothing } else { Due::Close(Disconnect::STALE) };
            }
            State::Connected => {}
        }
        if self.sent.is_some_and(|sent| now >= sent + PONG) {
            return Due::Close(Disconnect::NO_PONG);
        }
        if session.expires.is_some_and(|expires| has_expired(expires, now)) {
            return Due::Close(Disconnect::EXPIRED);
        }
        let next = *self.next.get_or_insert(now + PING);
        if now < next {
            return Due::Nothing;
        }
        self.next = Some(now + PING);
        self.sent = Some(now);
        Due::Ping
    }

    /// The client has answered. Nobody has asked it otherwise.
    pub(crate) fn answered(&mut self) -> Result<(), Disconnect> {
        self.sent.take().map(drop).ok_or(Disconnect::BAD_REQUEST)
    }
}

/// The subscriptions that have ended.
pub(crate) fn expired(session: &ClientSession, now: Timestamp) -> Vec<String> {
    let ended = session
        .channels
        .iter()
        .filter(|(_, membership)| membership.expires.is_some_and(|expires| has_expired(expires, now)));
    ended.map(|(channel, _)| channel.clone()).collect()
}

fn has_expired(expires: Timestamp, now: Timestamp) -> bool {
    now >= expires + EXPIRED
}

/// What ends has to end later than now.
pub(crate) fn is_still_valid(expires: Option<Timestamp>, now: Timestamp) -> Result<(), ErrorCode> {
    if expires.is_some_and(|expires| expires <= now) { Err(ErrorCode::EXPIRED) } else { Ok(()) }
}

/// In how many seconds it ends.
pub(crate) fn time_to_live(expires: Option<Timestamp>, now: Timestamp) -> u32 {
    let left = expires.map_or(0, |expires| expires.as_millis().saturating_sub(now.as_millis()) / 1_000);
    u32::try_from(left).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::Codec;
    use crate::session::Membership;

    const START: Timestamp = Timestamp::from_millis(1_000_000);

    fn connected() -> ClientSession {
        ClientSession { state: State::Connected, ..ClientSession::new(Codec::Json) }
    }

    #[test]
    fn a_client_that_answers_stays_and_one_that_does_not_is_closed() {
        let (mut link, session) = (Link::default(), connected());
        assert_eq!(link.answered(), Err(Disconnect::BAD_REQUEST), "nobody has asked");
        assert_eq!(link.due(&session, START), Due::Nothing);
        assert_eq!(link.due(&session, START + PING), Due::Ping);
        assert_eq!(link.answered(), Ok(()));
        assert_eq!(link.due(&session, START + PING + PONG), Due::Nothing);
        assert_eq!(link.due(&session, START + PING + PING), Due::Ping);
        assert_eq!(link.due(&session, START + PING + PING + PONG), Due::Close(Disconnect::NO_PONG));
    }

    #[test]
    fn a_connection_and_its_subscriptions_end_after_a_while_in_which_they_can_be_renewed() {
        let mut session = connected();
        session.expires = Some(START);
        let membership = Membership { expires: Some(START), ..Membership::default() };
        session.channels = [("a".to_owned(), membership), ("b".to_owned(), Membership::default())].into();
        let mut link = Link::default();
        assert_eq!(link.due(&session, START), Due::Nothing);
        assert_eq!(expired(&session, START), Vec::<String>::new());
        assert_eq!(link.due(&session, START + EXPIRED), Due::Close(Disconnect::EXPIRED));
        assert_eq!(expired(&session, START + EXPIRED), ["a"]);
    }

    #[test]
    fn who_has_not_said_who_it_is_gets_no_ping_and_who_was_refused_has_to_go() {
        let mut link = Link::default();
        assert_eq!(link.due(&ClientSession::new(Codec::Json), START + PING), Due::Nothing);
        let refused = ClientSession { state: State::Refused, ..ClientSession::new(Codec::Json) };
        assert_eq!(link.due(&refused, START), Due::Nothing);
        assert_eq!(link.due(&refused, START + PONG), Due::Close(Disconnect::STALE));
        assert_eq!(time_to_live(Some(START + PING), START), 25);
        assert_eq!(time_to_live(Some(START), START + PING), 0);
    }
}
