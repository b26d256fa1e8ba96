//! Typed calls to Groups, and what is promised of them: [`CallRecord`].

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use dog::Timestamp;

/// By then each call has ended, whatever happens: 30 s at most for the Group, 1 s for the answer, 12 s during which the caller's
/// node may stand still, and 1 s for the clock of a node.
const LONGEST: Duration = Duration::from_secs(44);

/// A cycle of calls ends before this many.
const DEEPEST: u32 = 100;

/// The calls of a run. Each has a number of its own, which a Group returns as its reply. Part of the
/// [`RunRecord`](crate::record::RunRecord).
#[derive(Debug, Default)]
pub(crate) struct CallRecord {
    last: u64,
    ran: BTreeSet<u64>,
    /// When those began that have not ended.
    pending: BTreeMap<u64, Timestamp>,
}

impl CallRecord {
    /// A call begins. Returns its number.
    pub(crate) fn begins(&mut self, now: Timestamp) -> u64 {
        self.last += 1;
        self.pending.insert(self.last, now);
        self.last
    }

    /// A Group carries out the call.
    pub(crate) fn runs(&mut self, number: u64, depth: u32) -> Result<(), String> {
        if !self.ran.insert(number) {
            return Err(format!("call {number} is carried out twice"));
        }
        if depth >= DEEPEST { Err(format!("call {number} is the {depth}th of a cycle")) } else { Ok(()) }
    }

    /// The caller has the reply, or an error.
    pub(crate) fn ends(&mut self, number: u64, reply: Option<u64>, now: Timestamp) -> Result<(), String> {
        let Some(began) = self.pending.remove(&number) else { return Err(format!("call {number} has ended twice")) };
        let took = now.since(began);
        match reply {
            Some(reply) if reply != number => Err(format!("call {number} has the reply of call {reply}")),
            Some(_) if !self.ran.contains(&number) => {
                Err(format!("call {number} has a reply, and nobody carried it out"))
            }
            _ if took > LONGEST => Err(format!("call {number} has ended only after {took:?}")),
            _ => Ok(()),
        }
    }

    /// The caller has ended before its call.
    pub(crate) fn is_dropped(&mut self, number: u64) {
        self.pending.remove(&number);
    }

    /// No call is still in progress that must have ended.
    pub(crate) fn check_ended(&self, now: Timestamp) -> Result<(), String> {
        match self.pending.iter().find(|(_, began)| now.since(**began) > LONGEST) {
            Some((number, began)) => Err(format!("call {number} has not ended after {:?}", now.since(*began))),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(seconds: u64) -> Timestamp {
        Timestamp::from_millis(seconds * 1000)
    }

    #[test]
    fn what_is_wrong_with_a_call_is_noticed() {
        let mut calls = CallRecord::default();
        let [right, wrong, unheard, late, waits] = [0; 5].map(|seconds| calls.begins(at(seconds)));
        assert!(calls.runs(right, 0).is_ok() && calls.runs(right, 0).is_err());
        assert!(calls.runs(wrong, DEEPEST - 1).is_ok() && calls.runs(waits, DEEPEST).is_err());
        assert!(calls.ends(right, Some(right), at(3)).is_ok());
        assert!(calls.ends(right, None, at(3)).is_err(), "it ends once");
        assert!(calls.ends(wrong, Some(right), at(3)).is_err());
        assert!(calls.ends(unheard, Some(unheard), at(3)).is_err());
        assert!(calls.check_ended(at(44)).is_ok() && calls.check_ended(at(45)).is_err());
        assert!(calls.ends(late, None, at(45)).is_err());
        calls.is_dropped(waits);
        assert!(calls.check_ended(at(100)).is_ok());
    }
}
