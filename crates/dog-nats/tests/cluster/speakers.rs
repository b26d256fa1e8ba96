//! A steady load: one client per node sends messages to all others without a stop. It reconnects when its socket ends.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::app::PATIENCE;
use crate::record::Recorder;

/// The time between two messages of a client.
const EVERY: Duration = Duration::from_millis(5);

pub(crate) struct Speakers {
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
}

impl Speakers {
    /// Starts one client per node and waits until all of them are connected.
    pub(crate) async fn start(record: &Recorder, entries: &[SocketAddr]) -> Self {
        let (stop, stops) = watch::channel(false);
        let mut tasks = Vec::new();
        for number in 0..entries.len() {
            let mut entries = entries.to_vec();
            entries.rotate_left(number);
            let (tell, is_in) = tokio::sync::oneshot::channel();
            tasks.push(tokio::spawn(speak(record.clone(), entries, number, tell, stops.clone())));
            is_in.await.expect("the client connects");
        }
        Self { stop, tasks }
    }

    pub(crate) async fn end(self) {
        self.stop.send_replace(true);
        for task in self.tasks {
            tokio::time::timeout(PATIENCE, task)
                .await
                .expect("the client ends in time")
                .expect("the client does not panic");
        }
    }
}

async fn speak(
    record: Recorder,
    entries: Vec<SocketAddr>,
    speaker: usize,
    is_in: tokio::sync::oneshot::Sender<()>,
    mut stop: watch::Receiver<bool>,
) {
    let (mut is_in, mut number, name) = (Some(is_in), 0, format!("wide-{speaker}"));
    let mut moments = tokio::time::interval(EVERY);
    for turn in 0.. {
        let entry = entries[turn % entries.len()];
        let Ok(mut client) = record.try_to_join(entry, "speakers", &name).await else {
            if *stop.borrow() {
                return;
            }
            // Real clients also pause before they reconnect.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        if let Some(is_in) = is_in.take() {
            // Fails only if `start` no longer waits.
            let _ = is_in.send(());
        }
        loop {
            tokio::select! {
                _ = stop.changed() => return,
                _ = moments.tick() => {
                    number += 1;
                    if !client.say(&format!("{name} {number}")).await {
                        break;
                    }
                }
                heard = client.hear() => if heard.is_none() { break },
            }
        }
    }
}
