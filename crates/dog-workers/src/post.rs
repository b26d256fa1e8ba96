//! How letters leave for other objects: bundled, in order, and few at a time. What may leave is decided by
//! [`Departures`]; a bundle is one call of a method, which is one subrequest.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use bytes::Bytes;
use dog::Error;
use dog::internal::Kind;
use dog_engine::address::Object;
use dog_engine::departures::{Departure, Departures};
use futures_channel::oneshot;
use js_sys::{Array, Promise, Uint8Array};
use serde::de::DeserializeOwned;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;

use crate::calls::{is_retryable, unreachable_object};
use crate::host::Host;
use crate::platform::words;
use crate::time::{Sleep, now};
use crate::turns::{promise, spawn};
use dog_engine::wire;

/// Bundles that may be on their way at the same time: each is held by the runtime until it has arrived, and with messages
/// of a megabyte these are a quarter of what an isolate may use.
const MOST_UNDER_WAY: usize = 32;

/// Ways to objects that are kept though nothing goes there: making one costs more than keeping it.
const KEPT_STUBS: usize = 1000;

/// One thing that is said to another object.
struct Letter {
    /// As it travels; the same for all that it goes to.
    bytes: Uint8Array,
    /// Where the answer goes, if there is to be one.
    answer: Option<oneshot::Sender<Result<JsValue, Error>>>,
    /// Whether to hear it twice does no harm.
    may_repeat: bool,
}

/// What is to leave from here.
pub(crate) struct Post {
    departures: RefCell<Departures<Object, Letter>>,
    /// Whether a look at them is planned for the end of this turn, and whether one for later.
    soon: Cell<bool>,
    later: Cell<bool>,
}

impl Post {
    pub(crate) fn new() -> Self {
        let departures = RefCell::new(Departures::new(MOST_UNDER_WAY));
        Self { departures, soon: Cell::new(false), later: Cell::new(false) }
    }
}

/// Asks an object.
pub(crate) fn ask<T: DeserializeOwned>(
    host: &Rc<Host>,
    object: Object,
    letter: Result<Bytes, Error>,
    may_repeat: bool,
) -> impl Future<Output = Result<T, Error>> + use<T> {
    let (sender, receiver) = oneshot::channel();
    let handed_over = letter.map(|letter| {
        let letter = Letter { bytes: Uint8Array::from(&letter[..]), answer: Some(sender), may_repeat };
        host.post.departures.borrow_mut().ask(object, letter);
        depart_soon(host);
    });
    async move {
        handed_over?;
        let gone = |_| Err(Error::new(Kind::Unreachable, "the object that asked has ended"));
        let answer = receiver.await.unwrap_or_else(gone)?;
        wire::decode::<Result<T, Error>>(&Uint8Array::new(&answer).to_vec())?
    }
}

/// Tells objects, and does not wait for it.
pub(crate) fn tell(
    host: &Rc<Host>,
    objects: impl IntoIterator<Item = Object>,
    letter: Result<Bytes, Error>,
    may_repeat: bool,
) {
    let bytes = match letter {
        Ok(letter) => Uint8Array::from(&letter[..]),
        Err(error) => return tracing::error!("what is to be told cannot be written: {error}"),
    };
    let mut departures = host.post.departures.borrow_mut();
    for object in objects {
        departures.state(object, Letter { bytes: bytes.clone(), answer: None, may_repeat });
    }
    drop(departures);
    depart_soon(host);
}

/// At the end of this turn: what else is said until then goes along.
fn depart_soon(host: &Rc<Host>) {
    if !host.post.soon.replace(true) {
        let host = Rc::clone(host);
        spawn(async move {
            host.post.soon.set(false);
            depart(&host);
        });
    }
}

fn depart(host: &Rc<Host>) {
    while let Some(departure) = next(host) {
        send(host, departure);
    }
    let deadline = host.post.departures.borrow().next_deadline();
    let Some(deadline) = deadline.filter(|_| !host.post.later.replace(true)) else { return };
    let host = Rc::clone(host);
    spawn(async move {
        Sleep::new(deadline.since(now())).await;
        host.post.later.set(false);
        depart(&host);
    });
}

fn next(host: &Host) -> Option<Departure<Object, Letter>> {
    host.post.departures.borrow_mut().next(now())
}

fn send(host: &Rc<Host>, departure: Departure<Object, Letter>) {
    let Departure { id, to, letters, asks } = departure;
    let sent = call(host, to, &letters);
    let this = Rc::clone(host);
    let arrives = async move {
        let outcome = arrive(&this, to, sent, &letters).await;
        if this.post.departures.borrow_mut().arrived(id) && this.stubs.len() > KEPT_STUBS {
            this.stubs.forget(to);
        }
        depart(&this);
        hand_on(outcome, letters);
    };
    match &host.context {
        // The runtime forgets a request that is answered, and all that still goes on for it but this.
        Some(context) if !asks => {
            let arrives = async {
                arrives.await;
                Ok(JsValue::UNDEFINED)
            };
            if let Err(thrown) = context.wait_until(&promise(arrives)) {
                tracing::warn!("nobody waits for a message: {}", words(&thrown));
            }
        }
        Some(_) | None => spawn(arrives),
    }
}

/// One letter as it is, several as an array.
fn call(host: &Host, to: Object, letters: &[Letter]) -> Result<JsFuture, Error> {
    let bundle: JsValue = match letters {
        [letter] => letter.bytes.clone().into(),
        _ => letters.iter().map(|letter| &letter.bytes).collect::<Array>().into(),
    };
    let answer = host.stub(to)?.dog_call(&bundle).map_err(|thrown| unreachable_object(&thrown))?;
    Ok(Promise::resolve(&answer).into())
}

/// The answer to a bundle. It is sent once more where the runtime says that this may help, and it can do no harm.
async fn arrive(host: &Host, to: Object, sent: Result<JsFuture, Error>, letters: &[Letter]) -> Result<JsValue, Error> {
    match sent?.await {
        Ok(answer) => Ok(answer),
        Err(thrown) => {
            host.stubs.forget(to);
            if !(is_retryable(&thrown) && letters.iter().all(|letter| letter.may_repeat)) {
                return Err(unreachable_object(&thrown));
            }
            call(host, to, letters)?.await.map_err(|thrown| unreachable_object(&thrown))
        }
    }
}

fn hand_on(outcome: Result<JsValue, Error>, letters: Vec<Letter>) {
    if let Err(error) = &outcome {
        let statements = letters.iter().filter(|letter| letter.answer.is_none()).count();
        if statements > 0 {
            tracing::warn!(statements, "an object was not told: {error}");
        }
    }
    if let Some(answer) = letters.into_iter().last().and_then(|letter| letter.answer) {
        // Whoever asked may have given up.
        let _ = answer.send(outcome);
    }
}

/// The letters of a bundle.
pub(crate) fn unbundle(bundle: &JsValue) -> Vec<Vec<u8>> {
    match bundle.dyn_ref::<Array>() {
        Some(letters) => letters.iter().map(|letter| Uint8Array::new(&letter).to_vec()).collect(),
        None => vec![Uint8Array::new(bundle).to_vec()],
    }
}
