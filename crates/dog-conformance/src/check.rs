//! Checks with deadlines, and [`ScenarioFailure`], the error of a check that fails.

use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::time::Duration;

/// How long a scenario waits for something that must happen. It is long, because the machine may be busy. It is shorter than
/// the lifetime of a ticket in the test App: a seat that is free because its ticket has expired must not pass for a seat that
/// was released.
const PATIENCE: Duration = Duration::from_secs(25);

/// What was expected, what happened, and the line of the suite that found it.
pub struct ScenarioFailure {
    what: String,
    at: &'static Location<'static>,
}

/// The result of a scenario or of an action of a client.
pub type Outcome<T = ()> = Result<T, ScenarioFailure>;

impl ScenarioFailure {
    /// A failure on the line of the caller.
    #[track_caller]
    pub fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), at: Location::caller() }
    }
}

impl<E: std::error::Error> From<E> for ScenarioFailure {
    #[track_caller]
    fn from(error: E) -> Self {
        Self::new(error.to_string())
    }
}

impl fmt::Display for ScenarioFailure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} [{}:{}]", self.what, self.at.file(), self.at.line())
    }
}

impl fmt::Debug for ScenarioFailure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// Checks a condition.
///
/// # Errors
/// If `holds` is false.
#[track_caller]
pub(crate) fn ensure(holds: bool, what: impl Into<String>) -> Outcome {
    if holds { Ok(()) } else { Err(ScenarioFailure::new(what)) }
}

/// Compares two values.
///
/// # Errors
/// If `got` differs from `expected`.
#[track_caller]
#[expect(clippy::needless_pass_by_value, reason = "most of what is compared was made for it")]
pub(crate) fn same<T: PartialEq<U> + fmt::Debug, U: fmt::Debug>(got: T, expected: U, what: &str) -> Outcome {
    if got == expected {
        Ok(())
    } else {
        Err(ScenarioFailure::new(format!("{what}: expected {expected:?}, got {got:?}")))
    }
}

/// Awaits `future` for at most 25 s.
///
/// # Errors
/// If the time is over, or if the future fails.
#[track_caller]
pub(crate) fn within<T>(what: &str, future: impl Future<Output = Outcome<T>>) -> impl Future<Output = Outcome<T>> {
    let late = ScenarioFailure::new(format!("{what}: expected within {PATIENCE:?}, but the time is over"));
    async move { tokio::time::timeout(PATIENCE, future).await.unwrap_or(Err(late)) }
}

/// Calls `attempt` until it returns true, for at most 25 s. This is for conditions without an event that a client could await,
/// such as the books of a Group.
///
/// # Errors
/// If the time is over, or if an attempt fails.
#[track_caller]
pub(crate) fn eventually(what: &str, mut attempt: impl AsyncFnMut() -> Outcome<bool>) -> impl Future<Output = Outcome> {
    let attempts = async move {
        while !attempt().await? {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(())
    };
    within(what, attempts)
}
