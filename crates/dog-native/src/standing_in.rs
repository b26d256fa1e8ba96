//! The kernel shares connections out among the workers, one that stands still among them. While a handler keeps a worker's
//! thread, the others take the connections that were meant for it.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::net::TcpStream;

use crate::front::{Addresses, greet};
use crate::repeats::seldom;
use crate::worker::Worker;

/// How long a worker has not come round when others stand in for it: it says each second that it does.
const STANDS_STILL: Duration = Duration::from_secs(3);

/// How often the others are looked at, and what waits for those that stand still is taken.
const LOOK: Duration = Duration::from_millis(200);

/// Connections taken from one listener at once.
const AT_ONCE: usize = 64;

/// The listeners of all workers, once more: they lead to the same connections.
#[derive(Debug, Default)]
pub(crate) struct StandIns {
    workers: Mutex<Vec<Vec<TcpListener>>>,
}

impl StandIns {
    /// For workers that listen so. One worker has nobody to stand in for it.
    pub(crate) fn new(listeners: &[Vec<TcpListener>]) -> io::Result<Self> {
        if listeners.len() < 2 {
            return Ok(Self::default());
        }
        let again = |listeners: &Vec<TcpListener>| listeners.iter().map(TcpListener::try_clone).collect();
        Ok(Self { workers: Mutex::new(listeners.iter().map(again).collect::<io::Result<_>>()?) })
    }

    /// The server ends: nobody is let in any more.
    pub(crate) fn close(&self) {
        self.workers.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Connections that wait for that worker.
    fn take_from(&self, worker: usize) -> Vec<(std::net::TcpStream, SocketAddr)> {
        let workers = self.workers.lock().unwrap_or_else(PoisonError::into_inner);
        let listeners = workers.get(worker).into_iter().flatten();
        // It fails when none waits any more. Another error is the next one's to find.
        listeners.flat_map(|listener| std::iter::from_fn(|| listener.accept().ok()).take(AT_ONCE)).collect()
    }
}

/// Stands in for other workers for as long as this one lets anyone in.
pub(crate) async fn stand_in(worker: Rc<Worker>, stand_ins: Arc<StandIns>, addresses: Arc<Addresses>) {
    let mut look = tokio::time::interval(LOOK);
    look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    worker.listens.update(|listeners| listeners + 1);
    let mut stop_begins = std::pin::pin!(worker.stop_begins());
    loop {
        tokio::select! {
            biased;
            () = &mut stop_begins => {
                stand_ins.close();
                worker.listens.update(|listeners| listeners - 1);
                return worker.queued();
            }
            _ = look.tick() => {}
        }
        for (other, watched) in worker.shared.watched.iter().enumerate().filter(|(other, _)| *other != worker.index) {
            if watched.silence(worker.shared.life()) < STANDS_STILL {
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
