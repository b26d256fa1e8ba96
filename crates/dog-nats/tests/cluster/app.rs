//! A room that stores numbers and registers. Each message that it sends names the Replica and the life of the Replica
//! that sends it.

use std::cell::Cell;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use dog::{
    Alarm, App, ClientId, Context, Dog, Group, GroupContext, HistoryOrder, Limit, List, Log, Message, NewPublication,
    Position, Publication, ROOM, Replica, ReplicaId, Request, Response, Result, Socket, To,
};
use serde::{Deserialize, Serialize};

pub(crate) use crate::client::{Client, History};
use crate::record::{Life, Sent};
use crate::registers;

/// How long a test waits before it fails. Longer than any step takes, so only a step that hangs reaches it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The number of seats of one Replica.
pub(crate) const LIMIT: u32 = 20;

/// The topic with a durable log. That of the room is in memory.
pub(crate) const DURABLE: &str = "durable";

pub(crate) struct Rooms;

impl App for Rooms {
    type Groups = (Hall,);

    async fn fetch(&self, request: Request, dog: &Dog<Self>) -> Result<Response> {
        let client = ClientId::new(dog::query_param(&request, "u").unwrap_or_default())?;
        let group = dog.group::<Hall>(&dog::query_param(&request, "room").unwrap_or_default());
        Ok(group.identify(&client).await?.fetch(request).await?)
    }
}

pub(crate) struct Hall;

impl Group for Hall {
    type Replica = Room;
    type Call = ();
    type Reply = ();
    const NAME: &'static str = "hall";

    async fn activate(_: &GroupContext) -> Result<Self> {
        Ok(Self)
    }

    fn limit(&self) -> Limit {
        Limit::new(LIMIT)
    }

    fn log(&self, topic: &str) -> Log {
        let log = match topic {
            ROOM => Log::memory(),
            DURABLE => Log::durable(),
            _ => Log::none(),
        };
        log.publications(100_000).bytes(16 * 1024 * 1024)
    }

    /// Sends all clients to one fixed Replica. A client whose name begins with "wide" may use any Replica.
    async fn clusterize(&self, cx: &GroupContext, client: &ClientId) -> Result<ReplicaId> {
        if client.as_str().starts_with("wide") {
            return Ok(cx.unique_replica());
        }
        Ok(ReplicaId::from_name("room", &cx.id().to_string()))
    }
}

pub(crate) struct Room {
    /// The number of this life of the Replica. It is stored before the life does anything else.
    life: u64,
    /// The number of messages that this life has sent.
    sent: Cell<u64>,
}

impl Replica for Room {
    type Group = Hall;
    /// A question for the number of sockets.
    type Gossip = ();
    type Answer = usize;

    async fn activate(cx: &Context<Self>) -> Result<Self> {
        let storage = cx.storage();
        let number = storage.transaction(async |entries| {
            let life = entries.get::<u64>("life").await?.unwrap_or_default() + 1;
            entries.put("life", &life)?;
            Ok(life)
        });
        Ok(Self { life: number.await?, sent: Cell::new(0) })
    }

    async fn receive(&self, cx: &Context<Self>, request: Request) -> Result<Response> {
        let since = dog::query_param(&request, "since");
        match dog::query_param(&request, "topic") {
            Some(topic) => Ok(cx.connect_with(request, &Follower { topic, since })?),
            None => Ok(cx.connect(request)),
        }
    }

    async fn on_open(&self, cx: &Context<Self>, socket: &Socket) -> Result {
        if let Some(follower) = socket.attachment()? {
            return follow(socket, follower).await;
        }
        self.answer(cx, socket, &format!("at {}", cx.sockets().count()))
    }

    async fn on_alarm(&self, cx: &Context<Self>, _: Alarm) -> Result {
        Ok(cx.broadcast(self.sign(cx, false, "it rings"))?)
    }

    async fn on_gossip(&self, cx: &Context<Self>, (): ()) -> Result<usize> {
        Ok(cx.sockets().count())
    }

    /// Executes a command. `put N` stores a number. `all` answers with the stored numbers, `count` with the number of
    /// sockets in the cluster, `log` with what was published to
    /// its topic, and `clock` with the wall clock in milliseconds since 1970. `alarm N` sets an alarm in N
    /// milliseconds. `nap N` waits for N seconds. A text that begins with `filler` is ignored. The commands of
    /// [`registers`] read and change the registers. Any other text is broadcast to everyone.
    async fn on_message(&self, cx: &Context<Self>, socket: &Socket, message: Message) -> Result {
        let text = message.as_text().unwrap_or_default();
        if let Some(number) = text.strip_prefix("put ") {
            cx.storage().put(&format!("n{number:0>8}"), &format!("{number}:{}", self.life)).await?;
            return self.answer(cx, socket, &format!("kept {number}"));
        }
        if text == "count" {
            let heard = cx.gossip(&()).await?;
            let others: usize = heard.answers.iter().map(|(_, sockets)| sockets).sum();
            return self.answer(cx, socket, &format!("count {}", others + cx.sockets().count()));
        }
        if let Some(milliseconds) = text.strip_prefix("alarm ") {
            let after = Duration::from_millis(milliseconds.parse().unwrap_or_default());
            return Ok(cx.set_alarm("told", cx.now() + after, &()).await?);
        }
        if let Some(seconds) = text.strip_prefix("nap ") {
            tokio::time::sleep(Duration::from_secs(seconds.parse().unwrap_or_default())).await;
            return Ok(());
        }
        if let Some(text) = text.strip_prefix("publish ") {
            // Clients of other tests follow no topic.
            let Some(topic) = topic(socket)? else { return Ok(()) };
            return Ok(socket.send(publish(cx, &topic, text).await)?);
        }
        if text == "log" {
            let Some(topic) = topic(socket)? else { return Ok(()) };
            return Ok(socket.send(format!("log\n{}", log(cx, &topic).await?))?);
        }
        if text.starts_with("filler") {
            return Ok(());
        }
        if text == "clock" {
            let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            return self.answer(cx, socket, &format!("clock {}", since_1970.as_millis()));
        }
        if text == "all" {
            let storage = cx.storage();
            let all = storage.transaction(async |entries| {
                registers::wait_for_what_was_read(entries)?;
                Ok(entries.list::<String>(&List::prefix("n")).await?)
            });
            let numbers: Vec<String> = all.await?.into_iter().map(|(_, number)| number).collect();
            return self.answer(cx, socket, &format!("all {}", numbers.join(" ")));
        }
        if let Some(command) = registers::Command::parse(text) {
            let answer = registers::answer(&cx.storage(), &command).await?;
            return self.answer(cx, socket, &answer.to_string());
        }
        Ok(socket.broadcast(self.sign(cx, false, text), To::Everyone)?)
    }
}

/// What a socket says that follows a topic.
#[derive(Serialize, Deserialize)]
struct Follower {
    topic: String,
    /// The position after which it goes on.
    since: Option<String>,
}

/// The topic of a socket that is open.
fn topic(socket: &Socket) -> Result<Option<String>> {
    Ok(socket.attachment::<Follower>()?.map(|follower| follower.topic))
}

/// Subscribes a socket to its topic. It is told whether it gets all that it has missed.
async fn follow(socket: &Socket, Follower { topic, since }: Follower) -> Result {
    if let Some(since) = since {
        match socket.resume(&topic, &since.parse::<Position>()?).await? {
            Ok(_) => return Ok(socket.send("resumed")?),
            Err(reason) => socket.send(format!("lost: {reason}"))?,
        }
    }
    if topic != ROOM {
        socket.subscribe(&topic).await?;
    }
    Ok(socket.send("subscribed")?)
}

/// Publishes a text under a key of its own. Returns the position, or says that it is not known.
async fn publish(cx: &Context<Room>, topic: &str, text: &str) -> String {
    let publication = NewPublication::new(format!("publication {text}")).key(text.to_owned());
    match cx.publish(topic, publication).await {
        Ok(position) => format!("published {text} {position}"),
        Err(error) => format!("unknown {text}: {error}"),
    }
}

/// The whole log of a topic, one publication per line.
async fn log(cx: &Context<Room>, topic: &str) -> Result<String> {
    let (mut lines, mut since) = (Vec::new(), None);
    loop {
        let page = cx.history(topic, since.as_ref(), HistoryOrder::OldestFirst, 1000).await?;
        let epoch = page.head.epoch();
        let line = |one: &Publication| {
            let text = one.message.as_text().and_then(|text| text.strip_prefix("publication "));
            format!("{epoch}:{} {}", one.offset, text.unwrap_or_default())
        };
        lines.extend(page.publications.iter().map(line));
        since = page.last();
        if !page.more {
            return Ok(lines.join("\n"));
        }
    }
}

impl Room {
    fn answer(&self, cx: &Context<Self>, socket: &Socket, text: &str) -> Result {
        Ok(socket.send(self.sign(cx, true, text))?)
    }

    /// Adds the Replica's life and the number of the message to the text.
    fn sign(&self, cx: &Context<Self>, answer: bool, text: &str) -> String {
        self.sent.set(self.sent.get() + 1);
        let life = Life { replica: cx.id().to_string(), number: self.life, process: std::process::id() };
        Sent { answer, life, number: self.sent.get(), text: text.to_owned() }.to_string()
    }
}
