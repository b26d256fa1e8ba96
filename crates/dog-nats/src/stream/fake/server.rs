//! [`FakeStream`]: the servers of a simulated stream.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Notify;
use tokio::sync::futures::Notified;
use tokio::time::Instant;

use crate::stream::{Change, Put, Stored, StreamError};

/// How long a deletion stays in the stream. This is shorter than the 60 s of real streams, so that short runs include
/// its end.
const DELETION_TTL: Duration = Duration::from_secs(10);

/// The probabilities of faults.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Weather {
    /// A request or an answer is lost.
    pub(crate) lost: f64,
    /// A request or an answer takes up to three seconds.
    pub(crate) late: f64,
    /// A request is delivered twice.
    pub(crate) doubled: f64,
    /// A write is in flight for up to three seconds.
    pub(crate) slow: f64,
    /// A follower ends with an error.
    pub(crate) broken: f64,
}

/// A message that was stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Commit {
    pub(crate) at: Instant,
    pub(crate) subject: String,
    pub(crate) sequence: u64,
    /// `None` if it deletes the subject.
    pub(crate) payload: Option<Bytes>,
    /// The number of the first message of its batch.
    pub(crate) batch: u64,
}

/// One simulated stream.
#[derive(Debug)]
pub(crate) struct FakeStream {
    state: Mutex<State>,
    /// Wakes followers in a fixed order. `watch` would wake them in a random order.
    stored: Notify,
}

#[derive(Debug)]
struct State {
    random: fastrand::Rng,
    weather: Weather,
    messages: BTreeMap<String, Message>,
    /// When each deletion expires, in order.
    expiries: VecDeque<(Instant, String, u64)>,
    history: Vec<Commit>,
    sequence: u64,
    /// If there is no leader: when the next one is elected.
    election: Option<Instant>,
    /// The batches that the leader has accepted and not yet stored. Their numbers grow.
    in_flight: BTreeMap<u64, Vec<Put>>,
    accepted: u64,
    /// The number of the first message of each stored batch, by the number of the batch.
    answers: BTreeMap<u64, u64>,
}

#[derive(Clone, Debug)]
struct Message {
    sequence: u64,
    payload: Option<Bytes>,
}

/// What the leader does with a write.
pub(super) enum Accepted {
    /// The write is in flight under that number, for that long.
    InFlight(u64, Duration),
    Refused(StreamError),
    /// There is no leader, and no answer comes.
    Ignored,
}

impl FakeStream {
    pub(crate) fn new(seed: u64, weather: Weather) -> Self {
        let state = State {
            random: fastrand::Rng::with_seed(seed),
            weather,
            messages: BTreeMap::new(),
            expiries: VecDeque::new(),
            history: Vec::new(),
            sequence: 0,
            election: None,
            in_flight: BTreeMap::new(),
            accepted: 0,
            answers: BTreeMap::new(),
        };
        Self { state: Mutex::new(state), stored: Notify::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.expire();
        state
    }

    /// Returns all stored messages, in order.
    pub(crate) fn history(&self) -> Vec<Commit> {
        self.state().history.clone()
    }

    /// Ends all faults.
    pub(crate) fn calm_down(&self) {
        let mut state = self.state();
        state.weather = Weather::default();
        state.election = None;
    }

    /// Removes the leader. Another one is elected after `election`. Each write in flight is stored or lost, because the
    /// other servers may or may not have it. A log has no gaps, so if a write is stored, all writes before it are
    /// stored too.
    pub(crate) fn change_leader(&self, election: Duration) {
        let mut state = self.state();
        state.election = Some(Instant::now() + election);
        let in_flight = std::mem::take(&mut state.in_flight);
        let kept = state.random.usize(0..=in_flight.len());
        for puts in in_flight.into_values().take(kept) {
            // The answer is dropped, because the leader that would send it is gone.
            state.store(puts);
        }
        self.stored.notify_waiters();
    }

    /// Returns how long a request or an answer takes. `None`: it is lost.
    pub(super) fn travel(&self) -> Option<Duration> {
        let mut state = self.state();
        let Weather { lost, late, .. } = state.weather;
        if state.random.f64() < lost {
            return None;
        }
        let most = if state.random.f64() < late { 3_000 } else { 3 };
        Some(Duration::from_millis(state.random.u64(0..=most)))
    }

    /// Whether a request is delivered twice.
    pub(super) fn doubles(&self) -> bool {
        let mut state = self.state();
        let doubled = state.weather.doubled;
        state.random.f64() < doubled
    }

    /// Whether a follower ends now.
    pub(super) fn breaks(&self) -> bool {
        let mut state = self.state();
        let broken = state.weather.broken;
        state.random.f64() < broken
    }

    /// Checks a batch as the leader does, and puts it in flight to the other servers.
    pub(super) fn accept(&self, puts: Vec<Put>) -> Accepted {
        let mut state = self.state();
        if let Some(unavailable) = state.without_leader() {
            return unavailable.map_or(Accepted::Ignored, Accepted::Refused);
        }
        for put in &puts {
            let Some(expected) = put.expected else { continue };
            let is_in_flight = state.in_flight.values().flatten().any(|other| other.subject == put.subject);
            if is_in_flight {
                // Real servers use two error codes for this.
                let conflicts = state.random.bool();
                return Accepted::Refused(if conflicts {
                    StreamError::Conflict
                } else {
                    StreamError::Retry("a write is in flight".into())
                });
            }
            let last = state.messages.get(&put.subject).map_or(0, |message| message.sequence);
            if last != expected {
                return Accepted::Refused(StreamError::Conflict);
            }
        }
        let slow = state.weather.slow;
        let most = if state.random.f64() < slow { 3_000 } else { 3 };
        let time = Duration::from_millis(state.random.u64(0..=most));
        state.accepted += 1;
        let number = state.accepted;
        state.in_flight.insert(number, puts);
        Accepted::InFlight(number, time)
    }

    /// Stores a batch in flight and all batches before it. Returns the number of its first message. `None`: the leader
    /// has changed since, and the batch may have been stored or lost.
    pub(super) fn commit(&self, number: u64) -> Option<u64> {
        let mut state = self.state();
        let later = state.in_flight.split_off(&(number + 1));
        let now = std::mem::replace(&mut state.in_flight, later);
        for (number, puts) in now {
            let first = state.store(puts);
            state.answers.insert(number, first);
        }
        self.stored.notify_waiters();
        state.answers.get(&number).copied()
    }

    /// Returns `Some` if there is no leader: the error to answer with, or `None` if no answer comes.
    pub(super) fn unavailable(&self) -> Option<Option<StreamError>> {
        self.state().without_leader()
    }

    pub(super) fn last(&self, subject: &str) -> Option<Stored> {
        let state = self.state();
        let Message { sequence, payload } = state.messages.get(subject)?.clone();
        Some(Stored { sequence, payload })
    }

    pub(super) fn subjects(&self, filter: &str) -> Vec<String> {
        self.state().messages.keys().filter(|subject| matches(filter, subject)).cloned().collect()
    }

    /// Returns the first message after that one that was not replaced.
    pub(super) fn next(&self, filter: &str, after: u64) -> Option<Change> {
        let state = self.state();
        let found =
            state.messages.iter().filter(|(subject, message)| message.sequence > after && matches(filter, subject));
        let (subject, message) = found.min_by_key(|(_, message)| message.sequence)?;
        let Message { sequence, payload } = message.clone();
        Some(Change { subject: subject.clone(), sequence, payload })
    }

    /// Waits until a message is stored after this call.
    pub(super) fn stored(&self) -> Notified<'_> {
        self.stored.notified()
    }
}

impl State {
    fn expire(&mut self) {
        while let Some((_, subject, sequence)) = self.expiries.pop_front_if(|(at, ..)| *at <= Instant::now()) {
            if self.messages.get(&subject).is_some_and(|message| message.sequence == sequence) {
                self.messages.remove(&subject);
            }
        }
    }

    fn without_leader(&mut self) -> Option<Option<StreamError>> {
        if self.election.is_none_or(|until| until <= Instant::now()) {
            return None;
        }
        let answers = self.random.bool();
        Some(answers.then(|| StreamError::Retry("the stream has no leader".into())))
    }

    /// Stores messages. Returns the number of the first.
    fn store(&mut self, puts: Vec<Put>) -> u64 {
        let (at, batch) = (Instant::now(), self.sequence + 1);
        for Put { subject, payload, .. } in puts {
            self.sequence += 1;
            let sequence = self.sequence;
            if payload.is_none() {
                self.expiries.push_back((at + DELETION_TTL, subject.clone(), sequence));
            }
            self.messages.insert(subject.clone(), Message { sequence, payload: payload.clone() });
            self.history.push(Commit { at, subject, sequence, payload, batch });
        }
        batch
    }
}

/// Whether a subject matches a NATS filter, in which `*` matches one token and `>` matches the rest.
fn matches(filter: &str, subject: &str) -> bool {
    let (mut wanted, mut given) = (filter.split('.'), subject.split('.'));
    loop {
        match (wanted.next(), given.next()) {
            (None, None) | (Some(">"), Some(_)) => return true,
            (Some("*"), Some(_)) => {}
            (Some(wanted), Some(given)) if wanted == given => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_match_as_in_nats() {
        for (filter, subject, expected) in [
            ("dog.lease.*", "dog.lease.1", true),
            ("dog.lease.*", "dog.lease.1.2", false),
            ("dog.object.>", "dog.object.a.entry.user.k", true),
            ("dog.object.*.alarm", "dog.object.a.alarm", true),
            ("dog.object.*.alarm", "dog.object.a.owner", false),
            ("dog", "dog.lease", false),
        ] {
            assert_eq!(matches(filter, subject), expected, "{filter} {subject}");
        }
    }
}
