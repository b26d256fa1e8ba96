//! A program without mistakes. The test makes one mistake at a time in its text, and reads what the compiler says.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;

use dog::internal::GroupVisitor;
use dog::{
    App, ClientId, Context, Dog, Env, Error, Failure, Group, GroupContext, GroupHandle, Groups, Limit, Message,
    Replica, Request, Response, Result, Socket, To,
};
use serde::{Deserialize, Serialize};

pub struct Chat {
    pub visits: AtomicU32,
}

impl App for Chat {
    type Groups = (Lobby, Hall);

    async fn fetch(&self, request: Request, dog: &Dog<Self>) -> Result<Response> {
        let name = dog::query_param(&request, "u").unwrap_or_default();
        if name.is_empty() {
            return Err(Failure::new("no name"));
        }
        let replica = match lobby(dog).identify(&ClientId::new(name)?).await {
            Err(error) if error.is_no_room() => return Ok(hall(dog).fetch(request).await?),
            identified => identified?,
        };
        Ok(replica.fetch_as(request, &User { admin: false }).await?)
    }
}

pub fn lobby(dog: &Dog<Chat>) -> GroupHandle<Lobby> {
    dog.group("lobby")
}

pub fn hall(dog: &Dog<Chat>) -> GroupHandle<Hall> {
    dog.group("hall")
}

pub fn server() -> dog_native::Server<Chat> {
    let env = Env::new().with(Arc::new("settings"));
    dog_native::Server::new(Chat { visits: Default::default() }).env(env)
}

/// Every host visits the Groups of its App.
pub fn visit(host: &mut Host) {
    <Chat as App>::Groups::visit(host);
}

pub struct Host;

impl GroupVisitor for Host {
    fn visit<G: Group>(&mut self) {}
}

#[derive(Serialize, Deserialize)]
pub struct Post {
    pub text: String,
}

pub struct Lobby;

impl Group for Lobby {
    type Replica = Room;
    type Call = Post;
    type Reply = usize;
    const NAME: &'static str = "lobby";

    async fn activate(_: &GroupContext) -> Result<Self> {
        Ok(Self)
    }

    fn limit(&self) -> Limit {
        Limit::new(50)
    }

    async fn on_call(&self, cx: &GroupContext, post: Post) -> Result<usize> {
        let text = post.text;
        let storage = cx.storage();
        let stored = storage.transaction(async |entries| {
            entries.put("last", &text)?;
            Ok(text.clone())
        });
        Ok(stored.await?.len())
    }
}

#[derive(Serialize, Deserialize)]
pub enum Ask {
    Seen,
}

#[derive(Serialize)]
pub struct User {
    pub admin: bool,
}

#[derive(Serialize)]
pub struct Said {
    pub text: String,
}

pub struct Room {
    pub seen: RefCell<Vec<String>>,
}

impl Replica for Room {
    type Group = Lobby;
    type Gossip = Ask;
    type Answer = usize;

    async fn activate(_: &Context<Self>) -> Result<Self> {
        Ok(Self { seen: RefCell::default() })
    }

    async fn receive(&self, cx: &Context<Self>, request: Request) -> Result<Response> {
        Ok(cx.connect(request))
    }

    async fn on_open(&self, cx: &Context<Self>, socket: &Socket) -> Result {
        let (speaker, client) = (cx.clone(), socket.client().clone());
        cx.spawn(async move { speaker.broadcast(format!("{client} is here")) })?;
        Ok(())
    }

    async fn on_message(&self, cx: &Context<Self>, socket: &Socket, message: Message) -> Result {
        let said = Said { text: message.as_text().unwrap_or_default().to_owned() };
        socket.broadcast(Message::json(&said)?, To::Others)?;
        let bytes: &[u8] = message.as_bytes();
        socket.send(Message::binary(bytes))?;
        self.tell_the_first(cx).await?;
        cx.broadcast_confirmed("said").await?;
        Ok(socket.emit(message, To::Everyone)?)
    }

    async fn on_gossip(&self, _: &Context<Self>, _: Ask) -> Result<usize> {
        Ok(self.seen.borrow().len())
    }
}

impl Room {
    async fn tell_the_first(&self, cx: &Context<Self>) -> Result<(), Error> {
        let Some(first) = self.seen.borrow().first().cloned() else { return Ok(()) };
        cx.whisper(&ClientId::new(first)?, "psst").await?;
        Ok(())
    }
}

pub struct Hall;

impl Group for Hall {
    type Replica = Stage;
    type Call = ();
    type Reply = ();
    const NAME: &'static str = "hall";

    async fn activate(_: &GroupContext) -> Result<Self> {
        Ok(Self)
    }

    fn limit(&self) -> Limit {
        Limit::new(50)
    }
}

pub struct Stage;

impl Replica for Stage {
    type Group = Hall;
    type Gossip = ();
    type Answer = ();

    async fn activate(_: &Context<Self>) -> Result<Self> {
        Ok(Self)
    }

    async fn receive(&self, cx: &Context<Self>, request: Request) -> Result<Response> {
        Ok(cx.connect(request))
    }
}
