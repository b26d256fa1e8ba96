//! An App for clients that mean harm: it repeats what it is told to the whole room, and does harm itself when asked.

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

/// Seats of a Replica; without it there are enough for everyone.
pub(crate) const SEATS: &str = "DOG_TEST_SEATS";

/// How many seconds a handshake may take; without it, longer than any takes here.
pub(crate) const HANDSHAKE: &str = "DOG_TEST_HANDSHAKE";

/// Set, whoever's socket closes has all siblings asked something.
pub(crate) const ASKS_AT_CLOSE: &str = "DOG_TEST_ASKS_AT_CLOSE";

/// A file that ends the handlers that do not return.
pub(crate) const RELEASE: &str = "DOG_TEST_RELEASE";

/// The client with whom a room ends.
pub(crate) const HOST: &str = "host";

/// What waits for a socket, at most.
pub(crate) const MAX_OUTBOX: usize = 256 * 1024;

/// What a client may say at once.
pub(crate) const MAX_MESSAGE: usize = 64 * 1024;

/// Room for a request's headers.
pub(crate) const MAX_HEADER: usize = 16 * 1024;

/// What an allocator may keep of what it was given back, and what the tests' own few sockets take: added to each bound.
pub(crate) const SLACK: usize = 24 * 1024 * 1024;

pub(crate) struct Arena;

/// A server of it, with small limits.
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

/// The same in a process of its own.
pub(crate) fn start(settings: &[(&str, &str)]) -> Child {
    let settings = [&[(SERVER, "arena")], settings].concat();
    Child::start(&settings).expect("it starts")
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
    const NAME: &'static str = "pit";

    async fn activate(_: &GroupContext) -> Result<Self> {
        Ok(Self)
    }

    fn limit(&self) -> Limit {
        Limit::new(setting(SEATS).unwrap_or(100_000))
    }

    /// However busy the machine is, no Replica is taken for one that does not answer.
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
            // Waits for the disk, whatever else is said along.
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
                // The word is out when the disk has this.
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

    /// When the host of a room leaves, it is over for everyone.
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
