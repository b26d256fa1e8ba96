//! An App for hostile clients. It broadcasts what it is told to the whole room, and misbehaves itself when it is told
//! to.

use std::cell::Cell;
use std::path::PathBuf;
use std::time::Duration;

use dog::{
    App, ClientId, Close, CloseCode, Context, Dog, Group, GroupContext, Limit, Message, Policy, Replica, Request,
    Response, Result, Socket, SocketError, To,
};
use dog_native::Server;

use crate::child::{Child, PATIENCE, setting};
use crate::{DATA, SERVER};

/// The seats per Replica. The default is 100,000.
pub(crate) const SEATS: &str = "DOG_TEST_SEATS";

/// The handshake timeout in seconds. The default is longer than any handshake here takes.
pub(crate) const HANDSHAKE: &str = "DOG_TEST_HANDSHAKE";

/// If this is set, each close of a socket makes its Replica send gossip to all siblings.
pub(crate) const ASKS_AT_CLOSE: &str = "DOG_TEST_ASKS_AT_CLOSE";

/// When this file exists, handlers that block their thread return.
pub(crate) const RELEASE: &str = "DOG_TEST_RELEASE";

/// When this client leaves a room, all sockets of the room are closed.
pub(crate) const HOST: &str = "host";

/// The most bytes that may wait for one socket.
pub(crate) const MAX_OUTBOX: usize = 256 * 1024;

/// The largest message of a client, in bytes.
pub(crate) const MAX_MESSAGE: usize = 64 * 1024;

/// The largest head of a request, in bytes.
pub(crate) const MAX_HEADER: usize = 16 * 1024;

/// The memory that is added to each bound: freed memory that the allocator keeps, and the few sockets of the tests
/// themselves.
pub(crate) const SLACK: usize = 24 * 1024 * 1024;

pub(crate) struct Arena;

/// A server of this App with small limits.
pub(crate) fn server() -> Server<Arena> {
    let server = Server::new(Arena);
    let server = match setting::<PathBuf>(DATA) {
        Some(folder) => server.data(folder),
        None => server,
    };
    server
        .workers(2)
        .max_outbox(MAX_OUTBOX)
        .max_message(MAX_MESSAGE)
        .max_header(MAX_HEADER)
        .handshake_timeout(setting(HANDSHAKE).map_or(PATIENCE, Duration::from_secs))
        .close_timeout(Duration::from_secs(1))
        .drain_within(Duration::from_secs(1))
        .stuck_after(Duration::from_secs(3))
        .admin("127.0.0.1:0")
        .max_sockets_per_address(11_000)
}

/// Starts this server in a process of its own.
pub(crate) fn start(settings: &[(&str, &str)]) -> Child {
    let settings = [&[(SERVER, "arena")], settings].concat();
    Child::start(&settings).expect("the server starts")
}

impl App for Arena {
    type Groups = (Pit,);

    async fn fetch(&self, request: Request, dog: &Dog<Self>) -> Result<Response> {
        let client = ClientId::new(dog::query_param(&request, "u").unwrap_or_default())?;
        let group = dog.group::<Pit>(&dog::query_param(&request, "room").unwrap_or_default());
        Ok(group.identify(&client).await?.fetch(request).await?)
    }
}

pub(crate) struct Pit;

impl Group for Pit {
    type Replica = Corner;
    type Call = ();
    type Reply = ();
    const NAME: &'static str = "pit";

    async fn activate(_: &GroupContext) -> Result<Self> {
        Ok(Self)
    }

    fn limit(&self) -> Limit {
        Limit::new(setting(SEATS).unwrap_or(100_000))
    }

    /// The deadline is so long that no Replica counts as unreachable, even on a busy machine.
    fn policy(&self) -> Policy {
        Policy { join_deadline: PATIENCE, ..Policy::default() }
    }
}

#[derive(Default)]
pub(crate) struct Corner {
    deaf: Cell<bool>,
}

impl Replica for Corner {
    type Group = Pit;
    type Gossip = ();
    type Answer = String;

    async fn activate(_: &Context<Self>) -> Result<Self> {
        Ok(Self::default())
    }

    async fn receive(&self, cx: &Context<Self>, request: Request) -> Result<Response> {
        Ok(cx.connect(request))
    }

    async fn on_open(&self, cx: &Context<Self>, socket: &Socket) -> Result {
        Ok(socket.send(format!("on {}", cx.id()))?)
    }

    async fn on_message(&self, cx: &Context<Self>, socket: &Socket, message: Message) -> Result {
        let said = message.as_text().unwrap_or_default();
        match said.split(' ').collect::<Vec<_>>()[..] {
            ["flood", times, size] => {
                let message = Message::binary(vec![7; size.parse()?]);
                for _ in 0..times.parse::<usize>()? {
                    socket.broadcast(message.clone(), To::Everyone)?;
                }
            }
            ["keep", ..] => {
                cx.storage().put("kept", &said).await?;
                socket.send("kept")?;
            }
            // Never returns.
            ["wait", "for", "ever"] => {
                socket.send("waiting")?;
                std::future::pending::<()>().await;
            }
            ["wait", filler] => {
                cx.storage().put("waited", &filler.len()).await?;
                socket.send("waited")?;
            }
            ["panic"] => panic!("the handler was told to"),
            ["block"] => {
                let release = PathBuf::from(setting::<String>(RELEASE).unwrap_or_default());
                socket.send("blocking")?;
                // The message is sent when this write is durable.
                cx.storage().put("blocked", &true).await?;
                while !release.exists() {
                    std::thread::yield_now();
                }
                socket.send("released")?;
            }
            ["deaf"] => {
                self.deaf.set(true);
                socket.send("deaf")?;
            }
            ["gossip"] => {
                let heard = cx.gossip(&()).await?;
                let answered: Vec<String> = heard.answers.into_iter().map(|(_, name)| name).collect();
                let missing: Vec<String> = heard.missing.iter().map(|(id, _)| id.to_string()).collect();
                socket.send(format!("heard {}; missing {}", answered.join(","), missing.join(",")))?;
            }
            _ => socket.broadcast(message, To::Everyone)?,
        }
        Ok(())
    }

    /// Closes all sockets of the room when its host leaves.
    async fn on_close(&self, cx: &Context<Self>, socket: &Socket, _: &Close) -> Result {
        if socket.client().as_str() == HOST {
            cx.sockets().for_each(|socket| socket.close(CloseCode::new(4000).unwrap_or(CloseCode::NORMAL), "over"));
        }
        if setting::<String>(ASKS_AT_CLOSE).is_some() {
            cx.gossip(&()).await?;
        }
        Ok(())
    }

    async fn on_error(&self, cx: &Context<Self>, _: &Socket, _: &SocketError) -> Result {
        if setting::<String>(ASKS_AT_CLOSE).is_some() {
            cx.gossip(&()).await?;
        }
        Ok(())
    }

    async fn on_gossip(&self, cx: &Context<Self>, (): ()) -> Result<String> {
        if self.deaf.get() {
            std::future::pending::<()>().await;
        }
        Ok(cx.id().to_string())
    }
}
