//! Runs one seed. The seed determines everything in the run.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

#[cfg(feature = "bugs")]
use dog_engine::fault_injection::Fault;
use dog_testing::world::Bug;

use crate::checks::Checks;
use crate::plan::Plan;
use crate::run::Run;
use crate::workload::Workload;

/// The options of a run, in addition to its seed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Options {
    /// A bug to plant.
    pub bug: Option<Bug>,
    /// Whether to record a trace of everything that happens.
    pub trace: bool,
}

impl Options {
    /// Plants a bug.
    #[must_use]
    pub fn bug(self, bug: Bug) -> Self {
        Self { bug: Some(bug), ..self }
    }

    /// Records a trace.
    #[must_use]
    pub fn trace(self) -> Self {
        Self { trace: true, ..self }
    }
}

/// The outcome of a run in which no promise was broken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RunOutcome {
    /// The number of steps of the executor and the clock.
    pub steps: u64,
    /// How often a handler of a socket ran.
    pub handled: u64,
    /// How often each promise was checked.
    pub checks: Checks,
    /// The trace, if it was requested.
    pub trace: Vec<String>,
}

/// A broken promise, and the run in which it was found.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Finding {
    /// The seed of the run.
    pub seed: u64,
    /// The number of the promise in DESIGN.md.
    pub promise: u8,
    /// What was expected, and what happened.
    pub what: String,
    /// The trace until then, if it was requested.
    pub trace: Vec<String>,
    bug: Option<Bug>,
}

impl fmt::Display for Finding {
    /// Writes the trace, the broken promise, and the command that repeats the run.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.trace.iter().try_for_each(|line| writeln!(formatter, "{line}"))?;
        writeln!(formatter, "seed {}: promise {} is broken: {}", self.seed, self.promise, self.what)?;
        write!(formatter, "again: cargo xtask sim --seed {}", self.seed)?;
        self.bug.map_or(Ok(()), |bug| write!(formatter, " --bug {bug}"))
    }
}

impl std::error::Error for Finding {}

/// Runs one seed.
///
/// # Errors
/// If a promise was broken.
pub fn explore(seed: u64, options: Options) -> Result<RunOutcome, Box<Finding>> {
    let mut run = Run::new(Plan::new(seed, options.bug), options.trace);
    #[cfg(feature = "bugs")]
    dog_engine::fault_injection::plant(options.bug.and_then(fault));
    work_safely(&mut run);
    let finding = finding(&run, seed, options);
    let outcome = outcome(&run);
    run.world().end();
    match finding {
        Some(finding) => Err(Box::new(finding)),
        None => Ok(outcome),
    }
}

/// Runs one seed. If a promise was broken, runs it again with a trace.
///
/// # Errors
/// If a promise was broken.
pub fn explore_with_trace(seed: u64, options: Options) -> Result<RunOutcome, Box<Finding>> {
    explore(seed, options).or_else(|finding| {
        explore(seed, options.trace())?;
        Err(finding)
    })
}

/// The fault of the engine that this bug is. Other bugs are faults of the simulated host.
#[cfg(feature = "bugs")]
fn fault(bug: Bug) -> Option<Fault> {
    match bug {
        Bug::DoubleClose => Some(Fault::SocketEndsTwice),
        Bug::OutlivingTask => Some(Fault::TasksOutliveLives),
        Bug::ForgottenTopics => Some(Fault::TopicsAreForgotten),
        Bug::UnawaitedAssignment => Some(Fault::AssignmentIsNotAwaited),
        Bug::DoubledHand => Some(Fault::HandedTwice),
        Bug::RepeatedCall => Some(Fault::CallsAreRepeated),
        Bug::SparedSocket => Some(Fault::DisconnectSparesOne),
        Bug::UntoldMember => Some(Fault::YoungestIsNotTold),
        Bug::MissedSocket => Some(Fault::CountMissesOne),
        Bug::SkippedClient => Some(Fault::PageSkipsOne),
        Bug::UnnamedReplica => Some(Fault::SilenceIsNotNamed),
        Bug::IgnoredClosing => Some(Fault::ClosingIsIgnored),
        Bug::LimitlessClient => Some(Fault::ClientHasNoLimit),
        Bug::KeptTicket => Some(Fault::RefusedTicketIsKept),
        Bug::UnawaitedSubscription => Some(Fault::SubscriptionIsNotAwaited),
        Bug::UnnoticedGap => Some(Fault::GapIsNotNoticed),
        Bug::UnrepeatedHead => Some(Fault::HeadIsNotRepeated),
        Bug::LostLeave => Some(Fault::LeaveIsLost),
        Bug::RestartedPresence => Some(Fault::PresenceStartsOver),
        Bug::LostTopicLeave => Some(Fault::TopicLeaveIsLost),
        Bug::OffsetTwice => Some(Fault::OffsetIsGivenTwice),
        Bug::SeenBeforeDurable => Some(Fault::SeenBeforeStored),
        Bug::ForgottenPurge => Some(Fault::PurgeIsForgotten),
        Bug::UncountedSocket => Some(Fault::ConfirmationMissesOne),
        Bug::GateThatDrops => Some(Fault::GateDropsOne),
        _ => None,
    }
}

/// Runs the workload. A panic outside of handlers is a finding like any other.
fn work_safely(run: &mut Run) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| Workload::new(run).work())) {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("without a text");
        run.witness().record().broken(14, format!("a panic outside of handlers: {text}"));
    }
}

fn outcome(run: &Run) -> RunOutcome {
    let record = run.witness().record();
    RunOutcome { steps: run.steps(), handled: record.handled, checks: record.checks, trace: run.world().take_trace() }
}

fn finding(run: &Run, seed: u64, options: Options) -> Option<Finding> {
    let violation = run.witness().record().violations.first().cloned()?;
    let trace = run.world().take_trace();
    Some(Finding { seed, promise: violation.promise, what: violation.what, trace, bug: options.bug })
}
