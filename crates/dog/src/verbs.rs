//! What a Group does for others without its own code: [`GroupVerb`] and its [`VerbAnswer`], and their public outcomes,
//! [`ClientPage`] and [`ClientCount`]. The macro makes the methods that [`GroupContext`](crate::GroupContext) and
//! [`GroupHandle`](crate::GroupHandle) have in common.

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Kind};
use crate::features::Presences;
use crate::id::{ClientId, ReplicaId};
use crate::message::Message;
use crate::presence::{
    MAX_PRESENCE_PAGE, PresenceChange, PresenceCounts, PresenceCursor, PresencePage, PresenceVersion,
};
use crate::replies::{BroadcastReport, GossipAnswers, GossipReplies};
use crate::session::Session;
use crate::topic::Topic;

/// The largest page of clients: 1000.
pub const MAX_CLIENT_PAGE: usize = 1000;

/// A verb of a Group that has an answer. It runs on what the Group knows of its Replicas, and needs no value of the user.
#[doc(hidden)]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum GroupVerb {
    /// To all sockets, counted.
    Broadcast(Message),
    /// To all sockets of one client.
    Whisper { client: ClientId, message: Message },
    /// Closes all sockets of one client.
    Disconnect { client: ClientId, code: u16, reason: String },
    /// The clients with sockets after `after`.
    Clients { after: Option<ClientId>, limit: u32 },
    /// How many clients have how many sockets.
    Count,
    /// Asks the Replicas that have sockets.
    Gossip(Bytes),
    /// Hands a message of its client to an event stream.
    Hand { session: Session, message: Message },
    /// Those who are in the Group, or in a topic, after `after`: at most this many clients and connections together.
    Presence { feature: Presences, topic: Option<Topic>, after: Option<PresenceCursor>, limit: u32 },
    /// How many are in the Group, or in a topic.
    PresenceCounts { feature: Presences, topic: Option<Topic> },
}

/// The answer to a [`GroupVerb`].
#[doc(hidden)]
#[derive(Debug, Serialize, Deserialize)]
pub enum VerbAnswer {
    /// How many sockets were reached, and the Replicas that did not answer.
    Reached { sockets: usize, missing: Vec<(ReplicaId, Error)> },
    /// To `Clients`: each with the number of its sockets.
    Clients { clients: Vec<(ClientId, u32)>, more: bool, missing: Vec<ReplicaId> },
    /// To `Count`.
    Count { clients: usize, sockets: usize, missing: Vec<ReplicaId> },
    /// To `Gossip`: what was asked and answered, and the Replicas that were not asked because they have no sockets.
    Gossip { answers: Vec<(ReplicaId, Result<Bytes, Error>)>, left_out: Vec<ReplicaId> },
    /// To `Presence`: arrivals and opened connections.
    Presence {
        feature: Presences,
        version: Option<PresenceVersion>,
        entries: Vec<PresenceChange>,
        next: Option<PresenceCursor>,
    },
    /// To `PresenceCounts`.
    PresenceCounts(Presences, PresenceCounts),
}

fn unexpected() -> Error {
    Error::new(Kind::Unreachable, "the answer was of another kind than the call")
}

impl GroupVerb {
    /// Reads a page of those who are in the Group, or in a topic.
    #[doc(hidden)]
    pub fn presence(topic: Option<Topic>, after: Option<&PresenceCursor>, limit: usize, feature: Presences) -> Self {
        let limit = u32::try_from(limit.clamp(1, MAX_PRESENCE_PAGE)).unwrap_or(1);
        Self::Presence { topic, after: after.cloned(), limit, feature }
    }

    /// The topic whose presence is read.
    #[doc(hidden)]
    pub fn presence_topic(&self) -> Option<&Topic> {
        match self {
            Self::Presence { topic, .. } | Self::PresenceCounts { topic, .. } => topic.as_ref(),
            _ => None,
        }
    }

    /// The number of bytes of the message or the question in it.
    #[doc(hidden)]
    pub fn carried(&self) -> usize {
        match self {
            Self::Broadcast(message) | Self::Whisper { message, .. } | Self::Hand { message, .. } => message.len(),
            Self::Gossip(gossip) => gossip.len(),
            Self::Disconnect { .. } | Self::Clients { .. } | Self::Count => 0,
            Self::Presence { .. } | Self::PresenceCounts { .. } => 0,
        }
    }

    /// The answer of a Group that does not exist.
    #[doc(hidden)]
    pub fn of_nobody(&self) -> VerbAnswer {
        match self {
            Self::Broadcast(_) | Self::Whisper { .. } | Self::Disconnect { .. } | Self::Hand { .. } => {
                VerbAnswer::Reached { sockets: 0, missing: Vec::new() }
            }
            Self::Clients { .. } => VerbAnswer::Clients { clients: Vec::new(), more: false, missing: Vec::new() },
            Self::Count => VerbAnswer::Count { clients: 0, sockets: 0, missing: Vec::new() },
            Self::Presence { feature, .. } => {
                VerbAnswer::Presence { version: None, entries: Vec::new(), next: None, feature: *feature }
            }
            Self::PresenceCounts { feature, .. } => VerbAnswer::PresenceCounts(*feature, PresenceCounts::default()),
            Self::Gossip(_) => VerbAnswer::Gossip { answers: Vec::new(), left_out: Vec::new() },
        }
    }
}

impl VerbAnswer {
    pub(crate) fn into_report(self) -> Result<BroadcastReport, Error> {
        match self {
            Self::Reached { sockets, missing } => Ok(BroadcastReport { sockets, missing }),
            _ => Err(unexpected()),
        }
    }

    pub(crate) fn into_page(self) -> Result<ClientPage, Error> {
        match self {
            Self::Clients { clients, more, missing } => {
                let next = clients.last().filter(|_| more).map(|(client, _)| client.clone());
                Ok(ClientPage { clients, next, missing })
            }
            _ => Err(unexpected()),
        }
    }

    pub(crate) fn into_count(self) -> Result<ClientCount, Error> {
        match self {
            Self::Count { clients, sockets, missing } => Ok(ClientCount { clients, sockets, missing }),
            _ => Err(unexpected()),
        }
    }

    #[doc(hidden)]
    pub fn into_presence(self) -> Result<PresencePage, Error> {
        match self {
            Self::Presence { version, entries, next, .. } => Ok(PresencePage::new(version, entries, next)),
            _ => Err(unexpected()),
        }
    }

    #[doc(hidden)]
    pub fn into_presence_counts(self) -> Result<PresenceCounts, Error> {
        match self {
            Self::PresenceCounts(_, counts) => Ok(counts),
            _ => Err(unexpected()),
        }
    }

    /// The decoded answers.
    #[doc(hidden)]
    pub fn into_replies<A: DeserializeOwned>(self) -> Result<GossipReplies<A>, Error> {
        match self {
            Self::Gossip { answers, left_out } => {
                Ok(GossipReplies::decode(GossipAnswers { answers, parked: Ok(left_out) }))
            }
            _ => Err(unexpected()),
        }
    }
}

/// One page of the clients of a Group, from [`GroupHandle::clients`](crate::GroupHandle::clients).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientPage {
    /// Clients with open sockets, ordered by the bytes of their identifiers, each with the number of its open sockets on all
    /// Replicas: 1 or more. If the Group has a [presence](crate::Policy::presence), a client in its grace time is among them, with 0.
    pub clients: Vec<(ClientId, u32)>,
    /// Pass it as `after` to read the next page. `None`: this page is the last.
    pub next: Option<ClientId>,
    /// Replicas that the Group has not heard from. Clients there may be missing, or may have left.
    pub missing: Vec<ReplicaId>,
}

/// How many clients and sockets a Group has, from [`GroupHandle::count`](crate::GroupHandle::count).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientCount {
    /// Clients with at least one open socket.
    pub clients: usize,
    /// Open sockets.
    pub sockets: usize,
    /// Replicas that the Group has not heard from. Their sockets may be missing, or may have closed.
    pub missing: Vec<ReplicaId>,
}

/// The verbs that a [`GroupContext`](crate::GroupContext) and a [`GroupHandle`](crate::GroupHandle) have in common, for an
/// `impl` of a type with the private methods `cast` and `verb`.
macro_rules! group_verbs {
    () => {
        /// Sends to all sockets of the Group, on every Replica. The message is on its way when the call returns. Each socket
        /// gets it at most once. A Replica that is dead or slow does not stop the others.
        ///
        /// It takes no seat, creates no Replica, and does not call [`Group::activate`](crate::Group::activate). If the Group
        /// has just come into memory, the message waits until its Replicas were counted, for 2 s at most.
        /// [`broadcast_confirmed`](Self::broadcast_confirmed) says whom it has reached.
        ///
        /// ```
        /// # use dog::*;
        /// # fn example(group: &GroupContext) -> Result<(), Error> {
        /// group.broadcast("The match begins in a minute")?;
        /// # Ok(())
        /// # }
        /// ```
        ///
        /// # Errors
        /// - [`Error::is_closed`](crate::Error::is_closed): this activation of the Group is over.
        /// - [`Error::is_unreachable`](crate::Error::is_unreachable): 1000 verbs or 1 MiB wait for the Replicas of this Group
        ///   to be counted.
        pub fn broadcast(&self, message: impl Into<$crate::Message>) -> ::std::result::Result<(), $crate::Error> {
            self.cast(None, message.into())
        }

        /// Sends to all sockets of the Group that are [subscribed](crate::Socket::subscribe) to a topic, on every Replica. The
        /// message is on its way when the call returns. Each subscriber gets it at most once, in order with everything else
        /// that the caller sends with the verbs of this Group.
        ///
        /// It goes only to Replicas that have subscribers of the topic. After a restart, the Group does not know the topics of
        /// a Replica yet: the first message for any topic goes there too, and asks for them.
        ///
        /// As [`broadcast`](Self::broadcast), it takes no seat, creates no Replica, does not call
        /// [`Group::activate`](crate::Group::activate), and waits until the Replicas were counted, for 2 s at most. A Group
        /// that does not exist has no subscribers, and the call does not make it exist.
        ///
        /// ```
        /// # use dog::*;
        /// # fn example(group: &GroupContext) -> Result<(), Error> {
        /// group.broadcast_to("scores/tennis", "15:0")?;
        /// # Ok(())
        /// # }
        /// ```
        ///
        /// # Errors
        /// - [`Error::is_invalid_topic`](crate::Error::is_invalid_topic): there can be no such topic. See
        ///   [`Topic`](crate::Topic).
        /// - As [`broadcast`](Self::broadcast).
        #[cfg(feature = "topics")]
        pub fn broadcast_to(
            &self,
            topic: &str,
            message: impl Into<$crate::Message>,
        ) -> ::std::result::Result<(), $crate::Error> {
            self.cast(Some($crate::topic::Topic::new(topic)?), message.into())
        }

        /// Sends to all sockets of the Group like [`broadcast`](Self::broadcast), and waits until every Replica has answered,
        /// 3 s at most. The report has the number of sockets that took the message, and the Replicas that did not answer.
        ///
        /// A Group that does not exist has 0 sockets, and the call does not make it exist.
        ///
        /// Not cancel safe: if the future is dropped after its first poll, Replicas may have sent the message or not.
        ///
        /// ```
        /// # use dog::*;
        /// # async fn example(group: &GroupContext) -> Result<(), Error> {
        /// let report = group.broadcast_confirmed("The match is over").await?;
        /// println!("{} sockets, {} Replicas did not answer", report.sockets, report.missing.len());
        /// # Ok(())
        /// # }
        /// ```
        ///
        /// # Errors
        /// - [`Error::is_deadline`](crate::Error::is_deadline): the Group did not answer within 3 s.
        /// - [`Error::is_unreachable`](crate::Error::is_unreachable): the Group cannot be reached, or 1000 verbs or 1 MiB wait
        ///   for its Replicas to be counted.
        /// - [`Error::is_closed`](crate::Error::is_closed): this activation of the Group is over.
        pub async fn broadcast_confirmed(
            &self,
            message: impl Into<$crate::Message>,
        ) -> ::std::result::Result<$crate::BroadcastReport, $crate::Error> {
            self.verb($crate::verbs::GroupVerb::Broadcast(message.into())).await?.into_report()
        }

        /// Sends to all sockets of one client, on whichever Replica they are. The report has the number of sockets; 0 and
        /// nothing missing means that the client is not connected.
        ///
        /// It takes no seat, creates no Replica, and does not call [`Group::activate`](crate::Group::activate).
        ///
        /// Not cancel safe: if the future is dropped after its first poll, the message may have been sent or not.
        ///
        /// ```
        /// # use dog::*;
        /// # async fn example(group: &GroupContext) -> Result<(), Error> {
        /// let report = group.whisper(&ClientId::new("ann")?, "It is your turn").await?;
        /// if report.sockets == 0 && report.missing.is_empty() {
        ///     // Ann is not connected.
        /// }
        /// # Ok(())
        /// # }
        /// ```
        ///
        /// # Errors
        /// As [`broadcast_confirmed`](Self::broadcast_confirmed).
        pub async fn whisper(
            &self,
            client: &$crate::ClientId,
            message: impl Into<$crate::Message>,
        ) -> ::std::result::Result<$crate::BroadcastReport, $crate::Error> {
            let verb = $crate::verbs::GroupVerb::Whisper { client: client.clone(), message: message.into() };
            self.verb(verb).await?.into_report()
        }

        /// Closes all sockets of one client, on whichever Replica they are, after everything that was sent to them before.
        /// The report has the number of sockets that this call has closed; 0 and nothing missing means that the client was
        /// not connected. [`Replica::on_close`](crate::Replica::on_close) is called for each socket, as after
        /// [`Socket::close`](crate::Socket::close). A reason over 123 bytes is cut.
        ///
        /// The client is not kept from connecting again: refuse it in [`App::fetch`](crate::App::fetch).
        ///
        /// It takes no seat, creates no Replica, and does not call [`Group::activate`](crate::Group::activate).
        ///
        /// Not cancel safe: if the future is dropped after its first poll, sockets may have been closed or not.
        ///
        /// ```
        /// # use dog::*;
        /// # async fn example(group: &GroupContext) -> Result<(), Error> {
        /// let removed = CloseCode::new(4003).unwrap_or(CloseCode::POLICY);
        /// let report = group.disconnect(&ClientId::new("ann")?, removed, "removed by a moderator").await?;
        /// println!("{} sockets closed", report.sockets);
        /// # Ok(())
        /// # }
        /// ```
        ///
        /// # Errors
        /// As [`broadcast_confirmed`](Self::broadcast_confirmed).
        pub async fn disconnect(
            &self,
            client: &$crate::ClientId,
            code: $crate::CloseCode,
            reason: &str,
        ) -> ::std::result::Result<$crate::BroadcastReport, $crate::Error> {
            let (client, reason) = (client.clone(), reason.to_owned());
            let verb = $crate::verbs::GroupVerb::Disconnect { client, code: code.as_u16(), reason };
            self.verb(verb).await?.into_report()
        }

        /// The clients with open sockets, as the Group's books know them: those after `after` in the order of their
        /// identifiers' bytes, at most `limit` of them (1 to 1000). They follow the sockets within 100 ms, on Workers within
        /// 1 s. Clients that only have a reserved seat or a request in progress do not count.
        ///
        /// Each page is right for its own moment. A client that is connected while all pages are read is on one of them.
        ///
        /// The Group keeps its clients in no order, because that would cost memory for each. So a page takes time in proportion
        /// to all clients that the Group knows, whatever `limit` is, and meanwhile the Group does nothing else: about
        /// 5 ms for 100,000 clients. Of many clients, read few large pages.
        ///
        /// It takes no seat, creates no Replica, and does not call [`Group::activate`](crate::Group::activate). Cancel safe.
        ///
        /// ```
        /// # use dog::*;
        /// # async fn example(group: &GroupContext) -> Result<(), Error> {
        /// let mut after = None;
        /// loop {
        ///     let page = group.clients(after.as_ref(), 100).await?;
        ///     for (client, sockets) in &page.clients {
        ///         println!("{client}: {sockets}");
        ///     }
        ///     after = page.next;
        ///     if after.is_none() {
        ///         break;
        ///     }
        /// }
        /// # Ok(())
        /// # }
        /// ```
        ///
        /// # Errors
        /// As [`broadcast_confirmed`](Self::broadcast_confirmed).
        pub async fn clients(
            &self,
            after: Option<&$crate::ClientId>,
            limit: usize,
        ) -> ::std::result::Result<$crate::ClientPage, $crate::Error> {
            let limit = u32::try_from(limit.clamp(1, $crate::verbs::MAX_CLIENT_PAGE)).unwrap_or(1);
            let verb = $crate::verbs::GroupVerb::Clients { after: after.cloned(), limit };
            self.verb(verb).await?.into_page()
        }

        /// How many clients and open sockets the Group has, as its books know them: see [`clients`](Self::clients).
        ///
        /// It takes no seat, creates no Replica, and does not call [`Group::activate`](crate::Group::activate). Cancel safe.
        ///
        /// ```
        /// # use dog::*;
        /// # async fn example(group: &GroupContext) -> Result<(), Error> {
        /// let count = group.count().await?;
        /// println!("{} clients with {} sockets", count.clients, count.sockets);
        /// # Ok(())
        /// # }
        /// ```
        ///
        /// # Errors
        /// As [`broadcast_confirmed`](Self::broadcast_confirmed).
        pub async fn count(&self) -> ::std::result::Result<$crate::ClientCount, $crate::Error> {
            self.verb($crate::verbs::GroupVerb::Count).await?.into_count()
        }
    };
}
pub(crate) use group_verbs;
