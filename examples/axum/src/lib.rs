#![doc = include_str!("../README.md")]

use std::net::SocketAddr;

use axum::Router;
use axum::extract::{ConnectInfo, Path, State};
use axum::middleware::{Next, from_fn};
use axum::routing::{get, post};
use dog::http::StatusCode;
use dog::{
    App, ClientId, Context, Dog, Group, GroupContext, Limit, Message, Replica, Request, Response, Result, Socket, To,
    peer_address, query_param, set_peer_address,
};
use dog_native::{Handle, Service};

/// The whole application: `rooms` answers what is under `/rooms`, and `handle` reaches the same rooms from axum's own handlers.
/// Serve it with `into_make_service_with_connect_info::<SocketAddr>`.
pub fn router(rooms: Service, handle: Handle<Rooms>) -> Router {
    let rooms = Router::new().route_service("/rooms/{name}", rooms).layer(from_fn(with_address));
    Router::new()
        .route("/health", get(health))
        .route("/announce/{room}", post(announce))
        .merge(rooms)
        .with_state(handle)
}

/// Only axum sees the connection, so it says what `dog::peer_address` is. Behind a proxy, this is the place to read the header
/// in which that proxy names its client.
async fn with_address(
    ConnectInfo(client): ConnectInfo<SocketAddr>,
    mut request: axum::extract::Request,
    next: Next,
) -> axum::response::Response {
    set_peer_address(&mut request, client.ip());
    next.run(request).await
}

/// Sends the body to everyone in a room, without a seat there. A room that nobody uses does not come into being.
async fn announce(
    State(rooms): State<Handle<Rooms>>,
    Path(room): Path<String>,
    text: String,
) -> Result<String, (StatusCode, String)> {
    let room = rooms.group::<Lobby>(&format!("/rooms/{room}"));
    let report = room.broadcast_confirmed(format!("announcement: {text}")).await;
    let report = report.map_err(|error| (error.status(), error.to_string()))?;
    Ok(format!("{} sockets have it\n", report.sockets))
}

async fn health() -> &'static str {
    "ok"
}

/// Answers everything under `/rooms`. It sees the same path as axum.
pub struct Rooms;

impl App for Rooms {
    type Groups = (Lobby,);

    async fn fetch(&self, request: Request, dog: &Dog<Self>) -> Result<Response> {
        let client = ClientId::new(query_param(&request, "u").unwrap_or_default())?;
        // Before a Group is named: a request that can only fail should not create a room.
        if let Some(refusal) = dog.refuse_websocket(&request) {
            return Ok(refusal);
        }
        let room = dog.group::<Lobby>(request.uri().path()).identify(&client).await?;
        Ok(room.fetch(request).await?)
    }
}

/// The Group of one room.
pub struct Lobby;

impl Group for Lobby {
    type Replica = Room;
    type Call = ();
    type Reply = ();
    const NAME: &'static str = "lobby";

    async fn activate(_: &GroupContext) -> Result<Self> {
        Ok(Self)
    }

    fn limit(&self) -> Limit {
        Limit::new(2)
    }
}

/// The Replica: every text goes to everyone else in the room.
pub struct Room;

impl Replica for Room {
    type Group = Lobby;
    type Gossip = ();
    type Answer = ();

    async fn activate(_: &Context<Self>) -> Result<Self> {
        Ok(Self)
    }

    async fn receive(&self, cx: &Context<Self>, request: Request) -> Result<Response> {
        let address = peer_address(&request).map_or_else(|| "nowhere".to_owned(), |address| address.to_string());
        Ok(cx.connect_with(request, &address)?)
    }

    async fn on_open(&self, _: &Context<Self>, socket: &Socket) -> Result {
        let address: String = socket.attachment()?.unwrap_or_default();
        Ok(socket.send(format!("welcome, {} from {address}", socket.client()))?)
    }

    async fn on_message(&self, _: &Context<Self>, socket: &Socket, message: Message) -> Result {
        let said = format!("{}: {}", socket.client(), message.as_text().unwrap_or("(not text)"));
        Ok(socket.broadcast(said, To::Others)?)
    }
}
