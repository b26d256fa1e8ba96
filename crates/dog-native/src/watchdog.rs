//! The watchdog: finds workers that are stuck because a handler blocks their thread.

use std::fmt;
use std::time::Duration;

use dog_engine::address::{Object, ReplicaAddress};

use crate::heartbeat::Heartbeat;
use crate::shared::Shared;

/// A worker that is stuck, and the object that blocks it, if that is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stuck {
    pub(crate) worker: usize,
    silence: Duration,
    class: Option<&'static str>,
    object: Option<Object>,
}

impl fmt::Display for Stuck {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "worker {} has been stuck for {} s, ", self.worker, self.silence.as_secs())?;
        let class = self.class.unwrap_or_default();
        match self.object {
            // The complete ids, so that the object can be found.
            Some(Object::Group(group)) => write!(formatter, "blocked by the Group \"{class}\" {}", group.group),
            Some(Object::Replica(ReplicaAddress { group, replica })) => {
                write!(formatter, "blocked by the Replica {replica} of the Group \"{class}\" {}", group.group)
            }
            None => formatter.write_str("not by an object: App::fetch blocks it, or its thread has ended"),
        }
    }
}

/// Returns the workers without a heartbeat for [`stuck_after`](crate::Server::stuck_after).
pub(crate) fn stuck(shared: &Shared) -> Vec<Stuck> {
    let uptime = shared.uptime();
    let check = |(worker, heartbeat): (usize, &Heartbeat)| {
        let silence = heartbeat.silence(uptime);
        if silence < shared.config.stuck_after {
            return None;
        }
        let object = heartbeat.running();
        let class = object.and_then(|object| shared.class_names.get(usize::from(object.group().class.0)).copied());
        Some(Stuck { worker, silence, class, object })
    };
    shared.heartbeats.iter().enumerate().filter_map(check).collect()
}
