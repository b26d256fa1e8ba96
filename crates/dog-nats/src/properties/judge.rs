//! Checks the rules on the history of the streams and the log of the applications.

use std::collections::{BTreeMap, BTreeSet};

use dog_engine::address::{NodeId, Object};
use tokio::time::Instant;

use super::log::{Outcome, Value, is_alone};
use super::setting::names;
use crate::alarms::AlarmRecord;
use crate::claim::Claim;
use crate::lease::Lease;
use crate::stream::fake::Commit;

/// Returns all violations of a run.
pub(super) fn violations(outcome: &Outcome) -> Vec<String> {
    let mut found = leases(outcome);
    found.extend(owners(outcome));
    found.extend(writes(outcome));
    found.extend(alarms(outcome));
    found
}

/// Returns when each node's lease was deleted.
fn deleted(outcome: &Outcome) -> BTreeMap<NodeId, Instant> {
    let deletions = outcome.leases.iter().rev().filter(|commit| commit.payload.is_none());
    deletions.filter_map(|commit| Some((names().node(&commit.subject)?, commit.at))).collect()
}

/// Each node id belongs to one process, a deleted lease never comes back, and no node acts after its lease was deleted.
fn leases(outcome: &Outcome) -> Vec<String> {
    let mut found = Vec::new();
    let mut processes: BTreeMap<&str, String> = BTreeMap::new();
    let mut ended: BTreeSet<&str> = BTreeSet::new();
    for commit in &outcome.leases {
        let Some(payload) = &commit.payload else {
            ended.insert(&commit.subject);
            continue;
        };
        let lease: Lease = serde_json::from_slice(payload).expect("a lease");
        let process = processes.entry(&commit.subject).or_insert_with(|| lease.process().to_owned());
        if process != lease.process() {
            found.push(format!("two processes have held {}", commit.subject));
        }
        if ended.contains(&commit.subject[..]) {
            found.push(format!("{} was renewed after its deletion", commit.subject));
        }
    }
    let deleted = deleted(outcome);
    for (actor, at) in &outcome.log.last_acts {
        if let Some(deleted) = deleted.get(&actor.node).filter(|deleted| at > *deleted) {
            found.push(format!("{actor:?} acted {:?} after its lease was deleted", *at - *deleted));
        }
    }
    found
}

/// Returns the messages of each object's owner subject: claims and batches.
fn owner_messages(outcome: &Outcome) -> BTreeMap<&str, Vec<&Commit>> {
    let mut objects: BTreeMap<&str, Vec<&Commit>> = BTreeMap::new();
    for commit in &outcome.objects {
        if let Some(object) = commit.subject.strip_suffix(".owner") {
            objects.entry(object).or_default().push(commit);
        }
    }
    objects
}

fn owner(commit: &Commit) -> Option<NodeId> {
    let payload = commit.payload.as_ref()?;
    Some(serde_json::from_slice::<Claim>(payload).expect("a claim").node)
}

/// An object moves to another node only if the lease of its owner is gone or its owner has released it. No node acts
/// for an object after another node has claimed it.
fn owners(outcome: &Outcome) -> Vec<String> {
    let mut found = Vec::new();
    let deleted = deleted(outcome);
    let messages = owner_messages(outcome);
    for (object, commits) in &messages {
        for (before, after) in commits.iter().zip(&commits[1..]) {
            let (Some(from), Some(to)) = (owner(before), owner(after)) else { continue };
            let is_over = deleted.get(&from).is_some_and(|deleted| *deleted <= after.at);
            if from != to && !is_over {
                found.push(format!("{object} went from {from} to {to} while {from} had its lease"));
            }
        }
    }
    for (actor, at) in &outcome.log.last_acts {
        let subject = names().owner(actor.object);
        let commits = messages.get(subject.strip_suffix(".owner").unwrap_or_default());
        let later = commits.into_iter().flatten().find(|commit| {
            commit.sequence > actor.claim && commit.at < *at && owner(commit).is_some_and(|owner| owner != actor.node)
        });
        if let Some(later) = later {
            found.push(format!("{actor:?} acted for {subject} after {later:?}"));
        }
    }
    found
}

/// Each stored value was written under the object's last claim at that time. Each acknowledged value is stored, or a
/// later value of the same life is: writes in one batch replace each other.
fn writes(outcome: &Outcome) -> Vec<String> {
    let mut found = Vec::new();
    let mut claims: BTreeMap<&str, u64> = BTreeMap::new();
    let mut stored: BTreeMap<(&str, u64), u64> = BTreeMap::new();
    for commit in &outcome.objects {
        if let Some(object) = commit.subject.strip_suffix(".owner") {
            if is_alone(commit, &outcome.objects) {
                claims.insert(object, commit.sequence);
            }
        } else if let Some((object, _)) = commit.subject.split_once(".entry.")
            && let Some(payload) = &commit.payload
        {
            let value = Value::parse(payload);
            stored.insert((&commit.subject, value.claim), value.number);
            if claims.get(object) != Some(&value.claim) {
                found.push(format!("{object}: {value:?} was stored after claim {:?}", claims.get(object)));
            }
        }
    }
    for (subject, value) in &outcome.log.acknowledged {
        if stored.get(&(&subject[..], value.claim)).is_none_or(|number| *number < value.number) {
            found.push(format!("{subject}: {value:?} was acknowledged, and is not stored"));
        }
    }
    found
}

/// Each stored alarm rings at least once, unless another alarm replaces it. No alarm that is due remains. All nodes
/// name the same live caretaker for an object.
fn alarms(outcome: &Outcome) -> Vec<String> {
    let mut found = Vec::new();
    let mut set: BTreeMap<&str, (Object, u64)> = BTreeMap::new();
    let rang = |alarm: &(Object, u64)| outcome.log.rings.contains(alarm);
    for commit in &outcome.objects {
        let Some(object) = names().alarm_of(&commit.subject) else { continue };
        match &commit.payload {
            Some(payload) => {
                let at = AlarmRecord::decode(payload).expect("an alarm").at().as_millis();
                set.insert(&commit.subject, (object, at));
            }
            None => {
                if let Some(alarm) = set.remove(&commit.subject[..]).filter(|alarm| !rang(alarm)) {
                    found.push(format!("the alarm {alarm:?} was deleted before it rang"));
                }
            }
        }
    }
    for alarm in outcome.alarms.iter().filter(|(_, at)| *at < outcome.ended) {
        found.push(format!("the alarm {alarm:?} is still set at {}, and rang: {}", outcome.ended, rang(alarm)));
    }
    for (object, caretakers) in &outcome.caretakers {
        let first = caretakers.first();
        if caretakers.iter().any(|other| Some(other) != first || !outcome.live.contains(other)) {
            found.push(format!("the nodes {:?} name {caretakers:?} for {object:?}", outcome.live));
        }
    }
    found
}
