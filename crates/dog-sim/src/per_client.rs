//! Checks, when all faults are healed, how many seats one client gets: promise 22.

use dog::{Close, CloseCode};
use dog_testing::world::Micros;

use crate::run::Run;

/// The time in which a Group learns that a socket has closed.
const LEFT: Micros = 300_000;

/// Checks the limit of seats per client.
pub(crate) struct PerClientCheck<'run> {
    run: &'run mut Run,
}

impl<'run> PerClientCheck<'run> {
    pub(crate) fn new(run: &'run mut Run) -> Self {
        Self { run }
    }

    /// In each Group, a newcomer opens as many sockets as it may have, on as many Replicas as that needs. One more is refused, until
    /// one of them has closed. Returns `false` if a promise was broken.
    pub(crate) fn check(&mut self) -> bool {
        let Some(most) = self.run.plan().rules.policy.max_seats_per_client else { return true };
        (0..self.run.plan().groups).all(|group| self.check_group(&format!("g{group}"), most))
    }

    fn check_group(&mut self, group: &str, most: u32) -> bool {
        let name = self.run.newcomer();
        let mut first = None;
        for socket in 1..=most {
            let Some((client, replica)) = self.run.place(group, &name) else { return false };
            first = first.or(Some(client));
            let what = || format!("{name} may have {most} sockets, and does not get number {socket}");
            if !self.expect(replica.is_some(), what) {
                return false;
            }
        }
        let Some((_, replica)) = self.run.place(group, &name) else { return false };
        let what = || format!("{name} may have {most} sockets, and gets one more on {replica:?}");
        let (Some(first), true) = (first, self.expect(replica.is_none(), what)) else { return false };
        self.run.world().client_closes(first, Close::new(CloseCode::NORMAL, ""));
        if !self.run.pass(LEFT) {
            return false;
        }
        let Some((_, replica)) = self.run.place(group, &name) else { return false };
        self.expect(replica.is_some(), || format!("{name} has closed one of {most} sockets, and gets no other one"))
    }

    fn expect(&self, is_kept: bool, what: impl FnOnce() -> String) -> bool {
        self.run.witness().record().check(22, if is_kept { Ok(()) } else { Err(what()) });
        is_kept
    }
}
