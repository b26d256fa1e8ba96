//! The relay on axum and Tokio, with a broadcast channel per room and a task per socket. A message from a socket of
//! `GET /ws?u=ID&room=NAME` goes to every socket of the room, as in examples/relay.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use anyhow::Result;
use axum::Router;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::extract::{Query, State};
use axum::response::Response;
use axum::routing::get;
use serde::Deserialize;
use tokio::sync::broadcast::{self, Sender, error::RecvError};

/// Messages that a socket may be behind before it misses some.
const BEHIND: usize = 1024;

type Rooms = Arc<Mutex<HashMap<String, Sender<Message>>>>;

#[derive(Deserialize)]
struct Entry {
    room: String,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let router = Router::new().route("/ws", get(enter)).with_state(Rooms::default());
    dog_bench_peers::serve(router).await
}

async fn enter(State(rooms): State<Rooms>, Query(entry): Query<Entry>, upgrade: WebSocketUpgrade) -> Response {
    upgrade.on_upgrade(move |socket| async move {
        let room = {
            let mut rooms = rooms.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            rooms.entry(entry.room).or_insert_with(|| broadcast::channel(BEHIND).0).clone()
        };
        stay(socket, room).await;
    })
}

/// Serves a client until it leaves.
async fn stay(mut socket: WebSocket, room: Sender<Message>) {
    let mut messages = room.subscribe();
    loop {
        tokio::select! {
            received = socket.recv() => match received {
                // An error means that nobody is subscribed.
                Some(Ok(message @ (Message::Text(_) | Message::Binary(_)))) => drop(room.send(message)),
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                Some(Ok(Message::Close(_)) | Err(_)) | None => return,
            },
            message = messages.recv() => match message {
                Ok(message) => {
                    if socket.send(message).await.is_err() {
                        return;
                    }
                }
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return,
            },
        }
    }
}
