//! Connections that have not authenticated or sent a request yet. Their number is limited. A new one replaces the
//! oldest, so that silent connections do not block others.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep};

use crate::addresses::client_of;

/// How often to check whether one of too many connections has finished.
const LOOK: Duration = Duration::from_millis(5);

/// The tasks of such connections.
#[derive(Debug)]
pub(crate) struct Newcomers {
    /// The limit of their number.
    most: usize,
    /// How long each is always kept. A well-behaved peer needs less.
    grace: Duration,
    tasks: Vec<Newcomer>,
}

#[derive(Debug)]
struct Newcomer {
    came: Instant,
    address: IpAddr,
    task: AbortHandle,
}

impl Newcomers {
    pub(crate) fn new(most: usize, grace: Duration) -> Self {
        Self { most, grace, tasks: Vec::new() }
    }

    pub(crate) fn add(&mut self, address: IpAddr, task: AbortHandle) {
        self.tasks.push(Newcomer { came: Instant::now(), address: client_of(address), task });
    }

    /// Waits until there is room for one more. If necessary, it ends the oldest connection of the client that has the
    /// most.
    pub(crate) async fn room(&mut self) {
        loop {
            self.tasks.retain(|newcomer| !newcomer.task.is_finished());
            if self.tasks.len() < self.most {
                return;
            }
            let victim = self.victim();
            if self.tasks[victim].came.elapsed() >= self.grace {
                self.tasks.remove(victim).task.abort();
                // The runtime drops the task, and with it the connection.
                tokio::task::yield_now().await;
            } else {
                sleep(LOOK).await;
            }
        }
    }

    /// Returns the index of the oldest connection of the client that has the most.
    fn victim(&self) -> usize {
        let mut counts: HashMap<IpAddr, usize> = HashMap::new();
        for newcomer in &self.tasks {
            *counts.entry(newcomer.address).or_default() += 1;
        }
        let most = counts.values().max();
        let of_most = |newcomer: &Newcomer| counts.get(&newcomer.address) == most;
        self.tasks.iter().position(of_most).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn silent() -> (AbortHandle, tokio::task::JoinHandle<()>) {
        let task = tokio::spawn(std::future::pending());
        (task.abort_handle(), task)
    }

    #[tokio::test]
    async fn the_oldest_of_the_client_with_most_makes_room_after_its_grace() {
        let [crowd, single] = ["192.0.2.1", "192.0.2.2"].map(|address| address.parse::<IpAddr>().unwrap());
        let mut newcomers = Newcomers::new(3, Duration::from_millis(50));
        let mut tasks = Vec::new();
        for address in [single, crowd, crowd] {
            newcomers.room().await;
            let (handle, task) = silent();
            newcomers.add(address, handle);
            tasks.push(task);
        }
        let came = newcomers.tasks[1].came;
        newcomers.room().await;
        assert!(came.elapsed() >= Duration::from_millis(50), "the connection was ended before its grace was over");
        assert!(tasks.remove(1).await.unwrap_err().is_cancelled());
        assert!(tasks.iter().all(|task| !task.is_finished()), "another connection was ended");
    }

    #[tokio::test]
    async fn one_that_has_done_makes_room_at_once() {
        let mut newcomers = Newcomers::new(1, Duration::from_secs(3600));
        let task = tokio::spawn(async {});
        newcomers.add("192.0.2.1".parse().unwrap(), task.abort_handle());
        let room = tokio::time::timeout(Duration::from_secs(60), newcomers.room()).await;
        assert!(room.is_ok(), "it waited although the task had finished");
    }
}
