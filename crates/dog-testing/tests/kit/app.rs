//! An App whose rooms execute commands, so that each test can cause the fault that it tests.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use dog::http::StatusCode;
use dog::{
    Alarm, App, Body, ClientId, Close, Context, Dog, Env, Failure, Group, GroupContext, Limit, Message, MessageRate,
    Replica, Request, Response, Result, Socket, SocketError, To,
};
use dog_testing::{Builder, ClientSocket, Cluster};

pub(crate) const HALL: &str = "hall";

/// Starts a cluster with this many seats per Replica.
pub(crate) fn hall(seats: u32) -> Cluster {
    builder(seats).start()
}

pub(crate) fn builder(seats: u32) -> Builder<House> {
    Cluster::builder(House).env(Env::new().with(Limit::new(seats)))
}

pub(crate) fn enter<const N: usize>(cluster: &Cluster, names: [&str; N]) -> [ClientSocket; N] {
    names.map(|name| cluster.connect(&format!("/ws?u={name}")))
}

/// Sends a command. Returns what this socket receives.
pub(crate) fn tell(cluster: &Cluster, socket: &ClientSocket, command: &str) -> Vec<String> {
    socket.send(command);
    cluster.run();
    socket.received_texts()
}

pub(crate) struct House;

impl App for House {
    type Groups = (Hall,);

    async fn fetch(&self, request: Request, dog: &Dog<Self>) -> Result<Response> {
        let hall = dog.group::<Hall>(HALL);
        match request.uri().path() {
            "/group" => Ok(hall.fetch(request).await?),
            "/deliver" => {
                let group = dog::query_param(&request, "group").unwrap_or_else(|| HALL.into());
                let session = dog::query_param(&request, "session").unwrap_or_default();
                let text = String::from_utf8(request.into_body().bytes(1 << 20).await?.into())?;
                dog.group::<Hall>(&group).deliver(&session, text).await?;
                Ok(dog::text_response(StatusCode::ACCEPTED, ""))
            }
            "/fail" => Err(Failure::new("the app has had enough")),
            "/echo" => {
                let kind = request.headers().get("content-type").cloned();
                let mut response = Response::new(Body::from(request.into_body().bytes(1024).await?));
                response.headers_mut().extend(kind.map(|kind| (dog::http::header::CONTENT_TYPE, kind)));
                Ok(response)
            }
            _ => {
                let named = request.headers().get("x-user").and_then(|name| name.to_str().ok()).map(str::to_owned);
                let name = named.or_else(|| dog::query_param(&request, "u")).unwrap_or_default();
                Ok(hall.identify(&ClientId::new(name)?).await?.fetch(request).await?)
            }
        }
    }
}

pub(crate) struct Hall {
    limit: Limit,
}

impl Group for Hall {
    type Replica = Room;
    type Call = ();
    type Reply = ();
    const NAME: &'static str = "hall";

    async fn activate(cx: &GroupContext) -> Result<Self> {
        Ok(Self { limit: cx.env().get().copied().unwrap_or(Limit::new(2)) })
    }

    fn limit(&self) -> Limit {
        self.limit
    }

    async fn receive(&self, cx: &GroupContext, _: Request) -> Result<Response> {
        cx.storage().put("asked", &true).await?;
        cx.set_alarm("asked", cx.now() + Duration::from_secs(60), &()).await?;
        Ok(dog::text_response(StatusCode::OK, "asked"))
    }

    async fn on_alarm(&self, cx: &GroupContext, _: Alarm) -> Result {
        Ok(cx.storage().put("rung", &cx.now().as_millis()).await?)
    }
}

/// A room. A field counts the messages that it has handled since its activation.
pub(crate) struct Room {
    handled: Cell<u32>,
}

impl Replica for Room {
    type Group = Hall;
    type Gossip = ();
    type Answer = u32;

    fn message_rate(cx: &Context<Self>) -> Option<MessageRate> {
        cx.env().get().copied()
    }

    async fn activate(_: &Context<Self>) -> Result<Self> {
        Ok(Self { handled: Cell::new(0) })
    }

    async fn receive(&self, cx: &Context<Self>, request: Request) -> Result<Response> {
        match request.uri().path() {
            "/ws" => Ok(cx.connect(request)),
            "/events" => Ok(cx.event_stream_with(request, &"a stream")?),
            "/lines" => Ok(cx.line_stream(request)),
            "/bytes" => {
                let (head, body) = request.into_parts();
                let mut response = cx.byte_stream(Request::from_parts(head, dog::Body::empty()));
                let greeting = body.bytes(100).await?;
                response.headers_mut().insert("x-greeting", dog::http::HeaderValue::from_bytes(&greeting)?);
                Ok(response)
            }
            "/never" => std::future::pending().await,
            "/panic" => panic!("no such thing"),
            "/refuse" => Err(refusal(&request)?),
            _ => Ok(dog::text_response(StatusCode::NOT_FOUND, "nothing here")),
        }
    }

    async fn on_open(&self, _: &Context<Self>, socket: &Socket) -> Result {
        match socket.session() {
            Some(session) if socket.client().as_str().starts_with("talker") => Ok(socket.send(session)?),
            _ => Ok(()),
        }
    }

    async fn on_message(&self, cx: &Context<Self>, socket: &Socket, message: Message) -> Result {
        self.handled.set(self.handled.get() + 1);
        let Some(text) = message.as_text() else { return Ok(socket.send(message)?) };
        let (command, rest) = text.split_once(' ').unwrap_or((text, ""));
        match command {
            "all" => socket.broadcast(rest, To::Everyone)?,
            "sure" => drop(socket.broadcast_confirmed(rest, To::Everyone).await?),
            "whisper" => drop(socket.whisper(&ClientId::new(rest)?, "psst").await?),
            "count" => socket.send(self.handled.get().to_string())?,
            "note" => notes(socket)?.borrow_mut().push(rest.to_owned()),
            "notes" => socket.send(notes(socket)?.borrow().join(","))?,
            "name" => socket.set_attachment(&rest)?,
            "names" => socket.send(names(cx)?.join(","))?,
            "put" => match cx.storage().put("kept", &rest).await {
                Ok(()) => socket.send("kept")?,
                Err(error) => socket.send(format!("{error}, storage: {}", error.is_storage()))?,
            },
            "alarm" => cx.set_alarm("told", cx.now() + Duration::from_secs(rest.parse()?), &()).await?,
            "ask" => {
                let heard = cx.gossip(&()).await?;
                socket.send(format!("{} answered, {} missing", heard.answers.len(), heard.missing.len()))?;
            }
            "shut" => cx.close_to_newcomers()?,
            "flood" => (0..rest.parse()?).try_for_each(|_| socket.send("x".repeat(1000)))?,
            "json" => socket.send(Message::json(&serde_json::from_str::<serde_json::Value>(rest)?)?)?,
            "kick" => {
                let theirs = cx.sockets().filter(|other| other.client().as_str() == rest);
                theirs.for_each(|other| other.close(dog::CloseCode::POLICY, "kicked"));
            }
            "bye" => socket.close(dog::CloseCode::POLICY, rest),
            "fail" => return Err(Failure::new(rest)),
            "panic" => panic!("{rest}"),
            "wait" => std::future::pending().await,
            "spin" => spin().await,
            _ => {}
        }
        Ok(())
    }

    async fn on_close(&self, cx: &Context<Self>, socket: &Socket, close: &Close) -> Result {
        let notes = notes(socket)?.borrow().join(",");
        Ok(cx.broadcast(format!("{} closed with {} {}{notes}", socket.client(), close.code(), close.reason()))?)
    }

    async fn on_error(&self, cx: &Context<Self>, socket: &Socket, error: &SocketError) -> Result {
        let why = match error {
            error if error.is_too_slow() => "was too slow",
            error if error.is_too_fast() => "was too fast",
            _ => "is lost",
        };
        Ok(cx.broadcast(format!("{} {why}", socket.client()))?)
    }

    async fn on_gossip(&self, _: &Context<Self>, (): ()) -> Result<u32> {
        Ok(self.handled.get())
    }

    async fn on_alarm(&self, cx: &Context<Self>, _: Alarm) -> Result {
        Ok(cx.broadcast("the alarm")?)
    }
}

/// Refuses with the status in the query.
fn refusal(request: &Request) -> Result<Failure> {
    let status: StatusCode = dog::query_param(request, "status").unwrap_or_default().parse()?;
    Ok(Failure::status(status, "not you"))
}

/// What a socket keeps in memory.
fn notes(socket: &Socket) -> Result<Rc<RefCell<Vec<String>>>> {
    Ok(socket.state()?)
}

fn names(cx: &Context<Room>) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for socket in cx.sockets() {
        names.extend(socket.attachment::<String>()?);
    }
    names.sort();
    Ok(names)
}

/// Wakes its own task on each poll, without end.
async fn spin() {
    poll_fn(|context| {
        context.waker().wake_by_ref();
        Poll::<()>::Pending
    })
    .await;
}
