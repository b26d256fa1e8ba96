//! A well-behaved client beside an attack: [`Steady`].

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use dog_test_support::client::within;
use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinHandle;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

/// It counts aloud in a room of its own and hears each number, until it is stopped.
pub(crate) struct Steady {
    stop: Arc<AtomicBool>,
    counting: JoinHandle<(u64, Duration)>,
}

impl Steady {
    pub(crate) fn begin<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(mut socket: WebSocketStream<S>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let counting = tokio::spawn(async move {
            let (mut count, mut longest) = (0_u64, Duration::ZERO);
            while !stopped.load(Ordering::Relaxed) {
                let began = Instant::now();
                count += 1;
                socket.send(Message::text(count.to_string())).await.expect("an open socket");
                let said = within("the number", socket.next()).await.expect("an open socket").expect("a valid frame");
                assert_eq!(said.to_text().unwrap(), count.to_string(), "each number arrives, in order");
                longest = longest.max(began.elapsed());
            }
            (count, longest)
        });
        Self { stop, counting }
    }

    /// Fails unless the client was served.
    pub(crate) async fn end(self, what: &str) {
        self.stop.store(true, Ordering::Relaxed);
        let (count, longest) = self.counting.await.expect("the other client is served");
        println!("door: {what}: {count} messages of another client were answered in order, the slowest in {longest:?}");
        assert!(count >= 3, "{what}: only {count} came through");
    }
}
