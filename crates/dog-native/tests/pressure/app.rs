//! Rooms whose handlers do what a client tells them: repeat a message, wait, set an alarm, block their thread.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use dog::{
    Alarm, App, AutoResponse, ClientId, Close, Context, Dog, Env, Group, GroupContext, Limit, Message, Replica,
    Request, Response, Result, Socket, SocketError, To,
};
use dog_native::{Running, Server};
use tokio::sync::Semaphore;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// What the handlers share with the test.
#[derive(Clone)]
pub(crate) struct Scene {
    /// The seats per Replica.
    limit: Limit,
    /// A handler that is told to wait takes one permit of this semaphore.
    pub(crate) gate: Arc<Semaphore>,
    /// What the handlers have seen, one text per event.
    events: UnboundedSender<String>,
}

impl Scene {
    fn note(&self, event: impl Into<String>) {
        // Sending fails if the test has ended.
        let _ = self.events.send(event.into());
    }
}

pub(crate) struct Rooms;

impl App for Rooms {
    type Groups = (Room,);

    async fn fetch(&self, request: Request, dog: &Dog<Self>) -> Result<Response> {
        if request.uri().path() == "/hello" {
            return Ok(dog::text_response(dog::http::StatusCode::OK, "hello"));
        }
        let client = ClientId::new(dog::query_param(&request, "u").unwrap_or_default())?;
        let room = dog.group::<Room>(&dog::query_param(&request, "room").unwrap_or_default());
        Ok(room.identify(&client).await?.fetch(request).await?)
    }
}

pub(crate) struct Room {
    limit: Limit,
}

impl Group for Room {
    type Replica = Table;
    type Call = ();
    type Reply = ();
    const NAME: &'static str = "room";

    async fn activate(cx: &GroupContext) -> Result<Self> {
        Ok(Self { limit: cx.env().get::<Scene>().unwrap().limit })
    }

    fn limit(&self) -> Limit {
        self.limit
    }
}

pub(crate) struct Table {
    scene: Scene,
}

impl Replica for Table {
    type Group = Room;
    type Gossip = ();
    type Answer = ();
    const AUTO_RESPONSE: Option<AutoResponse> = Some(AutoResponse::new("are you there?", "I am"));

    async fn activate(cx: &Context<Self>) -> Result<Self> {
        Ok(Self { scene: cx.env().get::<Scene>().unwrap().clone() })
    }

    async fn receive(&self, cx: &Context<Self>, request: Request) -> Result<Response> {
        Ok(cx.connect(request))
    }

    async fn on_open(&self, _: &Context<Self>, socket: &Socket) -> Result {
        Ok(socket.send("open")?)
    }

    async fn on_message(&self, cx: &Context<Self>, socket: &Socket, message: Message) -> Result {
        let said = message.as_text().unwrap_or_default().to_owned();
        match said.split(' ').collect::<Vec<_>>()[..] {
            ["ping"] => socket.send("pong")?,
            ["alarm"] => cx.set_alarm("soon", cx.now() + Duration::from_millis(1), &()).await?,
            ["wait"] => {
                socket.send("waiting")?;
                self.scene.gate.acquire().await?.forget();
                socket.send("waited")?;
            }
            ["sockets"] => socket.send(cx.sockets().count().to_string())?,
            ["give", times, size] => {
                for _ in 0..times.parse::<usize>()? {
                    // A socket that has been closed accepts no more messages.
                    let _ = socket.send(Message::binary(vec![7; size.parse()?]));
                }
                self.scene.note("given");
            }
            ["stand", "still", release] => {
                // From here on the handler blocks its thread.
                std::fs::write(PathBuf::from(release).with_extension("stands"), "")?;
                while !PathBuf::from(release).exists() {
                    std::thread::sleep(Duration::from_millis(1));
                }
            }
            _ => socket.broadcast(message, To::Everyone)?,
        }
        Ok(())
    }

    async fn on_alarm(&self, cx: &Context<Self>, _: Alarm) -> Result {
        Ok(cx.emit("rang")?)
    }

    async fn on_close(&self, _: &Context<Self>, socket: &Socket, close: &Close) -> Result {
        self.scene.note(format!("{} closed with {}", socket.client(), close.code().as_u16()));
        Ok(())
    }

    async fn on_error(&self, _: &Context<Self>, socket: &Socket, error: &SocketError) -> Result {
        let kind = match error {
            error if error.is_too_slow() => "slow",
            error if error.is_silent() => "silent",
            error if error.is_lost() => "lost",
            _ => "failed",
        };
        self.scene.note(format!("{} is {kind}", socket.client()));
        Ok(())
    }
}

/// A running server, and what its handlers have seen.
pub(crate) struct Hall {
    pub(crate) running: Running,
    pub(crate) scene: Scene,
    events: UnboundedReceiver<String>,
}

impl Hall {
    /// Starts a server whose Replicas have `limit` seats each.
    pub(crate) async fn open(limit: u32, set: impl FnOnce(Server<Rooms>) -> Server<Rooms>) -> Self {
        let (events, seen) = unbounded_channel();
        let scene = Scene { limit: Limit::new(limit), gate: Arc::new(Semaphore::new(0)), events };
        let server = Server::new(Rooms).bind("127.0.0.1:0").workers(1).env(Env::new().with(scene.clone()));
        let running = set(server.close_timeout(Duration::from_secs(1))).start().await.unwrap();
        Self { running, scene, events: seen }
    }

    /// Waits for the next event.
    pub(crate) async fn next_event(&mut self) -> String {
        tokio::time::timeout(crate::PATIENCE, self.events.recv()).await.expect("an event in time").unwrap()
    }

    /// Returns the events that no test has waited for.
    pub(crate) fn seen(&mut self) -> Vec<String> {
        std::iter::from_fn(|| self.events.try_recv().ok()).collect()
    }
}
