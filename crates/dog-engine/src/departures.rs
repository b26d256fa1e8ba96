//! Bundles messages between objects, for hosts where each such message is a request: decides which messages leave now,
//! in one bundle, and which wait.
//!
//! - Messages to one object arrive in the order in which they were handed over, if the transport keeps the order of the
//!   bundles.
//! - Casts wait while earlier casts to the same object are in flight, and then leave together. So if casts are made
//!   faster than they arrive, several of them share one request. A call leaves at once, together with the casts that
//!   wait before it.
//! - The number of bundles in flight is limited. A bundle without an answer stops counting after 100 ms, so a slow
//!   object does not block the others.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::time::Duration;

use dog::Timestamp;

/// How long a bundle counts as being in flight if no answer comes.
const PATIENCE: Duration = Duration::from_millis(100);

/// Identifies a bundle that has left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DepartureId(u64);

/// A bundle that leaves now.
#[derive(Debug)]
pub struct Departure<A, M> {
    /// Its id, for [`Departures::arrived`].
    pub id: DepartureId,
    /// The object to which it goes.
    pub to: A,
    /// Its messages, in the order in which they were handed over.
    pub messages: Vec<M>,
    /// Whether the last message is a call. All others are casts.
    pub has_call: bool,
}

/// The messages that wait to leave, and the bundles in flight.
#[derive(Debug)]
pub struct Departures<A, M> {
    limit: usize,
    queues: HashMap<A, Queue<M>>,
    /// The objects whose messages may leave, in the order in which they leave. Each is listed once.
    ready: VecDeque<A>,
    /// The number of queues that are not empty.
    waiting: usize,
    /// The bundles that count as being in flight: their object, and whether they contain a call.
    in_flight: HashMap<DepartureId, (A, bool)>,
    /// When each bundle left, the oldest first. Bundles that have arrived are skipped.
    departed: VecDeque<(Timestamp, DepartureId)>,
    next: u64,
}

/// The messages for one object.
#[derive(Debug)]
struct Queue<M> {
    messages: VecDeque<Queued<M>>,
    /// The number of calls among them. Calls do not wait for earlier bundles.
    calls: usize,
    /// Whether the object is listed in `ready`.
    ready: bool,
    /// The number of bundles to this object that count as being in flight.
    in_flight: usize,
    /// The number of those without a call.
    casts_in_flight: usize,
}

#[derive(Debug)]
struct Queued<M> {
    message: M,
    is_call: bool,
}

impl<M> Default for Queue<M> {
    fn default() -> Self {
        Self { messages: VecDeque::new(), calls: 0, ready: false, in_flight: 0, casts_in_flight: 0 }
    }
}

impl<M> Queue<M> {
    fn may_leave(&self) -> bool {
        !self.messages.is_empty() && (self.calls > 0 || self.casts_in_flight == 0)
    }

    /// Takes the messages up to the next call, including that call.
    fn take_bundle(&mut self) -> (Vec<M>, bool) {
        let call = self.messages.iter().position(|queued| queued.is_call);
        let end = call.map_or(self.messages.len(), |at| at + 1);
        self.calls -= usize::from(call.is_some());
        (self.messages.drain(..end).map(|queued| queued.message).collect(), call.is_some())
    }
}

impl<A: Copy + Eq + Hash, M> Departures<A, M> {
    /// Creates empty queues. At most `limit` bundles count as being in flight at the same time.
    pub fn new(limit: usize) -> Self {
        Self {
            limit,
            queues: HashMap::new(),
            ready: VecDeque::new(),
            waiting: 0,
            in_flight: HashMap::new(),
            departed: VecDeque::new(),
            next: 0,
        }
    }

    /// Adds a message that gets no answer.
    pub fn cast(&mut self, to: A, message: M) {
        self.hand_over(to, Queued { message, is_call: false });
    }

    /// Adds a message that gets an answer.
    pub fn call(&mut self, to: A, message: M) {
        self.hand_over(to, Queued { message, is_call: true });
    }

    fn hand_over(&mut self, to: A, queued: Queued<M>) {
        let queue = self.queues.entry(to).or_default();
        self.waiting += usize::from(queue.messages.is_empty());
        queue.calls += usize::from(queued.is_call);
        queue.messages.push_back(queued);
        self.note_ready(to);
    }

    fn note_ready(&mut self, to: A) {
        if let Some(queue) = self.queues.get_mut(&to)
            && queue.may_leave()
            && !queue.ready
        {
            queue.ready = true;
            self.ready.push_back(to);
        }
    }

    /// Takes the bundle that leaves next. `None` if none may leave now.
    pub fn next(&mut self, now: Timestamp) -> Option<Departure<A, M>> {
        self.drop_late(now);
        if self.in_flight.len() >= self.limit {
            return None;
        }
        let to = self.ready.pop_front()?;
        let id = DepartureId(self.next);
        self.next += 1;
        let queue = self.queues.entry(to).or_default();
        let (messages, has_call) = queue.take_bundle();
        queue.ready = false;
        queue.in_flight += 1;
        queue.casts_in_flight += usize::from(!has_call);
        self.waiting -= usize::from(queue.messages.is_empty());
        self.in_flight.insert(id, (to, has_call));
        self.departed.push_back((now, id));
        self.note_ready(to);
        Some(Departure { id, to, messages, has_call })
    }

    /// Records that a bundle has arrived or failed. Returns `true` if no message for its object waits or is in flight.
    pub fn arrived(&mut self, id: DepartureId) -> bool {
        let Some((to, has_call)) = self.in_flight.remove(&id) else { return false };
        while self.departed.front().is_some_and(|(_, id)| !self.in_flight.contains_key(id)) {
            self.departed.pop_front();
        }
        let Some(queue) = self.queues.get_mut(&to) else { return true };
        queue.in_flight -= 1;
        queue.casts_in_flight -= usize::from(!has_call);
        if queue.messages.is_empty() && queue.in_flight == 0 {
            self.queues.remove(&to);
            return true;
        }
        self.note_ready(to);
        false
    }

    /// Returns when to call [`next`](Departures::next) again if no bundle arrives before. `None` if no message waits.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        self.departed.front().filter(|_| self.waiting > 0).map(|(departed, _)| *departed + PATIENCE)
    }

    fn drop_late(&mut self, now: Timestamp) {
        while let Some((departed, id)) = self.departed.front().copied() {
            if departed + PATIENCE > now {
                return;
            }
            self.departed.pop_front();
            self.arrived(id);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn at(milliseconds: u64) -> Timestamp {
        Timestamp::from_millis(milliseconds)
    }

    /// Returns the bundles that leave now, as `a: 1 2`.
    fn leaving(departures: &mut Departures<char, u32>, now: u64) -> Vec<(DepartureId, String)> {
        let bundles = std::iter::from_fn(|| departures.next(at(now)));
        let shown = |Departure { id, to, messages, has_call }| {
            let messages: Vec<_> = messages.iter().map(ToString::to_string).collect();
            (id, format!("{to}: {}{}", messages.join(" "), if has_call { "?" } else { "" }))
        };
        bundles.map(shown).collect()
    }

    fn texts(bundles: &[(DepartureId, String)]) -> Vec<&str> {
        bundles.iter().map(|(_, text)| text.as_str()).collect()
    }

    #[test]
    fn messages_of_one_turn_leave_together() {
        let mut departures = Departures::new(8);
        for message in 1..=3 {
            departures.cast('a', message);
            departures.cast('b', message);
        }
        assert_eq!(texts(&leaving(&mut departures, 0)), ["a: 1 2 3", "b: 1 2 3"]);
    }

    #[test]
    fn casts_wait_for_earlier_ones_and_a_call_takes_them_along() {
        let mut departures = Departures::new(8);
        departures.cast('a', 1);
        let first = leaving(&mut departures, 0);
        departures.cast('a', 2);
        departures.cast('a', 3);
        assert_eq!(texts(&leaving(&mut departures, 1)), [""; 0]);
        departures.call('a', 4);
        let second = leaving(&mut departures, 1);
        assert_eq!(texts(&second), ["a: 2 3 4?"]);
        departures.cast('a', 5);
        assert_eq!(texts(&leaving(&mut departures, 1)), [""; 0]);
        assert!(!departures.arrived(first[0].0));
        let third = leaving(&mut departures, 1);
        assert_eq!(texts(&third), ["a: 5"], "a cast does not wait for the answer to a call");
        assert!(!departures.arrived(third[0].0));
        assert!(departures.arrived(second[0].0), "no message for a is left");
        assert_eq!(departures.next_deadline(), None);
    }

    #[test]
    fn a_bundle_ends_with_its_call() {
        let mut departures = Departures::new(8);
        departures.cast('a', 1);
        departures.call('a', 2);
        departures.call('a', 3);
        departures.cast('a', 4);
        assert_eq!(texts(&leaving(&mut departures, 0)), ["a: 1 2?", "a: 3?", "a: 4"]);
    }

    #[test]
    fn no_more_leave_than_may_until_one_arrives_or_takes_too_long() {
        let mut departures = Departures::new(2);
        for to in ['a', 'b', 'c', 'd', 'e'] {
            departures.call(to, 1);
        }
        let first = leaving(&mut departures, 0);
        assert_eq!(texts(&first), ["a: 1?", "b: 1?"]);
        assert!(departures.arrived(first[1].0));
        assert_eq!(texts(&leaving(&mut departures, 50)), ["c: 1?"]);
        assert_eq!(departures.next_deadline(), Some(at(100)));
        assert_eq!(texts(&leaving(&mut departures, 99)), [""; 0]);
        assert_eq!(texts(&leaving(&mut departures, 100)), ["d: 1?"], "a takes long");
        assert!(!departures.arrived(first[0].0), "the bundle to a no longer counts");
        assert_eq!(texts(&leaving(&mut departures, 149)), [""; 0]);
        assert_eq!(texts(&leaving(&mut departures, 150)), ["e: 1?"], "so does c");
        assert_eq!(departures.next_deadline(), None, "nothing waits");
    }

    #[derive(Clone, Copy, Debug)]
    enum Step {
        Cast(u8),
        Call(u8),
        Pass(u8),
        Arrives(u8),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            (0..5_u8).prop_map(Step::Cast),
            (0..5_u8).prop_map(Step::Call),
            (0..150_u8).prop_map(Step::Pass),
            any::<u8>().prop_map(Step::Arrives),
        ];
        proptest::collection::vec(step, 0..200)
    }

    proptest! {
        /// In every order of events, each message leaves once, in order and within the limit, and no message is left at
        /// the end.
        #[test]
        fn all_leave_once_and_in_order(steps in steps(), most in 1..4_usize) {
            let (mut departures, mut now, mut message) = (Departures::new(most), 0_u64, 0_u32);
            let mut handed: BTreeMap<u8, Vec<u32>> = BTreeMap::new();
            let mut left: BTreeMap<u8, Vec<u32>> = BTreeMap::new();
            let mut away: Vec<(u64, DepartureId)> = Vec::new();
            // At the end, time passes until no message waits.
            for step in steps.into_iter().chain(std::iter::repeat_n(Step::Pass(100), 1100)) {
                match step {
                    Step::Cast(to) | Step::Call(to) => {
                        message += 1;
                        handed.entry(to).or_default().push(message);
                        if matches!(step, Step::Call(_)) { departures.call(to, message) } else { departures.cast(to, message) }
                    }
                    Step::Pass(time) => now += u64::from(time),
                    Step::Arrives(which) if !away.is_empty() => {
                        let (_, id) = away.remove(usize::from(which) % away.len());
                        departures.arrived(id);
                    }
                    Step::Arrives(_) => {}
                }
                while let Some(departure) = departures.next(at(now)) {
                    prop_assert!(!departure.messages.is_empty());
                    left.entry(departure.to).or_default().extend(departure.messages);
                    away.push((now, departure.id));
                    let counting = away.iter().filter(|(departed, _)| departed + 100 > now).count();
                    prop_assert!(counting <= most, "{counting} are on their way");
                }
                prop_assert!(departures.next_deadline().is_none_or(|deadline| deadline > at(now)));
            }
            prop_assert_eq!(left, handed);
            prop_assert_eq!(departures.next_deadline(), None);
        }
    }
}
