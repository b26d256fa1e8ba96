//! How a scenario says that a promise is broken: [`Trouble`], and the checks that find it.

use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::time::Duration;

/// How long a scenario waits for what is promised: long, for the machine may have much else to do, and shorter than a
/// ticket lives in the test App, so that a seat that is free only because its ticket has expired does not look like one
/// that was given back.
const PATIENCE: Duration = Duration::from_secs(25);

/// What went wrong, and on which line of the suite.
pub struct Trouble {
    what: String,
    at: &'static Location<'static>,
}

/// What scenarios and clients return.
pub type Outcome<T = ()> = Result<T, Trouble>;

impl Trouble {
    /// Trouble on the line that calls this.
    #[track_caller]
    pub fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), at: Location::caller() }
    }
}

impl<E: std::error::Error> From<E> for Trouble {
    #[track_caller]
    fn from(error: E) -> Self {
        Self::new(error.to_string())
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} [{}:{}]", self.what, self.at.file(), self.at.line())
    }
}

impl fmt::Debug for Trouble {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// # Errors
/// When `holds` is false.
#[track_caller]
pub(crate) fn ensure(holds: bool, what: impl Into<String>) -> Outcome {
    if holds { Ok(()) } else { Err(Trouble::new(what)) }
}

/// # Errors
/// When `got` is not `wanted`.
#[track_caller]
#[expect(clippy::needless_pass_by_value, reason = "most of what is compared was made for it")]
pub(crate) fn same<T: PartialEq<U> + fmt::Debug, U: fmt::Debug>(got: T, wanted: U, what: &str) -> Outcome {
    if got == wanted { Ok(()) } else { Err(Trouble::new(format!("{what}: got {got:?}, wanted {wanted:?}"))) }
}

/// Awaits `future`, 25 seconds at most.
///
/// # Errors
/// When the time is up, or what the future itself finds.
#[track_caller]
pub(crate) fn within<T>(what: &str, future: impl Future<Output = Outcome<T>>) -> impl Future<Output = Outcome<T>> {
    let late = Trouble::new(format!("{what}: not within {PATIENCE:?}"));
    async move { tokio::time::timeout(PATIENCE, future).await.unwrap_or(Err(late)) }
}

/// Tries `attempt` until it says true, 25 seconds at most: for what becomes true without an event that a client could
/// await, such as a Group's books.
///
/// # Errors
/// When the time is up, or when an attempt fails.
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
