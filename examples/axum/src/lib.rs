#![doc = include_str!("../README.md")]

use axum::Router;
use axum::routing::get;
use dog::{
    App, ClientId, Context, Dog, Group, GroupContext, Limit, Message, Replica, Request, Response, Result, Socket, To,
    query_param,
};
use dog_native::Service;

/// The whole application.
pub fn router(rooms: Service) -> Router {
    Router::new().route("/health", get(health)).route_service("/rooms/{name}", rooms)
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
        Ok(cx.connect(request))
    }

    async fn on_open(&self, _: &Context<Self>, socket: &Socket) -> Result {
        Ok(socket.send(format!("welcome, {}", socket.client()))?)
    }

    async fn on_message(&self, _: &Context<Self>, socket: &Socket, message: Message) -> Result {
        let said = format!("{}: {}", socket.client(), message.as_text().unwrap_or("(not text)"));
        Ok(socket.broadcast(said, To::Others)?)
    }
}
