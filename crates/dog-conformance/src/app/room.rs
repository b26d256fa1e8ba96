//! The Group and the Replica of the test App: [`ClassGroup`] and [`Room`].

use std::cell::{Cell, RefCell};
use std::marker::PhantomData;
use std::rc::Rc;
use std::time::Duration;

use dog::http::header::CONTENT_TYPE;
use dog::http::{HeaderValue, StatusCode};
use dog::{
    Alarm, AutoResponse, Body, ClientId, Close, CloseCode, Context, Error, Failure, Format, Group, GroupContext, Limit,
    List, Log, LogEpoch, Message, MessageRate, Policy, Position, PresenceNews, Publication, ROOM, Replica, ReplicaId,
    Request, Response, Result, Socket, SocketError, Storage, Timestamp,
};
use serde::Serialize;

use super::class::{self, TestClass};
use super::gate::Gates;
use super::group_calls;
use super::journal::Journal;
use super::log;
use super::presence::Telling;
use super::protocol::{
    AUTO_RESPONSE, Answer, Ask, Attached, Cause, Command, CommandReply, FAILING, FORMAT, GATED, GREETED, GroupAsk,
    GroupReply, HOST, JournalReport, OVER, PRESENT, REPLICA_HEADER, RETURNING, SINCE, SORE, SocketEnd, SocketEvent,
    StorageStep, TAGGED, TALKING, TOPICAL, UNWANTED, arrived, arrived_in, left, left_in, rendered, waiting,
};
use super::responses;
use super::storage_runner::{self, StorageOwner};
use super::tap::Tap;
use super::verbs;

/// A Group of the class `C`.
pub struct ClassGroup<C> {
    /// Not stored: it is lost when the Group leaves memory.
    field: Cell<u64>,
    gates: Gates,
    class: PhantomData<fn() -> C>,
}

impl<C: TestClass> Group for ClassGroup<C> {
    type Replica = Room<C>;
    type Call = GroupAsk;
    type Reply = GroupReply;
    const NAME: &'static str = C::NAME;
    const ACTIVATE_DEADLINE: Duration = C::ACTIVATE_DEADLINE;

    async fn activate(cx: &GroupContext) -> Result<Self> {
        C::waits(cx.id(), "Group::activate").await;
        Ok(Self { field: Cell::new(0), gates: Gates::default(), class: PhantomData })
    }

    fn limit(&self) -> Limit {
        C::LIMIT
    }

    fn policy(&self) -> Policy {
        C::policy()
    }

    fn log(&self, topic: &str) -> Log {
        class::log_of::<C>(topic)
    }

    async fn clusterize(&self, cx: &GroupContext, client: &ClientId) -> Result<ReplicaId> {
        C::waits(cx.id(), "clusterize").await;
        C::clusterize(cx, client)
    }

    /// Does what `?do=` says: fails, refuses, panics, runs the storage script in the body, counts such requests in this life,
    /// or sleeps.
    /// Without `do` it returns the request.
    async fn receive(&self, cx: &GroupContext, request: Request) -> Result<Response> {
        match dog::query_param(&request, "do").as_deref() {
            Some("fail") => Err(Failure::new("the secret of the Group")),
            Some("refuse") => Err(responses::refusal(&request)?),
            Some("panic") => panic!("the secret of the Group"),
            Some("verb") => verbs::of_group(cx, &request).await,
            Some("storage") => {
                let steps: Vec<StorageStep> = serde_json::from_slice(&request.into_body().bytes(1 << 20).await?)?;
                Ok(dog::json_response(StatusCode::OK, &storage_runner::run(cx, &steps).await?)?)
            }
            Some("storage_or_fail") => {
                let steps: Vec<StorageStep> = serde_json::from_slice(&request.into_body().bytes(1 << 20).await?)?;
                Ok(dog::json_response(StatusCode::OK, &storage_runner::run_or_fail(cx, &steps).await?)?)
            }
            Some("count") => {
                self.field.set(self.field.get() + 1);
                Ok(dog::text_response(StatusCode::OK, self.field.get().to_string()))
            }
            Some("sleep") => {
                let (task, cx) = (cx.clone(), cx);
                let slept = cx.spawn(async move {
                    task.sleep(Duration::from_millis(5)).await;
                    task.interval(Duration::from_millis(5)).tick().await
                })?;
                let never = cx.timeout(Duration::from_millis(5), std::future::pending::<()>()).await;
                let deadline = never.is_err_and(|error| error.is_deadline());
                Ok(dog::text_response(StatusCode::OK, format!("slept: {}, deadline: {deadline}", slept.await.is_ok())))
            }
            _ => responses::echo("group", request).await,
        }
    }

    async fn on_call(&self, cx: &GroupContext, ask: GroupAsk) -> Result<GroupReply> {
        group_calls::answer::<Self>(&self.gates, cx, ask).await
    }

    fn has_presence(topic: &str) -> bool {
        topic.starts_with(PRESENT)
    }

    async fn on_topic_arrive(&self, cx: &GroupContext, topic: &str, client: &ClientId) -> Result {
        Ok(cx.broadcast(arrived_in(topic, client))?)
    }

    async fn on_topic_leave(&self, cx: &GroupContext, topic: &str, client: &ClientId) -> Result {
        Ok(cx.broadcast(left_in(topic, client))?)
    }

    async fn on_arrive(&self, cx: &GroupContext, client: &ClientId) -> Result {
        Ok(cx.broadcast(arrived(client))?)
    }

    async fn on_leave(&self, cx: &GroupContext, client: &ClientId) -> Result {
        Ok(cx.broadcast(left(client))?)
    }

    async fn on_alarm(&self, cx: &GroupContext, alarm: Alarm) -> Result {
        storage_runner::ring(cx, &alarm).await
    }
}

/// Opens a stream of bytes, whose client says something before it begins.
async fn bytes<R: Replica>(cx: &Context<R>, request: Request) -> Result<Response> {
    let (head, body) = request.into_parts();
    body.bytes(100).await?;
    Ok(cx.byte_stream(Request::from_parts(head, Body::empty())))
}

/// Executes the commands of its clients, and keeps a journal of its sockets.
pub struct Room<C> {
    pub(super) journal: Journal,
    /// Shared with the tasks of this Replica.
    pub(super) gates: Rc<Gates>,
    /// Not stored: it is lost when the Replica hibernates.
    pub(super) field: Cell<u64>,
    /// Every handler takes this borrow when it begins, so a handler that begins inside another one panics.
    pub(super) held: RefCell<()>,
    /// The responses that are being streamed.
    pub(super) taps: RefCell<Vec<Tap>>,
    telling: Telling,
    class: PhantomData<fn() -> C>,
}

impl<C: TestClass> Replica for Room<C> {
    type Group = ClassGroup<C>;
    type Gossip = Ask;
    type Answer = Answer;
    const AUTO_RESPONSE: Option<AutoResponse> = Some(AUTO_RESPONSE);
    const FOLLOWS_PRESENCE: bool = C::FOLLOWS_PRESENCE;
    const RENDERS: bool = C::RENDERS;

    fn message_rate(cx: &Context<Self>) -> Option<MessageRate> {
        C::message_rate(cx.group(), cx.id())
    }

    async fn activate(cx: &Context<Self>) -> Result<Self> {
        C::activate(cx.group(), cx.id())?;
        C::waits(cx.group(), "activate").await;
        let journal = Journal::open(cx.storage()).await?;
        Ok(Self {
            journal,
            gates: Rc::default(),
            field: Cell::new(0),
            held: RefCell::default(),
            taps: RefCell::default(),
            telling: Telling::default(),
            class: PhantomData,
        })
    }

    /// `…/ws` opens a socket, `…/events` and `…/lines` an event stream, `…/http` executes a command, `…/stream` streams. Other paths return the request.
    async fn receive(&self, cx: &Context<Self>, request: Request) -> Result<Response> {
        drop(self.held.borrow_mut());
        let _in_flight = self.journal.request();
        self.journal.seats(cx.sockets().count());
        match request.uri().path().rsplit('/').next() {
            Some("ws") => {
                let since = dog::query_param(&request, SINCE).map(|since| since.parse::<Position>()).transpose()?;
                if let Some(format) = dog::query_param(&request, FORMAT) {
                    let accept = cx.accept(request).format(Format::new(format.parse()?));
                    let accept = since.iter().fold(accept, dog::Accept::attachment);
                    return in_room(cx, accept.connect()?);
                }
                if let Some(since) = since {
                    return in_room(cx, cx.connect_with(request, &since)?);
                }
                if dog::query_param(&request, "u").is_some_and(|client| client.starts_with(GREETED)) {
                    return in_room(cx, cx.accept(request).on_open_first().connect()?);
                }
                let response = match (tag(&request), dog::query_param(&request, "subprotocol")) {
                    (Some(tag), Some(name)) => cx.accept(request).attachment(&tag).subprotocol(&name).connect()?,
                    (None, Some(name)) => cx.accept(request).subprotocol(&name).connect()?,
                    (Some(tag), None) => cx.connect_with(request, &tag)?,
                    (None, None) => cx.connect(request),
                };
                in_room(cx, response)
            }
            Some("events") => match tag(&request) {
                Some(tag) => Ok(cx.event_stream_with(request, &tag)?),
                None => Ok(cx.event_stream(request)),
            },
            Some("lines") => Ok(cx.line_stream(request)),
            Some("bytes") => bytes(cx, request).await,
            Some("http") => self.command(cx, request).await,
            Some("stream") => {
                let tap = Tap::default();
                tap.say("begins");
                self.taps.borrow_mut().push(tap.clone());
                let mut response = Response::new(Body::stream(tap));
                response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
                Ok(response)
            }
            _ => responses::echo("replica", request).await,
        }
    }

    async fn on_open(&self, cx: &Context<Self>, socket: &Socket) -> Result {
        drop(self.held.borrow_mut());
        let client = socket.client();
        self.journal.note(client, SocketEvent::Opening);
        self.journal.seats(cx.sockets().count());
        if client.as_str().starts_with(FAILING) {
            return Err(Failure::new("the secret of on_open"));
        }
        if client.as_str().starts_with(TAGGED) && socket.attachment::<Attached>()?.is_none() {
            return Err(Failure::new("on_open comes before what was attached"));
        }
        if client.as_str().starts_with(UNWANTED) {
            socket.close(CloseCode::POLICY, "not wanted");
        }
        if client.as_str().starts_with(TOPICAL) {
            socket.subscribe(TOPICAL).await?;
        }
        if let Some(session) = socket.session().filter(|_| client.as_str().starts_with(TALKING)) {
            socket.send(session)?;
        }
        if client.as_str().starts_with(RETURNING)
            && let Some(since) = socket.attachment::<Position>()?
        {
            socket.send(Message::json(&log::resume(socket, ROOM, &since).await?)?)?;
        }
        if client.as_str().starts_with(GATED) || client.as_str().starts_with(GREETED) {
            self.gates.pass(client.as_str()).await;
        }
        if client.as_str().starts_with(GREETED) {
            socket.send("greeting")?;
        }
        self.journal.note(client, SocketEvent::Opened);
        Ok(())
    }

    async fn on_message(&self, cx: &Context<Self>, socket: &Socket, message: Message) -> Result {
        drop(self.held.borrow_mut());
        self.journal.note_message(socket.client(), &message);
        let reply = match message.as_text().and_then(|text| serde_json::from_str::<Command>(text).ok()) {
            None => message,
            Some(Command { id, act }) => {
                let told = self.perform(cx, Some(socket), act).await?;
                Message::json(&CommandReply { reply: id, replica: cx.id(), told })?
            }
        };
        // The socket may have ended while the handler ran. The reply is lost then.
        socket.send(reply).or_else(|error| if error.is_closed() { Ok(()) } else { Err(error) })?;
        self.journal.note(socket.client(), SocketEvent::Handled);
        Ok(())
    }

    async fn on_close(&self, cx: &Context<Self>, socket: &Socket, close: &Close) -> Result {
        self.note_end(cx, socket, close, None);
        if socket.client().as_str().starts_with(HOST) {
            self.close_others(cx, socket, OVER.0, OVER.1);
        }
        if socket.client().as_str().starts_with(SORE) {
            return Err(Failure::new("the secret of on_close"));
        }
        Ok(())
    }

    async fn on_error(&self, cx: &Context<Self>, socket: &Socket, error: &SocketError) -> Result {
        self.note_end(cx, socket, error.close(), Some(error.into()));
        Ok(())
    }

    async fn on_alarm(&self, cx: &Context<Self>, alarm: Alarm) -> Result {
        drop(self.held.borrow_mut());
        storage_runner::ring(&InRoom(self, cx), &alarm).await
    }

    async fn on_presence(&self, cx: &Context<Self>, news: PresenceNews) -> Result {
        drop(self.held.borrow_mut());
        self.telling.tell(cx, news).await
    }

    fn render(_: &str, epoch: &LogEpoch, publication: &Publication, format: Format) -> Message {
        match publication.message.as_text().filter(|_| format != Format::DEFAULT) {
            Some(text) => Message::text(rendered(format, &Position::new(epoch.clone(), publication.offset), text)),
            None => publication.message.clone(),
        }
    }

    async fn on_gossip(&self, cx: &Context<Self>, ask: Ask) -> Result<Answer> {
        drop(self.held.borrow_mut());
        self.answer(cx, ask).await
    }
}

/// Says in a response which Replica has made it.
fn in_room<C: TestClass>(cx: &Context<Room<C>>, mut response: Response) -> Result<Response> {
    response.headers_mut().insert(REPLICA_HEADER, HeaderValue::try_from(cx.id().to_string())?);
    Ok(response)
}

/// The attachment with which a socket of this client starts.
fn tag(request: &Request) -> Option<Attached> {
    let name = dog::query_param(request, "u").filter(|client| client.starts_with(TAGGED))?;
    Some(Attached { name, ..Attached::default() })
}

impl<C: TestClass> Room<C> {
    /// Executes a command without a socket.
    async fn command(&self, cx: &Context<Self>, request: Request) -> Result<Response> {
        let body = request.into_body().bytes(1 << 20).await?;
        let Command { id, act } = serde_json::from_slice(&body)?;
        let told = self.perform(cx, None, act).await?;
        Ok(dog::json_response(StatusCode::OK, &CommandReply { reply: id, replica: cx.id(), told })?)
    }

    /// The answer to the question of a sibling, or of a client.
    pub(super) async fn answer(&self, cx: &Context<Self>, ask: Ask) -> Result<Answer> {
        let has = |client: &dog::ClientId| cx.sockets().any(|socket| socket.client() == client);
        match ask {
            Ask::Report => Ok(Answer::Report(self.report(cx).await?)),
            Ask::Ended(client) => {
                self.journal.ended(&client).await?;
                Ok(Answer::Report(self.report(cx).await?))
            }
            Ask::Fail(client) if has(&client) => Err(Failure::new("the secret of on_gossip")),
            Ask::Panic(client) if has(&client) => panic!("the secret of on_gossip"),
            Ask::Hang(client) if has(&client) => std::future::pending().await,
            Ask::Fail(_) | Ask::Panic(_) | Ask::Hang(_) => Ok(Answer::Spared),
            Ask::Echo(value) => Ok(Answer::Echo(value)),
        }
    }

    async fn report(&self, cx: &Context<Self>) -> Result<JournalReport, dog::Error> {
        let mut open: Vec<_> = cx.sockets().map(|socket| socket.client().clone()).collect();
        open.sort();
        let seats = self.journal.seats(open.len());
        let (most, activations) = (self.journal.most(), self.journal.activations());
        Ok(JournalReport { seats, most, activations, open, entries: self.journal.entries().await? })
    }

    fn note_end(&self, cx: &Context<Self>, socket: &Socket, close: &Close, error: Option<Cause>) {
        drop(self.held.borrow_mut());
        let listed = cx.sockets().any(|open| open.id() == socket.id());
        let end = SocketEnd {
            error,
            code: close.code().as_u16(),
            reason: close.reason().to_owned(),
            lingers: listed || socket.send("too late").is_ok(),
        };
        self.journal.note(socket.client(), SocketEvent::End(end));
    }
}

/// A Room and its context.
pub(super) struct InRoom<'a, C: TestClass>(pub(super) &'a Room<C>, pub(super) &'a dog::Context<Room<C>>);

impl<C: TestClass> StorageOwner for InRoom<'_, C> {
    fn storage(&self) -> Storage {
        self.1.storage()
    }

    fn now(&self) -> Timestamp {
        self.1.now()
    }

    async fn set_alarm<T: Serialize>(&self, name: &str, at: Timestamp, payload: &T) -> Result<(), Error> {
        self.1.set_alarm(name, at, payload).await
    }

    async fn delete_alarm(&self, name: &str) -> Result<(), Error> {
        self.1.delete_alarm(name).await
    }

    async fn alarm(&self, name: &str) -> Result<Option<Timestamp>, Error> {
        self.1.alarm(name).await
    }

    async fn alarms(&self, list: &List) -> Result<Vec<(String, Timestamp)>, Error> {
        self.1.alarms(list).await
    }

    async fn pass(&self, gate: &str) -> Result {
        self.1.emit(waiting(gate))?;
        self.0.gates.pass(gate).await;
        Ok(())
    }

    fn say(&self, text: &str) {
        // The Replica may have no sockets.
        let _ = self.1.emit(text);
    }
}
