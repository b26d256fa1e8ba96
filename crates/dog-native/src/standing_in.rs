//! Accepts connections for a worker that is stuck. The kernel distributes connections among all workers, including
//! stuck ones. While a handler blocks a worker's thread, the other workers accept the connections on its listeners.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::net::TcpStream;

use crate::addresses::Addresses;
use crate::front::greet;
use crate::repeats::seldom;
use crate::worker::Worker;

/// Other workers stand in for a worker without a heartbeat for this long. A worker's heartbeat comes every second.
const STUCK: Duration = Duration::from_secs(3);

/// How often the heartbeats of the other workers are checked.
const INTERVAL: Duration = Duration::from_millis(200);

/// The most connections that are accepted from one listener at a time.
const AT_ONCE: usize = 64;

/// Duplicates of the listeners of all workers.
#[derive(Debug, Default)]
pub(crate) struct StandIns {
    workers: Mutex<Vec<Vec<TcpListener>>>,
}

impl StandIns {
    /// Duplicates the listeners of the workers. With one worker, no other could stand in, so it duplicates nothing.
    pub(crate) fn new(listeners: &[Vec<TcpListener>]) -> io::Result<Self> {
        if listeners.len() < 2 {
            return Ok(Self::default());
        }
        let again = |listeners: &Vec<TcpListener>| listeners.iter().map(TcpListener::try_clone).collect();
        Ok(Self { workers: Mutex::new(listeners.iter().map(again).collect::<io::Result<_>>()?) })
    }

    /// Closes the duplicates, because the server is shutting down.
    pub(crate) fn close(&self) {
        self.workers.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Accepts the connections that are waiting for `worker`.
    fn take_from(&self, worker: usize) -> Vec<(std::net::TcpStream, SocketAddr)> {
        let workers = self.workers.lock().unwrap_or_else(PoisonError::into_inner);
        let listeners = workers.get(worker).into_iter().flatten();
        // `accept` fails when no connection is waiting.
        listeners.flat_map(|listener| std::iter::from_fn(|| listener.accept().ok()).take(AT_ONCE)).collect()
    }
}

/// Stands in for other workers for as long as `worker` accepts connections.
pub(crate) async fn stand_in(worker: Rc<Worker>, stand_ins: Arc<StandIns>, addresses: Arc<Addresses>) {
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let listening = worker.shutdown().listening();
    let mut stop_begins = std::pin::pin!(worker.shutdown().begins());
    loop {
        tokio::select! {
            biased;
            () = &mut stop_begins => {
                stand_ins.close();
                return drop(listening);
            }
            _ = ticks.tick() => {}
        }
        for other in worker.others() {
            if worker.shared().heartbeats[other].silence(worker.shared().uptime()) < STUCK {
                continue;
            }
            for (stream, address) in stand_ins.take_from(other) {
                let stream = stream.set_nonblocking(true).and_then(|()| TcpStream::from_std(stream));
                match stream {
                    Ok(stream) => greet(&worker, stream, address, &addresses),
                    Err(error) => {
                        seldom!(
                            error,
                            "a connection could not be taken over",
                            "a connection could not be taken over: {error}"
                        );
                    }
                }
            }
        }
    }
}
