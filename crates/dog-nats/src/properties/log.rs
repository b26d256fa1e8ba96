//! Logs what the applications of a run did, and at which virtual time.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use dog_engine::address::{NodeId, Object};
use tokio::time::Instant;

use crate::stream::fake::Commit;

/// A node that acts as the owner of an object under a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Actor {
    pub(super) object: Object,
    pub(super) node: NodeId,
    pub(super) claim: u64,
}

/// A value that an application writes: the claim under which it writes, and a number that grows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Value {
    pub(super) claim: u64,
    pub(super) number: u64,
}

impl Value {
    pub(super) fn text(self) -> String {
        format!("{} {}", self.claim, self.number)
    }

    pub(super) fn parse(payload: &[u8]) -> Self {
        let text = std::str::from_utf8(payload).expect("text");
        let (claim, number) = text.split_once(' ').expect("two numbers");
        Self { claim: claim.parse().expect("a claim"), number: number.parse().expect("a number") }
    }
}

/// The acts of all applications.
#[derive(Debug, Default)]
pub(super) struct Log {
    /// When each actor acted last. If its last act was allowed, all earlier ones were.
    pub(super) last_acts: BTreeMap<Actor, Instant>,
    pub(super) acts: usize,
    /// The acknowledged values and their subjects.
    pub(super) acknowledged: Vec<(String, Value)>,
    /// The alarms that rang: the object and the time in milliseconds.
    pub(super) rings: Vec<(Object, u64)>,
}

/// The outcome of a run.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) began: Instant,
    pub(super) leases: Vec<Commit>,
    pub(super) objects: Vec<Commit>,
    pub(super) log: Log,
    /// The caretaker of each object, according to each live node at the end.
    pub(super) caretakers: Vec<(Object, Vec<NodeId>)>,
    /// The nodes that live at the end.
    pub(super) live: Vec<NodeId>,
    /// The alarms that are still set at the end: the object and the time in milliseconds.
    pub(super) alarms: Vec<(Object, u64)>,
    /// When the run ended, in milliseconds.
    pub(super) ended: u64,
}

impl Outcome {
    /// Returns what the seed determines: subjects, numbers and times, without nonces.
    pub(super) fn summary(&self) -> Vec<(Duration, String, u64)> {
        let messages = self.leases.iter().chain(&self.objects);
        messages.map(|commit| (commit.at - self.began, commit.subject.clone(), commit.sequence)).collect()
    }
}

/// Counts what happened in some runs. A test in which nothing happens shows nothing.
#[derive(Debug, Default)]
pub(super) struct Totals {
    runs: usize,
    acts: usize,
    writes: usize,
    claims: usize,
    lost_leases: usize,
    rings: usize,
}

impl Totals {
    pub(super) fn add(&mut self, outcome: &Outcome) {
        self.runs += 1;
        self.acts += outcome.log.acts;
        self.writes += outcome.log.acknowledged.len();
        self.rings += outcome.log.rings.len();
        let is_claim = |commit: &&Commit| commit.subject.ends_with(".owner") && is_alone(commit, &outcome.objects);
        self.claims += outcome.objects.iter().filter(is_claim).count();
        self.lost_leases += outcome.leases.iter().filter(|commit| commit.payload.is_none()).count();
    }

    pub(super) fn assert_not_idle(&self) {
        let Self { runs, acts, writes, claims, lost_leases, rings } = *self;
        let is_busy =
            acts > 50 * runs && writes > 10 * runs && claims > 2 * runs && lost_leases > runs / 2 && rings > runs / 4;
        assert!(is_busy, "too little happened: {self}");
    }
}

impl fmt::Display for Totals {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { runs, acts, writes, claims, lost_leases, rings } = self;
        write!(
            formatter,
            "{runs} runs: {acts} acts, {writes} acknowledged writes, {claims} claims, {lost_leases} lost leases, {rings} rings"
        )
    }
}

/// Whether a message is the only one of its batch. This is true for claims and false for writes.
pub(super) fn is_alone(commit: &Commit, history: &[Commit]) -> bool {
    // The message numbers of a stream begin with one and have no gaps.
    let next = usize::try_from(commit.sequence).ok().and_then(|next| history.get(next));
    commit.batch == commit.sequence && next.is_none_or(|next| next.batch != commit.batch)
}
