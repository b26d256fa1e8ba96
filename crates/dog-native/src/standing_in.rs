//! Accepting connections in place of a worker that is stuck. The kernel distributes connections among all workers, stuck
//! ones included. While a handler blocks a worker's thread, the other workers take the connections that were meant for it.

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

/// How long a worker has not come round when others stand in for it. Its heartbeat comes every second.
const STUCK: Duration = Duration::from_secs(3);

/// How often the heartbeats of the others are checked.
const INTERVAL: Duration = Duration::from_millis(200);

/// The most connections that are taken from one listener at once.
const AT_ONCE: usize = 64;

/// Duplicates of the listeners of all workers.
#[derive(Debug, Default)]
pub(crate) struct StandIns {
    workers: Mutex<Vec<Vec<TcpListener>>>,
}

impl StandIns {
    /// For workers with these listeners. With one worker there is nobody to stand in.
    pub(crate) fn new(listeners: &[Vec<TcpListener>]) -> io::Result<Self> {
        if listeners.len() < 2 {
            return Ok(Self::default());
        }
        let again = |listeners: &Vec<TcpListener>| listeners.iter().map(TcpListener::try_clone).collect();
        Ok(Self { workers: Mutex::new(listeners.iter().map(again).collect::<io::Result<_>>()?) })
    }

    /// The server shuts down, and accepts no more connections.
    pub(crate) fn close(&self) {
        self.workers.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// The connections that wait for `worker`.
    fn take_from(&self, worker: usize) -> Vec<(std::net::TcpStream, SocketAddr)> {
        let workers = self.workers.lock().unwrap_or_else(PoisonError::into_inner);
        let listeners = workers.get(worker).into_iter().flatten();
        // `accept` fails when no connection waits any more.
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
