//! [`JetStream`]: a stream of a NATS server.

use std::collections::HashMap;
use std::time::Duration;

use async_nats::header::{
    NATS_BATCH_COMMIT, NATS_BATCH_COMMIT_FINAL, NATS_BATCH_ID, NATS_BATCH_SEQUENCE,
    NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, NATS_MARKER_REASON, NATS_MESSAGE_TTL,
};
use async_nats::jetstream::consumer::{DeliverPolicy, pull};
use async_nats::jetstream::publish::PublishAck;
use async_nats::jetstream::response::Response;
use async_nats::jetstream::stream::{LastRawMessageErrorKind, Stream};
use async_nats::jetstream::{self, Context, Message};
use async_nats::{Client, HeaderMap};
use bytes::Bytes;
use futures_util::StreamExt;
use serde::Deserialize;

use super::{Answer, Change, Changes, MessageStream, Put, Stored, StreamError, nonce};

/// The header of a message that deletes its subject.
const DELETED: &str = "Dog-Gone";
/// How long a deletion stays in the stream, so that followers see it. Afterwards the subject has no message.
const DELETION_TTL: Duration = Duration::from_secs(60);
/// The number of subjects that the server lists in one answer.
const SUBJECTS_PER_ANSWER: usize = 100_000;

/// A stream of a NATS server.
#[derive(Clone, Debug)]
pub(crate) struct JetStream {
    client: Client,
    context: Context,
    stream: Stream<()>,
    name: String,
}

impl JetStream {
    /// Returns the stream without a request. If the stream does not exist, later requests fail.
    pub(crate) async fn open(client: Client, name: String) -> Result<Self, String> {
        let context = jetstream::new(client.clone());
        let stream = context.get_stream_no_info(&name).await.map_err(|error| error.to_string())?;
        Ok(Self { client, context, stream, name })
    }

    async fn request(&self, subject: String, headers: HeaderMap, payload: Bytes) -> Result<u64, StreamError> {
        let answer = self.client.request_with_headers(subject, headers, payload).await?;
        match serde_json::from_slice::<Response<PublishAck>>(&answer.payload) {
            Ok(Response::Ok(acknowledged)) => Ok(acknowledged.sequence),
            Ok(Response::Err { error }) => Err(error.into()),
            Err(error) => Err(StreamError::Unknown(format!("the server's answer is malformed: {error}"))),
        }
    }

    async fn put_batch(&self, puts: Vec<Put>) -> Result<u64, StreamError> {
        let (batch, count) = (nonce(), puts.len());
        for (put, number) in puts.into_iter().zip(1_usize..) {
            let (subject, mut headers, payload) = message(put);
            headers.insert(NATS_BATCH_ID, batch.as_str());
            headers.insert(NATS_BATCH_SEQUENCE, number.to_string());
            if number == count {
                headers.insert(NATS_BATCH_COMMIT, NATS_BATCH_COMMIT_FINAL);
                // The server returns the number of the batch's last message.
                let last = self.request(subject, headers, payload).await?;
                return Ok(last + 1 - count as u64);
            }
            let published = self.client.publish_with_headers(subject, headers, payload).await;
            published.map_err(|error| StreamError::Unknown(error.to_string()))?;
        }
        Err(StreamError::Rejected("the batch is empty".into()))
    }

    async fn read_last(&self, subject: &str) -> Result<Option<Stored>, StreamError> {
        match self.stream.get_last_raw_message_by_subject(subject).await {
            Ok(message) => {
                let payload = (!is_deletion(&message.headers)).then_some(message.payload);
                Ok(Some(Stored { sequence: message.sequence, payload }))
            }
            Err(error) => match error.kind() {
                LastRawMessageErrorKind::NoMessageFound => Ok(None),
                // For a stream without a leader, servers answer that it does not exist. A read can be repeated.
                _ => Err(StreamError::Retry(error.to_string())),
            },
        }
    }

    /// Lists the subjects page by page. async-nats could do so too, but it requests one page too many.
    async fn list_subjects(&self, filter: &str) -> Result<Vec<String>, StreamError> {
        let mut subjects = Vec::new();
        loop {
            let query = serde_json::json!({ "subjects_filter": filter, "offset": subjects.len() });
            let answer: Result<Response<StreamInfo>, _> =
                self.context.request(format!("STREAM.INFO.{}", self.name), &query).await;
            let info = match answer {
                Ok(Response::Ok(info)) => info,
                Ok(Response::Err { error }) => return Err(error.into()),
                // A read can be repeated.
                Err(error) => return Err(StreamError::Retry(error.to_string())),
            };
            let page = info.state.subjects.unwrap_or_default();
            let is_last = page.len() < SUBJECTS_PER_ANSWER;
            subjects.extend(page.into_keys());
            if is_last {
                return Ok(subjects);
            }
        }
    }

    async fn consume(&self, filter: &str) -> Result<Changes, StreamError> {
        let config = pull::OrderedConfig {
            filter_subject: filter.to_owned(),
            deliver_policy: DeliverPolicy::LastPerSubject,
            ..pull::OrderedConfig::default()
        };
        let consumer = self.stream.create_consumer(config).await;
        let consumer = consumer.map_err(|error| StreamError::Retry(error.to_string()))?;
        let messages = consumer.messages().await.map_err(|error| StreamError::Retry(error.to_string()))?;
        Ok(messages.map(|message| change(&message.map_err(|error| error.to_string())?)).boxed())
    }
}

impl MessageStream for JetStream {
    fn put(&self, put: Put) -> Answer<'_, u64> {
        let (subject, headers, payload) = message(put);
        Box::pin(self.request(subject, headers, payload))
    }

    fn put_all(&self, puts: Vec<Put>) -> Answer<'_, u64> {
        Box::pin(self.put_batch(puts))
    }

    fn last<'a>(&'a self, subject: &'a str) -> Answer<'a, Option<Stored>> {
        Box::pin(self.read_last(subject))
    }

    fn subjects<'a>(&'a self, filter: &'a str) -> Answer<'a, Vec<String>> {
        Box::pin(self.list_subjects(filter))
    }

    fn follow<'a>(&'a self, filter: &'a str) -> Answer<'a, Changes> {
        Box::pin(self.consume(filter))
    }
}

/// The part of the server's answer that async-nats does not expose.
#[derive(Debug, Deserialize)]
struct StreamInfo {
    state: StreamState,
}

#[derive(Debug, Deserialize)]
struct StreamState {
    /// The number of messages per subject.
    subjects: Option<HashMap<String, u64>>,
}

/// Returns the subject, headers and payload of the message to publish.
fn message(put: Put) -> (String, HeaderMap, Bytes) {
    let mut headers = HeaderMap::new();
    if let Some(sequence) = put.expected {
        headers.insert(NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, sequence.to_string());
    }
    if put.payload.is_none() {
        headers.insert(DELETED, "1");
        headers.insert(NATS_MESSAGE_TTL, format!("{}s", DELETION_TTL.as_secs()));
    }
    (put.subject, headers, put.payload.unwrap_or_default())
}

fn change(message: &Message) -> Result<Change, String> {
    let sequence = message.info().map_err(|error| error.to_string())?.stream_sequence;
    let is_deleted = message.headers.as_ref().is_some_and(is_deletion);
    let payload = (!is_deleted).then(|| message.payload.clone());
    Ok(Change { subject: message.subject.to_string(), sequence, payload })
}

/// Whether a message is a deletion: a node's deletion, or the server's marker for an expired message.
fn is_deletion(headers: &HeaderMap) -> bool {
    headers.get(DELETED).is_some() || headers.get(NATS_MARKER_REASON).is_some()
}
