//! The sockets that are subscribed, and those that have resumed.

use dog::{GroupId, Position, SocketId, Timestamp, Unrecovered};

use super::{LogRecord, Now};
use crate::publications::logs_of_run::published;
use crate::publications::model::Place;
use crate::publications::subscriber::Subscriber;
use crate::publications::subscription::Subscription;

/// How many places are remembered at which sockets have ended.
const REMEMBERED: usize = 16;

impl LogRecord {
    /// A socket is subscribed from now on.
    pub(crate) fn subscribed(&mut self, socket: SocketId, group: GroupId, topic: &'static str) {
        self.moment += 1;
        let subscriber = Subscriber::new(self.moment);
        self.confirmations.subscribes(socket, (group, topic));
        self.subscribers.insert((socket, topic), Subscription::new(group, Some(subscriber)));
    }

    /// A socket is not subscribed any more, or has ended.
    pub(crate) fn unsubscribed(&mut self, socket: SocketId, topic: Option<&str>) {
        let is_meant = |of: &(SocketId, &str)| of.0 == socket && topic.is_none_or(|topic| topic == of.1);
        for ((_, topic), ended) in self.subscribers.extract_if(.., |of, _| is_meant(of)) {
            let places = self.left.entry((ended.group, topic)).or_default();
            places.extend(ended.newest().and_then(Subscriber::last));
            if places.len() > REMEMBERED {
                places.pop_front();
            }
        }
    }

    /// Whether anybody was shown a publication of a log.
    pub(crate) fn has_something(&self, of: (GroupId, &'static str)) -> bool {
        self.logs.get(&of).is_some_and(|log| log.epochs() > 0)
    }

    /// A position from which a socket may resume: one up to which another has received everything, mostly before it ended, or any.
    pub(crate) fn position_to_resume(&mut self, of: (GroupId, &'static str), pick: u64) -> Option<Position> {
        let own = self.subscribers.iter().filter(|((_, topic), own)| *topic == of.1 && own.group == of.0);
        let of_open = own.filter_map(|(_, own)| own.newest()?.last());
        let places: Vec<Place> = self.left.get(&of).into_iter().flatten().copied().chain(of_open).collect();
        let index = usize::try_from(pick / 4).ok()?.checked_rem(places.len());
        match index.filter(|_| !pick.is_multiple_of(4)) {
            Some(index) => self.logs.get(&of)?.position(places[index]),
            None => self.any_position(of.0, of.1, pick / 4),
        }
    }

    /// A socket has resumed at a position, and is told how much it has missed, and where that ends.
    ///
    /// # Errors
    /// It is told of publications that the log does not have.
    pub(crate) fn resumed(
        &mut self,
        socket: SocketId,
        (group, topic): (GroupId, &'static str),
        (since, count, until): (&Position, u64, &Position),
    ) -> Result<(), String> {
        self.moment += 1;
        let log = self.logs.get(&(group, topic)).filter(|log| log.has(since, until.offset()));
        let place = log.and_then(|log| log.place(since));
        let is_right = since.epoch() == until.epoch() && since.offset() + count == until.offset();
        let Some(place) = place.filter(|_| is_right) else {
            let socket = socket.raw();
            return Err(format!(
                "socket {socket} resumes {topic:?} at {since}, and is told of {count} publications up to {until}"
            ));
        };
        let resumed = Subscriber::resumed(self.moment, place);
        let of = self.subscribers.entry((socket, topic)).or_insert_with(|| Subscription::new(group, None));
        of.resumed.push_back(resumed);
        Ok(())
    }

    /// A socket is told that it cannot resume, for this reason.
    pub(crate) fn check_not_resumed(
        &mut self,
        of: (GroupId, &'static str),
        since: &Position,
        reason: Unrecovered,
        (asked, now): (Now, Now),
    ) -> Result<(), String> {
        if self.may_be_old(of.0, now.0) {
            return Ok(());
        }
        match reason {
            Unrecovered::Expired => self.logs.get(&of).map_or(Ok(()), |log| log.check_expired(since, now.0)),
            // It was lost with the life that was asked.
            Unrecovered::EpochUnknown if asked.1 != now.1 => self.check_lost(of, now).or(self.check_lost(of, asked)),
            Unrecovered::EpochUnknown => self.check_lost(of, now),
            reason => Err(format!("{:?} cannot be resumed at {since}: {reason}", of.1)),
        }
    }

    /// The client of a socket is told that it has resumed.
    pub(crate) fn hears_resumed(&mut self, socket: SocketId, topic: &str) {
        if let Some(of) = self.subscribers.get_mut(&(socket, published(topic))) {
            of.current = of.resumed.pop_front();
        }
    }

    /// A socket has received a publication.
    pub(crate) fn hears(&mut self, socket: SocketId, number: u64, now: Timestamp) -> Result<(), String> {
        let Some(publication) = self.publications.get(&number) else {
            return Err(format!("socket {} received publication {number}, which nobody has made", socket.raw()));
        };
        // Before it is subscribed it may hear or miss what comes.
        let of = self.subscribers.get_mut(&(socket, publication.topic));
        let Some(subscriber) = of.and_then(|of| of.current.as_mut()) else { return Ok(()) };
        let (log, since) = (self.logs.get(&(publication.group, publication.topic)), subscriber.since());
        let due = |place: &Place| (*place, log.and_then(|log| log.first_due(place.0, since)));
        let places: Vec<_> = publication.places.iter().map(due).collect();
        let received = subscriber.receives(&places, now);
        let topic = publication.topic;
        received.map_err(|wrong| format!("socket {} received publication {number} of {topic:?}: {wrong}", socket.raw()))
    }

    /// Sockets are told that publications are lost.
    pub(super) fn are_told(&mut self, topic: &'static str, sockets: impl Iterator<Item = SocketId>, now: Timestamp) {
        for socket in sockets {
            if let Some(of) = self.subscribers.get_mut(&(socket, topic))
                && let Some(subscriber) = of.resumed.back_mut().or(of.current.as_mut())
            {
                subscriber.is_told(now);
                self.confirmations.is_uneven(socket);
            }
        }
    }
}
