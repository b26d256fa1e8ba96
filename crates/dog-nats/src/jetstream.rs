//! The few requests that are made of JetStream, and what their failures mean.
//!
//! A request that is not answered may have been done. Whoever makes one that must be done once gives it a nonce, and
//! reads back; see `writing` and `directory`.

use std::time::Duration;

use async_nats::jetstream::stream::{LastRawMessageErrorKind, Stream};
use async_nats::jetstream::{self, Context};
use async_nats::{Client, HeaderMap};
use bytes::Bytes;
use dog::Error;
use dog::internal::Kind;
use serde::Deserialize;

/// Says that an entry is gone.
const GONE: &str = "Dog-Gone";
/// How long it says so: from then on there is no entry either way.
const GONE_FOR: Duration = Duration::from_secs(60);
/// Subjects that one answer names.
const PAGE: usize = 100_000;

/// A message to be stored.
#[derive(Clone, Debug)]
pub(crate) struct Put {
    pub(crate) subject: String,
    pub(crate) headers: HeaderMap,
    pub(crate) payload: Bytes,
}

impl Put {
    pub(crate) fn new(subject: String, payload: impl Into<Bytes>) -> Self {
        Self { subject, headers: HeaderMap::new(), payload: payload.into() }
    }

    /// What says that there is nothing any more.
    pub(crate) fn gone(subject: String) -> Self {
        let mut put = Self::new(subject, Bytes::new()).for_only(GONE_FOR);
        put.headers.insert(GONE, "1");
        put
    }

    /// It ends by itself. In whole seconds, as the server has it.
    pub(crate) fn for_only(mut self, time: Duration) -> Self {
        self.headers.insert("Nats-TTL", format!("{}s", time.as_secs().max(1)));
        self
    }

    /// It is refused unless the last message of its subject is that one; zero if there is to be none.
    pub(crate) fn after(mut self, sequence: u64) -> Self {
        self.headers.insert("Nats-Expected-Last-Subject-Sequence", sequence.to_string());
        self
    }
}

/// A message that is stored.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    pub(crate) sequence: u64,
    /// Nothing, of one that says so.
    pub(crate) payload: Option<Bytes>,
}

/// Why a request was not done, or is not known to be.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// Another message is the last of the subject.
    Outdated,
    /// It was not done, and may be done later: the stream has no leader, or too much is under way.
    Busy(String),
    /// Nobody answered: it may have been done.
    Unanswered(String),
    /// It will never be done.
    Refused(String),
}

impl Trouble {
    pub(crate) fn text(&self) -> &str {
        match self {
            Self::Outdated => "somebody else was faster",
            Self::Busy(text) | Self::Unanswered(text) | Self::Refused(text) => text,
        }
    }

    /// An earlier attempt, which nobody has answered, is about to be stored: so the server says of the next that it is
    /// outdated, and has the message before both as the last one.
    pub(crate) fn being_done() -> Self {
        Self::Busy("an earlier attempt is being stored".into())
    }

    pub(crate) fn into_error(self, kind: Kind) -> Error {
        Error::new(kind, format!("NATS: {}", self.text()))
    }
}

/// What the server says of a message.
#[derive(Debug, Deserialize)]
struct Acknowledgement {
    #[serde(default)]
    seq: u64,
    error: Option<ApiError>,
}

#[derive(Debug, Deserialize)]
struct ApiError {
    code: u16,
    #[serde(default)]
    err_code: u32,
    #[serde(default)]
    description: String,
}

impl ApiError {
    fn into_trouble(self) -> Trouble {
        match self.err_code {
            // The last sequence is another.
            10_071 => Trouble::Outdated,
            // The same, of one that is just being stored; a batch of which something was lost, as when the leader changes;
            // too many batches at the same time; no such stream, which is said while it has no leader, too.
            10_164 | 10_176 | 10_210 | 10_211 | 10_059 => Trouble::Busy(self.description),
            _ if self.code == 503 || self.code == 500 => Trouble::Busy(self.description),
            _ => Trouble::Refused(self.description),
        }
    }
}

/// One stream.
#[derive(Clone, Debug)]
pub(crate) struct Messages {
    client: Client,
    stream: Stream<()>,
    name: String,
}

impl Messages {
    pub(crate) async fn open(context: &Context, client: Client, name: String) -> Result<Self, String> {
        let stream = context.get_stream_no_info(&name).await.map_err(|error| error.to_string())?;
        Ok(Self { client, stream, name })
    }

    pub(crate) fn stream(&self) -> &Stream<()> {
        &self.stream
    }

    /// Stores a message, and gives its number.
    pub(crate) async fn put(&self, put: Put) -> Result<u64, Trouble> {
        let answer = self.client.request_with_headers(put.subject, put.headers, put.payload).await;
        acknowledged(answer).map(|acknowledged| acknowledged.seq)
    }

    /// Stores all of these messages or none, and gives the number of the first; the others follow it.
    pub(crate) async fn put_all(&self, batch: &str, puts: Vec<Put>) -> Result<u64, Trouble> {
        let last = puts.len();
        for (mut put, number) in puts.into_iter().zip(1_usize..) {
            put.headers.insert("Nats-Batch-Id", batch);
            put.headers.insert("Nats-Batch-Sequence", number.to_string());
            if number == last {
                put.headers.insert("Nats-Batch-Commit", "1");
                let answer = self.client.request_with_headers(put.subject, put.headers, put.payload).await;
                return acknowledged(answer).map(|acknowledged| acknowledged.seq + 1 - last as u64);
            }
            let published = self.client.publish_with_headers(put.subject, put.headers, put.payload).await;
            published.map_err(|error| Trouble::Unanswered(error.to_string()))?;
        }
        Err(Trouble::Refused("a batch of nothing".into()))
    }

    /// The last message of a subject, as the stream's leader has it: others may not have heard of it yet.
    pub(crate) async fn last(&self, subject: &str) -> Result<Option<Stored>, Trouble> {
        match self.stream.get_last_raw_message_by_subject(subject).await {
            Ok(message) => {
                let gone = message.headers.get(GONE).is_some() || is_marker(&message.headers);
                Ok(Some(Stored { sequence: message.sequence, payload: (!gone).then_some(message.payload) }))
            }
            Err(error) => match error.kind() {
                LastRawMessageErrorKind::NoMessageFound => Ok(None),
                // That there is no such stream is said while it has no leader, too: it is no answer.
                _ => Err(Trouble::Busy(error.to_string())),
            },
        }
    }

    /// The subjects of which there are messages.
    pub(crate) async fn subjects(&self, filter: &str) -> Result<Vec<String>, Trouble> {
        let mut subjects = Vec::new();
        loop {
            let question = serde_json::json!({ "subjects_filter": filter, "offset": subjects.len() });
            let to = format!("$JS.API.STREAM.INFO.{}", self.name);
            let answer = self.client.request(to, question.to_string().into()).await;
            let answer = answer.map_err(|error| Trouble::Busy(error.to_string()))?;
            let Information { state, error } =
                serde_json::from_slice(&answer.payload).map_err(|error| Trouble::Refused(error.to_string()))?;
            if let Some(error) = error {
                return Err(error.into_trouble());
            }
            let page: Vec<String> = state.subjects.unwrap_or_default().into_keys().collect();
            let more = page.len() == PAGE;
            subjects.extend(page);
            if !more {
                return Ok(subjects);
            }
        }
    }
}

#[derive(Debug, Deserialize)]
struct Information {
    #[serde(default)]
    state: Counted,
    error: Option<ApiError>,
}

#[derive(Debug, Default, Deserialize)]
struct Counted {
    subjects: Option<std::collections::BTreeMap<String, u64>>,
}

/// Whether the server has put a message there to say that the one before has ended.
pub(crate) fn is_marker(headers: &HeaderMap) -> bool {
    headers.get("Nats-Marker-Reason").is_some()
}

/// Whether a message says that there is nothing any more.
pub(crate) fn is_gone(headers: Option<&HeaderMap>) -> bool {
    headers.is_some_and(|headers| headers.get(GONE).is_some() || is_marker(headers))
}

fn acknowledged(answer: Result<async_nats::Message, async_nats::RequestError>) -> Result<Acknowledgement, Trouble> {
    match answer {
        Ok(message) => {
            let acknowledged: Acknowledgement = serde_json::from_slice(&message.payload)
                .map_err(|error| Trouble::Unanswered(format!("an answer that is none: {error}")))?;
            match acknowledged.error {
                Some(error) => Err(error.into_trouble()),
                None => Ok(acknowledged),
            }
        }
        // While a stream has no leader, nobody listens: then nothing was done.
        Err(error) if error.kind() == async_nats::RequestErrorKind::NoResponders => {
            Err(Trouble::Busy("the stream has no leader".into()))
        }
        Err(error) if error.kind() == async_nats::RequestErrorKind::MaxPayloadExceeded => {
            Err(Trouble::Refused("it is larger than max_payload of nats-server".into()))
        }
        Err(error) => Err(Trouble::Unanswered(error.to_string())),
    }
}

/// What is asked again, while a new leader is chosen and for as long as one `may`.
pub(crate) async fn until_answered<T, F>(may: impl Fn() -> bool, ask: impl Fn() -> F) -> Result<T, Trouble>
where
    F: Future<Output = Result<T, Trouble>>,
{
    loop {
        match ask().await {
            Err(Trouble::Busy(_) | Trouble::Unanswered(_)) if may() => {
                tokio::time::sleep(AGAIN).await;
            }
            outcome => return outcome,
        }
    }
}

/// How long it takes until what could not be done is tried again.
pub(crate) const AGAIN: Duration = Duration::from_millis(100);

/// A name that nothing has had.
pub(crate) fn nonce() -> String {
    let mut bytes = [0; 16];
    if let Err(error) = getrandom::fill(&mut bytes) {
        // Two requests could be taken for one.
        panic!("the operating system gives no random bytes: {error}");
    }
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) fn context(client: &Client) -> Context {
    jetstream::new(client.clone())
}
