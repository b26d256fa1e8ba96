//! What a Group's own code stands on.

use std::rc::Rc;

use dog::internal::{GroupPort, LocalFuture, ObjectPort, StoragePort};
use dog::{Env, Error, Group, GroupId, ReplicaId, Timestamp};

use super::group::GroupDriver;
use super::life::Living;
use super::storing::StorePort;
use crate::host::Host;

impl<G: Group, H: Host> ObjectPort for GroupDriver<G, H> {
    fn storage(&self) -> Rc<dyn StoragePort> {
        Rc::new(StorePort(Rc::clone(&self.store), self.life().activation()))
    }

    fn set_alarm(&self, at: Option<Timestamp>) -> LocalFuture<Result<(), Error>> {
        match self.life().activation().check() {
            Ok(()) => self.alarm.set(at),
            Err(error) => Box::pin(async { Err(error) }),
        }
    }

    fn alarm(&self) -> LocalFuture<Result<Option<Timestamp>, Error>> {
        match self.life().activation().check() {
            Ok(()) => self.alarm.get(),
            Err(error) => Box::pin(async { Err(error) }),
        }
    }
}

impl<G: Group, H: Host> GroupPort for GroupDriver<G, H> {
    fn group(&self) -> GroupId {
        self.address.group
    }

    fn env(&self) -> &Env {
        self.host.env()
    }

    fn now(&self) -> Timestamp {
        self.host.now()
    }

    fn stopping(&self) -> LocalFuture<()> {
        self.life().activation().stopping()
    }

    fn unique_replica(&self) -> ReplicaId {
        self.host.unique_replica(self.address)
    }
}
