//! The host behind a [`Dog`](dog::Dog): of the App, or of an object in its current activation.

use std::rc::Rc;

use bytes::Bytes;
use dog::internal::{AppPort, GroupVerb, Kind, LocalFuture, LogVerb, LogVerbAnswer, SeatPort, Topic, VerbAnswer};
use dog::{ClientId, Env, Error, GroupId, Message, ReplicaId, Request, Response, Timestamp};

use super::reservation::Reservation;
use crate::address::GroupAddress;
use crate::driver::call_time::{call_for_log, call_group};
use crate::driver::calls::call_for_verb;
use crate::driver::extensions::prepare_request;
use crate::driver::object::Activation;
use crate::host::Host;
use crate::message::GroupCast;

/// The way to all Groups of the App, for code that is not part of an object.
pub fn app_port<H: Host>(host: Rc<H>) -> Rc<dyn AppPort> {
    Rc::new(Port { host, activation: None })
}

/// The way to all Groups of the App, for an object. It leads nowhere once the activation is over.
pub(in crate::driver) fn object_port<H: Host>(host: Rc<H>, activation: Activation) -> Rc<dyn AppPort> {
    Rc::new(Port { host, activation: Some(activation) })
}

struct Port<H> {
    host: Rc<H>,
    activation: Option<Activation>,
}

impl<H: Host> Port<H> {
    fn address(&self, class: &str, group: GroupId) -> Result<GroupAddress, Error> {
        self.activation.as_ref().map_or(Ok(()), Activation::check)?;
        match self.host.class(class) {
            Some(class) => Ok(GroupAddress { class, group }),
            None => Err(Error::new(Kind::UnknownGroup, format!("the Group \"{class}\" is missing in App::Groups"))),
        }
    }
}

impl<H: Host> AppPort for Port<H> {
    fn env(&self) -> &Env {
        self.host.env()
    }

    fn identify(
        &self,
        class: &'static str,
        group: GroupId,
        client: ClientId,
    ) -> LocalFuture<Result<Box<dyn SeatPort>, Error>> {
        let (host, address, activation) = (Rc::clone(&self.host), self.address(class, group), self.activation.clone());
        Box::pin(async move {
            let reservation = Reservation::make(host, address?, client).await?;
            Ok(match activation {
                Some(activation) => Box::new(OfObject { reservation: Box::new(reservation), activation }),
                None => Box::new(reservation) as Box<dyn SeatPort>,
            })
        })
    }

    fn shake_hands(&self, request: &Request) -> Result<Response, Box<Response>> {
        self.host.shake_hands(request)
    }

    fn call_group(&self, class: &'static str, group: GroupId, call: Bytes) -> LocalFuture<Result<Bytes, Error>> {
        let (host, address) = (Rc::clone(&self.host), self.address(class, group));
        Box::pin(async move { call_group(&host, address?, call).await })
    }

    fn fetch_group(
        &self,
        class: &'static str,
        group: GroupId,
        mut request: Request,
    ) -> LocalFuture<Result<Response, Error>> {
        prepare_request(&mut request, None);
        match self.address(class, group) {
            Ok(address) => self.host.fetch_group(address, request),
            Err(error) => Box::pin(async { Err(error) }),
        }
    }

    fn broadcast(
        &self,
        class: &'static str,
        group: GroupId,
        topic: Option<Topic>,
        message: Message,
    ) -> Result<(), Error> {
        self.host.cast_group(self.address(class, group)?, GroupCast::broadcast(topic, message));
        Ok(())
    }

    fn verb(&self, class: &'static str, group: GroupId, verb: GroupVerb) -> LocalFuture<Result<VerbAnswer, Error>> {
        let (host, address) = (Rc::clone(&self.host), self.address(class, group));
        Box::pin(async move { call_for_verb(&host, address?, verb).await })
    }

    fn log(&self, class: &'static str, group: GroupId, verb: LogVerb) -> LocalFuture<Result<LogVerbAnswer, Error>> {
        let (host, address) = (Rc::clone(&self.host), self.address(class, group));
        Box::pin(async move { call_for_log(&host, address?, verb, None).await })
    }

    fn now(&self) -> Timestamp {
        self.host.now()
    }
}

/// A seat that an object has reserved. It cannot be used once the activation is over.
struct OfObject {
    reservation: Box<dyn SeatPort>,
    activation: Activation,
}

impl SeatPort for OfObject {
    fn replica(&self) -> ReplicaId {
        self.reservation.replica()
    }

    fn fetch(self: Box<Self>, request: Request, identity: Option<Bytes>) -> LocalFuture<Result<Response, Error>> {
        match self.activation.check() {
            Ok(()) => self.reservation.fetch(request, identity),
            Err(error) => Box::pin(async { Err(error) }),
        }
    }
}
