//! The list of all scenarios.

use super::scenario::Scenario;
use super::{
    alarms, apart, attachments, bad_input, calls, closing, contained, counts, delivery, events, formats, gossip,
    group_verbs, handlers, hibernation, joining, late_identity, limit, lives, log, log_recovery, log_refusals,
    log_resets, log_storage, messages, naming, order, per_client, placement, presence, presence_topics, rates, reentry,
    refusals, requests, restarts, slow, storage, tasks, tickets, topics, transactions, whisper,
};

/// Those of each file, roughly in the order of the promises.
const FILES: &[fn() -> Vec<Scenario>] = &[
    limit::scenarios,
    placement::scenarios,
    naming::scenarios,
    tickets::scenarios,
    joining::scenarios,
    order::scenarios,
    delivery::scenarios,
    whisper::scenarios,
    gossip::scenarios,
    topics::scenarios,
    log::scenarios,
    log_refusals::scenarios,
    log_recovery::scenarios,
    formats::scenarios,
    log_resets::scenarios,
    presence::scenarios,
    presence_topics::scenarios,
    handlers::scenarios,
    closing::scenarios,
    reentry::scenarios,
    counts::scenarios,
    lives::scenarios,
    restarts::scenarios,
    storage::scenarios,
    log_storage::scenarios,
    transactions::scenarios,
    alarms::scenarios,
    tasks::scenarios,
    slow::scenarios,
    events::scenarios,
    hibernation::scenarios,
    contained::scenarios,
    calls::scenarios,
    group_verbs::scenarios,
    apart::scenarios,
    messages::scenarios,
    attachments::scenarios,
    requests::scenarios,
    late_identity::scenarios,
    refusals::scenarios,
    per_client::scenarios,
    rates::scenarios,
    bad_input::scenarios,
];

/// All scenarios.
pub fn all() -> Vec<Scenario> {
    FILES.iter().flat_map(|scenarios| scenarios()).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::all;

    #[test]
    fn names_are_unique_and_promises_held() {
        let scenarios = all();
        let names: BTreeSet<_> = scenarios.iter().map(|scenario| scenario.name).collect();
        assert_eq!(names.len(), scenarios.len());
        let held: BTreeSet<_> = scenarios.iter().flat_map(|scenario| scenario.promises).copied().collect();
        // Promise 16 is about the shutdown of a host, which has tests of its own.
        let expected = (1..=15).chain(17..=22);
        assert_eq!(held.into_iter().collect::<Vec<_>>(), expected.collect::<Vec<_>>());
    }
}
