//! The chat room, without a host: [`Chat`] answers requests, [`Lobby`] is the Group, [`Room`] is the Replica.

use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

use dog::http::{Method, StatusCode};
use dog::{
    Alarm, App, AutoResponse, ClientId, CloseCode, Context, Dog, Error, Failure, Format, Group, GroupContext,
    GroupHandle, Limit, Log, LogEpoch, MAX_PRESENCE_PAGE, MAX_TOPIC_BYTES, MAX_TOPICS, Message, MessageRate, Policy,
    Position, Presence, Publication, ROOM, Replica, Request, Response, Result, Socket, To, Topic, Unrecovered,
    query_param, query_params, text_response,
};
use dog_door::{Expiry, ListCall, ListReply, Renewable, Renewal, RevocationStore};
use serde::{Deserialize, Serialize};

use crate::backend::{self, Secret};
use crate::door::Door;
use crate::history::{History, with_position};
use crate::lobby::{Announced, short};
use crate::page;
use crate::protocol::{Command, Input, Output, Scope, Users};
use crate::responses::{method_not_allowed, not_found};

/// The seats of one Replica, unless the [`Env`](dog::Env) holds a [`Limit`]. Two is so few that three windows need two Replicas.
pub const DEFAULT_LIMIT: Limit = Limit::new(2);

/// How long a user stays after the last socket. A page that is loaded again needs less.
const GRACE: Duration = Duration::from_secs(1);

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
    since(&request)?;
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

/// The position after which the user has missed messages: `/ws?u=ann&since=EPOCH:OFFSET`.
fn since(request: &Request) -> Result<Option<Position>> {
    let since = query_param(request, "since").map(|since| since.parse()).transpose();
    since.map_err(|error: Error| Failure::status(StatusCode::BAD_REQUEST, error.to_string()))
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
    announced: Rc<Announced>,
    /// The users who were removed.
    removed: RevocationStore,
}

impl Group for Lobby {
    type Replica = Room;
    type Call = ListCall;
    type Reply = ListReply;
    const NAME: &'static str = "lobby";

    async fn activate(cx: &GroupContext) -> Result<Self> {
        let limit = cx.env().get().copied().unwrap_or(DEFAULT_LIMIT);
        let announced = Rc::new(Announced::load(cx).await?);
        Ok(Self { limit, announced, removed: RevocationStore::new(cx) })
    }

    fn limit(&self) -> Limit {
        self.limit
    }

    fn policy(&self) -> Policy {
        Policy { presence: Some(Presence::default().grace(GRACE)), ..Policy::default() }
    }

    /// What is said to everyone: the newest 1,000 messages of 24 hours. Topics have no log.
    fn log(&self, topic: &str) -> Log {
        if topic == ROOM { Log::durable() } else { Log::none() }
    }

    async fn on_call(&self, _: &GroupContext, call: ListCall) -> Result<ListReply> {
        self.removed.on_call(call).await
    }

    async fn on_arrive(&self, cx: &GroupContext, user: &ClientId) -> Result {
        self.announced.join(cx, user).await
    }

    async fn on_leave(&self, cx: &GroupContext, user: &ClientId) -> Result {
        self.announced.exit(cx, user).await
    }

    /// Nobody knows what an earlier life has told, only what is stored. (After a crash, or when all objects have left memory.)
    async fn on_presence_reset(&self, cx: &GroupContext) -> Result {
        Announced::compare(&self.announced, cx).await
    }
}

/// The Replica. Its sockets say who is here, and they stay open while it hibernates.
pub struct Room {
    expiry: Expiry<Seated>,
    history: History,
}

/// What is attached to a socket.
#[derive(Default, Serialize, Deserialize)]
struct Seated {
    topics: Vec<Topic>,
    /// The position after which the user has missed messages.
    since: Option<Position>,
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
}

impl Replica for Room {
    type Group = Lobby;
    type Gossip = Ask;
    type Answer = BTreeSet<ClientId>;
    /// How the page sees that its connection is alive. It wakes no Replica.
    const AUTO_RESPONSE: Option<AutoResponse> = Some(AutoResponse::new("ping", "pong"));
    /// So that the next life of the Lobby knows what this one has announced.
    const FOLLOWS_PRESENCE: bool = true;
    const RENDERS: bool = true;

    async fn activate(_: &Context<Self>) -> Result<Self> {
        Ok(Self { expiry: Expiry::with_attachment(), history: History::default() })
    }

    fn render(_: &str, epoch: &LogEpoch, publication: &Publication, _: Format) -> Message {
        with_position(epoch, publication)
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
                let seated = Seated { topics: topics(&request)?, since: since(&request)?, ..Seated::default() };
                return Ok(cx.accept(request).attachment(&seated).on_open_first().connect()?);
            }
            "/broadcast" => drop(cx.publish(ROOM, said("To everyone, by GET /broadcast", None, None)?).await?),
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

    /// What others send waits until this has ended: the first message is the history, or says what the user has missed.
    async fn on_open(&self, cx: &Context<Self>, socket: &Socket) -> Result {
        let room = cx.dog().group_by_id::<Lobby>(cx.group());
        if self.expiry.close_if_revoked(&room, socket).await? {
            return Ok(());
        }
        self.expiry.watch_by_alarm(cx, socket).await?;
        let Seated { topics, since, .. } = socket.attachment()?.unwrap_or_default();
        // Who reads of the join knows that the topics are subscribed to.
        for topic in topics {
            socket.subscribe(&topic).await?;
        }
        if let Some(since) = since {
            let (count, reason) = match socket.resume(ROOM, &since).await? {
                Ok(recovered) => (Some(recovered.count), None),
                Err(reason) => (None, Some(reason.as_str())),
            };
            socket.send(Output::Resumed { recovered: count.is_some(), count, reason }.at(cx.now())?)?;
            if count.is_some() {
                return Ok(());
            }
        }
        let (history, head) = self.history.read(cx).await?;
        begin(socket, history, &head).await
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
            Input::UserList => match user_list(cx).await {
                Ok(list) => socket.send(list.at(cx.now())?)?,
                Err(error) => refuse(cx, socket, &error)?,
            },
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

    /// Everybody here begins again.
    async fn on_lost(&self, cx: &Context<Self>, _: &str, reason: Unrecovered, sockets: &[Socket]) -> Result {
        let lost = Output::Lost { reason: reason.as_str() }.at(cx.now())?;
        let (history, head) = self.history.read(cx).await?;
        for socket in sockets {
            let begun = match socket.send(lost.clone()) {
                Ok(()) => begin(socket, history.clone(), &head).await,
                Err(error) => Err(error.into()),
            };
            // The socket may have closed meanwhile, which concerns no other.
            if begun.is_err() {
                socket.close(CloseCode::TRY_AGAIN, reason.as_str());
            }
        }
        Ok(())
    }

    /// The first session ends. An alarm says so, and no task, which would keep the Replica in memory.
    async fn on_alarm(&self, cx: &Context<Self>, _: Alarm) -> Result {
        Ok(self.expiry.ring(cx).await?)
    }

    async fn on_gossip(&self, cx: &Context<Self>, _: Ask) -> Result<BTreeSet<ClientId>> {
        Ok(users(cx))
    }
}

/// Sends the history, and then what comes after it.
async fn begin(socket: &Socket, history: Message, head: &Position) -> Result {
    socket.send(history)?;
    if let Err(reason) = socket.resume(ROOM, head).await? {
        // So much was said meanwhile, or the log has begun again.
        socket.close(CloseCode::TRY_AGAIN, reason.as_str());
    }
    Ok(())
}

async fn say(cx: &Context<Room>, socket: &Socket, command: Command<'_>) -> Result {
    let from = socket.client().as_str();
    match command {
        Command::All(text) => {
            let said = Output::Said { from, text, meta: None, to: None, topic: None };
            if let Err(error) = cx.publish(ROOM, said.at(cx.now())?).await {
                not_sent(cx, socket, &error)?;
            }
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
                Err(error) => not_sent(cx, socket, &error)?,
            }
        }
    }
    Ok(())
}

fn not_sent(cx: &Context<Room>, socket: &Socket, error: &Error) -> Result {
    Ok(socket.send(Output::Error { text: &format!("not sent: {error}") }.at(cx.now())?)?)
}

fn refuse(cx: &Context<Room>, socket: &Socket, error: &Error) -> Result {
    Ok(socket.send(Output::Error { text: &error.to_string() }.at(cx.now())?)?)
}

async fn user_list(cx: &Context<Room>) -> Result<Output<'static>, Error> {
    let replies = cx.gossip(&Ask::Everyone).await?;
    let missing = replies.missing.len();
    let mut replicas = vec![Users { replica: short(cx.id()), users: users(cx) }];
    replicas.extend(replies.answers.into_iter().map(|(id, users)| Users { replica: short(id), users }));
    replicas.retain(|replica| !replica.users.is_empty());
    let (mut list, mut after) = (BTreeSet::new(), None);
    loop {
        let page = cx.presence(after.as_ref(), MAX_PRESENCE_PAGE).await?;
        list.extend(page.clients.into_iter().map(|present| present.client));
        after = page.next;
        if after.is_none() {
            return Ok(Output::List { list, replica: short(cx.id()), replicas, missing });
        }
    }
}

/// The users with a socket on this Replica.
fn users(cx: &Context<Room>) -> BTreeSet<ClientId> {
    cx.sockets().map(|socket| socket.client().clone()).collect()
}
