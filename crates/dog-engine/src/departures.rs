//! What one object has for others and where calls are made one by one: what may leave now, and what waits.
//!
//! - What is handed over for one addressee arrives in that order, by a way that keeps the order of bundles.
//! - Statements wait while earlier ones to the same addressee are on their way, and then leave as one: so what is said
//!   faster than it arrives costs fewer calls, not more. A question takes along what waits before it, and leaves at once.
//! - Bundles on their way are bounded. One that is not answered soon stops counting: whoever is slow stops nobody else.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::time::Duration;

use dog::Timestamp;

/// How long a bundle counts as being on its way, if nobody says that it has arrived.
const PATIENCE: Duration = Duration::from_millis(100);

/// Names a bundle that has left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DepartureId(u64);

/// A bundle that leaves now.
#[derive(Debug)]
pub struct Departure<A, L> {
    /// Its name, for [`Departures::arrived`].
    pub id: DepartureId,
    /// To whom.
    pub to: A,
    /// What, in the order in which it was handed over.
    pub letters: Vec<L>,
    /// Whether the last of them is a question. No other is.
    pub asks: bool,
}

/// All that waits to leave, and what is on its way.
#[derive(Debug)]
pub struct Departures<A, L> {
    most: usize,
    addressees: HashMap<A, Addressee<L>>,
    /// Those whose letters may leave, in the order in which they came to be so; each once.
    ready: VecDeque<A>,
    /// Addressees for whom something waits.
    waiting: usize,
    /// Bundles that count as being on their way: to whom, and whether they ask.
    under_way: HashMap<DepartureId, (A, bool)>,
    /// The same, the oldest first; those that have arrived are passed over.
    departed: VecDeque<(Timestamp, DepartureId)>,
    next: u64,
}

#[derive(Debug)]
struct Addressee<L> {
    letters: VecDeque<Letter<L>>,
    /// How many of them are questions, which do not wait for earlier bundles.
    questions: usize,
    /// Whether it is in `ready`.
    ready: bool,
    /// Bundles to it that count as being on their way.
    under_way: usize,
    /// Those of them that are statements only.
    statements: usize,
}

#[derive(Debug)]
struct Letter<L> {
    content: L,
    asks: bool,
}

impl<L> Default for Addressee<L> {
    fn default() -> Self {
        Self { letters: VecDeque::new(), questions: 0, ready: false, under_way: 0, statements: 0 }
    }
}

impl<L> Addressee<L> {
    fn may_leave(&self) -> bool {
        !self.letters.is_empty() && (self.questions > 0 || self.statements == 0)
    }

    /// Everything up to the next question, that among it.
    fn bundle(&mut self) -> (Vec<L>, bool) {
        let question = self.letters.iter().position(|letter| letter.asks);
        let end = question.map_or(self.letters.len(), |at| at + 1);
        self.questions -= usize::from(question.is_some());
        (self.letters.drain(..end).map(|letter| letter.content).collect(), question.is_some())
    }
}

impl<A: Copy + Eq + Hash, L> Departures<A, L> {
    /// Nothing waits yet. At most `most` bundles will count as being on their way at the same time.
    pub fn new(most: usize) -> Self {
        Self {
            most,
            addressees: HashMap::new(),
            ready: VecDeque::new(),
            waiting: 0,
            under_way: HashMap::new(),
            departed: VecDeque::new(),
            next: 0,
        }
    }

    /// Something that nobody answers.
    pub fn state(&mut self, to: A, letter: L) {
        self.hand_over(to, letter, false);
    }

    /// Something that is to be answered.
    pub fn ask(&mut self, to: A, letter: L) {
        self.hand_over(to, letter, true);
    }

    fn hand_over(&mut self, to: A, letter: L, asks: bool) {
        let addressee = self.addressees.entry(to).or_default();
        self.waiting += usize::from(addressee.letters.is_empty());
        addressee.letters.push_back(Letter { content: letter, asks });
        addressee.questions += usize::from(asks);
        self.note_ready(to);
    }

    fn note_ready(&mut self, to: A) {
        if let Some(addressee) = self.addressees.get_mut(&to)
            && addressee.may_leave()
            && !addressee.ready
        {
            addressee.ready = true;
            self.ready.push_back(to);
        }
    }

    /// What leaves next, if anything may.
    pub fn next(&mut self, now: Timestamp) -> Option<Departure<A, L>> {
        self.lose_patience(now);
        if self.under_way.len() >= self.most {
            return None;
        }
        let to = self.ready.pop_front()?;
        let id = DepartureId(self.next);
        self.next += 1;
        let addressee = self.addressees.entry(to).or_default();
        let (letters, asks) = addressee.bundle();
        addressee.ready = false;
        addressee.under_way += 1;
        addressee.statements += usize::from(!asks);
        self.waiting -= usize::from(addressee.letters.is_empty());
        self.under_way.insert(id, (to, asks));
        self.departed.push_back((now, id));
        self.note_ready(to);
        Some(Departure { id, to, letters, asks })
    }

    /// A bundle has arrived, or will not. `true` if nothing waits for its addressee and nothing is on its way there.
    pub fn arrived(&mut self, id: DepartureId) -> bool {
        let Some((to, asks)) = self.under_way.remove(&id) else { return false };
        while self.departed.front().is_some_and(|(_, id)| !self.under_way.contains_key(id)) {
            self.departed.pop_front();
        }
        let Some(addressee) = self.addressees.get_mut(&to) else { return true };
        addressee.under_way -= 1;
        addressee.statements -= usize::from(!asks);
        if addressee.letters.is_empty() && addressee.under_way == 0 {
            self.addressees.remove(&to);
            return true;
        }
        self.note_ready(to);
        false
    }

    /// When to ask for the [next](Departures::next) one again, if none arrives before: something waits.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        self.departed.front().filter(|_| self.waiting > 0).map(|(departed, _)| *departed + PATIENCE)
    }

    fn lose_patience(&mut self, now: Timestamp) {
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

    /// What leaves now, as `a: 1 2`.
    fn leaving(departures: &mut Departures<char, u32>, now: u64) -> Vec<(DepartureId, String)> {
        let bundles = std::iter::from_fn(|| departures.next(at(now)));
        let shown = |Departure { id, to, letters, asks }| {
            let letters: Vec<_> = letters.iter().map(ToString::to_string).collect();
            (id, format!("{to}: {}{}", letters.join(" "), if asks { "?" } else { "" }))
        };
        bundles.map(shown).collect()
    }

    fn texts(bundles: &[(DepartureId, String)]) -> Vec<&str> {
        bundles.iter().map(|(_, text)| text.as_str()).collect()
    }

    #[test]
    fn what_is_said_in_one_turn_leaves_together() {
        let mut departures = Departures::new(8);
        for letter in 1..=3 {
            departures.state('a', letter);
            departures.state('b', letter);
        }
        assert_eq!(texts(&leaving(&mut departures, 0)), ["a: 1 2 3", "b: 1 2 3"]);
    }

    #[test]
    fn statements_wait_for_earlier_ones_and_a_question_takes_them_along() {
        let mut departures = Departures::new(8);
        departures.state('a', 1);
        let first = leaving(&mut departures, 0);
        departures.state('a', 2);
        departures.state('a', 3);
        assert_eq!(texts(&leaving(&mut departures, 1)), [""; 0]);
        departures.ask('a', 4);
        let second = leaving(&mut departures, 1);
        assert_eq!(texts(&second), ["a: 2 3 4?"]);
        departures.state('a', 5);
        assert_eq!(texts(&leaving(&mut departures, 1)), [""; 0]);
        assert!(!departures.arrived(first[0].0));
        let third = leaving(&mut departures, 1);
        assert_eq!(texts(&third), ["a: 5"], "it does not wait for the answer");
        assert!(!departures.arrived(third[0].0));
        assert!(departures.arrived(second[0].0), "nothing is left for a");
        assert_eq!(departures.next_deadline(), None);
    }

    #[test]
    fn a_bundle_ends_with_its_question() {
        let mut departures = Departures::new(8);
        departures.state('a', 1);
        departures.ask('a', 2);
        departures.ask('a', 3);
        departures.state('a', 4);
        assert_eq!(texts(&leaving(&mut departures, 0)), ["a: 1 2?", "a: 3?", "a: 4"]);
    }

    #[test]
    fn no_more_leave_than_may_until_one_arrives_or_takes_too_long() {
        let mut departures = Departures::new(2);
        for to in ['a', 'b', 'c', 'd', 'e'] {
            departures.ask(to, 1);
        }
        let first = leaving(&mut departures, 0);
        assert_eq!(texts(&first), ["a: 1?", "b: 1?"]);
        assert!(departures.arrived(first[1].0));
        assert_eq!(texts(&leaving(&mut departures, 50)), ["c: 1?"]);
        assert_eq!(departures.next_deadline(), Some(at(100)));
        assert_eq!(texts(&leaving(&mut departures, 99)), [""; 0]);
        assert_eq!(texts(&leaving(&mut departures, 100)), ["d: 1?"], "a takes long");
        assert!(!departures.arrived(first[0].0), "a has stopped counting");
        assert_eq!(texts(&leaving(&mut departures, 149)), [""; 0]);
        assert_eq!(texts(&leaving(&mut departures, 150)), ["e: 1?"], "so does c");
        assert_eq!(departures.next_deadline(), None, "nothing waits");
    }

    #[derive(Clone, Copy, Debug)]
    enum Step {
        State(u8),
        Ask(u8),
        Pass(u8),
        Arrives(u8),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            (0..5_u8).prop_map(Step::State),
            (0..5_u8).prop_map(Step::Ask),
            (0..150_u8).prop_map(Step::Pass),
            any::<u8>().prop_map(Step::Arrives),
        ];
        proptest::collection::vec(step, 0..200)
    }

    proptest! {
        /// Whatever happens: everything leaves once, in its order, within the bound, and nothing stays behind.
        #[test]
        fn all_leave_once_and_in_order(steps in steps(), most in 1..4_usize) {
            let (mut departures, mut now, mut letter) = (Departures::new(most), 0_u64, 0_u32);
            let mut handed: BTreeMap<u8, Vec<u32>> = BTreeMap::new();
            let mut left: BTreeMap<u8, Vec<u32>> = BTreeMap::new();
            let mut away: Vec<(u64, DepartureId)> = Vec::new();
            // At the end time passes until nothing waits.
            for step in steps.into_iter().chain(std::iter::repeat_n(Step::Pass(100), 1100)) {
                match step {
                    Step::State(to) | Step::Ask(to) => {
                        letter += 1;
                        handed.entry(to).or_default().push(letter);
                        if matches!(step, Step::Ask(_)) { departures.ask(to, letter) } else { departures.state(to, letter) }
                    }
                    Step::Pass(time) => now += u64::from(time),
                    Step::Arrives(which) if !away.is_empty() => {
                        let (_, id) = away.remove(usize::from(which) % away.len());
                        departures.arrived(id);
                    }
                    Step::Arrives(_) => {}
                }
                while let Some(departure) = departures.next(at(now)) {
                    prop_assert!(!departure.letters.is_empty());
                    left.entry(departure.to).or_default().extend(departure.letters);
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
