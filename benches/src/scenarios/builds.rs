//! Our relay and that of another build: [`Builds`] starts both.

use std::path::Path;

use anyhow::Result;

use crate::servers::entrant::{Entrant, Program};
use crate::servers::launcher::Launcher;
use crate::servers::programs::Programs;

/// The relay of this build.
pub const RELAY: &str = "relay";

/// The relay of another build.
const OTHER: &str = "other build";

/// What starts the relay of this build, and perhaps that of another one.
pub struct Builds {
    launcher: Launcher,
    other: Option<Launcher>,
}

impl Builds {
    /// `against` is the folder of the other build's `relay`.
    ///
    /// # Errors
    /// When there is one processor only, and the servers are to be pinned.
    pub fn new(programs: Programs, against: Option<&Path>, pin: bool) -> Result<Self> {
        let other = against.map(|folder| Launcher::new(programs.clone().with_ours(folder), pin)).transpose()?;
        Ok(Self { launcher: Launcher::new(programs, pin)?, other })
    }

    /// The relays, that of this build last, with these words added to their command lines.
    pub fn relays(&self, arguments: &[&str]) -> Vec<Entrant> {
        let names = self.other.iter().map(|_| OTHER).chain([RELAY]);
        names.map(|name| Entrant::new(name, Program::Relay).with(arguments)).collect()
    }

    /// What starts an entrant.
    pub fn launcher(&self, entrant: &Entrant) -> &Launcher {
        self.other.as_ref().filter(|_| entrant.name == OTHER).unwrap_or(&self.launcher)
    }

    /// The programs of those that cannot be started.
    pub fn missing(&self, entrants: &[Entrant]) -> Vec<String> {
        let missing = |entrant: &Entrant| self.launcher(entrant).missing(std::slice::from_ref(entrant));
        entrants.iter().flat_map(missing).collect()
    }
}
