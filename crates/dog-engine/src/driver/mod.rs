//! The one driver that runs a user's Group, Replica and App over a host's few primitives.
//!
//! - `life`: an object's life and its tasks; `calls`: deadlines, and calls to many
//! - `replica`: a Replica's life; `answers`: what it is asked; `telling`: what it tells its Group; `sockets`: the order
//!   of its handlers; `verbs`: what its handlers can do, by `replica_port`; `gossip`: what it asks its
//!   siblings
//! - `group`: a Group's life; `group_port`: what its own code stands on; `placing`: who gets a place; `waiting`: who waits
//!   for one; `looks`: what time does; `growing`: new members, census, the view; `records`: members kept over lives; `clients`: and clients over the end
//!   of a host
//! - `storing`: an object's storage; `queue`: transactions that overtake each other; `alarms`: its alarm; `idle`: when it rests
//! - `front`: the App, and the way from outside to a Replica

mod alarms;
mod answers;
mod calls;
mod clients;
mod front;
mod gossip;
mod group;
mod group_port;
mod growing;
mod idle;
mod life;
mod looks;
mod placing;
mod queue;
mod records;
mod replica;
mod replica_port;
mod sockets;
mod storing;
mod telling;
mod verbs;
mod waiting;

use std::rc::Rc;

use dog::internal::GroupVisitor;
use dog::{App, AutoResponse, Epoch, Group, Groups, Replica};

use crate::address::{GroupAddress, ReplicaAddress};
use crate::host::{GroupObject, Host, ReplicaObject};

#[cfg(fuzzing)]
pub use clients::rewrite_clients;
pub use front::{Front, Upgrade};
#[cfg(fuzzing)]
pub use records::rewrite_record;

/// How a host begins lives of one class of Groups and its Replicas.
pub struct Class<H: Host> {
    /// [`Group::NAME`].
    pub name: &'static str,
    /// Begins a life of a Group.
    pub group: fn(Rc<H>, GroupAddress, Epoch) -> Rc<dyn GroupObject>,
    /// What is answered without waking its Replicas, where the host can: [`Replica::AUTO_RESPONSE`].
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
