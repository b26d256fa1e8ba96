//! One run: it follows from its seed.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use dog::Env;
use dog_testing::world::{Bug, ClientKey, Observer, World};

use crate::app::Market;
use crate::checks::Checks;
use crate::ledger::Witness;
use crate::plan::Plan;
use crate::watch::Watch;

/// What a run is asked for besides its seed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Options {
    /// Put in, to see whether it is found.
    pub bug: Option<Bug>,
    /// Whether to write down everything that happens.
    pub trace: bool,
}

impl Options {
    /// With a bug.
    #[must_use]
    pub fn bug(self, bug: Bug) -> Self {
        Self { bug: Some(bug), ..self }
    }

    /// With a trace.
    #[must_use]
    pub fn trace(self) -> Self {
        Self { trace: true, ..self }
    }
}

/// A run in which no promise was broken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Outcome {
    /// Steps of the executor and the clock.
    pub steps: u64,
    /// How often a handler of a socket ran.
    pub handled: u64,
    /// How often each promise was checked.
    pub checks: Checks,
    /// Everything that happened, if that was asked for.
    pub trace: Vec<String>,
}

/// A run in which a promise was broken.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Failure {
    /// From which everything follows.
    pub seed: u64,
    /// The number of the promise, as in DESIGN.md.
    pub promise: u8,
    /// What was wrong.
    pub what: String,
    /// Everything that happened until then, if that was asked for.
    pub trace: Vec<String>,
    bug: Option<Bug>,
}

impl fmt::Display for Failure {
    /// The trace, what is wrong, and how to see it again.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.trace.iter().try_for_each(|line| writeln!(formatter, "{line}"))?;
        writeln!(formatter, "seed {}: promise {} is broken: {}", self.seed, self.promise, self.what)?;
        write!(formatter, "again: cargo xtask sim --seed {}", self.seed)?;
        self.bug.map_or(Ok(()), |bug| write!(formatter, " --bug {bug}"))
    }
}

impl std::error::Error for Failure {}

/// A run under way.
pub(crate) struct Run {
    seed: u64,
    pub(crate) plan: Plan,
    pub(crate) world: Rc<World>,
    pub(crate) witness: Witness,
    pub(crate) watch: Rc<Watch>,
    pub(crate) clients: Vec<ClientKey>,
    pub(crate) newcomers: u64,
    /// Numbers what clients say.
    pub(crate) commands: u64,
    pub(crate) steps: u64,
}

impl Run {
    fn begin(seed: u64, options: Options) -> Self {
        let plan = Plan::new(seed, options.bug);
        let witness = Witness::new(seed, plan.rules.limit, plan.fails_to_wake);
        let env = Env::new().with(witness.clone()).with(plan.rules);
        let world = World::new(Market, env, plan.making);
        if options.trace {
            world.trace.begin();
            world.note(|| format!("{plan:?}"));
        }
        let watch = Rc::new(Watch::new(witness.clone()));
        world.observed_by(Rc::clone(&watch) as Rc<dyn Observer>);
        Self { seed, plan, world, witness, watch, clients: Vec::new(), newcomers: 0, commands: 0, steps: 0 }
    }

    /// The run; a panic in it, which is none of a handler's, is a finding like any other.
    fn go_safely(&mut self) {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| self.go())) {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("without a text");
            self.witness.ledger().broken(14, format!("a panic: {text}"));
        }
    }

    fn outcome(&self) -> Outcome {
        let ledger = self.witness.ledger();
        Outcome { steps: self.steps, handled: ledger.handled, checks: ledger.checks, trace: self.world.trace.take() }
    }

    fn failure(&self, options: Options) -> Option<Failure> {
        let violation = self.witness.ledger().violations.first().cloned()?;
        Some(Failure {
            seed: self.seed,
            promise: violation.promise,
            what: violation.what,
            trace: self.world.trace.take(),
            bug: options.bug,
        })
    }
}

/// Runs one seed.
///
/// # Errors
/// When a promise was broken.
pub fn explore(seed: u64, options: Options) -> Result<Outcome, Box<Failure>> {
    let mut run = Run::begin(seed, options);
    #[cfg(feature = "bugs")]
    dog_engine::bugs::set_socket_ends_twice(options.bug == Some(Bug::DoubleClose));
    run.go_safely();
    let failure = run.failure(options);
    let outcome = run.outcome();
    run.world.end();
    match failure {
        Some(failure) => Err(Box::new(failure)),
        None => Ok(outcome),
    }
}

/// The same, and if a promise was broken once more, with a trace.
///
/// # Errors
/// When a promise was broken.
pub fn explore_and_tell(seed: u64, options: Options) -> Result<Outcome, Box<Failure>> {
    explore(seed, options).or_else(|failure| {
        explore(seed, options.trace())?;
        Err(failure)
    })
}
