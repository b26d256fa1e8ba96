//! The chat room, without a host: [`Chat`] answers requests, [`Lobby`] is the Group, [`Room`] is the Replica.

use std::collections::BTreeSet;
use std::time::Duration;

use dog::http::{Method, StatusCode};
use dog::{
    Alarm, App, AutoResponse, ClientId, Close, Context, Dog, Error, Failure, Group, GroupContext, GroupHandle, Limit,
    MAX_TOPIC_BYTES, MAX_TOPICS, Message, MessageRate, Replica, ReplicaId, Request, Response, Result, Socket, To,
    Topic, query_param, query_params, text_response,
};
use dog_door::{Expiry, ListCall, ListReply, Renewable, Renewal, RevocationStore};
use serde::{Deserialize, Serialize};

use crate::backend::{self, Secret};
use crate::door::Door;
use crate::page;
use crate::protocol::{Command, Input, Output, Scope, Users};
use crate::responses::{method_not_allowed, not_found};

/// The seats of one Replica, unless the [`Env`](dog::Env) holds a [`Limit`]. Two is so few that three windows need two Replicas.
pub const DEFAULT_LIMIT: Limit = Limit::new(2);

/// How fast one socket may send where users log in, unless the [`Env`](dog::Env) holds a [`MessageRate`].
pub const RATE: MessageRate = rate(20);

/// So many messages and 64 KiB per second, and five times as much after a pause. What is over it waits.
pub const fn rate(messages: u32) -> MessageRate {
    MessageRate::per_second(messages).bytes(64 * 1024).burst(Duration::from_secs(5))
}

/// Answers every request: the page, and the way into the room.
pub struct Chat;

impl App for Chat {
    type Groups = (Lobby,);

    async fn fetch(&self, request: Request, dog: &Dog<Self>) -> Result<Response> {
        let room = dog.group::<Lobby>("lobby-id");
        match (request.uri().path(), request.method()) {
            ("/", &Method::GET | &Method::HEAD) => Ok(page::page()),
            ("/dog.js", &Method::GET | &Method::HEAD) => Ok(page::module()),
            ("/" | "/dog.js", _) => Ok(method_not_allowed("GET, HEAD")),
            ("/session", &Method::GET) => Door::of(dog.env())?.session(&request, dog.now(), &room).await,
            ("/session", _) => Ok(method_not_allowed("GET")),
            (path @ ("/login" | "/logout"), method) => match Door::of(dog.env())? {
                Door::Open => Ok(not_found()),
                Door::Login(_) if method != Method::POST => Ok(method_not_allowed("POST")),
                Door::Login(login) if path == "/login" => login.log_in(request, dog.now()).await,
                Door::Login(login) => login.log_out(&request),
            },
            // A link on any page sends a GET with the cookie, so these three are for an open room only.
            ("/broadcast" | "/emit" | "/whisper", _) if !Door::of(dog.env())?.is_open() => Ok(not_found()),
            ("/ws" | "/broadcast" | "/emit" | "/whisper", &Method::GET) => enter(request, dog, &room).await,
            ("/ws" | "/broadcast" | "/emit" | "/whisper", _) => Ok(method_not_allowed("GET")),
            _ => match dog.env().get::<Secret>() {
                Some(secret) => backend::answer(secret, request, &room, dog).await,
                None => Ok(not_found()),
            },
        }
    }
}

/// Hands the request to a Replica with a seat for its client.
async fn enter(request: Request, dog: &Dog<Chat>, room: &GroupHandle<Lobby>) -> Result<Response> {
    let entering = match Door::of(dog.env())?.admit(&request, dog, room).await? {
        Ok(entering) => entering,
        Err(refusal) => return Ok(refusal),
    };
    check_topics(&request)?;
    // Before a Group is named: a request that can only fail should not create a room.
    let refusal = (request.uri().path() == "/ws").then(|| dog.refuse_websocket(&request)).flatten();
    if let Some(refusal) = refusal {
        return Ok(refusal);
    }
    entering.fetch(room.identify(entering.client()).await?, request).await
}

/// The topics in the query: `/ws?u=ann&topic=cats&topic=dogs`.
fn topics(request: &Request) -> Result<Vec<Topic>, Error> {
    query_params(request, "topic").map(Topic::new).collect()
}

/// Refuses with 400 what a socket could not subscribe to.
fn check_topics(request: &Request) -> Result {
    let topics: BTreeSet<Topic> = topics(request)?.into_iter().collect();
    if topics.len() > MAX_TOPICS || topics.iter().map(|topic| topic.len()).sum::<usize>() > MAX_TOPIC_BYTES {
        return Err(Failure::status(StatusCode::BAD_REQUEST, "too many topics: 128 with 8 KiB of names at most"));
    }
    Ok(())
}

/// The Group. There is one, called "lobby-id".
pub struct Lobby {
    limit: Limit,
    /// The users who were removed.
    removed: RevocationStore,
}

impl Group for Lobby {
    type Replica = Room;
    type Call = ListCall;
    type Reply = ListReply;
    const NAME: &'static str = "lobby";

    async fn activate(cx: &GroupContext) -> Result<Self> {
        Ok(Self { limit: cx.env().get().copied().unwrap_or(DEFAULT_LIMIT), removed: RevocationStore::new(cx) })
    }

    fn limit(&self) -> Limit {
        self.limit
    }

    async fn on_call(&self, _: &GroupContext, call: ListCall) -> Result<ListReply> {
        self.removed.on_call(call).await
    }
}

/// The Replica. Its sockets say who is here, and they stay open while the Replica hibernates.
pub struct Room {
    expiry: Expiry<Seated>,
}

/// What is attached to a socket.
#[derive(Default, Serialize, Deserialize)]
struct Seated {
    topics: Vec<Topic>,
    /// Until when the session was renewed.
    renewal: Renewal,
}

impl Renewable for Seated {
    fn renewal(&mut self) -> &mut Renewal {
        &mut self.renewal
    }
}

/// What a Room asks its siblings. The answer is a set of their users.
#[derive(Debug, Serialize, Deserialize)]
pub enum Ask {
    /// "Who is there?"
    Everyone,
    /// "Is this user there?"
    Only(ClientId),
}

impl Replica for Room {
    type Group = Lobby;
    type Gossip = Ask;
    type Answer = BTreeSet<ClientId>;
    /// How the page sees that its connection is alive. It wakes no Replica.
    const AUTO_RESPONSE: Option<AutoResponse> = Some(AutoResponse::new("ping", "pong"));

    async fn activate(_: &Context<Self>) -> Result<Self> {
        Ok(Self { expiry: Expiry::with_attachment() })
    }

    fn message_rate(cx: &Context<Self>) -> Option<MessageRate> {
        let is_open = Door::of(cx.env()).is_ok_and(Door::is_open);
        cx.env().get().copied().or((!is_open).then_some(RATE))
    }

    /// A plain request takes a seat too while it is answered. If all seats are taken, it is answered by a new Replica: then
    /// `/emit` reaches nobody, while `/broadcast` still reaches everybody.
    async fn receive(&self, cx: &Context<Self>, request: Request) -> Result<Response> {
        let said = |text, meta, to| Output::Said { from: "HTTP", text, meta, to, topic: None }.at(cx.now());
        match request.uri().path() {
            "/ws" => {
                let topics = topics(&request)?;
                let seated = Seated { topics, ..Seated::default() };
                return Ok(if seated.topics.is_empty() {
                    cx.connect(request)
                } else {
                    cx.connect_with(request, &seated)?
                });
            }
            "/broadcast" => cx.broadcast(said("To everyone, by GET /broadcast", None, None)?)?,
            "/emit" => cx.emit(said("To this Replica, by GET /emit", Some(Scope::Group), None)?)?,
            "/whisper" => {
                let target = ClientId::new(query_param(&request, "target").unwrap_or_default())?;
                let said = said("To you alone, by GET /whisper", Some(Scope::Whisper), Some(target.as_str()))?;
                if cx.whisper(&target, said).await? == 0 {
                    return Ok(text_response(StatusCode::NOT_FOUND, format!("{target} is not here")));
                }
            }
            _ => return Ok(not_found()),
        }
        Ok(text_response(StatusCode::OK, "DONE"))
    }

    async fn on_open(&self, cx: &Context<Self>, socket: &Socket) -> Result {
        self.expiry.watch_by_alarm(cx, socket).await?;
        // Who reads of the join knows that the topics are subscribed to.
        for topic in socket.attachment::<Seated>()?.unwrap_or_default().topics {
            socket.subscribe(&topic).await?;
        }
        let join = Output::Join { from: socket.client(), replica: &short(cx.id()) };
        Ok(socket.broadcast(join.at(cx.now())?, To::Everyone)?)
    }

    async fn on_message(&self, cx: &Context<Self>, socket: &Socket, message: Message) -> Result {
        // An error would close the socket. An answer keeps it open.
        let Ok(input) = message.to_json::<Input>() else {
            let text = r#"not understood: send JSON such as {"type":"msg","text":"hello"}"#;
            return Ok(socket.send(Output::Error { text }.at(cx.now())?)?);
        };
        match input {
            Input::Connected => {
                let connected = Output::Connected { from: socket.client() };
                socket.broadcast(connected.at(cx.now())?, To::Everyone)?;
            }
            Input::UserList => {
                let list = user_list(cx).await?;
                socket.send(list.at(cx.now())?)?;
            }
            Input::Renew { token } => {
                if let Some(text) = Door::of(cx.env())?.renew(&self.expiry, socket, &token, cx.now()).await? {
                    socket.send(Output::Error { text }.at(cx.now())?)?;
                }
            }
            Input::Say { text } => match Command::parse(&text) {
                Ok(command) => say(cx, socket, command).await?,
                Err(text) => socket.send(Output::Error { text }.at(cx.now())?)?,
            },
        }
        Ok(())
    }

    /// A user leaves when the last socket closes, on whichever Replica. (If the last two sockets close on two Replicas at the
    /// same time, both may count as the last, and the exit is announced twice.)
    async fn on_close(&self, cx: &Context<Self>, socket: &Socket, _: &Close) -> Result {
        let user = socket.client();
        if holds(cx, user) {
            return Ok(());
        }
        let replies = cx.gossip(&Ask::Only(user.clone())).await?;
        let elsewhere = replies.into_answers().any(|users| users.contains(user));
        // Check again: the user may have come back during the gossip.
        if !elsewhere && !holds(cx, user) {
            cx.broadcast(Output::Exit { from: user }.at(cx.now())?)?;
        }
        Ok(())
    }

    /// The first session ends. An alarm says so, and no task, which would keep the Replica in memory.
    async fn on_alarm(&self, cx: &Context<Self>, _: Alarm) -> Result {
        Ok(self.expiry.ring(cx).await?)
    }

    async fn on_gossip(&self, cx: &Context<Self>, ask: Ask) -> Result<BTreeSet<ClientId>> {
        Ok(match ask {
            Ask::Everyone => users(cx),
            Ask::Only(user) => Some(user).filter(|user| holds(cx, user)).into_iter().collect(),
        })
    }
}

async fn say(cx: &Context<Room>, socket: &Socket, command: Command<'_>) -> Result {
    let from = socket.client().as_str();
    match command {
        Command::All(text) => {
            let said = Output::Said { from, text, meta: None, to: None, topic: None };
            socket.broadcast(said.at(cx.now())?, To::Everyone)?;
        }
        Command::Group(text) => {
            let said = Output::Said { from, text, meta: Some(Scope::Group), to: None, topic: None };
            socket.emit(said.at(cx.now())?, To::Everyone)?;
        }
        Command::Topic { topic, text } => {
            let said = Output::Said { from, text, meta: Some(Scope::Topic), to: None, topic: Some(topic) };
            match socket.broadcast_to(topic, said.at(cx.now())?, To::Everyone) {
                Err(error) if error.is_invalid_topic() => refuse(cx, socket, &error)?,
                sent => sent?,
            }
        }
        Command::Whisper { to, text } => {
            let said =
                Output::Said { from, text, meta: Some(Scope::Whisper), to: Some(to), topic: None }.at(cx.now())?;
            let reached = match ClientId::new(to) {
                Ok(target) => socket.whisper(&target, said.clone()).await,
                Err(_) => Ok(0),
            };
            match reached {
                // A whisper to oneself has arrived already.
                Ok(1..) if to == from => {}
                Ok(1..) => socket.send(said)?,
                Ok(0) => socket.send(Output::Error { text: &format!("{to} is not here") }.at(cx.now())?)?,
                Err(error) => socket.send(Output::Error { text: &format!("not sent: {error}") }.at(cx.now())?)?,
            }
        }
    }
    Ok(())
}

fn refuse(cx: &Context<Room>, socket: &Socket, error: &Error) -> Result {
    Ok(socket.send(Output::Error { text: &error.to_string() }.at(cx.now())?)?)
}

async fn user_list(cx: &Context<Room>) -> Result<Output<'static>> {
    let replies = cx.gossip(&Ask::Everyone).await?;
    let missing = replies.missing.len();
    let mut replicas = vec![Users { replica: short(cx.id()), users: users(cx) }];
    replicas.extend(replies.answers.into_iter().map(|(id, users)| Users { replica: short(id), users }));
    replicas.retain(|replica| !replica.users.is_empty());
    let list = replicas.iter().flat_map(|replica| replica.users.iter().cloned()).collect();
    Ok(Output::List { list, replica: short(cx.id()), replicas, missing })
}

/// The users with a socket on this Replica.
fn users(cx: &Context<Room>) -> BTreeSet<ClientId> {
    cx.sockets().map(|socket| socket.client().clone()).collect()
}

/// Whether `user` has a socket on this Replica.
fn holds(cx: &Context<Room>, user: &ClientId) -> bool {
    cx.sockets().any(|socket| socket.client() == user)
}

/// The first eight of 64 digits, enough for people to tell Replicas apart.
fn short(id: ReplicaId) -> String {
    let mut digits = id.to_string();
    digits.truncate(8);
    digits
}
