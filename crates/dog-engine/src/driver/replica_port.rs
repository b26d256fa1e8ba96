//! What a Replica's code stands on: its driver, for as long as the value lives that it was given to.

use std::rc::{Rc, Weak};

use bytes::Bytes;
use dog::internal::{GossipAnswers, LocalFuture, ObjectPort, ReplicaPort, StoragePort};
use dog::{
    BroadcastReport, ClientId, CloseCode, Env, Error, GroupId, Message, Replica, ReplicaId, Request, Response,
    SocketId, Timestamp,
};

use super::life::{Activation, over};
use super::replica::ReplicaDriver;
use super::storing::{Store, StorePort};
use crate::address::ReplicaAddress;
use crate::host::Host;

/// Beneath every handle that one activation of a Replica has given to the user's code. Tasks that the user has started can
/// hold it for ever.
pub(super) struct Port<R: Replica, H: Host> {
    driver: Weak<ReplicaDriver<R, H>>,
    activation: Activation,
    address: ReplicaAddress,
    host: Rc<H>,
    store: Rc<Store<H>>,
}

impl<R: Replica, H: Host> Port<R, H> {
    pub(super) fn new(driver: &ReplicaDriver<R, H>, activation: Activation) -> Self {
        let (host, store) = (Rc::clone(&driver.host), Rc::clone(&driver.store));
        Self { driver: Weak::clone(&driver.this), activation, address: driver.address, host, store }
    }

    pub(super) fn is_over(&self) -> bool {
        self.activation.is_over()
    }

    /// The Replica, if it can act.
    fn living(&self) -> Result<Rc<ReplicaDriver<R, H>>, Error> {
        self.activation.check()?;
        self.driver.upgrade().ok_or_else(over)
    }

    /// The same as soon as the future is polled: whoever has made it may not have waited for it at once.
    fn when_polled(&self) -> impl FnOnce() -> Result<Rc<ReplicaDriver<R, H>>, Error> + use<R, H> {
        let (driver, activation) = (Weak::clone(&self.driver), self.activation.clone());
        move || {
            activation.check()?;
            driver.upgrade().ok_or_else(over)
        }
    }
}

impl<R: Replica, H: Host> ObjectPort for Port<R, H> {
    fn storage(&self) -> Rc<dyn StoragePort> {
        Rc::new(StorePort(Rc::clone(&self.store), self.activation.clone()))
    }

    fn set_alarm(&self, at: Option<Timestamp>) -> LocalFuture<Result<(), Error>> {
        match self.living() {
            Ok(driver) => driver.alarm.set(at),
            Err(error) => Box::pin(async { Err(error) }),
        }
    }

    fn alarm(&self) -> LocalFuture<Result<Option<Timestamp>, Error>> {
        match self.living() {
            Ok(driver) => driver.alarm.get(),
            Err(error) => Box::pin(async { Err(error) }),
        }
    }
}

impl<R: Replica, H: Host> ReplicaPort for Port<R, H> {
    fn replica(&self) -> ReplicaId {
        self.address.replica
    }

    fn group(&self) -> GroupId {
        self.address.group.group
    }

    fn env(&self) -> &Env {
        self.host.env()
    }

    fn now(&self) -> Timestamp {
        self.host.now()
    }

    fn stopping(&self) -> LocalFuture<()> {
        self.activation.stopping()
    }

    fn sockets(&self) -> Vec<(SocketId, ClientId)> {
        self.living().map(|driver| driver.open_sockets()).unwrap_or_default()
    }

    fn connect(&self, request: Request, attachment: Option<Bytes>) -> Response {
        match self.living() {
            Ok(driver) => driver.shake_hands(&request, attachment),
            Err(error) => dog::text_response(error.status(), error.to_string()),
        }
    }

    fn send(&self, socket: SocketId, message: &Message) -> Result<(), Error> {
        self.living()?.send(socket, message)
    }

    fn close(&self, socket: SocketId, code: CloseCode, reason: &str) {
        if let Ok(driver) = self.living() {
            driver.close(socket, code, reason);
        }
    }

    fn emit(&self, message: &Message, except: Option<&ClientId>) -> Result<(), Error> {
        self.living()?.deliver(message, except);
        Ok(())
    }

    fn broadcast(&self, message: &Message, except: Option<&ClientId>) -> Result<(), Error> {
        self.living()?.broadcast(message, except);
        Ok(())
    }

    fn broadcast_confirmed(
        &self,
        message: Message,
        except: Option<ClientId>,
    ) -> LocalFuture<Result<BroadcastReport, Error>> {
        let living = self.when_polled();
        Box::pin(async move { Ok(living()?.confirm(message, except).await) })
    }

    fn whisper(&self, client: ClientId, message: Message) -> LocalFuture<Result<usize, Error>> {
        let (living, activation) = (self.when_polled(), self.activation.clone());
        Box::pin(async move { living()?.whisper_to(&activation, client, message).await })
    }

    fn gossip(&self, gossip: Bytes) -> LocalFuture<Result<GossipAnswers, Error>> {
        let living = self.when_polled();
        Box::pin(async move { Ok(living()?.ask_siblings(gossip).await) })
    }

    fn attachment(&self, socket: SocketId) -> Result<Option<Bytes>, Error> {
        self.living()?.attachment(socket)
    }

    fn set_attachment(&self, socket: SocketId, attachment: Bytes) -> Result<(), Error> {
        self.living()?.set_attachment(socket, attachment)
    }
}
