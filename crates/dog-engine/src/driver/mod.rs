//! Runs a user's Group, Replica and App over any [host](crate::host).
//!
//! - `front`: the App, and the way of a client to its seat
//! - `group`: one life of a Group
//! - `replica`: one life of a Replica
//! - `object`: what both have in common: life, tasks, hibernation, alarms, storage
//! - `calls`: deadlines, and calls to many Replicas; `call_time`: how long a typed call to a Group may take
//! - `quota`: what an object may have in progress, by number and by bytes
//! - `sleep`: the sleep of a task that can be ended early
//! - `failures`: how failures of the user's code are counted and logged
//! - `extensions`: what the engine puts into requests and responses

mod call_time;
mod calls;
mod extensions;
mod failures;
mod front;
mod group;
mod object;
mod quota;
mod replica;
mod sleep;

use std::rc::Rc;

use dog::internal::GroupVisitor;
use dog::{App, AutoResponse, Epoch, Group, Groups, Replica};

use crate::address::{GroupAddress, ReplicaAddress};
use crate::host::{GroupObject, Host, ReplicaObject};

pub use extensions::Upgrade;
pub use front::{Front, app_port};
#[cfg(fuzzing)]
pub use group::{rewrite_clients, rewrite_record};
#[cfg(fuzzing)]
pub use object::rewrite_alarm;

/// How a host begins lives of one class of Groups and of its Replicas.
pub struct Class<H: Host> {
    /// [`Group::NAME`].
    pub name: &'static str,
    /// Begins a life of a Group.
    pub group: fn(Rc<H>, GroupAddress, Epoch) -> Rc<dyn GroupObject>,
    /// [`Replica::AUTO_RESPONSE`], for hosts that can answer without waking the Replica.
    pub auto_response: Option<AutoResponse>,
    /// Begins a life of a Replica.
    pub replica: fn(Rc<H>, ReplicaAddress, Epoch) -> Rc<dyn ReplicaObject>,
}

/// The classes of an App, in the order of [`App::Groups`].
pub fn classes<A: App, H: Host>() -> Vec<Class<H>> {
    struct Collect<H: Host>(Vec<Class<H>>);

    impl<H: Host> GroupVisitor for Collect<H> {
        fn visit<G: Group>(&mut self) {
            self.0.push(Class {
                name: G::NAME,
                group: |host, address, epoch| group::GroupDriver::<G, H>::begin(host, address, epoch),
                auto_response: G::Replica::AUTO_RESPONSE,
                replica: |host, address, epoch| replica::ReplicaDriver::<G::Replica, H>::begin(host, address, epoch),
            });
        }
    }

    let mut collect = Collect(Vec::new());
    A::Groups::visit(&mut collect);
    collect.0
}
