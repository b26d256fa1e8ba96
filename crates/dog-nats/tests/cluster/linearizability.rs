//! A check of linearizability: is there an order of the operations of concurrent clients that explains every answer, in
//! which each operation happens at one moment between its call and its answer?
//!
//! The search is that of Wing and Gong. As Lowe proposed, it remembers each pair of executed operations and resulting
//! state that it has tried. An operation without an answer may have been executed at any time after its call, or never.

use std::collections::{BTreeSet, HashSet};
use std::fmt::Debug;
use std::hash::Hash;

use crate::record::Time;

/// The number of remembered pairs after which a search gives up.
const MOST: usize = 3_000_000;

/// A call and its answer.
#[derive(Clone, Debug)]
pub(crate) struct Call<C, A> {
    pub(crate) invoked: Time,
    /// The time of the answer, and the answer. `None` if no answer came.
    pub(crate) answered: Option<(Time, A)>,
    pub(crate) command: C,
}

/// The progress of a search.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Done<S> {
    /// All answered calls before this one have been executed.
    first: usize,
    /// These later answered calls have been executed.
    more: BTreeSet<usize>,
    /// These calls without an answer have been executed.
    unanswered: BTreeSet<usize>,
    state: S,
}

struct Search<'a, S, C, A, F> {
    answered: Vec<&'a Call<C, A>>,
    unanswered: Vec<&'a Call<C, A>>,
    apply: F,
    tried: HashSet<Done<S>>,
}

/// Checks the calls. `apply` executes a command on a state and returns the new state and the answer. The error shows
/// the longest order that was found, and the calls that do not fit after it.
pub(crate) fn check<S, C, A>(calls: &[Call<C, A>], begin: S, apply: impl Fn(&S, &C) -> (S, A)) -> Result<(), String>
where
    S: Clone + Eq + Hash + Debug,
    C: Debug,
    A: PartialEq + Debug,
{
    let (mut answered, unanswered): (Vec<_>, Vec<_>) = calls.iter().partition(|call| call.answered.is_some());
    answered.sort_by_key(|call| call.invoked);
    let mut search = Search { answered, unanswered, apply, tried: HashSet::new() };
    let begin = Done { first: 0, more: BTreeSet::new(), unanswered: BTreeSet::new(), state: begin };
    let mut furthest = begin.clone();
    let mut open = vec![begin];
    while let Some(done) = open.pop() {
        if done.first == search.answered.len() {
            return Ok(());
        }
        if done.count() > furthest.count() {
            furthest = done.clone();
        }
        // `pop` takes the last branch, and the most likely next call is the one that was answered first. So the order
        // is reversed.
        open.extend(search.next(&done).into_iter().rev());
        if search.tried.len() > MOST {
            return Err(format!("undecided after {MOST} steps; {}", search.describe(&furthest)));
        }
    }
    Err(search.describe(&furthest))
}

impl<S> Done<S> {
    fn count(&self) -> usize {
        self.first + self.more.len()
    }
}

impl<S, C, A, F> Search<'_, S, C, A, F>
where
    S: Clone + Eq + Hash + Debug,
    C: Debug,
    A: PartialEq + Debug,
    F: Fn(&S, &C) -> (S, A),
{
    /// Returns the answered calls that may be executed next, the earliest answer first. Also returns the earliest of
    /// these answers: a call that was made later than that cannot be next.
    fn candidates(&self, done: &Done<S>) -> (Vec<usize>, Time) {
        let mut earliest = Time::MAX;
        let mut found: Vec<(Time, usize)> = Vec::new();
        for number in done.first..self.answered.len() {
            let call = self.answered[number];
            if call.invoked > earliest {
                break;
            }
            let Some((at, _)) = call.answered.as_ref().filter(|_| !done.more.contains(&number)) else { continue };
            earliest = earliest.min(*at);
            found.push((*at, number));
        }
        found.retain(|(_, number)| self.answered[*number].invoked <= earliest);
        found.sort_unstable();
        (found.into_iter().map(|(_, number)| number).collect(), earliest)
    }

    /// Returns the progress after each next step that was not tried yet.
    fn next(&mut self, done: &Done<S>) -> Vec<Done<S>> {
        let (candidates, earliest) = self.candidates(done);
        let mut steps = Vec::new();
        for number in candidates {
            let call = self.answered[number];
            let (state, answer) = (self.apply)(&done.state, &call.command);
            if call.answered.as_ref().is_none_or(|(_, wanted)| *wanted != answer) {
                continue;
            }
            let mut step = Done { state, ..done.clone() };
            step.more.insert(number);
            while step.more.remove(&step.first) {
                step.first += 1;
            }
            steps.push(step);
        }
        for (number, call) in self.unanswered.iter().enumerate() {
            if call.invoked > earliest || done.unanswered.contains(&number) {
                continue;
            }
            let (state, _) = (self.apply)(&done.state, &call.command);
            // A call without an answer that changes nothing can be left out.
            if state != done.state {
                let mut step = Done { state, ..done.clone() };
                step.unanswered.insert(number);
                steps.push(step);
            }
        }
        steps.retain(|step| self.tried.insert(step.clone()));
        steps
    }

    fn describe(&self, done: &Done<S>) -> String {
        let (candidates, _) = self.candidates(done);
        let next: Vec<String> = candidates.into_iter().map(|number| format!("{:?}", self.answered[number])).collect();
        format!(
            "no order explains the answers: {} of {} can be put in one, which leaves {:?}; then one of these would be next, \
             and none can: {}",
            done.count(),
            self.answered.len(),
            done.state,
            next.join("; ")
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registers::{Answer, Command, Registers, apply};

    type RegisterCall = Call<Command, Answer>;

    fn call(invoked: u64, answered: u64, command: Command, answer: Answer) -> RegisterCall {
        let answered = Some((Time::from_millis(answered), answer));
        Call { invoked: Time::from_millis(invoked), answered, command }
    }

    fn unanswered(invoked: u64, command: Command) -> RegisterCall {
        Call { invoked: Time::from_millis(invoked), answered: None, command }
    }

    fn verdict(calls: &[RegisterCall]) -> Result<(), String> {
        check(calls, Registers::default(), |state, command| apply(*state, *command))
    }

    use Answer::{Done, Value, Values};
    use Command::{Both, CompareAndSet, Get, Put, Swap};

    #[test]
    fn good_histories_are_explained() {
        let good = [
            vec![],
            vec![call(0, 1, Get(0), Value(0))],
            vec![call(0, 1, Put(0, 5), Done), call(2, 3, Get(0), Value(5))],
            // Concurrent calls may have either order.
            vec![call(0, 10, Put(0, 5), Done), call(1, 2, Get(0), Value(0)), call(3, 4, Get(0), Value(5))],
            // A call without an answer may be executed long after it was made, or never.
            vec![unanswered(0, Put(0, 5)), call(1, 2, Get(0), Value(0)), call(3, 4, Get(0), Value(5))],
            vec![unanswered(0, Put(0, 5)), call(1, 2, Get(0), Value(0))],
            vec![call(0, 9, CompareAndSet(0, 0, 1), Done), call(0, 9, CompareAndSet(0, 0, 2), Value(1))],
            vec![call(0, 1, Put(0, 5), Done), call(2, 3, Swap, Values(0, 5)), call(4, 5, Both, Values(0, 5))],
            vec![call(0, 1, Put(0, 5), Done), unanswered(2, Swap), call(3, 4, Get(1), Value(5))],
        ];
        for calls in good {
            assert_eq!(verdict(&calls), Ok(()), "{calls:?}");
        }
    }

    #[test]
    fn bad_histories_are_not() {
        let bad = [
            // Never written.
            vec![call(0, 1, Get(0), Value(7))],
            // Stale.
            vec![call(0, 1, Put(0, 5), Done), call(2, 3, Get(0), Value(0))],
            // The value comes and goes.
            vec![unanswered(0, Put(0, 5)), call(1, 2, Get(0), Value(5)), call(3, 4, Get(0), Value(0))],
            // Read before it was called.
            vec![call(0, 1, Get(0), Value(5)), unanswered(2, Put(0, 5))],
            // Both found the same value.
            vec![call(0, 9, CompareAndSet(0, 0, 1), Done), call(0, 9, CompareAndSet(0, 0, 2), Done)],
            // Half of a swap.
            vec![call(0, 1, Put(0, 5), Done), unanswered(2, Swap), call(3, 4, Both, Values(5, 5))],
            vec![call(0, 1, Put(0, 5), Done), call(2, 3, Swap, Values(0, 5)), call(4, 5, Get(0), Value(5))],
            // A put that takes effect twice.
            vec![
                unanswered(0, Put(0, 5)),
                call(1, 2, Get(0), Value(5)),
                call(3, 4, Put(0, 6), Done),
                call(5, 6, Get(0), Value(5)),
            ],
        ];
        for calls in bad {
            assert!(verdict(&calls).is_err(), "{calls:?}");
        }
    }

    /// Tries every order of the answered calls, with every selection of the calls without an answer.
    fn by_force(calls: &[RegisterCall], state: Registers, left: &BTreeSet<usize>) -> bool {
        let is_answered = |number: &&usize| calls[**number].answered.is_some();
        if left.iter().filter(is_answered).count() == 0 {
            return true;
        }
        left.iter().any(|number| {
            let call = &calls[*number];
            let after_another =
                |other: &usize| calls[*other].answered.as_ref().is_some_and(|(at, _)| *at < call.invoked);
            let (after, answer) = apply(state, call.command);
            let rest: BTreeSet<usize> = left.iter().copied().filter(|other| other != number).collect();
            !left.iter().any(after_another)
                && call.answered.as_ref().is_none_or(|(_, wanted)| *wanted == answer)
                && by_force(calls, after, &rest)
        })
    }

    #[test]
    fn it_agrees_with_trying_everything() {
        let mut random = crate::seeds::random("linearizability");
        let mut explained = 0;
        for _ in 0..3_000 {
            let calls: Vec<RegisterCall> = (0..6)
                .map(|_| {
                    let invoked = random.u64(0..12);
                    let value = |random: &mut fastrand::Rng| random.u32(0..3);
                    let (command, answer) = match random.u8(0..4) {
                        0 => (Get(0), Value(value(&mut random))),
                        1 => (CompareAndSet(0, value(&mut random), value(&mut random)), Done),
                        2 => (Swap, Values(value(&mut random), value(&mut random))),
                        _ => (Put(random.usize(0..2), value(&mut random)), Done),
                    };
                    match random.u8(0..4) {
                        0 => unanswered(invoked, command),
                        _ => call(invoked, invoked + random.u64(0..8), command, answer),
                    }
                })
                .collect();
            let wanted = by_force(&calls, Registers::default(), &(0..calls.len()).collect());
            assert_eq!(verdict(&calls).is_ok(), wanted, "{calls:?}");
            explained += usize::from(wanted);
        }
        assert!(
            (100..2_900).contains(&explained),
            "the random histories are too similar: {explained} of 3000 are linearizable"
        );
    }
}
