//! One object, as the runtime drives it: [`Object`].

use std::panic::{RefUnwindSafe, UnwindSafe};
use std::rc::Rc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use dog::http::StatusCode;
use dog::internal::{Kind, SocketErrorKind};
use dog::{Close, CloseCode, Error, Message, Response, SocketError};
use dog_engine::Upgrade;
use dog_engine::host::{End, Fetched};
use dog_engine::reply::Reply;
use futures_channel::oneshot;
use js_sys::{Promise, Uint8Array};
use serde::Serialize;
use wasm_bindgen::{JsCast, JsValue};

use crate::calls::{ERROR, NO_TICKET, REFUSAL, RESPONSE, TICKET};
use crate::host::{Host, Life, Worker};
use crate::http;
use crate::letters::wrong_object;
use crate::platform::{State, WebSocket, words};
use crate::post::unbundle;
use crate::turns::promise;
use dog_engine::wire::{self, ToGroup, ToReplica};

/// A Group or a Replica, in one stay in memory. Each event returns what the runtime is to wait for: handlers that wait
/// for something must not be lost because the object seems to be at rest.
pub struct Object {
    host: Result<Rc<Host>, Error>,
    state: State,
}

// Whatever of the user's panics is caught by the engine, which then ends that life: nothing half-done is seen again.
impl UnwindSafe for Object {}
impl RefUnwindSafe for Object {}

fn ours<T: Serialize>(kind: &str, status: StatusCode, value: &T) -> Result<web_sys::Response, Error> {
    let mut response = Response::new(wire::encode(value)?.into());
    *response.status_mut() = status;
    http::response_to_platform(response, Some(kind))
}

/// An answer that is owed, and where it comes.
fn reply<T: 'static>() -> (Reply<T>, impl Future<Output = Result<T, Error>>) {
    let (sender, receiver) = oneshot::channel();
    // Whoever asked may have gone.
    let reply = Reply::new(move |answer| drop(sender.send(answer)));
    let answer = async { receiver.await.unwrap_or_else(|_| Err(Error::new(Kind::Unreachable, "no answer"))) };
    (reply, answer)
}

impl Object {
    /// It is in memory: for the first time, or again.
    pub fn new(worker: &'static Worker, class: &str, state: State, bindings: JsValue) -> Self {
        let host = Host::of_object(worker, class, state.clone(), bindings);
        if let Err(error) = &host {
            tracing::error!("an object of the class {class} cannot begin: {error}");
        }
        Self { host, state }
    }

    fn host(&self) -> Result<Rc<Host>, Error> {
        let host = self.host.as_ref().map_err(|error| Error::new(error.kind(), error.to_string()))?;
        if let Some(here) = host.here.get() {
            here.sockets.borrow_mut().forget_closed(&here.storage);
        }
        Ok(Rc::clone(host))
    }

    /// What follows from an event. The runtime is to wait until no handler does.
    fn until_idle(&self) -> JsValue {
        let Ok(host) = &self.host else { return JsValue::UNDEFINED };
        host.tell_ended();
        if !host.is_busy() {
            return JsValue::UNDEFINED;
        }
        let host = Rc::clone(host);
        promise(async move {
            host.idle().await;
            Ok(JsValue::UNDEFINED)
        })
        .into()
    }

    /// The same for an event whose answer does not wait for all handlers.
    fn keep_awake(&self) {
        let idle = self.until_idle();
        if idle.is_object() {
            self.state.wait_until(idle.unchecked_ref());
        }
    }

    /// A request with a ticket, or one for a Group; from this Worker alone, since nobody else has the binding.
    pub fn fetch(&self, request: &web_sys::Request) -> Promise {
        let answer = self.begin_fetch(request);
        self.keep_awake();
        promise(async move {
            let answer = match answer {
                Ok(answer) => answer.await,
                Err(error) => Err(error),
            };
            let response = answer.or_else(|error| ours(ERROR, StatusCode::INTERNAL_SERVER_ERROR, &error));
            response.map(JsValue::from).map_err(|error| js_sys::Error::new(&error.to_string()).into())
        })
    }

    fn begin_fetch(
        &self,
        request: &web_sys::Request,
    ) -> Result<impl Future<Output = Result<web_sys::Response, Error>> + 'static, Error> {
        let host = self.host()?;
        let mut request = http::request_from_platform(request)?;
        let ticket = request.headers_mut().remove(TICKET);
        let ticket = ticket.ok_or_else(|| Error::new(Kind::NoTicket, "the request has no ticket"))?;
        let (to_group, to_replica) = match host.life()? {
            Life::Group(group) if ticket == NO_TICKET => {
                let (reply, answer) = reply();
                group.fetch(request, reply);
                (Some(answer), None)
            }
            Life::Replica(replica) => {
                let ticket = BASE64_STANDARD.decode(ticket.as_bytes());
                let ticket = ticket.map_err(|_| Error::new(Kind::NoTicket, "the ticket is damaged"))?;
                let (reply, answer) = reply();
                replica.fetch(wire::decode(&ticket)?, request, reply);
                (None, Some(answer))
            }
            Life::Group(_) => return Err(wrong_object()),
        };
        Ok(async move {
            let fetched = match (to_group, to_replica) {
                (Some(answer), _) => Fetched::Response(answer.await?),
                (_, Some(answer)) => answer.await?,
                (None, None) => return Err(wrong_object()),
            };
            match fetched {
                Fetched::Response(response) => respond(&host, response),
                Fetched::Refused { refusal, .. } => ours(REFUSAL, StatusCode::SERVICE_UNAVAILABLE, &refusal),
            }
        })
    }

    /// Letters from another object. The last one's answer is that to all of them.
    pub fn call(&self, bundle: &JsValue) -> JsValue {
        let mut answer = Ok(JsValue::UNDEFINED);
        for letter in unbundle(bundle) {
            answer = self.read_letter(&letter);
            if let Err(error) = &answer {
                tracing::error!("a letter could not be read: {error}");
            }
        }
        self.keep_awake();
        answer.unwrap_or_else(|error| Promise::reject(&js_sys::Error::new(&error.to_string())).into())
    }

    fn read_letter(&self, letter: &[u8]) -> Result<JsValue, Error> {
        match self.host()?.life()? {
            Life::Group(group) => match wire::decode(letter)? {
                ToGroup::Call(call) => {
                    let (reply, answer) = reply();
                    group.call(call, reply);
                    Ok(post(answer))
                }
                ToGroup::Cast(cast) => {
                    group.cast(cast);
                    Ok(JsValue::UNDEFINED)
                }
            },
            Life::Replica(replica) => match wire::decode(letter)? {
                ToReplica::Call(call) => {
                    let (reply, answer) = reply();
                    replica.call(call, reply);
                    Ok(post(answer))
                }
                ToReplica::Cast(cast) => {
                    replica.cast(cast);
                    Ok(JsValue::UNDEFINED)
                }
            },
        }
    }

    /// A message has come on a socket.
    pub fn message(&self, socket: &WebSocket, message: &JsValue) -> JsValue {
        if let Err(error) = self.hand_over(socket, message) {
            tracing::error!("a message is lost: {error}");
        }
        self.until_idle()
    }

    fn hand_over(&self, socket: &WebSocket, message: &JsValue) -> Result<(), Error> {
        let host = self.host()?;
        // One that crossed the socket's end on its way.
        let Some(id) = host.here()?.sockets.borrow().find(socket) else { return Ok(()) };
        let message = match message.as_string() {
            Some(text) => Message::text(text),
            None => Message::binary(Uint8Array::new(message).to_vec()),
        };
        if let Life::Replica(replica) = host.life()? {
            replica.message(id, message);
        }
        Ok(())
    }

    /// A socket was closed by its client, or lost.
    pub fn closed(&self, socket: &WebSocket, code: u16, reason: &str) -> JsValue {
        let close = Close::new(CloseCode::from_raw(code), reason);
        // The platform closes the other direction only when it is told to.
        let answered = match CloseCode::new(code) {
            Some(code) => socket.close(code.as_u16(), reason),
            None => socket.close_without_code(),
        };
        if let Err(thrown) = answered {
            tracing::debug!("a socket could not be closed: {}", words(&thrown));
        }
        match code {
            1006 => self.end(socket, End::Error(SocketError::new(SocketErrorKind::Lost, close))),
            _ => self.end(socket, End::Close(close)),
        }
    }

    /// A socket has broken.
    pub fn broken(&self, socket: &WebSocket, error: &JsValue) -> JsValue {
        tracing::debug!("a socket has broken: {}", words(error));
        let close = Close::new(CloseCode::ABNORMAL, "");
        self.end(socket, End::Error(SocketError::new(SocketErrorKind::Lost, close)))
    }

    fn end(&self, socket: &WebSocket, end: End) -> JsValue {
        if let Ok(host) = self.host()
            && let Ok(here) = host.here()
        {
            let id = here.sockets.borrow().find(socket);
            if let (Some(id), Ok(Life::Replica(replica))) = (id, host.life()) {
                replica.closed(id, end);
                here.sockets.borrow_mut().forget(id, &here.storage);
            }
        }
        self.until_idle()
    }

    /// The alarm has come.
    pub fn alarm(&self) -> JsValue {
        match self.ring() {
            Ok(()) => self.until_idle(),
            // Thrown, so that the runtime calls again.
            Err(error) => Promise::reject(&js_sys::Error::new(&error.to_string())).into(),
        }
    }

    fn ring(&self) -> Result<(), Error> {
        let host = self.host()?;
        let here = host.here()?;
        if here.storage.alarm()?.is_none() {
            return Ok(());
        }
        let attempt = here.storage.attempt()?;
        match host.life()? {
            Life::Group(group) => group.alarm(attempt),
            Life::Replica(replica) => replica.alarm(attempt),
        }
        Ok(())
    }
}

fn respond(host: &Host, mut response: Response) -> Result<web_sys::Response, Error> {
    let Some(upgrade) = response.extensions_mut().remove::<Upgrade>() else {
        return http::response_to_platform(response, Some(RESPONSE));
    };
    let (_, id) = upgrade.accept();
    let socket = host.here()?.sockets.borrow_mut().take_other_end(id);
    if socket.is_none() {
        let gone =
            dog::text_response(StatusCode::SERVICE_UNAVAILABLE, "the socket could not be opened: try again later");
        return http::response_to_platform(gone, Some(RESPONSE));
    }
    let (parts, body) = response.into_parts();
    http::upgrade(parts.status, &parts.headers, body, socket.as_ref(), Some(RESPONSE))
}

/// The answer to a letter, as it travels.
fn post<T: Serialize + 'static>(answer: impl Future<Output = Result<T, Error>> + 'static) -> JsValue {
    promise(async move {
        let answer = answer.await;
        let bytes = wire::encode(&answer).map_err(|error| JsValue::from(js_sys::Error::new(&error.to_string())))?;
        Ok(Uint8Array::from(&bytes[..]).into())
    })
    .into()
}
