//! What clients do: [`Workload`], and how often they send: [`Pace`].

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::connect;
use super::deliveries::Recipients;
use super::payload::Payload;

/// What the clients do.
#[derive(Clone, Debug)]
pub struct Workload {
    /// Sockets.
    pub sockets: usize,
    /// Rooms; socket `i` is in room `i % rooms`.
    pub rooms: usize,
    /// Sockets that send, in turn: the first ones.
    pub senders: usize,
    /// When they send.
    pub pace: Pace,
    /// Who receives each message.
    pub recipients: Recipients,
    /// Whether messages are compressed. They consist of words then, and only one socket may send.
    pub compressed: bool,
    /// The form of messages.
    pub payload: Payload,
    /// The length of a message, in bytes.
    pub bytes: usize,
    /// How long the load generator waits for more deliveries while many are pending. Latencies are too long by at most this
    /// much, and by half of it on average.
    pub pause: Duration,
    /// How long clients send before anything is counted.
    pub warm_up: Duration,
    /// How long is counted.
    pub measured: Duration,
}

/// When the next message is sent.
#[derive(Clone, Copy, Debug)]
pub enum Pace {
    /// When fewer messages than this are in flight: as fast as the server is.
    InFlight(usize),
    /// Once per interval, however fast the server is. Latencies are counted from when a message was due, so a server that is
    /// late makes every message late that waits for it.
    Every(Duration),
}

impl Pace {
    /// This many messages per second.
    ///
    /// # Errors
    /// Below 0.01 and above 1,000,000.
    pub fn per_second(messages: f64) -> Result<Self> {
        ensure!((0.01..=1e6).contains(&messages), "give 0.01 to 1,000,000 messages per second");
        Ok(Self::Every(Duration::from_secs_f64(1.0 / messages)))
    }
}

impl Workload {
    /// Checks that the parts fit together.
    ///
    /// # Errors
    /// When they do not.
    pub fn check(&self) -> Result<()> {
        let sends = match self.pace {
            Pace::InFlight(messages) => messages >= 1,
            Pace::Every(interval) => !interval.is_zero(),
        };
        ensure!(self.rooms >= 1 && self.senders >= 1 && sends, "nothing would be sent");
        ensure!(self.rooms <= self.sockets && self.senders <= self.sockets, "there are not enough sockets");
        let least = self.payload.tag_bytes();
        ensure!(self.bytes >= least, "a message has at least {least} bytes");
        let by_room = matches!(self.recipients, Recipients::Room | Recipients::Sender);
        ensure!(by_room || self.rooms == 1, "messages to some sockets need a single room");
        if let Recipients::Subscribers(subscribers) = self.recipients {
            ensure!(
                (self.senders..=self.sockets).contains(&subscribers),
                "senders are subscribers, and those are sockets"
            );
        }
        ensure!(!self.compressed || self.senders == 1, "compressed messages of several senders cannot be told apart");
        Ok(())
    }

    /// The query of socket `number` in its handshake.
    pub fn query(&self, number: usize) -> String {
        let query = connect::query(number, number % self.rooms);
        match self.recipients {
            Recipients::Subscribers(subscribers) if number < subscribers => {
                format!("{query}&{}", connect::SUBSCRIBED)
            }
            Recipients::Room | Recipients::Sender | Recipients::Subscribers(_) => query,
            Recipients::Opposite => format!("{query}&to=u{}", Recipients::opposite(number, self.sockets)),
        }
    }
}

/// When the next message is due.
#[derive(Debug)]
pub struct Schedule {
    pace: Pace,
    /// For [`Pace::Every`].
    next: Instant,
}

impl Schedule {
    /// Begins now.
    pub fn new(pace: Pace, now: Instant) -> Self {
        Self { pace, next: now }
    }

    /// If a message is due, the time from which its latency counts.
    pub fn take_due(&mut self, in_flight: usize, now: Instant) -> Option<Instant> {
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

    /// How long nothing is due unless something arrives, at most `most`.
    pub fn wait(&self, most: Duration, now: Instant) -> Duration {
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
    fn no_more_messages_are_in_flight_than_planned() {
        let now = Instant::now();
        let mut schedule = Schedule::new(Pace::InFlight(2), now);
        assert_eq!(schedule.take_due(1, now), Some(now));
        assert_eq!(schedule.take_due(2, now), None);
        assert_eq!(schedule.wait(MOST, now), MOST);
    }

    #[test]
    fn a_fixed_pace_keeps_its_times_when_it_is_delayed() {
        let (begun, interval) = (Instant::now(), Duration::from_millis(10));
        let mut schedule = Schedule::new(Pace::per_second(100.0).unwrap(), begun);
        assert_eq!(schedule.take_due(0, begun), Some(begun));
        assert_eq!(schedule.take_due(1, begun), None);
        assert_eq!(schedule.wait(MOST, begun), interval);
        // Late by two and a half intervals: each message that was due meanwhile counts from when it was due.
        let late = begun + interval * 7 / 2;
        let due: Vec<_> = std::iter::from_fn(|| schedule.take_due(9, late)).collect();
        assert_eq!(due, [1, 2, 3].map(|times| begun + interval * times));
        assert_eq!(schedule.wait(MOST, late), interval / 2);
    }

    #[test]
    fn an_impossible_pace_is_refused() {
        assert!(Pace::per_second(0.0).is_err());
        assert!(Pace::per_second(f64::NAN).is_err());
    }
}
