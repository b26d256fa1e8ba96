//! One room per path, in which every message goes to everyone.

use dog::{
    App, ClientId, Context, Dog, Group, GroupContext, Limit, Message, Replica, Request, Response, Result, Socket, To,
};

/// Answers every request: `/ws/ROOM?u=NAME` enters a room.
pub struct Rooms;

impl App for Rooms {
    type Groups = (Lobby,);

    async fn fetch(&self, request: Request, dog: &Dog<Self>) -> Result<Response> {
        let Some(room) = request.uri().path().strip_prefix("/ws/").map(str::to_owned) else {
            return Ok(dog::text_response(dog::http::StatusCode::OK, "Open a WebSocket at /ws/ROOM?u=NAME\n"));
        };
        if let Some(refusal) = dog.refuse_websocket(&request) {
            return Ok(refusal);
        }
        // Everybody is who they say. The crate `durable-object-groups-door` has sessions and tokens.
        let client = ClientId::new(dog::query_param(&request, "u").unwrap_or_default())?;
        Ok(dog.group::<Lobby>(&room).identify(&client).await?.fetch(request).await?)
    }
}

/// The Group: who is where.
pub struct Lobby;

impl Group for Lobby {
    type Replica = Room;
    type Call = ();
    type Reply = ();
    const NAME: &'static str = "lobby";

    async fn activate(_: &GroupContext) -> Result<Self> {
        Ok(Self)
    }

    /// Seats per Replica.
    fn limit(&self) -> Limit {
        Limit::new(50)
    }
}

/// The Replica: it has the sockets.
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

    async fn on_message(&self, _: &Context<Self>, socket: &Socket, message: Message) -> Result {
        Ok(socket.broadcast(message, To::Everyone)?)
    }
}
