//! Messages that a client has received, as values. A message of another kind fails the test.

use dog::Message;
use serde::de::DeserializeOwned;

/// The messages as text.
#[track_caller]
pub(super) fn texts(messages: Vec<Message>) -> Vec<String> {
    let mut texts = Vec::with_capacity(messages.len());
    for message in messages {
        let Some(text) = message.as_text() else {
            panic!("expected text, received a binary message of {} bytes", message.len())
        };
        texts.push(text.to_owned());
    }
    texts
}

/// The messages, deserialised from JSON.
#[track_caller]
pub(super) fn json<T: DeserializeOwned>(messages: Vec<Message>) -> Vec<T> {
    let mut values = Vec::with_capacity(messages.len());
    for message in messages {
        match message.to_json() {
            Ok(value) => values.push(value),
            Err(error) => panic!("expected JSON of {}, received {message:?}: {error}", std::any::type_name::<T>()),
        }
    }
    values
}
