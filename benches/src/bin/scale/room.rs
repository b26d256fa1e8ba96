//! A room whose sockets do what they are told: what the simulated cluster runs.

use dog::{
    App, ClientId, Context, Dog, Group, GroupContext, Limit, Message, Replica, Request, Response, Result, Socket, To,
};

/// The name of the one room.
pub(crate) const NAME: &str = "room";

pub(crate) struct Rooms;

impl App for Rooms {
    type Groups = (Room,);

    async fn fetch(&self, request: Request, dog: &Dog) -> Result<Response> {
        let client = ClientId::new(dog::query_param(&request, "u").unwrap_or_default())?;
        Ok(dog.group::<Room>(NAME).identify(&client).await?.fetch(request).await?)
    }
}

pub(crate) struct Room(Limit);

impl Group for Room {
    type Replica = Part;
    const NAME: &'static str = "room";

    async fn activate(cx: &GroupContext) -> Result<Self> {
        Ok(Self(cx.env().get().copied().unwrap_or(Limit::new(1))))
    }

    fn limit(&self) -> Limit {
        self.0
    }
}

pub(crate) struct Part;

impl Replica for Part {
    type Group = Room;
    type Gossip = ();
    type Answer = ();

    async fn activate(_: &Context<Self>) -> Result<Self> {
        Ok(Self)
    }

    async fn receive(&self, cx: &Context<Self>, request: Request) -> Result<Response> {
        Ok(cx.connect(request))
    }

    async fn on_gossip(&self, _: &Context<Self>, (): ()) -> Result<()> {
        Ok(())
    }

    async fn on_message(&self, cx: &Context<Self>, socket: &Socket, message: Message) -> Result {
        match message.as_text().and_then(|text| text.split_once(' ')) {
            Some(("whisper", to)) => drop(socket.whisper(&ClientId::new(to)?, message).await?),
            Some(("gossip", _)) => drop(cx.gossip(&()).await?),
            Some(("confirmed", _)) => drop(socket.broadcast_confirmed(message, To::Everyone).await?),
            _ => socket.broadcast(message, To::Everyone)?,
        }
        Ok(())
    }
}
