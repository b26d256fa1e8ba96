//! A server that the benchmark measures. `--verb` says what a socket does with a message: `whisper` sends it to the client named
//! by `to` in the query of the handshake; `gossip` asks all siblings, and sends the message back when all have answered;
//! `topic` sends it to the subscribers of the topic in the query of the handshake; `broadcast` sends it to the room; `publish`
//! publishes it in the room, whose log is in memory; `record` publishes it in a durable log that nobody subscribes to, and
//! sends it back when it is stored; `resume` publishes it in a topic, and a socket whose handshake says `behind=N` gets the last N
//! publications of that topic instead. With `presence` the room has a presence, and each Replica follows it. With `tick`, sockets do nothing, and
//! each Replica has an interval of 50 ms; `GET /ticks` answers with how often each has ticked. `GET /seat` reserves a seat, which
//! is returned at once.

use std::cell::RefCell;
use std::num::NonZeroU32;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use clap::{Parser, ValueEnum};
use dog::http::StatusCode;
use dog::{
    App, ClientId, Context, Dog, Env, Failure, Group, GroupContext, Limit, Log, Message, MessageRate, Policy, Position,
    Presence, PresenceNews, ROOM, Replica, Request, Response, Result, Socket, To, query_param, text_response,
};
use dog_native::Server;
use dog_native::cli::ServerArgs;
use dog_nats::cli::ClusterArgs;

/// Uses the verbs that the relay does not use, for the benchmark
#[derive(Parser)]
struct Arguments {
    /// What a socket does with a message
    #[arg(long)]
    verb: Verb,
    /// Seats per Replica
    #[arg(long, value_name = "SEATS", default_value = "10000")]
    limit: Limit,
    /// Messages of one socket per second; what is over it waits [default: any number]
    #[arg(long, value_name = "N")]
    messages_per_second: Option<NonZeroU32>,
    #[command(flatten)]
    server: ServerArgs,
    #[command(flatten)]
    cluster: ClusterArgs,
}

#[derive(Clone, Copy, ValueEnum)]
enum Verb {
    Whisper,
    Gossip,
    Topic,
    Broadcast,
    Publish,
    Record,
    Resume,
    Presence,
    Tick,
}

/// The topic with a durable log.
const RECORD: &str = "record";

/// The topic from which sockets resume.
const RETURN: &str = "return";

/// The period of the intervals of `tick`.
const PERIOD: Duration = Duration::from_millis(50);

/// How often each interval has ticked.
#[derive(Default)]
struct Ticks(Mutex<Vec<Arc<AtomicU64>>>);

impl Ticks {
    /// The count of one more interval.
    fn begin(&self) -> Arc<AtomicU64> {
        let count = Arc::default();
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&count));
        count
    }

    /// All counts, with a space between them.
    fn text(&self) -> String {
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counts.iter().map(|count| count.load(Ordering::Relaxed).to_string()).collect::<Vec<_>>().join(" ")
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let Arguments { verb, limit, messages_per_second, server, cluster } = Arguments::parse();
    let env = Env::new().with(limit).with(verb).with(Ticks::default());
    let env = match messages_per_second {
        Some(messages) => env.with(MessageRate::per_second(messages.get())),
        None => env,
    };
    // The load generator opens all sockets from one address.
    let verbs = Server::new(Verbs).env(env).max_sockets_per_address(1_000_000);
    server.run(cluster.apply(verbs)).await
}

struct Verbs;

impl App for Verbs {
    type Groups = (Room,);

    async fn fetch(&self, request: Request, dog: &Dog<Self>) -> Result<Response> {
        if request.uri().path() == "/ticks" {
            let ticks = dog.env().get().map(Ticks::text);
            return Ok(text_response(StatusCode::OK, ticks.unwrap_or_default()));
        }
        let (Some(client), Some(room)) = (query_param(&request, "u"), query_param(&request, "room")) else {
            return Ok(text_response(StatusCode::BAD_REQUEST, "u and room are missing"));
        };
        let replica = dog.group::<Room>(&room).identify(&ClientId::new(client)?).await?;
        if request.uri().path() == "/seat" {
            return Ok(text_response(StatusCode::OK, "reserved"));
        }
        Ok(replica.fetch(request).await?)
    }
}

struct Room {
    limit: Limit,
    has_presence: bool,
}

impl Group for Room {
    type Replica = VerbsReplica;
    type Call = ();
    type Reply = ();
    const NAME: &'static str = "room";

    async fn activate(cx: &GroupContext) -> Result<Self> {
        let limit = cx.env().get().copied().ok_or_else(|| Failure::new("the environment has no limit"))?;
        Ok(Self { limit, has_presence: matches!(cx.env().get(), Some(Verb::Presence)) })
    }

    fn limit(&self) -> Limit {
        self.limit
    }

    fn policy(&self) -> Policy {
        Policy { presence: self.has_presence.then(Presence::default), ..Policy::default() }
    }

    fn log(&self, topic: &str) -> Log {
        match topic {
            RECORD => Log::durable(),
            ROOM | RETURN => Log::memory(),
            _ => Log::none(),
        }
    }
}

struct VerbsReplica {
    verb: Verb,
    /// The position of the last publication in [`RETURN`].
    head: RefCell<Option<Position>>,
}

impl Replica for VerbsReplica {
    type Group = Room;
    type Gossip = ();
    type Answer = u64;
    const FOLLOWS_PRESENCE: bool = true;

    fn message_rate(cx: &Context<Self>) -> Option<MessageRate> {
        cx.env().get().copied()
    }

    async fn activate(cx: &Context<Self>) -> Result<Self> {
        let verb = cx.env().get().copied().ok_or_else(|| Failure::new("the environment has no verb"))?;
        if matches!(verb, Verb::Tick) {
            let count = cx.env().get().map(Ticks::begin).ok_or_else(|| Failure::new("the environment has no ticks"))?;
            let mut interval = cx.interval(PERIOD);
            cx.spawn(async move {
                loop {
                    interval.tick().await;
                    count.fetch_add(1, Ordering::Relaxed);
                }
            })?;
        }
        Ok(Self { verb, head: RefCell::new(None) })
    }

    /// The attachment is where the socket's messages go, the topic that it subscribes to, or how far behind it is.
    async fn receive(&self, cx: &Context<Self>, request: Request) -> Result<Response> {
        let parameter = match self.verb {
            Verb::Topic => "topic",
            Verb::Resume => "behind",
            _ => "to",
        };
        let name = query_param(&request, parameter);
        Ok(cx.connect_with(request, &name)?)
    }

    async fn on_open(&self, _: &Context<Self>, socket: &Socket) -> Result {
        if matches!(self.verb, Verb::Topic)
            && let Some(topic) = name_of(socket)?
        {
            socket.subscribe(&topic).await?;
        }
        Ok(())
    }

    async fn on_message(&self, cx: &Context<Self>, socket: &Socket, message: Message) -> Result {
        match self.verb {
            Verb::Whisper => {
                let to = name_of(socket)?.ok_or_else(|| Failure::new("the handshake has no `to`"))?;
                let reached = socket.whisper(&ClientId::new(to)?, message).await?;
                if reached != 1 {
                    return Err(Failure::new("the whisper did not reach exactly one socket"));
                }
            }
            Verb::Gossip => {
                cx.gossip(&()).await?.complete()?;
                socket.send(message)?;
            }
            // The only topic: what is measured is the delivery, and not how a socket remembers a name.
            Verb::Topic => socket.broadcast_to("t", message, To::Everyone)?,
            Verb::Broadcast => socket.broadcast(message, To::Everyone)?,
            Verb::Publish => {
                cx.publish(ROOM, message).await?;
            }
            Verb::Record => {
                cx.publish(RECORD, message.clone()).await?;
                socket.send(message)?;
            }
            Verb::Resume => match name_of(socket)? {
                Some(behind) => self.resume(socket, behind.parse().map_err(Failure::from)?).await?,
                None => {
                    let position = cx.publish(RETURN, message.clone()).await?;
                    self.head.replace(Some(position));
                    socket.send(message)?;
                }
            },
            Verb::Presence | Verb::Tick => {}
        }
        Ok(())
    }

    async fn on_presence(&self, _: &Context<Self>, _: PresenceNews) -> Result {
        Ok(())
    }

    async fn on_gossip(&self, cx: &Context<Self>, (): ()) -> Result<u64> {
        Ok(cx.sockets().count() as u64)
    }
}

impl VerbsReplica {
    /// The socket gets the last `behind` publications.
    async fn resume(&self, socket: &Socket, behind: u64) -> Result {
        let head = self.head.borrow().clone().ok_or_else(|| Failure::new("nothing was published"))?;
        let since = Position::new(head.epoch().clone(), head.offset().saturating_sub(behind));
        match socket.resume(RETURN, &since).await? {
            Ok(_) => Ok(()),
            Err(reason) => Err(Failure::new(reason.as_str())),
        }
    }
}

/// The name in the query of the socket's handshake.
fn name_of(socket: &Socket) -> Result<Option<String>> {
    let name: Option<Option<String>> = socket.attachment()?;
    Ok(name.flatten())
}
