//! What a crowd does: [`Plan`], and how fast it talks: [`Pace`].

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use crate::connect;
use crate::frame::Payload;
use crate::ledger::Reach;

/// What the crowd does.
#[derive(Clone, Debug)]
pub struct Plan {
    /// How many sockets.
    pub sockets: usize,
    /// How many rooms they are spread over.
    pub rooms: usize,
    /// How many of them send, in turn.
    pub senders: usize,
    /// When they send.
    pub pace: Pace,
    /// For whom.
    pub reach: Reach,
    /// Whether the sockets are compressed: messages are then made of words, of one sender, and counted unseen.
    pub compressed: bool,
    /// What messages are made of.
    pub payload: Payload,
    /// The length of a message's payload, in bytes.
    pub bytes: usize,
    /// How long the load generator lets deliveries gather while many are owed: the times it measures are as much too
    /// long at most, and about half of that mostly.
    pub pause: Duration,
    /// How long it runs before anything is counted.
    pub warm_up: Duration,
    /// How long is counted.
    pub measured: Duration,
}

/// When the next message is sent.
#[derive(Clone, Copy, Debug)]
pub enum Pace {
    /// When fewer than so many are under way: as fast as the server is.
    InFlight(usize),
    /// One after each such interval, however fast the server is. Its times are counted from when it was due, so that a
    /// server that is late makes every message late that waits for it, as it does for people.
    Every(Duration),
}

impl Pace {
    /// So many messages a second.
    ///
    /// # Errors
    /// When that is none, or more than can be told apart.
    pub fn per_second(messages: f64) -> Result<Self> {
        ensure!((0.01..=1e6).contains(&messages), "give 0.01 to 1,000,000 messages a second");
        Ok(Self::Every(Duration::from_secs_f64(1.0 / messages)))
    }
}

impl Plan {
    /// Checks it for what cannot be.
    ///
    /// # Errors
    /// When it cannot be done.
    pub fn check(&self) -> Result<()> {
        let sends = match self.pace {
            Pace::InFlight(messages) => messages >= 1,
            Pace::Every(interval) => !interval.is_zero(),
        };
        ensure!(self.rooms >= 1 && self.senders >= 1 && sends, "nothing would be sent");
        ensure!(self.rooms <= self.sockets && self.senders <= self.sockets, "there are not enough sockets");
        let least = self.payload.tag_bytes();
        ensure!(self.bytes >= least, "a message has at least {least} bytes");
        ensure!(self.reach == Reach::Room || self.rooms == 1, "who reaches one socket alone is in the only room");
        ensure!(!self.compressed || self.senders == 1, "of compressed messages only one sender's can be told apart");
        Ok(())
    }

    /// What socket `number` asks for in its handshake.
    pub fn query(&self, number: usize) -> String {
        let query = connect::query(number, number % self.rooms);
        match self.reach {
            Reach::Room | Reach::Sender => query,
            Reach::Across => format!("{query}&to=u{}", Reach::across(number, self.sockets)),
        }
    }
}

/// Which messages are due, by a plan's pace.
#[derive(Debug)]
pub(crate) struct Schedule {
    pace: Pace,
    /// When the next message of a fixed pace is due.
    next: Instant,
}

impl Schedule {
    /// From `now` on.
    pub(crate) fn new(pace: Pace, now: Instant) -> Self {
        Self { pace, next: now }
    }

    /// When the next message is to be taken as sent, if it is due.
    pub(crate) fn take_due(&mut self, in_flight: usize, now: Instant) -> Option<Instant> {
        match self.pace {
            Pace::InFlight(most) => (in_flight < most).then_some(now),
            Pace::Every(_) if self.next > now => None,
            Pace::Every(interval) => {
                let due = self.next;
                self.next += interval;
                Some(due)
            }
        }
    }

    /// How long nothing is due unless something arrives.
    pub(crate) fn wait(&self, most: Duration, now: Instant) -> Duration {
        match self.pace {
            Pace::InFlight(_) => most,
            Pace::Every(_) => self.next.saturating_duration_since(now).min(most),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: Duration = Duration::from_secs(10);

    #[test]
    fn as_many_are_under_way_as_planned() {
        let now = Instant::now();
        let mut schedule = Schedule::new(Pace::InFlight(2), now);
        assert_eq!(schedule.take_due(1, now), Some(now));
        assert_eq!(schedule.take_due(2, now), None);
        assert_eq!(schedule.wait(MOST, now), MOST);
    }

    #[test]
    fn a_fixed_pace_keeps_its_times_when_it_is_held_up() {
        let (begun, interval) = (Instant::now(), Duration::from_millis(10));
        let mut schedule = Schedule::new(Pace::per_second(100.0).unwrap(), begun);
        assert_eq!(schedule.take_due(0, begun), Some(begun));
        assert_eq!(schedule.take_due(1, begun), None);
        assert_eq!(schedule.wait(MOST, begun), interval);
        // Late by two and a half intervals: each message that was due meanwhile has the time at which it was.
        let late = begun + interval * 7 / 2;
        let due: Vec<_> = std::iter::from_fn(|| schedule.take_due(9, late)).collect();
        assert_eq!(due, [1, 2, 3].map(|times| begun + interval * times));
        assert_eq!(schedule.wait(MOST, late), interval / 2);
    }

    #[test]
    fn a_pace_that_cannot_be_is_refused() {
        assert!(Pace::per_second(0.0).is_err());
        assert!(Pace::per_second(f64::NAN).is_err());
    }
}
