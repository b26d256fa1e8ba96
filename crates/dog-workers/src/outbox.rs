//! How calls and casts leave for other objects: [`ObjectOutbox`]. They leave in bundles, in order, and few bundles at a time.
//! [`Departures`] decides what may leave. A bundle is one call of a method of the runtime, which is one subrequest.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use bytes::Bytes;
use dog::Error;
use dog::internal::{Kind, LocalFuture, Logs};
use dog_engine::address::Object;
use dog_engine::departures::{Departure, Departures};
use futures_channel::oneshot;
use js_sys::{Array, Promise, Uint8Array};
use serde::de::DeserializeOwned;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;

use crate::fetch::{is_retryable, unreachable_object};
use crate::platform::{ExecutionContext, error_text};
use crate::spawn::{promise, spawn};
use crate::stubs::Stubs;
use crate::time::{PlatformSleep, now};
use dog_engine::wire;

/// Bundles that may be on their way at the same time. The runtime holds each until it has arrived. With messages of a
/// megabyte, this many bundles take a quarter of the memory of an isolate.
const MOST_UNDER_WAY: usize = 32;

/// Stubs that are kept although nothing is on its way there. Making a stub costs more than keeping it.
const KEPT_STUBS: usize = 1000;

/// Whether a message may arrive twice.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Repeat {
    /// A second arrival does no harm.
    Harmless,
    /// The message must arrive at most once.
    Forbidden,
}

impl Repeat {
    pub(crate) fn harmless_if(harmless: bool) -> Self {
        if harmless { Self::Harmless } else { Self::Forbidden }
    }
}

/// One call or cast to another object.
struct Outgoing {
    /// Encoded. All receivers of a cast share these bytes.
    bytes: Uint8Array,
    /// Takes the answer. `None` for a cast.
    answer: Option<oneshot::Sender<Result<JsValue, Error>>>,
    repeat: Repeat,
}

/// Takes the answer of a Replica to publications, if there can be any.
pub(crate) type TakeAcknowledgement = Box<dyn Fn(&[u8])>;

/// What waits to leave this object.
pub(crate) struct ObjectOutbox {
    acknowledged: Option<TakeAcknowledgement>,
    stubs: Rc<Stubs>,
    /// In a request from outside: what the runtime waits for after the response.
    context: Option<ExecutionContext>,
    departures: RefCell<Departures<Object, Outgoing>>,
    /// Whether [`depart`](Self::depart) will run at the end of this turn.
    runs_soon: Cell<bool>,
    /// Whether it will run at the next deadline.
    runs_later: Cell<bool>,
}

impl ObjectOutbox {
    pub(crate) fn new(
        stubs: Rc<Stubs>,
        context: Option<ExecutionContext>,
        acknowledged: Option<TakeAcknowledgement>,
    ) -> Rc<Self> {
        let departures = RefCell::new(Departures::new(MOST_UNDER_WAY));
        Rc::new(Self {
            acknowledged,
            stubs,
            context,
            departures,
            runs_soon: Cell::new(false),
            runs_later: Cell::new(false),
        })
    }

    /// Calls an object.
    pub(crate) fn call<T: DeserializeOwned>(
        self: &Rc<Self>,
        object: Object,
        message: Result<Bytes, Error>,
        repeat: Repeat,
    ) -> impl Future<Output = Result<T, Error>> + use<T> {
        let answer = self.ask(object, message, repeat);
        async move { wire::decode::<Result<T, Error>>(&answer.await?)? }
    }

    fn ask(
        self: &Rc<Self>,
        object: Object,
        message: Result<Bytes, Error>,
        repeat: Repeat,
    ) -> LocalFuture<Result<Vec<u8>, Error>> {
        let (sender, receiver) = oneshot::channel();
        let queued = message.map(|message| {
            let message = Outgoing { bytes: Uint8Array::from(&message[..]), answer: Some(sender), repeat };
            self.departures.borrow_mut().call(object, message);
            self.depart_soon();
        });
        Box::pin(async move {
            queued?;
            let gone = |_| Err(Error::new(Kind::Unreachable, "the object that made the call has ended"));
            let answer = receiver.await.unwrap_or_else(gone)?;
            Ok(Uint8Array::new(&answer).to_vec())
        })
    }

    /// Sends a cast to objects.
    pub(crate) fn cast(
        self: &Rc<Self>,
        objects: impl IntoIterator<Item = Object>,
        message: Result<Bytes, Error>,
        repeat: Repeat,
    ) {
        let bytes = match message {
            Ok(message) => Uint8Array::from(&message[..]),
            Err(error) => return tracing::error!("a cast to another object cannot be encoded: {error}"),
        };
        let mut departures = self.departures.borrow_mut();
        for object in objects {
            departures.cast(object, Outgoing { bytes: bytes.clone(), answer: None, repeat });
        }
        drop(departures);
        self.depart_soon();
    }

    /// Sends at the end of this turn, so that what is queued until then goes into the same bundles.
    fn depart_soon(self: &Rc<Self>) {
        if !self.runs_soon.replace(true) {
            let this = Rc::clone(self);
            spawn(async move {
                this.runs_soon.set(false);
                this.depart();
            });
        }
    }

    fn depart(self: &Rc<Self>) {
        while let Some(departure) = self.next() {
            self.send(departure);
        }
        let deadline = self.departures.borrow().next_deadline();
        let Some(deadline) = deadline.filter(|_| !self.runs_later.replace(true)) else { return };
        let this = Rc::clone(self);
        spawn(async move {
            PlatformSleep::new(deadline.since(now())).await;
            this.runs_later.set(false);
            this.depart();
        });
    }

    fn next(&self) -> Option<Departure<Object, Outgoing>> {
        self.departures.borrow_mut().next(now())
    }

    fn send(self: &Rc<Self>, departure: Departure<Object, Outgoing>) {
        let Departure { id, to, messages, has_call: asks } = departure;
        let sent = self.call_method(to, &messages);
        let this = Rc::clone(self);
        let arrives = async move {
            let outcome = this.arrive(to, sent, &messages).await;
            if this.departures.borrow_mut().arrived(id) && this.stubs.len() > KEPT_STUBS {
                this.stubs.forget(to);
            }
            this.depart();
            this.hand_on(outcome, messages);
        };
        match &self.context {
            // Once a request is answered, the runtime drops everything that it has not been told to wait for.
            Some(context) if !asks => {
                let arrives = async {
                    arrives.await;
                    Ok(JsValue::UNDEFINED)
                };
                if let Err(thrown) = context.wait_until(&promise(arrives)) {
                    tracing::warn!("the runtime does not wait for a message: {}", error_text(&thrown));
                }
            }
            Some(_) | None => spawn(arrives),
        }
    }

    /// Sends one message as its bytes, several as an array.
    fn call_method(&self, to: Object, messages: &[Outgoing]) -> Result<JsFuture, Error> {
        let bundle: JsValue = match messages {
            [message] => message.bytes.clone().into(),
            _ => messages.iter().map(|message| &message.bytes).collect::<Array>().into(),
        };
        let answer = self.stubs.get(to)?.dog_call(&bundle).map_err(|thrown| unreachable_object(&thrown))?;
        Ok(Promise::resolve(&answer).into())
    }

    /// The answer to a bundle. The bundle is sent once more if the runtime says that this may help, and a second arrival does
    /// no harm.
    async fn arrive(&self, to: Object, sent: Result<JsFuture, Error>, messages: &[Outgoing]) -> Result<JsValue, Error> {
        match sent?.await {
            Ok(answer) => Ok(answer),
            Err(thrown) => {
                self.stubs.forget(to);
                if !(is_retryable(&thrown) && messages.iter().all(|message| message.repeat == Repeat::Harmless)) {
                    return Err(unreachable_object(&thrown));
                }
                self.call_method(to, messages)?.await.map_err(|thrown| unreachable_object(&thrown))
            }
        }
    }

    /// The last message of a bundle takes the answer. If it is a cast, the answer may acknowledge publications.
    fn hand_on(&self, outcome: Result<JsValue, Error>, messages: Vec<Outgoing>) {
        if let Err(error) = &outcome {
            let casts = messages.iter().filter(|message| message.answer.is_none()).count();
            if casts > 0 {
                tracing::warn!(casts, "casts did not reach another object: {error}");
            }
        }
        match messages.into_iter().last().and_then(|message| message.answer) {
            // The caller may have given up.
            Some(answer) => drop(answer.send(outcome)),
            None => {
                if Logs::ON
                    && let (Ok(answer), Some(acknowledged)) = (outcome, &self.acknowledged)
                    && answer.is_object()
                {
                    acknowledged(&Uint8Array::new(&answer).to_vec());
                }
            }
        }
    }
}

/// The messages of a bundle.
pub(crate) fn unbundle(bundle: &JsValue) -> Vec<Vec<u8>> {
    match bundle.dyn_ref::<Array>() {
        Some(messages) => messages.iter().map(|message| Uint8Array::new(&message).to_vec()).collect(),
        None => vec![Uint8Array::new(bundle).to_vec()],
    }
}
