//! The relay on socketioxide. An event `m` of a socket goes to every socket of the room that the query of its handshake names,
//! including the sender.

use std::time::Duration;

use anyhow::Result;
use axum::Router;
use axum::extract::Query;
use serde::Deserialize;
use socketioxide::SocketIo;
use socketioxide::extract::{Data, SocketRef};

#[derive(Deserialize)]
struct Entry {
    room: String,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    // No pings while it is measured.
    let (layer, io) =
        SocketIo::builder().ping_interval(Duration::from_secs(3600)).max_buffer_size(65_536).build_layer();
    io.ns("/", async |socket: SocketRef| enter(&socket));
    dog_bench_peers::serve(Router::new().layer(layer)).await
}

fn enter(socket: &SocketRef) {
    let entry = Query::<Entry>::try_from_uri(&socket.req_parts().uri);
    let Ok(Query(Entry { room })) = entry else { return };
    socket.join(room.clone());
    socket.on("m", async move |socket: SocketRef, Data::<String>(text)| {
        // An error names the sockets that are closing.
        let _ = socket.within(room).emit("m", &text).await;
    });
}
