//! What the client of an event stream says in requests of its own: [`GroupHandle::deliver`].

use crate::error::{Error, Kind};
use crate::group::Group;
use crate::handles::GroupHandle;
use crate::message::Message;
use crate::session::{MAX_DELIVERED, Session};
use crate::verbs::GroupVerb;

impl<G: Group> GroupHandle<G> {
    /// Hands a message of its client to an event stream: its Replica calls [`Replica::on_message`](crate::Replica::on_message) for that socket, as it does for
    /// a message on a WebSocket. `session` is what the client sends with it, from [`Socket::session`](crate::Socket::session). So
    /// clients of event streams speak in requests of their own, which may reach any node and need no seat.
    ///
    /// ```
    /// # use dog::*;
    /// # async fn say<G: Group>(room: GroupHandle<G>, request: Request) -> Result<Response> {
    /// let session = query_param(&request, "session").unwrap_or_default();
    /// let text = request.into_body().bytes(dog::MAX_DELIVERED).await?;
    /// room.deliver(&session, String::from_utf8(text.into())?).await?;
    /// Ok(text_response(http::StatusCode::ACCEPTED, ""))
    /// # }
    /// ```
    ///
    /// `Ok` means that the Replica has the message: `on_message` runs, or will run when the handlers of earlier messages of the
    /// socket have ended. Messages of one session are handled in the order in which they arrive at the Group, which is the order
    /// of the calls if each is made when the one before it has returned.
    ///
    /// It takes no seat, creates no Replica and no Group, and calls no [`Group::activate`](Group::activate). The answer comes within 3 s. A session
    /// is not signed: it contains 128 random bits that only the Replica and the client know, and the Replica compares them in
    /// constant time.
    ///
    /// Not cancel safe: if the future is dropped after its first poll, the message may be handled or not.
    ///
    /// # Errors
    /// - [`Error::is_not_found`] (404): the session is malformed or forged, belongs to another Group, or its stream has ended. Then
    ///   nothing happens anywhere.
    /// - [`Error::is_too_large`] (413): the message has more than 64 KiB ([`MAX_DELIVERED`](crate::MAX_DELIVERED)).
    /// - [`Error::is_too_many`]: more than 64 KiB wait for a running handler of this socket.
    /// - [`Error::is_deadline`] or [`Error::is_unreachable`]: the Replica did not answer. It may have the message.
    pub async fn deliver(&self, session: &str, message: impl Into<Message>) -> Result<(), Error> {
        let (session, message) = (session.parse::<Session>()?, message.into());
        if message.len() > MAX_DELIVERED {
            let length = message.len();
            return Err(Error::new(Kind::TooLarge, format!("the message has {length} bytes, {MAX_DELIVERED} at most")));
        }
        let mut report = self.verb(GroupVerb::Hand { session, message }).await?.into_report()?;
        match (report.missing.pop(), report.sockets) {
            (Some((_, error)), _) => Err(error),
            (None, 0) => Err(Session::not_found()),
            (None, _) => Ok(()),
        }
    }
}
