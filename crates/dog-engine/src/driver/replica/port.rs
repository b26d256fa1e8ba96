//! The handle by which a Replica's code reaches its driver, for as long as the activation lasts.

use std::any::{Any, TypeId};
use std::future::ready;
use std::rc::{Rc, Weak};
use std::time::Duration;

use bytes::Bytes;
use dog::internal::{
    AppPort, ConnectionId, Door, Except, GossipAnswers, GroupVerb, LocalFuture, LogTopic, LogVerb, LogVerbAnswer,
    ObjectPort, Opening, Position, Recovered, ReplicaPort, Session, StoragePort, StreamFormat, Topic, Topics,
    Unrecovered, VerbAnswer,
};
use dog::{
    BroadcastReport, ClientId, CloseCode, Env, Error, GroupId, Message, Replica, ReplicaId, Request, Response,
    SocketId, Timestamp,
};

use super::topics::Subscribable;
use super::{ReplicaDriver, presence, resuming, topics};
use crate::address::ReplicaAddress;
use crate::driver::call_time::call_group;
use crate::driver::calls::call_for_verb;
use crate::driver::front::object_port;
use crate::driver::object::{Activation, Store, StorePort, over, spawn_of_user};
use crate::host::Host;

/// Behind every handle that one activation of a Replica has given to the user's code. Tasks of the user can hold it for
/// ever, so it does not own the driver.
pub(super) struct Port<R: Replica, H: Host> {
    driver: Weak<ReplicaDriver<R, H>>,
    activation: Activation,
    address: ReplicaAddress,
    host: Rc<H>,
    store: Rc<Store<H>>,
}

impl<R: Replica, H: Host> Port<R, H> {
    pub(super) fn new(driver: &ReplicaDriver<R, H>, activation: Activation) -> Self {
        let (host, store) = (Rc::clone(driver.core.host()), Rc::clone(driver.core.store()));
        Self { driver: Weak::clone(&driver.this), activation, address: driver.address, host, store }
    }

    pub(super) fn is_over(&self) -> bool {
        self.activation.is_over()
    }

    /// The driver, if the activation lasts.
    fn driver(&self) -> Result<Rc<ReplicaDriver<R, H>>, Error> {
        self.activation.check()?;
        self.driver.upgrade().ok_or_else(over)
    }

    /// The same, if the App has topics.
    fn driver_with_topics(&self) -> Result<Rc<ReplicaDriver<R, H>>, Error> {
        if Topics::ON { self.driver() } else { Err(over()) }
    }

    /// The same, evaluated when the future is first polled: the caller may not poll it at once.
    fn driver_when_polled(&self) -> impl FnOnce() -> Result<Rc<ReplicaDriver<R, H>>, Error> + use<R, H> {
        let (driver, activation) = (Weak::clone(&self.driver), self.activation.clone());
        move || {
            activation.check()?;
            driver.upgrade().ok_or_else(over)
        }
    }
}

impl<R: Replica, H: Host> ObjectPort for Port<R, H> {
    fn env(&self) -> &Env {
        self.host.env()
    }

    fn now(&self) -> Timestamp {
        self.host.now()
    }

    fn stopping(&self) -> LocalFuture<()> {
        self.activation.stopping()
    }

    fn sleep(&self, duration: Duration) -> LocalFuture<()> {
        self.host.sleep(duration)
    }

    fn spawn(&self, task: LocalFuture<()>) -> Result<(), Error> {
        spawn_of_user(&self.driver()?, task)
    }

    fn storage(&self) -> Rc<dyn StoragePort> {
        StorePort::new_port(&self.store, self.activation.clone(), None)
    }

    fn dog(&self) -> Rc<dyn AppPort> {
        object_port(Rc::clone(&self.host), self.activation.clone())
    }
}

impl<R: Replica, H: Host> ReplicaPort for Port<R, H> {
    fn replica(&self) -> ReplicaId {
        self.address.replica
    }

    fn group(&self) -> GroupId {
        self.address.group.group
    }

    fn sockets(&self) -> Vec<(SocketId, ClientId)> {
        self.driver().map(|driver| driver.open_sockets()).unwrap_or_default()
    }

    fn connect(&self, request: Request, opening: Opening) -> Response {
        match self.driver() {
            Ok(driver) => driver.shake_hands(&request, opening),
            Err(error) => dog::text_response(error.status(), error.to_string()),
        }
    }

    fn stream(&self, request: Request, format: StreamFormat, opening: Opening) -> Response {
        match self.driver() {
            Ok(driver) => driver.open_event_stream(&request, format, opening),
            Err(error) => dog::text_response(error.status(), error.to_string()),
        }
    }

    fn set_door(&self, door: Door) -> Result<(), Error> {
        self.driver()?.set_door(door);
        Ok(())
    }

    fn session(&self, socket: SocketId) -> Option<Session> {
        self.driver().ok()?.outlets.session(socket)
    }

    fn send(&self, socket: SocketId, message: &Message) -> Result<(), Error> {
        self.driver()?.send(socket, message)
    }

    fn send_first(&self, socket: SocketId, message: &Message) -> Result<(), Error> {
        let driver = self.driver()?;
        driver.check_open(socket)?;
        driver.outlets.deliver_first(message, socket);
        Ok(())
    }

    fn close(&self, socket: SocketId, code: CloseCode, reason: &str) {
        if let Ok(driver) = self.driver() {
            driver.close(socket, code, reason);
        }
    }

    fn emit(&self, message: &Message, except: Except<&ClientId>) -> Result<(), Error> {
        self.driver()?.deliver(message, except);
        Ok(())
    }

    fn broadcast(&self, message: &Message, except: Except<&ClientId>) -> Result<(), Error> {
        self.driver()?.broadcast(message, except);
        Ok(())
    }

    fn broadcast_confirmed(
        &self,
        message: Message,
        except: Except<ClientId>,
    ) -> LocalFuture<Result<BroadcastReport, Error>> {
        let driver = self.driver_when_polled();
        Box::pin(async move { Ok(driver()?.broadcast_confirmed(message, except).await) })
    }

    fn subscribe(&self, socket: SocketId, topic: Topic) -> LocalFuture<Result<(), Error>> {
        if !Topics::ON {
            return Box::pin(ready(Err(over())));
        }
        let (driver, activation) = (self.driver_when_polled(), self.activation.clone());
        Box::pin(async move {
            let driver = driver()?;
            topics::subscribe(&*driver, &activation, socket, topic).await
        })
    }

    fn unsubscribe(&self, socket: SocketId, topic: &str) -> Result<(), Error> {
        topics::unsubscribe(&*self.driver_with_topics()?, socket, topic)
    }

    fn topics(&self, socket: SocketId) -> Vec<Topic> {
        self.driver_with_topics().map(|driver| topics::topics_of(&*driver, socket)).unwrap_or_default()
    }

    fn emit_to(&self, topic: &str, message: &Message, except: Except<&ClientId>) -> Result<(), Error> {
        topics::emit_to(&*self.driver_with_topics()?, topic, message, except);
        Ok(())
    }

    fn broadcast_to(&self, topic: Topic, message: &Message, except: Except<&ClientId>) -> Result<(), Error> {
        topics::broadcast_to(&*self.driver_with_topics()?, topic, message, except);
        Ok(())
    }

    fn whisper(&self, client: ClientId, message: Message) -> LocalFuture<Result<usize, Error>> {
        let (driver, activation) = (self.driver_when_polled(), self.activation.clone());
        Box::pin(async move { driver()?.whisper(&activation, client, message).await })
    }

    fn gossip(&self, gossip: Bytes) -> LocalFuture<Result<GossipAnswers, Error>> {
        let driver = self.driver_when_polled();
        Box::pin(async move { Ok(driver()?.gossip(gossip).await) })
    }

    fn call_group(&self, call: Bytes) -> LocalFuture<Result<Bytes, Error>> {
        let (driver, host, group) = (self.driver_when_polled(), Rc::clone(&self.host), self.address.group);
        Box::pin(async move {
            driver()?;
            call_group(&host, group, call).await
        })
    }

    fn assign(&self, socket: SocketId, client: ClientId) -> LocalFuture<Result<(), Error>> {
        let (driver, activation) = (self.driver_when_polled(), self.activation.clone());
        Box::pin(async move { driver()?.assign(&activation, socket, client).await })
    }

    fn client(&self, socket: SocketId) -> Option<ClientId> {
        self.driver().ok()?.client(socket)
    }

    fn identity(&self, socket: SocketId) -> Result<Option<Bytes>, Error> {
        self.driver()?.identity(socket)
    }

    fn verb(&self, verb: GroupVerb) -> LocalFuture<Result<VerbAnswer, Error>> {
        let (driver, host, group) = (self.driver_when_polled(), Rc::clone(&self.host), self.address.group);
        Box::pin(async move {
            let driver = driver()?;
            // The Group says what is wrong with another topic.
            let is_legal = verb.presence_topic().is_none_or(|topic| ReplicaDriver::<R, H>::has_presence(topic));
            match is_legal.then(|| driver.presence.read(&verb)).flatten() {
                Some(known) => Ok(known),
                None => call_for_verb(&host, group, verb).await,
            }
        })
    }

    fn log(&self, verb: LogVerb) -> LocalFuture<Result<LogVerbAnswer, Error>> {
        let (driver, host, group) = (self.driver_when_polled(), Rc::clone(&self.host), self.address.group);
        Box::pin(async move {
            let publishing = Rc::clone(&driver()?.publishing);
            publishing.call(&host, group, verb).await
        })
    }

    fn set_presence(&self, socket: SocketId, value: Bytes) -> Result<(), Error> {
        presence::set_value(&*self.driver()?, socket, &value)
    }

    fn connection(&self, socket: SocketId) -> Option<ConnectionId> {
        self.driver().ok()?.presence.name(socket)
    }

    fn resume(
        &self,
        socket: SocketId,
        topic: LogTopic,
        since: Position,
    ) -> LocalFuture<Result<Result<Recovered, Unrecovered>, Error>> {
        let (driver, activation) = (self.driver_when_polled(), self.activation.clone());
        Box::pin(async move {
            let driver = driver()?;
            resuming::resume(&*driver, &activation, socket, topic, since).await
        })
    }

    fn attachment(&self, socket: SocketId) -> Result<Option<Bytes>, Error> {
        self.driver()?.attachment(socket)
    }

    fn socket_state(&self, socket: SocketId, kind: TypeId, make: fn() -> Rc<dyn Any>) -> Result<Rc<dyn Any>, Error> {
        self.driver()?.socket_state(socket, kind, make)
    }

    fn set_attachment(&self, socket: SocketId, attachment: Bytes) -> Result<(), Error> {
        self.driver()?.set_attachment(socket, attachment)
    }
}
