//! The scenarios: one file per subject. Each scenario names the promises that it tests.

use std::future::Future;

use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;

use crate::check::Outcome;
use crate::harness::Capability;
use crate::stage::Stage;

mod alarms;
mod apart;
mod attachments;
mod bad_input;
mod closing;
mod contained;
mod counts;
mod delivery;
mod gossip;
mod handlers;
mod hibernation;
mod joining;
mod limit;
mod lives;
mod messages;
mod naming;
mod order;
mod placement;
mod reentry;
mod restarts;
mod script;
mod seats;
mod slow;
mod storage;
mod tickets;
mod transactions;
mod whisper;

/// One scenario.
pub struct Scenario {
    /// Its name.
    pub name: &'static str,
    /// The promises that it tests, by their numbers in DESIGN.md.
    pub promises: &'static [u8],
    /// The capabilities that the host needs.
    pub needs: &'static [Capability],
    /// Runs it.
    pub run: Box<dyn Fn(Stage) -> LocalBoxFuture<'static, Outcome>>,
}

impl Scenario {
    fn needing(mut self, needs: &'static [Capability]) -> Self {
        self.needs = needs;
        self
    }
}

fn scenario<F>(name: &'static str, promises: &'static [u8], run: fn(Stage) -> F) -> Scenario
where
    F: Future<Output = Outcome> + 'static,
{
    Scenario { name, promises, needs: &[], run: Box::new(move |stage| run(stage).boxed_local()) }
}

/// All scenarios, roughly in the order of the promises.
pub fn all() -> Vec<Scenario> {
    let files = [
        limit::scenarios,
        placement::scenarios,
        naming::scenarios,
        tickets::scenarios,
        joining::scenarios,
        order::scenarios,
        delivery::scenarios,
        whisper::scenarios,
        gossip::scenarios,
        handlers::scenarios,
        closing::scenarios,
        reentry::scenarios,
        counts::scenarios,
        lives::scenarios,
        restarts::scenarios,
        storage::scenarios,
        transactions::scenarios,
        alarms::scenarios,
        slow::scenarios,
        hibernation::scenarios,
        contained::scenarios,
        apart::scenarios,
        messages::scenarios,
        attachments::scenarios,
        bad_input::scenarios,
    ];
    files.into_iter().flat_map(|scenarios| scenarios()).collect()
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
        assert_eq!(held.into_iter().collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]);
    }
}
