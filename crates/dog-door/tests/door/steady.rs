//! A well-behaved client beside an attack: [`Steady`].

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use dog_test_support::client::within;
use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinHandle;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

/// What others say in its room, if they are there, begins with this.
pub(crate) const NOISE: &str = "noise";

/// The most that any message of another client may take. It is longer than a busy machine stands still.
const LONGEST: Duration = Duration::from_secs(20);

/// It counts aloud in its room and hears each number, until it is stopped.
pub(crate) struct Steady {
    stop: Arc<AtomicBool>,
    noise: Arc<AtomicU64>,
    counting: JoinHandle<(u64, Duration)>,
}

impl Steady {
    pub(crate) fn begin<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(mut socket: WebSocketStream<S>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, noise) = (Arc::clone(&stop), Arc::<AtomicU64>::default());
        let heard = Arc::clone(&noise);
        let counting = tokio::spawn(async move {
            let (mut count, mut longest) = (0_u64, Duration::ZERO);
            while !stopped.load(Ordering::Relaxed) {
                let began = Instant::now();
                count += 1;
                socket.send(Message::text(count.to_string())).await.expect("an open socket");
                let said = loop {
                    let said =
                        within("the number", socket.next()).await.expect("an open socket").expect("a valid frame");
                    if !said.to_text().unwrap().starts_with(NOISE) {
                        break said;
                    }
                    heard.fetch_add(1, Ordering::Relaxed);
                };
                assert_eq!(said.to_text().unwrap(), count.to_string(), "each number arrives, in order");
                longest = longest.max(began.elapsed());
            }
            (count, longest)
        });
        Self { stop, noise, counting }
    }

    /// How much it has heard of others.
    pub(crate) fn noise(&self) -> u64 {
        self.noise.load(Ordering::Relaxed)
    }

    /// Fails unless the client was served.
    pub(crate) async fn end(self, what: &str) {
        self.stop.store(true, Ordering::Relaxed);
        let (count, longest) = self.counting.await.expect("the other client is served");
        println!("door: {what}: {count} messages of another client were answered in order, the slowest in {longest:?}");
        assert!(longest <= LONGEST, "{what}: a message took {longest:?}");
        assert!(count >= 3, "{what}: only {count} came through");
    }
}
