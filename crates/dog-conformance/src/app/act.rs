//! How a [`Room`] executes a command: with the verbs of a socket, or of the Replica if there is no socket.

use dog::http::StatusCode;
use dog::{CloseCode, Context, Failure, Result, Socket, Timestamp, To};

use super::class::TestClass;
use super::earlier_life;
use super::protocol::{Act, Answer, Ask, Attached, GroupAsk, GroupReply, Step, Told, Whom, Why, waiting};
use super::room::{ClassGroup, InRoom, Room};
use super::storage_runner;
use super::tap::Tap;
use super::topics;
use super::{log, presence};

impl<C: TestClass> Room<C> {
    /// Executes `act`. An error of a verb becomes a reply; a command to fail makes the handler fail.
    pub(super) async fn perform(&self, cx: &Context<Self>, socket: Option<&Socket>, act: Act) -> Result<Told> {
        let told = match act {
            Act::Fail { text } => return Err(Failure::new(text)),
            Act::Refuse { status, text } => return Err(Failure::status(StatusCode::from_u16(status)?, text)),
            Act::Panic { text } => panic!("{text}"),
            Act::Ask { ask } => Ok(Told::Answered { answer: self.answer(cx, ask).await? }),
            Act::Wait { gate } => self.wait(cx, &gate).await,
            Act::Open { gate } => {
                self.gates.open(&gate);
                Ok(Told::Done)
            }
            Act::Storage { steps } => {
                Ok(Told::Storage { found: storage_runner::run(&InRoom(self, cx), &steps).await? })
            }
            Act::StorageOrFail { steps } => {
                Ok(Told::Storage { found: storage_runner::run_or_fail(&InRoom(self, cx), &steps).await? })
            }
            Act::AlwaysConflict { key } => storage_runner::always_conflict(&cx.storage(), &key).await,
            Act::SwapField { value } => Ok(Told::Field { value: self.field.replace(value) }),
            Act::Sockets => Ok(sockets(cx)),
            Act::CloseToNewcomers => cx.close_to_newcomers().map(|()| Told::Done),
            Act::OpenToNewcomers => cx.open_to_newcomers().map(|()| Told::Done),
            Act::Push { text } => Ok(self.push(&text)),
            Act::EndStreams => Ok(self.end_streams()),
            Act::Log(act) => log::act(cx, socket, act).await,
            Act::Presence(act) => presence::act(cx, socket, act).await,
            Act::Gossip { .. } | Act::Call { .. } => inquire(cx, act).await,
            Act::Task { task } => self.on_task(cx, task).await,
            Act::UseEarlierLife { name } => earlier_life::use_it::<C>(&name).await,
            Act::SendLate { client, gate, fails } => match self.send_late(cx, &client, &gate).await {
                Err(error) if fails => return Err(error.into()),
                told => told,
            },
            Act::Topic(_) | Act::Emit { .. } | Act::Broadcast { .. } | Act::Confirmed { .. } | Act::Whisper { .. } => {
                speak(cx, socket, act).await
            }
            of_socket => match socket {
                None => return Err(Failure::new("this needs a socket")),
                Some(socket) => self.on_socket(cx, socket, of_socket).await,
            },
        };
        Ok(told.unwrap_or_else(|error| Told::Refused { why: Why::from(&error) }))
    }

    fn end_streams(&self) -> Told {
        self.taps.take().iter().for_each(Tap::end);
        Told::Done
    }

    fn push(&self, text: &str) -> Told {
        self.taps.borrow().iter().for_each(|tap| tap.say(text));
        Told::Done
    }

    async fn wait(&self, cx: &Context<Self>, gate: &str) -> Result<Told, dog::Error> {
        cx.emit(waiting(gate))?;
        self.gates.pass(gate).await;
        Ok(Told::Done)
    }

    /// Keeps the sockets of a client, waits until it may have left, and sends to them.
    async fn send_late(&self, cx: &Context<Self>, client: &dog::ClientId, gate: &str) -> Result<Told, dog::Error> {
        let kept: Vec<Socket> = cx.sockets().filter(|socket| socket.client() == client).collect();
        self.wait(cx, gate).await?;
        kept.iter().try_for_each(|socket| socket.send("late"))?;
        Ok(Told::Done)
    }

    /// Closes all sockets but `socket`, while it holds the borrow that every handler takes.
    pub(super) fn close_others(&self, cx: &Context<Self>, socket: &Socket, code: u16, reason: &str) {
        let _held = self.held.borrow_mut();
        for other in cx.sockets().filter(|other| other.id() != socket.id()) {
            other.close(CloseCode::new(code).unwrap_or(CloseCode::NORMAL), reason);
        }
    }

    /// Calls every verb while it holds the borrow that every handler takes. Futures are created and dropped.
    fn hold_borrow(&self, cx: &Context<Self>, socket: &Socket) -> Result<Told, dog::Error> {
        let _held = self.held.borrow_mut();
        let (text, client) = ("while it is borrowed", socket.client());
        for each in cx.sockets() {
            each.send(text)?;
            each.set_attachment(&Attached::default())?;
            each.attachment::<Attached>()?;
        }
        cx.emit(text)?;
        cx.broadcast(text)?;
        socket.emit(text, To::Others)?;
        socket.broadcast(text, To::Others)?;
        cx.emit_to("borrowed", text)?;
        socket.broadcast_to("borrowed", text, To::Others)?;
        socket.unsubscribe("borrowed")?;
        drop(socket.subscribe("borrowed"));
        drop(cx.connect(dog::Request::default()));
        drop(cx.broadcast_confirmed(text));
        drop(cx.whisper(client, text));
        drop(cx.gossip(&Ask::Report));
        drop(cx.call_group(&GroupAsk::Fail));
        drop(cx.set_alarm("a", Timestamp::from_millis(0), &()));
        drop(cx.storage().put("borrowed", &1));
        socket.send(text).map(|()| Told::Done)
    }

    /// The commands that need a socket.
    async fn on_socket(&self, cx: &Context<Self>, socket: &Socket, act: Act) -> Result<Told, dog::Error> {
        match act {
            Act::CloseOthers { code, reason } => {
                self.close_others(cx, socket, code, &reason);
                Ok(Told::Done)
            }
            Act::HoldBorrow => self.hold_borrow(cx, socket),
            Act::KeepForLaterLife { name } => {
                earlier_life::keep_it(name, cx, socket);
                Ok(Told::Done)
            }
            other => on_socket(cx, socket, other).await,
        }
    }
}

/// The four verbs, of the socket or of the Replica.
async fn speak<C: TestClass>(cx: &Context<Room<C>>, socket: Option<&Socket>, act: Act) -> Result<Told, dog::Error> {
    match (act, socket) {
        (Act::Topic(act), socket) => topics::act(cx, socket, act).await,
        (Act::Emit { text, to }, Some(socket)) => socket.emit(text, to.into()).map(|()| Told::Done),
        (Act::Emit { text, .. }, None) => cx.emit(text).map(|()| Told::Done),
        (Act::Broadcast { text, to }, Some(socket)) => socket.broadcast(text, to.into()).map(|()| Told::Done),
        (Act::Broadcast { text, .. }, None) => cx.broadcast(text).map(|()| Told::Done),
        (Act::Confirmed { text, to }, Some(socket)) => socket.broadcast_confirmed(text, to.into()).await.map(reached),
        (Act::Confirmed { text, .. }, None) => cx.broadcast_confirmed(text).await.map(reached),
        (Act::Whisper { text, client }, Some(socket)) => socket.whisper(&client, text).await.map(took),
        (Act::Whisper { text, client }, None) => cx.whisper(&client, text).await.map(took),
        (other, _) => unreachable!("{other:?} is no verb"),
    }
}

fn reached(reach: dog::BroadcastReport) -> Told {
    Told::Reached { sockets: reach.sockets, missing: reach.missing.into_iter().map(|(replica, _)| replica).collect() }
}

fn took(sockets: usize) -> Told {
    Told::Took { sockets }
}

/// Asks the siblings or a Group.
async fn inquire<C: TestClass>(cx: &Context<Room<C>>, act: Act) -> Result<Told, dog::Error> {
    match act {
        Act::Gossip { ask } => gossip(cx, &ask).await,
        Act::Call { group: None, ask } => Ok(Told::Replied { by_group: GroupReply::passed(cx.call_group(&ask).await) }),
        Act::Call { group: Some(group), ask } => {
            let called = cx.dog().group::<ClassGroup<C>>(&group).call(&ask).await;
            Ok(Told::Replied { by_group: GroupReply::passed(called) })
        }
        _ => Ok(Told::Done),
    }
}

async fn gossip<C: TestClass>(cx: &Context<Room<C>>, ask: &Ask) -> Result<Told, dog::Error> {
    let heard: dog::GossipReplies<Answer> = cx.gossip(ask).await?;
    let missing = heard.missing.iter().map(|(replica, error)| (*replica, Why::from(error))).collect();
    Ok(Told::Heard { answers: heard.answers, missing, parked: heard.parked.ok() })
}

fn sockets<C: TestClass>(cx: &Context<Room<C>>) -> Told {
    let mut clients: Vec<_> = cx.sockets().map(|socket| socket.client().clone()).collect();
    clients.sort();
    Told::Sockets { clients }
}

/// The commands that use only the socket.
async fn on_socket<C: TestClass>(cx: &Context<Room<C>>, socket: &Socket, act: Act) -> Result<Told, dog::Error> {
    match act {
        Act::Send { text } => socket.send(text).map(|()| Told::Done),
        Act::Sequence { count, clients } => sequence(cx, socket, count, &clients).await,
        Act::Attach { value } => socket.set_attachment(&value).map(|()| Told::Done),
        Act::Attachment => Ok(Told::Attachment { value: socket.attachment::<Attached>()? }),
        Act::CountVisit => socket.update_attachment(count_visit).map(|value| Told::Field { value }),
        Act::UpdateName { length } => {
            let name = "x".repeat(length);
            socket.update_attachment(|attached: &mut Attached| attached.name = name).map(|()| Told::Done)
        }
        Act::AddInMemory { value } => Ok(Told::Field { value: add_in_memory(socket, value)? }),
        Act::Assign { client } => socket.assign(&client).await.map(|()| Told::Done),
        Act::Client => {
            let name = if socket.client().is_anonymous() { "?" } else { socket.client().as_str() };
            Ok(Told::Client { name: name.to_owned() })
        }
        Act::Identity => Ok(Told::Identity { value: socket.identity()? }),
        Act::MisreadAttachment => socket.attachment::<u64>().map(|_| Told::Done),
        Act::AttachBytes { length } => socket.set_attachment(&"x".repeat(length)).map(|()| Told::Done),
        Act::Close { code, reason } => {
            socket.send("last words")?;
            socket.close(CloseCode::new(code).unwrap_or(CloseCode::NORMAL), &reason);
            socket.send("words after the last").map(|()| Told::Done)
        }
        other => unreachable!("{other:?} needs no socket"),
    }
}

fn count_visit(attached: &mut Attached) -> u64 {
    attached.visits += 1;
    attached.visits
}

/// Adds to the number that the socket keeps in memory.
pub(super) fn add_in_memory(socket: &Socket, value: u64) -> Result<u64, dog::Error> {
    let sum = socket.state::<u64>()?;
    *sum.borrow_mut() += value;
    let sum = *sum.borrow();
    Ok(sum)
}

/// Sends numbers with every verb in turn.
async fn sequence<C: TestClass>(
    cx: &Context<Room<C>>,
    socket: &Socket,
    count: u32,
    clients: &[dog::ClientId],
) -> Result<Told, dog::Error> {
    for number in 0..count {
        let text = number.to_string();
        match Step::of(number, clients.len()) {
            Step::Send => socket.send(text)?,
            Step::Emit => cx.emit(text)?,
            Step::Broadcast => socket.broadcast(text, To::Everyone)?,
            Step::Confirmed => {
                socket.broadcast_confirmed(text, Whom::Everyone.into()).await?;
            }
            Step::Whisper(client) => {
                socket.whisper(&clients[client], text).await?;
            }
        }
    }
    Ok(Told::Done)
}
