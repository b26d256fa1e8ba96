//! The Group and its Replicas of the simulated runs. On commands from their clients they do everything that they can do, and
//! record what they see.

use std::cell::Cell;

use dog::{
    Alarm, Body, ClientId, Close, CloseCode, Context, Failure, Group, GroupContext, Limit, Log, Message, Policy,
    PresenceNews, Replica, ReplicaId, Request, Response, Result, Socket, To, Unrecovered,
};
use http::StatusCode;

use crate::alarms;
use crate::calls::{self, Order};
use crate::endless::Endless;
use crate::entries::{check_entries, count_up};
use crate::env::{Rules, may_activate, rules, witness};
use crate::event_streams;
use crate::group_verbs;
use crate::late_identity;
use crate::moment::MessageName;
use crate::presence::{self, place::Place};
use crate::publications;
use crate::seat_record::Door;
use crate::tasks::{Activation, TaskCheck};
use crate::topics;
use crate::witness::Witness;

/// Panics without output, so that the output of a long run stays readable.
fn panic_quietly(witness: &Witness) -> ! {
    witness.record().panics += 1;
    std::panic::resume_unwind(Box::new("a panic on command"))
}

/// The Group.
pub(crate) struct Hall {
    rules: Rules,
    witness: Witness,
    activation: Activation,
}

impl Group for Hall {
    type Replica = Desk;
    type Call = Order;
    type Reply = u64;
    const NAME: &'static str = "hall";

    async fn activate(cx: &GroupContext) -> Result<Self> {
        let witness = witness(cx.env())?;
        may_activate(&witness)?;
        check_entries(&witness, *cx.id().as_bytes(), &cx.storage()).await?;
        let activation = Activation::begin(&witness);
        Ok(Self { rules: rules(cx.env())?, witness, activation })
    }

    fn limit(&self) -> Limit {
        Limit::new(self.rules.limit)
    }

    fn policy(&self) -> Policy {
        self.rules.policy
    }

    fn log(&self, topic: &str) -> Log {
        self.witness.record().logs().of_run().log(topic)
    }

    async fn clusterize(&self, cx: &GroupContext, _: &ClientId) -> Result<ReplicaId> {
        may_activate(&self.witness)?;
        Ok(cx.unique_replica())
    }

    async fn on_call(&self, cx: &GroupContext, order: Order) -> Result<u64> {
        calls::answer(&self.witness, cx, cx.dog().group_by_id::<Self>(cx.id()), order).await
    }

    async fn on_arrive(&self, cx: &GroupContext, client: &ClientId) -> Result {
        presence::hooked(&self.witness, cx, self.activation.life(), (Some(Place::ROOM), client), true).await
    }

    async fn on_leave(&self, cx: &GroupContext, client: &ClientId) -> Result {
        presence::hooked(&self.witness, cx, self.activation.life(), (Some(Place::ROOM), client), false).await
    }

    fn has_presence(topic: &str) -> bool {
        Place::of_topic(topic).is_some()
    }

    async fn on_topic_arrive(&self, cx: &GroupContext, topic: &str, client: &ClientId) -> Result {
        presence::hooked(&self.witness, cx, self.activation.life(), (Place::of_topic(topic), client), true).await
    }

    async fn on_topic_leave(&self, cx: &GroupContext, topic: &str, client: &ClientId) -> Result {
        presence::hooked(&self.witness, cx, self.activation.life(), (Place::of_topic(topic), client), false).await
    }

    async fn on_presence_reset(&self, cx: &GroupContext) -> Result {
        self.witness.record().presence_begins_again((cx.id(), self.activation.life()), cx.now());
        Ok(())
    }

    async fn receive(&self, cx: &GroupContext, request: Request) -> Result<Response> {
        match dog::query_param(&request, "do").as_deref() {
            Some("panic") => panic_quietly(&self.witness),
            Some("fail") => Err(Failure::new("asked to fail")),
            Some(verb @ ("publish-two" | "publish-confirmed" | "reset" | "purge" | "transact")) => {
                let topic = dog::query_param(&request, "topic").unwrap_or_default();
                publications::obey_in_group(&self.witness, cx, (verb, &topic)).await;
                Ok(dog::text_response(StatusCode::OK, "published"))
            }
            Some("task") => {
                let (mut task, cx) = (self.activation.task(cx.now()), cx.clone());
                let mut interval = cx.interval(task.period());
                cx.clone().spawn(async move {
                    let mut goes_on = true;
                    while goes_on {
                        goes_on = task.ticks(interval.tick().await, cx.now());
                    }
                    end(&task);
                })?;
                Ok(dog::text_response(StatusCode::OK, "begun"))
            }
            _ => {
                count_up(&self.witness, *cx.id().as_bytes(), &cx.storage()).await?;
                Ok(dog::text_response(StatusCode::OK, "counted"))
            }
        }
    }
}

/// The Replica.
pub(crate) struct Desk {
    rules: Rules,
    witness: Witness,
    life: u64,
    activation: Activation,
    /// Whether it was told anything of presence.
    is_told: Cell<bool>,
}

impl Replica for Desk {
    type Group = Hall;
    type Gossip = u64;
    type Answer = u64;
    const FOLLOWS_PRESENCE: bool = true;

    async fn activate(cx: &Context<Self>) -> Result<Self> {
        let witness = witness(cx.env())?;
        may_activate(&witness)?;
        check_entries(&witness, *cx.id().as_bytes(), &cx.storage()).await?;
        let activation = Activation::begin(&witness);
        let (life, is_told) = (activation.life(), Cell::new(false));
        Ok(Self { rules: rules(cx.env())?, witness, life, activation, is_told })
    }

    async fn receive(&self, cx: &Context<Self>, request: Request) -> Result<Response> {
        let is_known = dog::query_param(&request, "anonymous").is_none();
        let client = dog::query_param(&request, "u").filter(|_| is_known);
        let seat = self.witness.take_seat((cx.id(), self.life), client);
        match request.uri().path() {
            "/fail" => return Err(Failure::new("asked to fail")),
            "/panic" => panic_quietly(&self.witness),
            "/events" => return Ok(cx.event_stream(request)),
            "/stream" => return Ok(Response::new(Body::stream(Endless::new(seat)))),
            "/slow" => drop(cx.gossip(&0).await?),
            "/count" => count_up(&self.witness, *cx.id().as_bytes(), &cx.storage()).await?,
            "/broadcast" => cx.broadcast(self.message('b', "-"))?,
            "/late" => {
                // This lets other handlers run before the request becomes a socket.
                cx.storage().get::<u64>("first").await?;
                cx.gossip(&1).await?;
                return Ok(cx.connect(request));
            }
            _ => return Ok(cx.connect(request)),
        }
        Ok(dog::text_response(StatusCode::OK, "done"))
    }

    async fn on_open(&self, cx: &Context<Self>, socket: &Socket) -> Result {
        self.begins(cx, socket, "on_open");
        late_identity::opens(&self.witness, socket, cx.now() + self.rules.policy.assign_deadline, self.rules.doubles);
        event_streams::greet(socket);
        self.attach(socket);
        publications::resuming::opens(&self.witness, cx, socket).await;
        if socket.id().raw().is_multiple_of(3) {
            cx.storage().get::<u64>("first").await?;
        }
        socket.broadcast(self.message('b', "-"), To::Everyone)?;
        self.ends(socket);
        Ok(())
    }

    async fn on_message(&self, cx: &Context<Self>, socket: &Socket, message: Message) -> Result {
        self.begins(cx, socket, "on_message");
        let done = self.execute(cx, socket, &message).await;
        self.ends(socket);
        done
    }

    async fn on_close(&self, cx: &Context<Self>, socket: &Socket, close: &Close) -> Result {
        self.begins(cx, socket, "the end");
        late_identity::closes(&self.witness, socket, close.code(), cx.now());
        cx.broadcast(self.message('b', "-"))?;
        if socket.id().raw().is_multiple_of(2) {
            cx.gossip(&2).await?;
        }
        self.ends(socket);
        Ok(())
    }

    async fn on_gossip(&self, cx: &Context<Self>, asked: u64) -> Result<u64> {
        match asked {
            1 => drop(cx.storage().get::<u64>("first").await?),
            13 => return Err(Failure::new("an unlucky number")),
            _ => {}
        }
        Ok(asked)
    }

    async fn on_presence(&self, cx: &Context<Self>, news: PresenceNews) -> Result {
        let is_first = !self.is_told.replace(true);
        presence::news(&self.witness, cx, ((cx.id(), self.life), is_first), &news).await
    }

    async fn on_lost(&self, cx: &Context<Self>, topic: &str, reason: Unrecovered, sockets: &[Socket]) -> Result {
        publications::lost(&self.witness, cx, (topic, reason), sockets)
    }

    async fn on_alarm(&self, cx: &Context<Self>, alarm: Alarm) -> Result {
        may_activate(&self.witness)?;
        alarms::rings(&self.witness, cx, &alarm).await
    }
}

impl Desk {
    fn begins(&self, cx: &Context<Self>, socket: &Socket, handler: &'static str) {
        presence::begins(&self.witness, cx, socket);
        let client = socket.client().as_str();
        self.witness.record().handler_begins(socket.id(), client, handler);
        // A socket that has ended meanwhile has no attachment.
        if let Ok(attached) = socket.attachment() {
            self.witness.record().finds_attached(socket.id(), attached);
        }
        let topics = socket.topics();
        let topics: Vec<&str> = topics.iter().map(|topic| &**topic).collect();
        let mut record = self.witness.record();
        record.finds_topics(socket.id(), &topics);
        let named = record.late().finds(socket.id(), client);
        record.check(8, named);
    }

    fn ends(&self, socket: &Socket) {
        self.witness.record().handler_ends(socket.id());
    }

    /// Spawns a task that sends something with each tick, and pauses between some of them.
    fn begin_task(&self, cx: &Context<Self>) -> Result {
        let (mut task, cx) = (self.activation.task(cx.now()), cx.clone());
        let mut interval = cx.interval(task.period());
        cx.clone().spawn(async move {
            while task.ticks(interval.tick().await, cx.now()) {
                let sent = match message(task.witness(), task.life(), 'b', "-").0.1 % 3 {
                    0 => cx.broadcast(message(task.witness(), task.life(), 'b', "-").1),
                    1 => cx.emit(message(task.witness(), task.life(), 'e', "-").1),
                    _ => {
                        cx.sleep(3 * task.period()).await;
                        Ok(())
                    }
                };
                if let Err(error) = sent {
                    task.cannot_act(&error);
                }
            }
            end(&task);
        })?;
        Ok(())
    }

    /// Returns a message that contains its kind, its name, and the client that it excludes or addresses.
    fn message(&self, kind: char, about: &str) -> Message {
        self.named_message(kind, about).1
    }

    fn named_message(&self, kind: char, about: &str) -> (MessageName, Message) {
        message(&self.witness, self.life, kind, about)
    }

    /// Attaches a new number to the socket.
    fn attach(&self, socket: &Socket) {
        let number = self.witness.record().new_attachment();
        if socket.set_attachment(&number).is_ok() {
            self.witness.record().attached(socket.id(), number);
        }
    }

    async fn execute(&self, cx: &Context<Self>, socket: &Socket, message: &Message) -> Result {
        let mut words = message.as_text().unwrap_or_default().split(' ');
        let number = words.next().and_then(|word| word.parse().ok()).unwrap_or(0);
        self.witness.record().command(socket.id(), number);
        let me = socket.client().as_str();
        match (words.next().unwrap_or_default(), words.next().unwrap_or_default()) {
            ("all", _) => socket.broadcast(self.message('b', "-"), To::Everyone)?,
            ("others", _) => socket.broadcast(self.message('b', me), To::Others)?,
            ("emit", _) => socket.emit(self.message('e', "-"), To::Everyone)?,
            ("echo", _) => socket.send(self.message('s', me))?,
            ("confirmed", _) => self.confirm(socket).await?,
            ("many", _) => {
                for _ in 0..5 {
                    socket.broadcast(self.message('b', "-"), To::Everyone)?;
                    socket.emit(self.message('e', "-"), To::Everyone)?;
                }
            }
            ("big", _) => socket.send(Message::text("x".repeat(8 * 1024)))?,
            ("whisper", target) => self.whisper(cx, socket, target).await,
            ("gossip", asked) => drop(cx.gossip(&asked.parse()?).await?),
            ("count", _) => count_up(&self.witness, *cx.id().as_bytes(), &cx.storage()).await?,
            ("alarm", millis) => alarms::set(&self.witness, cx, millis.parse()?).await,
            ("close-to-newcomers", _) => self.set_door(cx, Door::Closed),
            ("open-to-newcomers", _) => self.set_door(cx, Door::Open),
            ("call", _) => calls::call(&self.witness, async |order| cx.call_group(&order).await).await,
            ("task", _) => self.begin_task(cx)?,
            ("attach", _) => self.attach(socket),
            ("assign", client) => self.assign(cx, socket, &ClientId::new(client)?).await,
            (verb, _) if presence::VERBS.contains(&verb) => presence::obey(&self.witness, cx, socket, verb),
            (verb, topic) if publications::is_verb(verb) => {
                publications::obey(&self.witness, cx, (verb, topic)).await;
            }
            (verb, topic) if topics::is_verb(verb) => {
                topics::obey(&self.witness, cx, socket, (verb, topic), || {
                    self.witness.record().next_message(self.life)
                })
                .await?;
            }
            ("close", _) => socket.close(CloseCode::NORMAL, "asked to"),
            ("fail", _) => return Err(Failure::new("asked to fail")),
            ("panic", _) => panic_quietly(&self.witness),
            _ => {}
        }
        Ok(())
    }

    /// Takes no more newcomers, or takes them again.
    fn set_door(&self, cx: &Context<Self>, door: Door) {
        let set = if door == Door::Closed { cx.close_to_newcomers() } else { cx.open_to_newcomers() };
        // It fails in a life that is over.
        if set.is_ok() {
            self.witness.record().seats().set_door((cx.id(), self.life), door);
        }
    }

    async fn confirm(&self, socket: &Socket) -> Result {
        let (name, message) = self.named_message('b', "-");
        let reach = socket.broadcast_confirmed(message, To::Everyone).await?;
        let missing: Vec<ReplicaId> = reach.missing.into_iter().map(|(replica, _)| replica).collect();
        self.witness.record().confirmed(name, &missing);
        Ok(())
    }

    /// Names the client of a socket. When the Group knows it, a whisper reaches it, and so does a verb that closes its sockets.
    async fn assign(&self, cx: &Context<Self>, socket: &Socket, client: &ClientId) {
        if !late_identity::assign(&self.witness, socket, client).await {
            return;
        }
        let disconnects = self.witness.record().random.happens(300);
        if disconnects {
            group_verbs::disconnect(&self.witness, &cx.dog().group_by_id::<Hall>(cx.group()), client).await;
        } else {
            self.whisper(cx, socket, client.as_str()).await;
        }
    }

    async fn whisper(&self, cx: &Context<Self>, socket: &Socket, target: &str) {
        let (name, message) = self.named_message('w', target);
        let Ok(target) = ClientId::new(target) else { return };
        self.witness.record().whisper_begins(name, cx.group(), target.as_str());
        let reached = socket.whisper(&target, message).await;
        self.witness.record().whisper_ends(name, reached.is_ok());
    }
}

fn message(witness: &Witness, life: u64, kind: char, about: &str) -> (MessageName, Message) {
    let name = witness.record().next_message(life);
    (name, Message::text(format!("{kind} {} {} {about}", name.0, name.1)))
}

/// The end of a task, which is sometimes a panic.
fn end(task: &TaskCheck) {
    if task.panics() {
        panic_quietly(task.witness());
    }
}
