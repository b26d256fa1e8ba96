//! The alarms of all objects. Each node follows all of them, so that a node can ring an alarm whose object has no
//! owner.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use dog::internal::Kind;
use dog::{Error, Timestamp};
use futures_util::StreamExt;
use serde::{Deserialize, Serialize};

use crate::events::Events;
use crate::faults::{Fault, is_planted};
use crate::names::Names;
use crate::stream::{Change, MessageStream};

/// The pause after an error before the alarms are followed again.
const FOLLOW_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// The payload of an object's alarm subject.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AlarmRecord {
    /// When it rings, in milliseconds since 1970.
    at: u64,
    /// The name of the object's Group class.
    class: String,
}

impl AlarmRecord {
    pub(crate) fn new(at: Timestamp, class: &str) -> Self {
        Self { at: at.as_millis(), class: class.to_owned() }
    }

    pub(crate) fn encode(&self) -> Result<Bytes, Error> {
        let text = serde_json::to_vec(self);
        text.map(Bytes::from).map_err(|cause| Error::caused(Kind::Encoding, "the alarm cannot be serialised", cause))
    }

    pub(crate) fn decode(text: &[u8]) -> Result<Self, Error> {
        serde_json::from_slice(text)
            .map_err(|cause| Error::caused(Kind::Storage, "a stored alarm cannot be parsed", cause))
    }

    pub(crate) fn at(&self) -> Timestamp {
        Timestamp::from_millis(self.at)
    }
}

/// Follows all alarms.
pub(crate) struct AlarmFollower {
    stream: Arc<dyn MessageStream>,
    names: Names,
    events: Arc<dyn Events>,
}

impl AlarmFollower {
    pub(crate) fn new(stream: Arc<dyn MessageStream>, names: Names, events: Arc<dyn Events>) -> Self {
        Self { stream, names, events }
    }

    /// Follows the alarms. Never returns.
    pub(crate) async fn follow(&self) {
        loop {
            if let Err(error) = self.follow_once().await {
                tracing::warn!("the alarms of the cluster cannot be followed: {error}");
            }
            if is_planted(Fault::FollowsAlarmsOnce) {
                return;
            }
            tokio::time::sleep(FOLLOW_AGAIN_AFTER).await;
        }
    }

    async fn follow_once(&self) -> Result<(), String> {
        let filter = self.names.alarms();
        let mut changes = self.stream.follow(&filter).await.map_err(|error| error.text().to_owned())?;
        while let Some(change) = changes.next().await {
            self.take(&change?);
        }
        Err("the stream of alarms has ended".into())
    }

    fn take(&self, Change { subject, payload, .. }: &Change) {
        let Some(object) = self.names.alarm_of(subject) else { return };
        match payload.as_ref().map(|payload| AlarmRecord::decode(payload)) {
            None => self.events.alarm(object, "", None),
            Some(Ok(alarm)) => self.events.alarm(object, &alarm.class, Some(alarm.at())),
            Some(Err(error)) => tracing::error!("{error}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alarm_is_read_back_and_nonsense_is_an_error() {
        let alarm = AlarmRecord::new(Timestamp::from_millis(5), "lobby");
        assert_eq!(AlarmRecord::decode(&alarm.encode().unwrap()).unwrap(), alarm);
        assert!(AlarmRecord::decode(b"5").unwrap_err().is_storage());
    }
}
