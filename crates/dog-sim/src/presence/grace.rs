//! Who may not be said to leave yet: [`Graces`].

use std::collections::BTreeMap;
use std::time::Duration;

use dog::{ClientId, GroupId, Timestamp};

use super::faults::Faults;
use super::place::Place;

/// How long a client stays whose socket was closed with 1012: the time that a shutdown takes in the simulated hosts, and 10 s.
const RESTART_GRACE: Duration = Duration::from_secs(20);

/// A client that was disconnected has no grace time, and news of that may be as late as this.
const DISCONNECTED: Duration = Duration::from_secs(60);

/// Objects see whole milliseconds.
const PRECISION: Duration = Duration::from_millis(2);

/// A client that stays, because its socket was closed with 1012.
#[derive(Clone, Copy, Debug)]
struct Stay {
    until: Timestamp,
    group_life: u64,
    faults: Faults,
}

/// A client in one place of a Group.
type Guest = (GroupId, Place, String);

/// When clients were there, and which of them have no grace time.
#[derive(Debug, Default)]
pub(crate) struct Graces {
    /// When each client had a connection that its Group must have learned of, and what had gone wrong before that was there.
    here: BTreeMap<Guest, (Timestamp, Faults)>,
    stays: BTreeMap<Guest, Stay>,
    disconnected: BTreeMap<(GroupId, String), Timestamp>,
}

fn guest(group: GroupId, place: Place, client: &ClientId) -> Guest {
    (group, place, client.as_str().to_owned())
}

impl Graces {
    /// A client is there, and what had gone wrong before it came does not hide it from its Group.
    pub(super) fn is_here(
        &mut self,
        group: GroupId,
        (place, client): (Place, &ClientId),
        now: Timestamp,
        before: Faults,
    ) {
        self.here.insert(guest(group, place, client), (now, before));
    }

    /// A client stays, because its socket is closed with 1012.
    pub(super) fn stays(
        &mut self,
        (group, group_life): (GroupId, u64),
        (place, client): (Place, &ClientId),
        faults: Faults,
        now: Timestamp,
    ) {
        let stay = Stay { until: now + RESTART_GRACE, group_life, faults };
        self.stays.insert(guest(group, place, client), stay);
    }

    /// A client is being disconnected, or was.
    pub(super) fn disconnects(&mut self, group: GroupId, client: &str, now: Timestamp) {
        self.disconnected.insert((group, client.to_owned()), now);
    }

    /// Whether a client was disconnected not long ago.
    pub(super) fn was_disconnected(&self, group: GroupId, client: &str, now: Timestamp) -> bool {
        let at = self.disconnected.get(&(group, client.to_owned()));
        at.is_some_and(|at| now < *at + DISCONNECTED)
    }

    /// A life of a Group says that a client leaves. Who has a generated id has no grace time, and neither has who was
    /// disconnected.
    ///
    /// # Errors
    /// It is too early.
    pub(super) fn check_leaves(
        &self,
        (group, life): (GroupId, u64),
        (place, client): (Place, &ClientId),
        grace: Duration,
        faults: Faults,
        now: Timestamp,
    ) -> Result<(), String> {
        if client.is_anonymous() || self.was_disconnected(group, client.as_str(), now) {
            return Ok(());
        }
        let of = guest(group, place, client);
        let here = self.here.get(&of).filter(|(_, before)| faults.all_has_arrived_since(*before));
        if let Some((open, _)) = here.filter(|(open, _)| now + PRECISION < *open + grace) {
            return Err(format!("{client} is said to leave {place:?} at {now:?}, and had a socket there at {open:?}"));
        }
        let stays = self.stays.get(&of).filter(|stay| stay.group_life == life && stay.faults == faults);
        match stays.filter(|stay| now + PRECISION < stay.until) {
            Some(stay) => {
                Err(format!("{client} is said to leave {place:?} at {now:?}, but its server restarts: {stay:?}"))
            }
            None => Ok(()),
        }
    }
}
