//! All alarms of the cluster: each node hears of them, so that one is there to ring when nobody has the object.

use std::time::Duration;

use async_nats::jetstream::consumer::{DeliverPolicy, pull};
use bytes::Bytes;
use dog::internal::Kind;
use dog::{Error, Timestamp};
use dog_native::cluster::Inbox;
use futures_util::StreamExt;
use serde::{Deserialize, Serialize};

use crate::jetstream::{Messages, is_gone};
use crate::names::Names;

#[derive(Serialize, Deserialize)]
struct Alarm {
    /// In milliseconds since 1970.
    at: u64,
    class: String,
}

pub(crate) fn write(at: Timestamp, class: &str) -> Result<Bytes, Error> {
    let alarm = Alarm { at: at.as_millis(), class: class.to_owned() };
    let text = serde_json::to_vec(&alarm);
    text.map(Bytes::from).map_err(|cause| Error::caused(Kind::Encoding, "the alarm cannot be serialised", cause))
}

/// When it rings, and for which class.
pub(crate) fn read(text: &[u8]) -> Result<(Timestamp, String), Error> {
    let alarm: Alarm = serde_json::from_slice(text)
        .map_err(|cause| Error::caused(Kind::Storage, "a stored alarm is damaged", cause))?;
    Ok((Timestamp::from_millis(alarm.at), alarm.class))
}

/// Follows them for as long as the node lives.
pub(crate) async fn follow(messages: &Messages, names: &Names, inbox: &Inbox) {
    loop {
        if let Err(trouble) = follow_once(messages, names, inbox).await {
            tracing::warn!("the alarms of the cluster are not heard of: {trouble}");
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

async fn follow_once(messages: &Messages, names: &Names, inbox: &Inbox) -> Result<(), String> {
    let wanted = pull::OrderedConfig {
        filter_subject: names.alarms(),
        deliver_policy: DeliverPolicy::LastPerSubject,
        ..pull::OrderedConfig::default()
    };
    let consumer = messages.stream().create_consumer(wanted).await.map_err(|error| error.to_string())?;
    let mut alarms = consumer.messages().await.map_err(|error| error.to_string())?;
    while let Some(message) = alarms.next().await {
        let message = message.map_err(|error| error.to_string())?;
        let Some(object) = names.alarm_of(&message.subject) else { continue };
        if is_gone(message.headers.as_ref()) {
            inbox.alarm(object, "", None);
            continue;
        }
        match read(&message.payload) {
            Ok((at, class)) => inbox.alarm(object, &class, Some(at)),
            Err(error) => tracing::error!("{error}"),
        }
    }
    Err("the stream of alarms has ended".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alarm_is_read_back_and_nonsense_is_told() {
        let at = Timestamp::from_millis(5);
        assert_eq!(read(&write(at, "lobby").unwrap()).unwrap(), (at, "lobby".to_owned()));
        assert!(read(b"5").unwrap_err().is_storage());
    }
}
