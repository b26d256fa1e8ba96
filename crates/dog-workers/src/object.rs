//! One object, as the runtime calls it: [`DurableObject`].

use std::panic::{RefUnwindSafe, UnwindSafe};
use std::rc::Rc;

use dog::http::StatusCode;
use dog::internal::{Kind, Logs, SocketErrorKind};
use dog::{Close, CloseCode, Error, Message, Response, SocketError};
use dog_engine::Upgrade;
use dog_engine::address::Object;
use dog_engine::host::{End, Fetched};
use dog_engine::message::ReplicaCast;
use dog_engine::reply::Reply;
use futures_channel::oneshot;
use js_sys::{Promise, Uint8Array};
use serde::Serialize;
use wasm_bindgen::{JsCast, JsValue};

use crate::host::{LiveObject, WorkerDefinition, WorkersHost};
use crate::http::{self, ERROR, REFUSAL, RESPONSE};
use crate::names::wrong_object;
use crate::outbox::unbundle;
use crate::platform::{ObjectState, WebSocket, error_text};
use crate::request_head::RequestHead;
use crate::spawn::promise;
use dog_engine::wire::{self, ToGroup, ToReplica};

/// A Group or a Replica while it is in memory. Each event returns a promise if a handler waits for something: the runtime keeps
/// the object in memory until the promise is fulfilled.
pub struct DurableObject {
    host: Result<Rc<WorkersHost>, Error>,
    state: ObjectState,
}

// The engine catches panics of users' code and then ends that activation, so nobody sees a half-changed value.
impl UnwindSafe for DurableObject {}
impl RefUnwindSafe for DurableObject {}

/// What a message from another object was.
enum Taken {
    /// A call, with the promise of its answer.
    Call(JsValue),
    Cast,
    /// A publication, or where a log ends.
    Publication,
}

fn ours<T: Serialize>(kind: &str, status: StatusCode, value: &T) -> Result<web_sys::Response, Error> {
    let mut response = Response::new(wire::encode(value)?.into());
    *response.status_mut() = status;
    http::response_to_platform(response, Some(kind))
}

/// A reply for the engine, and the future of the answer.
fn reply<T: 'static>() -> (Reply<T>, impl Future<Output = Result<T, Error>>) {
    let (sender, receiver) = oneshot::channel();
    // The receiver may have gone.
    let reply = Reply::new(move |answer| drop(sender.send(answer)));
    let answer = async {
        receiver.await.unwrap_or_else(|_| Err(Error::new(Kind::Unreachable, "the object ended before it answered")))
    };
    (reply, answer)
}

impl DurableObject {
    /// The object has come into memory.
    pub fn new(worker: &'static WorkerDefinition, class: &str, state: ObjectState, bindings: JsValue) -> Self {
        let host = WorkersHost::of_object(worker, class, state.clone(), bindings);
        if let Err(error) = &host {
            tracing::error!("an object of the class {class} cannot start: {error}");
        }
        Self { host, state }
    }

    fn host(&self) -> Result<Rc<WorkersHost>, Error> {
        let host = self.host.as_ref().map_err(|error| Error::new(error.kind(), error.to_string()))?;
        if let Some(here) = host.here.get() {
            here.sockets.borrow_mut().forget_closed(&here.storage);
        }
        Ok(Rc::clone(host))
    }

    /// Ends an event: a promise that is fulfilled when no handler waits any more, or `undefined` if none does.
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

    /// Ends an event whose answer does not wait for all handlers.
    fn keep_awake(&self) {
        let idle = self.until_idle();
        if idle.is_object() {
            self.state.wait_until(idle.unchecked_ref());
        }
    }

    /// A request to a Replica with a ticket, or a request to a Group. It comes from this Worker, because nobody else has the
    /// binding.
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
        let ticket = RequestHead::take(request.headers_mut())?.unpack(&mut request);
        let (to_group, to_replica) = match (host.life()?, ticket) {
            (LiveObject::Group(group), None) => {
                let (reply, answer) = reply();
                group.fetch(request, reply);
                (Some(answer), None)
            }
            (LiveObject::Replica(replica), Some(ticket)) => {
                let (reply, answer) = reply();
                replica.fetch(ticket, request, reply);
                (None, Some(answer))
            }
            (LiveObject::Group(_) | LiveObject::Replica(_), _) => return Err(wrong_object()),
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

    /// Calls and casts from another object, in one bundle. The answer is that of the last one. Publications are acknowledged with
    /// it, which saves the Group a request.
    pub fn call(&self, bundle: &JsValue) -> JsValue {
        let (mut last, mut is_of_log) = (Ok(Taken::Cast), false);
        for message in unbundle(bundle) {
            last = self.read_message(&message);
            match &last {
                Ok(taken) => is_of_log |= matches!(taken, Taken::Publication),
                Err(error) => tracing::error!("a message from another object cannot be read: {error}"),
            }
        }
        self.keep_awake();
        match last {
            Ok(Taken::Call(answer)) => answer,
            // All messages of a bundle are from one object. Only a Group sends publications.
            Ok(_) if Logs::ON && is_of_log => self.acknowledgement().unwrap_or(JsValue::UNDEFINED),
            Ok(_) => JsValue::UNDEFINED,
            Err(error) => Promise::reject(&js_sys::Error::new(&error.to_string())).into(),
        }
    }

    /// What the Replica that is here has to tell its Group of its publications, encoded.
    fn acknowledgement(&self) -> Option<JsValue> {
        let Some(LiveObject::Replica(replica)) = self.host.as_ref().ok()?.present() else { return None };
        // Without an answer the Group asks again.
        let bytes = wire::encode(&ToGroup::Cast(replica.take_acknowledgement()?)).ok()?;
        Some(Uint8Array::from(&bytes[..]).into())
    }

    fn read_message(&self, message: &[u8]) -> Result<Taken, Error> {
        let host = self.host()?;
        if host.has_never_lived()
            && let Object::Group(_) = host.here()?.object
            && let Some(answer) = answer_of_nobody(message)?
        {
            return Ok(answer);
        }
        Ok(match host.life()? {
            LiveObject::Group(group) => match wire::decode(message)? {
                ToGroup::Call(call) => {
                    let (reply, answer) = reply();
                    group.call(call, reply);
                    Taken::Call(encoded(answer))
                }
                ToGroup::Cast(cast) => {
                    group.cast(cast);
                    Taken::Cast
                }
            },
            LiveObject::Replica(replica) => match wire::decode(message)? {
                ToReplica::Call(call) => {
                    let (reply, answer) = reply();
                    replica.call(call, reply);
                    Taken::Call(encoded(answer))
                }
                ToReplica::Cast(cast) => {
                    let is_of_log = matches!(cast, ReplicaCast::Publication(_) | ReplicaCast::LogHead(_));
                    replica.cast(cast);
                    if is_of_log { Taken::Publication } else { Taken::Cast }
                }
            },
        })
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
        // The message may have come while the socket was closing.
        let Some(id) = host.here()?.sockets.borrow().find(socket) else { return Ok(()) };
        let message = match message.as_string() {
            Some(text) => Message::text(text),
            None => Message::binary(Uint8Array::new(message).to_vec()),
        };
        if let LiveObject::Replica(replica) = host.life()? {
            replica.message(id, message);
        }
        Ok(())
    }

    /// The client has closed a socket, or its connection was lost.
    pub fn closed(&self, socket: &WebSocket, code: u16, reason: &str) -> JsValue {
        let close = Close::new(CloseCode::from_raw(code), reason);
        // The platform does not answer a close by itself.
        let answered = match CloseCode::new(code) {
            Some(code) => socket.close(code.as_u16(), reason),
            None => socket.close_without_code(),
        };
        if let Err(thrown) = answered {
            tracing::debug!("a socket could not be closed: {}", error_text(&thrown));
        }
        match code {
            1006 => self.end(socket, End::Error(SocketError::new(SocketErrorKind::Lost, close))),
            _ => self.end(socket, End::Close(close)),
        }
    }

    /// A socket has failed.
    pub fn broken(&self, socket: &WebSocket, error: &JsValue) -> JsValue {
        tracing::debug!("a socket has failed: {}", error_text(error));
        let close = Close::new(CloseCode::ABNORMAL, "");
        self.end(socket, End::Error(SocketError::new(SocketErrorKind::Lost, close)))
    }

    fn end(&self, socket: &WebSocket, end: End) -> JsValue {
        if let Ok(host) = self.host()
            && let Ok(here) = host.here()
        {
            let id = here.sockets.borrow().find(socket);
            if let (Some(id), Ok(LiveObject::Replica(replica))) = (id, host.life()) {
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
            // A rejected promise makes the runtime call again.
            Err(error) => Promise::reject(&js_sys::Error::new(&error.to_string())).into(),
        }
    }

    fn ring(&self) -> Result<(), Error> {
        let host = self.host()?;
        let here = host.here()?;
        if here.storage.alarm()?.is_none() {
            return Ok(());
        }
        match host.life()? {
            LiveObject::Group(group) => group.alarms_due(),
            LiveObject::Replica(replica) => replica.alarms_due(),
        }
        Ok(())
    }
}

fn respond(host: &WorkersHost, mut response: Response) -> Result<web_sys::Response, Error> {
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

/// The answer of a Group that has never lived, if the message must not make it exist.
fn answer_of_nobody(message: &[u8]) -> Result<Option<Taken>, Error> {
    Ok(match wire::decode(message)? {
        ToGroup::Call(call) => call.answer_of_nobody().map(|answer| Taken::Call(encoded(async move { Ok(answer) }))),
        ToGroup::Cast(cast) => cast.message().is_some().then_some(Taken::Cast),
    })
}

/// A promise of the encoded answer to a call.
fn encoded<T: Serialize + 'static>(answer: impl Future<Output = Result<T, Error>> + 'static) -> JsValue {
    promise(async move {
        let answer = answer.await;
        let bytes = wire::encode(&answer).map_err(|error| JsValue::from(js_sys::Error::new(&error.to_string())))?;
        Ok(Uint8Array::from(&bytes[..]).into())
    })
    .into()
}
