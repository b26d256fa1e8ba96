//! What the objects of a run find in their [`Env`](dog::Env).

use dog::{Failure, Policy, Result};

use crate::witness::Witness;

/// The rules of the Group in this run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    pub(crate) limit: u32,
    pub(crate) policy: Policy,
    /// Whether requests may come twice.
    pub(crate) doubles: bool,
}

/// The activation of an object may be told to fail.
pub(crate) fn may_activate(witness: &Witness) -> Result {
    let mut record = witness.record();
    let fails = record.activations_fail;
    if record.random.happens(fails) { Err(Failure::new("the activation is told to fail")) } else { Ok(()) }
}

/// The handle to the record of the run.
pub(crate) fn witness(env: &dog::Env) -> Result<Witness> {
    env.get::<Witness>().cloned().ok_or_else(|| Failure::new("the Env of a run has a Witness"))
}

/// The rules of the run.
pub(crate) fn rules(env: &dog::Env) -> Result<Rules> {
    env.get::<Rules>().copied().ok_or_else(|| Failure::new("the Env of a run has Rules"))
}
