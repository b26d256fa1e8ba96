//! [`Bus`]: sends and receives bundles of node messages. Core NATS delivers each bundle at most once.

use async_nats::connection::State;
use async_nats::{Client, HeaderMap, Message, Subscriber};
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::{Map, Stream};

/// The header with the number of a bundle.
const NUMBER: &str = "Dog-Number";

/// A bundle of node messages that has arrived.
#[derive(Clone, Debug)]
pub(crate) struct Arrived {
    /// The number that its sender gave it. `None`: the sender is an earlier release that sends no numbers.
    pub(crate) number: Option<u64>,
    pub(crate) bundle: Bytes,
}

/// Sends bundles to other nodes and receives them.
pub(crate) trait Bus: Send + Sync {
    /// The bundles that arrive. Dropping it ends the subscription.
    type Subscription: Stream<Item = Arrived> + Send + Unpin;

    fn is_connected(&self) -> bool;

    /// Sends a bundle. It may be lost even if this returns no error.
    fn publish(&self, subject: String, number: u64, bundle: Bytes) -> impl Future<Output = Result<(), String>> + Send;

    /// Waits until everything that was published has left this process.
    fn flush(&self) -> impl Future<Output = Result<(), String>> + Send;

    /// Subscribes. When this returns, bundles that other nodes publish from now on arrive.
    fn subscribe(&self, subject: String) -> impl Future<Output = Result<Self::Subscription, String>> + Send;
}

impl Bus for Client {
    type Subscription = Map<Subscriber, fn(Message) -> Arrived>;

    fn is_connected(&self) -> bool {
        self.connection_state() == State::Connected
    }

    async fn publish(&self, subject: String, number: u64, bundle: Bytes) -> Result<(), String> {
        let mut headers = HeaderMap::new();
        headers.insert(NUMBER, number.to_string());
        self.publish_with_headers(subject, headers, bundle).await.map_err(|error| error.to_string())
    }

    async fn flush(&self) -> Result<(), String> {
        Self::flush(self).await.map_err(|error| error.to_string())
    }

    async fn subscribe(&self, subject: String) -> Result<Self::Subscription, String> {
        let messages = Self::subscribe(self, subject).await.map_err(|error| error.to_string())?;
        Self::flush(self).await.map_err(|error| error.to_string())?;
        Ok(messages.map(arrived as fn(Message) -> Arrived))
    }
}

fn arrived(message: Message) -> Arrived {
    let number = message.headers.as_ref().and_then(|headers| headers.get(NUMBER)?.as_str().parse().ok());
    Arrived { number, bundle: message.payload }
}
