//! What a list and those who ask it say to each other: [`ListCall`], [`ListReply`].

use std::time::Duration;

use dog::http::StatusCode;
use dog::{Failure, Result, Timestamp};
use serde::{Deserialize, Serialize};

use super::{Revocation, Subject};

/// For how long an entry outlives its time.
const SLACK: Duration = Duration::from_secs(600);

/// A revocation in the list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Entry {
    pub(super) revocation: Revocation,
    /// When it was stored.
    pub(super) at: Timestamp,
}

impl Entry {
    pub(super) fn ends(&self) -> Timestamp {
        self.revocation.until + SLACK
    }

    pub(super) fn is_over(&self, now: Timestamp) -> bool {
        self.ends() <= now
    }
}

/// Which list it is, and how much of it somebody has seen. Entries are numbered from 1 and never change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Seen {
    /// When its first entry was stored: a list that was lost begins again with another one.
    pub(super) list: Timestamp,
    pub(super) number: u64,
}

/// A call to a `RevocationList`. [`Revocation`] and [`Revocations`](super::Revocations) make them.
#[derive(Debug, Serialize, Deserialize)]
pub struct ListCall(pub(super) Call);

#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Call {
    Revoke(Revocation),
    Check {
        subjects: Vec<Subject>,
        issued: Option<Timestamp>,
    },
    /// What is new. It waits for that, unless it is asked for the first time.
    After {
        seen: Seen,
        waits: bool,
    },
}

/// What a `RevocationList` answers.
#[derive(Debug, Serialize, Deserialize)]
pub struct ListReply(pub(super) Reply);

#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Reply {
    Revoked,
    Full,
    Checked { is_revoked: bool },
    Changes(Changes),
}

/// What is new.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Changes {
    /// Forget everything before.
    pub(super) starts_over: bool,
    pub(super) seen: Seen,
    pub(super) is_all: bool,
    pub(super) entries: Vec<Entry>,
    pub(super) now: Timestamp,
}

impl Revocation {
    /// The call that stores it, for `dog_native::Handle`. [`ListReply::revoked`] reads the answer. An App uses
    /// `RevocationList::revoke`.
    pub fn call(&self) -> ListCall {
        ListCall(Call::Revoke(self.clone()))
    }
}

impl ListCall {
    pub(super) fn after(seen: Seen, waits: bool) -> Self {
        Self(Call::After { seen, waits })
    }
}

impl ListReply {
    /// Whether the revocation is stored, durably.
    ///
    /// # Errors
    /// The list is full. As a failure that is not handled, it answers 503.
    pub fn revoked(self) -> Result<()> {
        match self.0 {
            Reply::Revoked => Ok(()),
            _ => Err(Failure::status(StatusCode::SERVICE_UNAVAILABLE, "the list of revocations is full")),
        }
    }

    pub(super) fn changes(self) -> Option<Changes> {
        match self.0 {
            Reply::Changes(changes) => Some(changes),
            _ => None,
        }
    }
}
