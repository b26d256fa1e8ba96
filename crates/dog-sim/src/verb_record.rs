//! What the App has learned from the verbs of its Groups, and who has heard them: [`VerbRecord`].

use std::collections::{BTreeMap, BTreeSet};

use dog::{Epoch, Error, GroupId, ReplicaId, SocketId};

use crate::moment::MessageName;

/// What a verb has returned.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// How many sockets it has reached, closed or counted.
    pub(crate) sockets: usize,
    /// The clients that it has named, with their sockets.
    pub(crate) clients: BTreeMap<String, u32>,
    /// The Replicas that were not heard.
    pub(crate) missing: Vec<ReplicaId>,
}

/// What a verb does with the sockets that it reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    Sends,
    Closes,
}

/// A verb that reports whom it has not heard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct GroupVerb {
    pub(crate) group: GroupId,
    /// Whose sockets it reaches, if not all.
    pub(crate) client: Option<String>,
    pub(crate) reach: Reach,
}

/// The verbs of a run. Each has a number. Part of the [`RunRecord`](crate::record::RunRecord).
#[derive(Debug, Default)]
pub(crate) struct VerbRecord {
    last: u64,
    outcomes: BTreeMap<u64, Result<Outcome, Error>>,
    heard: BTreeMap<u64, BTreeSet<SocketId>>,
    /// The lives of Replicas that have passed on the message of a verb.
    handed: BTreeSet<(u64, u64)>,
    /// Those that report, since they were last taken.
    begun: Vec<(u64, GroupVerb)>,
    /// Those that have ended since they were last taken.
    ended: Vec<u64>,
}

impl VerbRecord {
    /// Returns the number of a new verb.
    pub(crate) fn begins(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    /// The verb of that number reports. It is on its way.
    pub(crate) fn reports(&mut self, number: u64, verb: GroupVerb) {
        self.begun.push((number, verb));
    }

    /// Takes the verbs that have begun, and the numbers of those that have ended.
    pub(crate) fn take_news(&mut self) -> (Vec<(u64, GroupVerb)>, Vec<u64>) {
        (std::mem::take(&mut self.begun), std::mem::take(&mut self.ended))
    }

    /// A life of a Replica passes the message of a verb to its sockets.
    pub(crate) fn is_handed(&mut self, (sender, _): MessageName, life: Epoch) {
        self.handed.insert((u64::MAX - sender, life.as_u64()));
    }

    pub(crate) fn was_handed(&self, number: u64, life: Epoch) -> bool {
        self.handed.contains(&(number, life.as_u64()))
    }

    /// The Replicas that the verb has not heard. `None` if it has failed.
    pub(crate) fn missing(&self, number: u64) -> Option<Vec<ReplicaId>> {
        self.outcomes.get(&number)?.as_ref().ok().map(|outcome| outcome.missing.clone())
    }

    /// The name of the message of a verb. No order is promised between two verbs of an App, so each has a sender of its own.
    pub(crate) const fn message(number: u64) -> MessageName {
        (u64::MAX - number, 1)
    }

    /// A verb has ended.
    pub(crate) fn ends(&mut self, number: u64, outcome: Result<Outcome, Error>) {
        self.outcomes.insert(number, outcome);
        self.ended.push(number);
    }

    /// A socket has heard the message of a verb.
    pub(crate) fn hears(&mut self, socket: SocketId, (sender, _): MessageName) {
        self.heard.entry(u64::MAX - sender).or_default().insert(socket);
    }

    /// Promise 6: a verb has reached exactly these sockets, and has said so.
    pub(crate) fn check_reached(&self, number: u64, expected: &BTreeSet<SocketId>) -> Result<(), String> {
        let (said, heard) = (self.outcome(number)?, self.heard.get(&number).cloned().unwrap_or_default());
        if said.sockets == expected.len() && heard == *expected && said.missing.is_empty() {
            return Ok(());
        }
        Err(format!("a verb has reached {heard:?} and says {said:?}, the open sockets are {expected:?}"))
    }

    /// Promise 20: the message of a verb has reached exactly these sockets.
    pub(crate) fn check_heard(&self, number: u64, expected: &BTreeSet<SocketId>) -> Result<(), String> {
        let heard = self.heard.get(&number).cloned().unwrap_or_default();
        if heard == *expected {
            Ok(())
        } else {
            Err(format!("a verb has reached {heard:?}, and {expected:?} are subscribed"))
        }
    }

    /// Promises 6 and 8: what a verb has returned.
    pub(crate) fn check_said(&self, number: u64, expected: &Outcome) -> Result<(), String> {
        let said = self.outcome(number)?;
        if said == expected { Ok(()) } else { Err(format!("a verb says {said:?}, expected {expected:?}")) }
    }

    fn outcome(&self, number: u64) -> Result<&Outcome, String> {
        let outcome = self.outcomes.get(&number).ok_or("a verb has not ended")?;
        outcome.as_ref().map_err(|error| format!("a verb has failed although nothing is broken: {error}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_verb_says_and_reaches_is_compared_with_the_open_sockets() {
        let mut verbs = VerbRecord::default();
        let [one, two] = [1, 2].map(SocketId::from_raw);
        let number = verbs.begins();
        let both = BTreeSet::from([one, two]);
        assert!(verbs.check_reached(number, &both).is_err(), "it has not ended");
        verbs.ends(number, Ok(Outcome { sockets: 2, ..Outcome::default() }));
        verbs.hears(one, VerbRecord::message(number));
        assert!(verbs.check_reached(number, &both).is_err(), "one has not heard it");
        verbs.hears(two, VerbRecord::message(number));
        assert!(verbs.check_reached(number, &both).is_ok());
        assert!(verbs.check_reached(number, &BTreeSet::from([one])).is_err(), "one had closed");
        assert!(verbs.check_said(number, &Outcome { sockets: 2, ..Outcome::default() }).is_ok());
        assert!(verbs.check_said(number, &Outcome::default()).is_err());
    }
}
