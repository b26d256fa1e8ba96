//! What a scenario is.

use std::future::Future;

use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;

use crate::check::Outcome;
use crate::harness::Capability;
use crate::stage::Stage;

/// One scenario.
pub struct Scenario {
    /// Its name.
    pub name: &'static str,
    /// The promises that it tests, by their numbers in DESIGN.md.
    pub promises: &'static [u8],
    /// The capabilities that the host needs.
    pub needs: &'static [Capability],
    /// The capability that the host must not have: what hosts do that cannot do better.
    pub replaces: Option<Capability>,
    /// Runs it.
    pub run: Box<dyn Fn(Stage) -> LocalBoxFuture<'static, Outcome>>,
}

impl Scenario {
    pub(super) fn needing(mut self, needs: &'static [Capability]) -> Self {
        self.needs = needs;
        self
    }

    pub(super) fn replacing(mut self, lacks: Capability) -> Self {
        self.replaces = Some(lacks);
        self
    }
}

pub(super) fn scenario<F>(name: &'static str, promises: &'static [u8], run: fn(Stage) -> F) -> Scenario
where
    F: Future<Output = Outcome> + 'static,
{
    Scenario { name, promises, needs: &[], replaces: None, run: Box::new(move |stage| run(stage).boxed_local()) }
}
