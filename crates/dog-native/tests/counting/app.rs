//! A relay like examples/relay: it sends every message to everyone in the room.

use dog::{
    App, ClientId, Context, Dog, Env, Failure, Group, GroupContext, Limit, Message, MessageRate, Policy, Replica,
    Request, Response, Result, Socket, To, query_param,
};
use dog_native::{Rate, Running, Server};

/// What is not reached.
const FAR: u32 = 1_000_000_000;

pub(crate) struct Relay;

impl App for Relay {
    type Groups = (Room,);

    async fn fetch(&self, request: Request, dog: &Dog<Self>) -> Result<Response> {
        let client = ClientId::new(query_param(&request, "u").unwrap_or_default())?;
        Ok(dog.group::<Room>("room").identify(&client).await?.fetch(request).await?)
    }
}

pub(crate) struct Room {
    limit: Limit,
    most_per_client: Option<u32>,
}

impl Group for Room {
    type Replica = Wire;
    type Call = ();
    type Reply = ();
    const NAME: &'static str = "room";

    async fn activate(cx: &GroupContext) -> Result<Self> {
        let limit = cx.env().get().copied().ok_or_else(|| Failure::new("the test sets a limit"))?;
        let most_per_client = cx.env().get::<MessageRate>().map(|_| FAR);
        Ok(Self { limit, most_per_client })
    }

    fn limit(&self) -> Limit {
        self.limit
    }

    fn policy(&self) -> Policy {
        Policy { max_seats_per_client: self.most_per_client, ..Policy::default() }
    }
}

pub(crate) struct Wire;

impl Replica for Wire {
    type Group = Room;
    type Gossip = ();
    type Answer = ();

    async fn activate(_: &Context<Self>) -> Result<Self> {
        Ok(Self)
    }

    async fn receive(&self, cx: &Context<Self>, request: Request) -> Result<Response> {
        Ok(cx.connect(request))
    }

    fn message_rate(cx: &Context<Self>) -> Option<MessageRate> {
        cx.env().get().copied()
    }

    async fn on_message(&self, _: &Context<Self>, socket: &Socket, message: Message) -> Result {
        Ok(socket.broadcast(message, To::Everyone)?)
    }
}

/// Starts a relay with `limit` seats per Replica on `workers` threads.
pub(crate) async fn start(limit: u32, workers: usize) -> Running {
    server(limit, workers).start().await.unwrap()
}

pub(crate) fn server(limit: u32, workers: usize) -> Server<Relay> {
    Server::new(Relay).bind("127.0.0.1:0").env(Env::new().with(Limit::new(limit))).workers(workers)
}

/// The same with every limit that can be set, none of which is reached.
pub(crate) fn limited(limit: u32, workers: usize) -> Server<Relay> {
    let env = Env::new().with(Limit::new(limit)).with(MessageRate::per_second(FAR).bytes(FAR.into()));
    let rate = Rate::per_second(FAR);
    let server = server(limit, workers).env(env).connections_per_address(rate).requests_per_address(rate);
    server.groups_per_address(rate)
}
