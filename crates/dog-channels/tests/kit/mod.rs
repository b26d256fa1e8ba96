//! A server of channels for tests, and clients that speak its protocol.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use dog::{App, Dog, Env, Limit, Log, ReplicaId, Request, Response, Result};
use dog_channels::protocol::{ClientCommand, Codec, Push, ServerReply};
use dog_channels::{
    Action, ChannelContext, ChannelGroup, ChannelOptions, ChannelServer, Channels, ClientSession, Connecting,
    Connection, NewChannelPublication, Refused, Subscribing, Subscription,
};
use dog_testing::{ClientSocket, Cluster, websocket};
use serde_json::{Value, json};

/// The name of the server.
pub(crate) const NAME: &str = "main";

/// The seats of a Replica.
#[derive(Clone, Copy)]
struct Seats(u32);

/// A token is the name of the user, and `own` behind it subscribes to `kept:own`. Channels `kept:…` have a history, `seen:…` have
/// presence. `forbidden` is.
pub(crate) struct Hall(Seats);

impl Channels for Hall {
    const NAME: &'static str = "hall";

    fn activate(env: &Env) -> Result<Self> {
        Ok(Self(env.get().copied().unwrap_or(Seats(10))))
    }

    fn limit(&self) -> Limit {
        Limit::new(self.0.0)
    }

    fn options(&self, channel: &str) -> Option<ChannelOptions> {
        let namespace = channel.split_once(':').map_or("", |(namespace, _)| namespace);
        let plain = ChannelOptions::default();
        match namespace {
            "" | "plain" => Some(plain),
            "kept" => Some(ChannelOptions { log: Log::memory(), force_recovery: channel == "kept:own", ..plain }),
            "seen" => Some(ChannelOptions { presence: true, join_leave: true, ..plain }),
            _ => None,
        }
    }

    async fn connect(&self, _: &ChannelContext, who: &Connecting<'_>) -> Result<Connection, Refused> {
        let (user, wish) = who.token.split_once(' ').unwrap_or((who.token, ""));
        let channels = if wish == "own" { vec!["kept:own".to_owned()] } else { Vec::new() };
        Ok(Connection { user: user.to_owned(), channels, ..Connection::default() })
    }

    async fn subscribe(
        &self,
        _: &ChannelContext,
        _: &ClientSession,
        request: &Subscribing<'_>,
    ) -> Result<Subscription, Refused> {
        if request.channel == "forbidden" {
            return Err(Refused::PERMISSION_DENIED);
        }
        Ok(Subscription { may_recover: true, may_hear_joins: true, ..Subscription::default() })
    }

    async fn permit(&self, _: &ChannelContext, _: &ClientSession, _: Action, _: &str) -> Result<(), Refused> {
        Ok(())
    }
}

struct House;

impl App for House {
    type Groups = (ChannelGroup<Hall>,);

    async fn fetch(&self, request: Request, dog: &Dog<Self>) -> Result<Response> {
        ChannelServer::new(&Hall(Seats(1)), dog.group::<ChannelGroup<Hall>>(NAME)).connect(request).await
    }
}

/// A server with this number of seats per Replica.
pub(crate) fn start(seats: u32) -> Cluster {
    Cluster::builder(House).env(Env::new().with(Seats(seats))).start()
}

/// Acts as a backend.
pub(crate) struct Backend<'a> {
    cluster: &'a Cluster,
    hall: Hall,
}

impl<'a> Backend<'a> {
    pub(crate) fn new(cluster: &'a Cluster) -> Self {
        Self { cluster, hall: Hall(Seats(1)) }
    }

    pub(crate) fn server(&self) -> ChannelServer<'_, Hall, ChannelGroup<Hall>> {
        ChannelServer::new(&self.hall, self.cluster.group(NAME))
    }
}

/// Publishes as a backend.
pub(crate) fn publish(cluster: &Cluster, channel: &str, data: &str) {
    let new = NewChannelPublication::new(channel, data.to_owned());
    cluster.wait_for(Backend::new(cluster).server().publish(new)).expect("it can be published");
    cluster.run();
}

/// A client of the protocol.
pub(crate) struct Client<'a> {
    cluster: &'a Cluster,
    socket: ClientSocket,
    codec: Codec,
    commands: Cell<u32>,
    id: RefCell<String>,
    unread: RefCell<Vec<ServerReply>>,
}

impl<'a> Client<'a> {
    /// One that has not said who it is.
    pub(crate) fn open(cluster: &'a Cluster, codec: Codec) -> Self {
        let path = match codec {
            Codec::Json => "/",
            Codec::Protobuf => "/?format=protobuf",
        };
        let socket = cluster.open(websocket(path)).expect("the server takes everybody");
        Self { cluster, socket, codec, commands: Cell::new(0), id: RefCell::default(), unread: RefCell::default() }
    }

    /// One that has.
    pub(crate) fn connected(cluster: &'a Cluster, codec: Codec, user: &str) -> Self {
        let client = Self::open(cluster, codec);
        let reply = client.ask(json!({"connect": {"token": user}}));
        let id = reply["connect"]["client"].as_str().expect("the client has an id");
        id.clone_into(&mut client.id.borrow_mut());
        client
    }

    /// Its id.
    pub(crate) fn id(&self) -> String {
        self.id.borrow().clone()
    }

    /// Sends a command, and returns the reply, without its id.
    #[track_caller]
    pub(crate) fn ask(&self, mut request: Value) -> Value {
        let id = self.commands.get() + 1;
        self.commands.set(id);
        request["id"] = id.into();
        let command: ClientCommand = serde_json::from_value(request.clone()).expect("a command");
        let frame = self.codec.write_commands(&[command]).expect("all payloads are JSON");
        self.send_frame(&frame);
        for _ in 0..100 {
            self.read();
            let at = self.unread.borrow().iter().position(|reply| reply.id == id);
            if let Some(at) = at {
                let reply = ServerReply { id: 0, ..self.unread.borrow_mut().remove(at) };
                return value(&reply);
            }
            self.cluster.advance(Duration::from_millis(100));
        }
        panic!("{request} was not answered: {:?}", self.socket.closed());
    }

    /// Answers a ping.
    pub(crate) fn pong(&self) {
        self.read();
        self.unread.borrow_mut().retain(|reply| *reply != ServerReply::default());
        self.send_frame(&self.codec.write_commands(&[ClientCommand::default()]).expect("it has no payload"));
    }

    /// Sends a frame of text as it is.
    pub(crate) fn send_raw(&self, text: &str) {
        self.socket.send(text);
        self.cluster.run();
    }

    fn send_frame(&self, frame: &[u8]) {
        match self.codec {
            Codec::Json => self.socket.send(std::str::from_utf8(frame).expect("JSON is text")),
            Codec::Protobuf => self.socket.send(dog::Message::binary(frame)),
        }
        self.cluster.run();
    }

    fn read(&self) {
        self.cluster.run();
        for message in self.socket.received() {
            let replies = self.codec.read_replies(message.as_bytes()).expect("the server speaks the protocol");
            self.unread.borrow_mut().extend(replies);
        }
    }

    /// The pushes that came since the last time.
    pub(crate) fn pushes(&self) -> Vec<Value> {
        self.take_pushes().iter().map(value).collect()
    }

    /// The offsets of the publications that came since the last time.
    pub(crate) fn offsets(&self) -> Vec<u64> {
        self.take_pushes().into_iter().filter_map(|push| Some(push.publication?.offset)).collect()
    }

    /// The payloads of the publications that came since the last time.
    pub(crate) fn payloads(&self) -> Vec<Vec<u8>> {
        self.take_pushes().into_iter().filter_map(|push| Some(push.publication?.data.to_vec())).collect()
    }

    fn take_pushes(&self) -> Vec<Push> {
        self.read();
        let replies = std::mem::take(&mut *self.unread.borrow_mut());
        replies.into_iter().filter_map(|reply| reply.push.map(|push| *push)).collect()
    }

    pub(crate) fn leave(&self) {
        self.socket.close();
        self.cluster.run();
    }

    pub(crate) fn is_open(&self) -> bool {
        self.socket.is_open()
    }

    /// The code with which it was closed.
    pub(crate) fn closed(&self) -> Option<u16> {
        self.cluster.run();
        self.socket.closed().map(|close| close.code().as_u16())
    }

    pub(crate) fn replica(&self) -> ReplicaId {
        self.socket.replica()
    }
}

fn value<T: serde::Serialize>(value: &T) -> Value {
    serde_json::to_value(value).expect("all payloads are JSON")
}
