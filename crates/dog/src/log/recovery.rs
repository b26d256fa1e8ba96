//! What a client has missed that comes back: [`Socket::resume`].

use crate::error::Error;
use crate::log::Unrecovered;
use crate::log::publication::LogTopic;
use crate::position::{Position, Recovered};
use crate::socket::Socket;

impl Socket {
    /// Goes on where the client has been: subscribes this socket to a topic, and sends it all publications since a position, in their
    /// order. Those that are made meanwhile follow, and then each as it comes. Nothing is missing and nothing comes twice.
    ///
    /// The answer says how many the client has missed, or why they cannot be given. The replay begins when the code that has awaited
    /// the answer waits for something else, or ends. So what it sends to the socket before that comes before the first
    /// publication.
    ///
    /// - [`Expired`](Unrecovered::Expired): the log does not keep all of them any more.
    /// - [`GapTooLarge`](Unrecovered::GapTooLarge): they are more than [`Policy::resume_publications`](crate::Policy) (1,000) or
    ///   [`Policy::resume_bytes`](crate::Policy) (512 KiB).
    /// - [`EpochUnknown`](Unrecovered::EpochUnknown): the log has another epoch, because publications were lost.
    /// - [`Future`](Unrecovered::Future): the log has not come to this position.
    /// - [`NotPermitted`](Unrecovered::NotPermitted): the client of the socket is not known yet.
    ///
    /// After a reason nothing has changed: a socket that was not subscribed to the topic is not. It can
    /// [subscribe](crate::Socket::subscribe) to what comes, or be sent a page of the
    /// [history](crate::Context::history) and resume from its head.
    ///
    /// **The room.** Every socket is subscribed to [`ROOM`](crate::ROOM) from the beginning. Therefore publications to the room wait
    /// for a socket until its `on_open` has ended, 10 s at most. In `on_open`, `resume` replays from the position alone.
    /// Later, what the socket has got since that position comes again.
    ///
    /// **A slow client** is sent as much as it takes, 64 KiB at once, and never counts as slow because of the replay. What is made
    /// meanwhile is not queued for it: the Replica keeps the newest publications for all its sockets, and asks the Group for
    /// older ones. If the log has dropped them meanwhile, [`Replica::on_lost`](crate::Replica::on_lost) is called. On Workers,
    /// which do not show how much a client has taken, all of it is sent at once.
    ///
    /// **The Group** is asked at most once for all sockets of a Replica that come back to a topic at the same time, and not at all if
    /// the Replica keeps what they need. It keeps what one call may replay per topic, and 16 MiB in all topics together, while it is
    /// not idle.
    ///
    /// The Group must answer within 3 s. If the future is dropped after its first poll, the socket is subscribed, and gets what is
    /// published from then on.
    ///
    /// ```
    /// # use dog::*;
    /// # struct Room;
    /// # impl Room {
    /// /// The client says in its URL what it has got last.
    /// async fn on_open<R: Replica>(&self, cx: &Context<R>, socket: &Socket) -> Result {
    ///     let since: Option<Position> = socket.attachment()?;
    ///     if let Some(since) = since {
    ///         match socket.resume(ROOM, &since).await? {
    ///             Ok(recovered) => return Ok(socket.send(format!("you have missed {}", recovered.count))?),
    ///             Err(reason) => socket.send(format!("what you have missed is lost: {reason}"))?,
    ///         }
    ///     }
    ///     // The newest 50, and after them what comes.
    ///     let page = cx.history(ROOM, None, HistoryOrder::NewestFirst, 50).await?;
    ///     for publication in page.publications.iter().rev() {
    ///         socket.send(publication.message.clone())?;
    ///     }
    ///     if let Err(reason) = socket.resume(ROOM, &page.head).await? {
    ///         socket.close(CloseCode::TRY_AGAIN, reason.as_str());
    ///     }
    ///     Ok(())
    /// }
    /// # }
    /// ```
    ///
    /// # Errors
    /// Nothing has changed in these cases:
    /// - [`Error::is_no_log`]: [`Group::log`](crate::Group::log) keeps no log of the topic.
    /// - [`Error::is_invalid_topic`]: there can be no such topic.
    /// - [`Error::is_too_many`]: the socket, the Replica or the Group would have too many topics.
    /// - [`Error::is_deadline`]: the Group did not answer within 3 s.
    /// - [`Error::is_unreachable`]: the Group cannot be reached.
    /// - [`Error::is_handler`]: the Group's `activate` or `log` has failed or panicked.
    /// - [`Error::is_closed`]: the socket has closed, or this activation of the Replica is over.
    pub async fn resume(&self, topic: &str, since: &Position) -> Result<Result<Recovered, Unrecovered>, Error> {
        self.port().resume(self.id(), LogTopic::new(topic)?, since.clone()).await
    }
}
