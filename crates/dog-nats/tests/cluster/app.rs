//! A room that keeps numbers, and clients that write down what they hear.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use dog::{
    App, ClientId, Context, Dog, Group, GroupContext, Limit, List, Message, Replica, ReplicaId, Request, Response,
    Result, Socket, To,
};
use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message as Frame;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

/// Longer than anything here takes; reached only by what hangs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Seats of one Replica.
pub(crate) const LIMIT: u32 = 20;

pub(crate) struct Rooms;

impl App for Rooms {
    type Groups = (Hall,);

    async fn fetch(&self, request: Request, dog: &Dog) -> Result<Response> {
        let client = ClientId::new(dog::query(&request, "u").unwrap_or_default())?;
        let group = dog.group::<Hall>(&dog::query(&request, "room").unwrap_or_default());
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

pub(crate) struct Room;

impl Replica for Room {
    type Group = Hall;
    /// How many sockets?
    type Gossip = ();
    type Answer = usize;

    async fn activate(_: &Context<Self>) -> Result<Self> {
        Ok(Self)
    }

    async fn receive(&self, cx: &Context<Self>, request: Request) -> Result<Response> {
        Ok(cx.connect(request))
    }

    async fn on_open(&self, cx: &Context<Self>, socket: &Socket) -> Result {
        Ok(socket.send(format!("at {} {} {}", std::process::id(), cx.id(), cx.sockets().count()))?)
    }

    async fn on_gossip(&self, cx: &Context<Self>, (): ()) -> Result<usize> {
        Ok(cx.sockets().count())
    }

    async fn on_alarm(&self, cx: &Context<Self>) -> Result {
        Ok(cx.emit("rang")?)
    }

    /// `put N` keeps a number, `clock` tells the wall clock's milliseconds, `alarm N` has it ring in so many, `all` tells those that are kept, `count` all sockets of the cluster; anything else goes to
    /// everyone.
    async fn on_message(&self, cx: &Context<Self>, socket: &Socket, message: Message) -> Result {
        let text = message.as_text().unwrap_or_default();
        if let Some(number) = text.strip_prefix("put ") {
            cx.storage().put(&format!("n{number:0>8}"), &number).await?;
            return Ok(socket.send(format!("kept {number}"))?);
        }
        if text == "clock" {
            let since_1970 = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
            return Ok(socket.send(format!("clock {}", since_1970.as_millis()))?);
        }
        if let Some(milliseconds) = text.strip_prefix("alarm ") {
            cx.set_alarm(cx.now() + Duration::from_millis(milliseconds.parse().unwrap_or_default())).await?;
            return Ok(socket.send("alarm is set")?);
        }
        if text == "count" {
            let heard = cx.gossip(&()).await?;
            let others: usize = heard.answers.iter().map(|(_, sockets)| sockets).sum();
            return Ok(socket.send(format!("count {}", others + cx.sockets().count()))?);
        }
        if text == "all" {
            let all = cx.storage().list::<String>(&List::all()).await?;
            let numbers: Vec<String> = all.into_iter().map(|(_, number)| number).collect();
            return Ok(socket.send(format!("all {}", numbers.join(" ")))?);
        }
        Ok(socket.broadcast(message, To::Everyone)?)
    }
}

/// A socket, and what was heard on it.
pub(crate) struct Client {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    close_code: Option<u16>,
    /// The process that has its Replica.
    pub(crate) at: u32,
    /// The Replica, and how many sockets it had with this one.
    pub(crate) replica: String,
    pub(crate) seats: usize,
}

impl Client {
    /// Comes in by that node, as often as it takes.
    pub(crate) async fn join(entry: SocketAddr, room: &str, name: &str) -> Self {
        let by = Instant::now() + PATIENCE;
        loop {
            let trouble = match Self::try_to_join(entry, room, name).await {
                Ok(client) => return client,
                Err(trouble) => trouble,
            };
            assert!(Instant::now() < by, "{name} does not get in by {entry}: {trouble}");
            // As clients do who follow the code: no event tells when it is worth it.
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    pub(crate) async fn try_to_join(entry: SocketAddr, room: &str, name: &str) -> std::result::Result<Self, String> {
        let url = format!("ws://{entry}/?room={room}&u={name}");
        let connecting = tokio::time::timeout(Duration::from_secs(8), connect_async(url)).await;
        let (socket, _) = connecting.map_err(|_| "no answer")?.map_err(|error| error.to_string())?;
        let mut client = Self { socket, close_code: None, at: 0, replica: String::new(), seats: 0 };
        loop {
            // Others may have spoken before.
            let first = client.hear().await.ok_or("it was closed")?;
            let words: Vec<&str> = first.split(' ').collect();
            if let ["at", process, replica, seats] = words[..] {
                client.at = process.parse().map_err(|_| "no process")?;
                client.seats = seats.parse().map_err(|_| "no number")?;
                client.replica = replica.to_owned();
                return Ok(client);
            }
        }
    }

    /// The next text; nothing once the socket has ended.
    pub(crate) async fn hear(&mut self) -> Option<String> {
        loop {
            let next = tokio::time::timeout(PATIENCE, self.socket.next()).await.expect("a message in time");
            match next? {
                Ok(Frame::Text(text)) => return Some(text.to_string()),
                Ok(Frame::Close(close)) => {
                    self.close_code = close.map(|close| close.code.into());
                    return None;
                }
                Err(_) => return None,
                Ok(_) => {}
            }
        }
    }

    /// Asks by one word, and gives what follows that in the answer.
    pub(crate) async fn ask(&mut self, word: &str) -> String {
        assert!(self.say(word).await);
        loop {
            let text = self.hear().await.expect("the socket is open");
            if let Some(answer) = text.strip_prefix(word) {
                return answer.trim().to_owned();
            }
        }
    }

    /// With what it was closed.
    pub(crate) fn close_code(&self) -> Option<u16> {
        self.close_code
    }

    /// Whether it could be said.
    pub(crate) async fn say(&mut self, text: &str) -> bool {
        self.socket.send(Frame::text(text)).await.is_ok()
    }

    /// Keeps a number: `true` once that is acknowledged.
    pub(crate) async fn put(&mut self, number: u32) -> bool {
        if !self.say(&format!("put {number}")).await {
            return false;
        }
        loop {
            match self.hear().await {
                Some(text) if text == format!("kept {number}") => return true,
                Some(_) => {}
                None => return false,
            }
        }
    }

    /// How many sockets the cluster has, asked until it is that many.
    pub(crate) async fn count_until(&mut self, wanted: usize) -> usize {
        let by = Instant::now() + PATIENCE;
        loop {
            assert!(self.say("count").await);
            let count = loop {
                let text = self.hear().await.expect("the socket is open");
                if let Some(count) = text.strip_prefix("count ") {
                    break count.parse().expect("a number");
                }
            };
            if count == wanted || Instant::now() > by {
                return count;
            }
            // What is missing comes back by itself: no event tells when.
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// The numbers that are kept.
    pub(crate) async fn all(&mut self) -> BTreeSet<u32> {
        assert!(self.say("all").await);
        loop {
            let text = self.hear().await.expect("the socket is open");
            if let Some(numbers) = text.strip_prefix("all") {
                return numbers.split_whitespace().map(|number| number.parse().expect("a number")).collect();
            }
        }
    }
}

/// What one socket has heard of each speaker, in its order.
#[derive(Debug, Default)]
pub(crate) struct History {
    last: BTreeMap<String, u32>,
    pub(crate) heard: usize,
}

impl History {
    /// Takes down a message `SPEAKER NUMBER`: each speaker's numbers grow, so that what is heard twice or out of order
    /// shows.
    pub(crate) fn note(&mut self, text: &str) {
        let Some((speaker, number)) = text.split_once(' ') else { return };
        let Ok(number) = number.parse() else { return };
        let before = self.last.insert(speaker.to_owned(), number);
        assert!(before.is_none_or(|before| before < number), "{speaker}: {number} was heard after {before:?}");
        self.heard += 1;
    }
}
