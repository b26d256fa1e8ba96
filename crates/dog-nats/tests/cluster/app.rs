//! A room that keeps numbers and registers, and tells with all that it sends which life of which Replica sends it.

use std::cell::Cell;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use dog::{
    App, ClientId, Context, Dog, Group, GroupContext, Limit, List, Message, Replica, ReplicaId, Request, Response,
    Result, Socket, To,
};

pub(crate) use crate::client::{Client, History};
use crate::record::{Life, Sent};
use crate::registers;

/// Longer than anything here takes; reached only by what hangs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Seats of one Replica.
pub(crate) const LIMIT: u32 = 20;

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
    const NAME: &'static str = "hall";

    async fn activate(_: &GroupContext) -> Result<Self> {
        Ok(Self)
    }

    fn limit(&self) -> Limit {
        Limit::new(LIMIT)
    }

    /// One and the same Replica, wherever clients come from; of a hall that is "wide", any.
    async fn clusterize(&self, cx: &GroupContext, client: &ClientId) -> Result<ReplicaId> {
        if client.as_str().starts_with("wide") {
            return Ok(cx.unique_replica());
        }
        Ok(ReplicaId::from_name("room", &cx.id().to_string()))
    }
}

pub(crate) struct Room {
    /// Its number among the lives of this Replica, which it has kept before it did anything else.
    life: u64,
    /// What it has sent so far.
    sent: Cell<u64>,
}

impl Replica for Room {
    type Group = Hall;
    /// How many sockets?
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
        Ok(cx.connect(request))
    }

    async fn on_open(&self, cx: &Context<Self>, socket: &Socket) -> Result {
        self.answer(cx, socket, &format!("at {}", cx.sockets().count()))
    }

    async fn on_alarm(&self, cx: &Context<Self>) -> Result {
        Ok(cx.broadcast(self.sign(cx, false, "it rings"))?)
    }

    async fn on_gossip(&self, cx: &Context<Self>, (): ()) -> Result<usize> {
        Ok(cx.sockets().count())
    }

    /// `put N` keeps a number, `all` tells those that are kept, `count` all sockets of the cluster, `clock` the wall
    /// clock's milliseconds, `alarm N` has an alarm ring in so many, `nap N` takes so many seconds, `filler` and what follows
    /// it is for nobody, and there are the commands of [`registers`]; anything else goes to everyone.
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
            return Ok(cx.set_alarm(cx.now() + after).await?);
        }
        if let Some(seconds) = text.strip_prefix("nap ") {
            tokio::time::sleep(Duration::from_secs(seconds.parse().unwrap_or_default())).await;
            return Ok(());
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

impl Room {
    fn answer(&self, cx: &Context<Self>, socket: &Socket, text: &str) -> Result {
        Ok(socket.send(self.sign(cx, true, text))?)
    }

    /// Says who sends it, and as which of all that it sends.
    fn sign(&self, cx: &Context<Self>, answer: bool, text: &str) -> String {
        self.sent.set(self.sent.get() + 1);
        let life = Life { replica: cx.id().to_string(), number: self.life, process: std::process::id() };
        Sent { answer, life, number: self.sent.get(), text: text.to_owned() }.to_string()
    }
}
