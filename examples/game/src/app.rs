//! The game, without a host: [`Arcade`] answers requests, [`Hall`] is the Group, and each [`Match`] is a Replica.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::pin::pin;
use std::rc::Rc;

use dog::http::{Method, StatusCode};
use dog::{
    App, AutoResponse, ClientId, Close, Context, Dog, Error, Group, GroupContext, Limit, Message, Placement, Policy,
    Replica, Request, Response, Result, Socket, SocketError, SocketId, query_param, text_response,
};
use futures_util::future::{Either, select};
use serde::Serialize;

use crate::arena::{Arena, Slot, TICK};
use crate::page;

/// The most players of one match, unless the [`Env`](dog::Env) holds a [`Limit`].
pub const DEFAULT_LIMIT: Limit = Limit::new(4);

/// Answers every request: the page, and the way into a match.
pub struct Arcade;

impl App for Arcade {
    type Groups = (Hall,);

    async fn fetch(&self, request: Request, dog: &Dog<Self>) -> Result<Response> {
        match (request.uri().path(), request.method()) {
            ("/", &Method::GET | &Method::HEAD) => Ok(page::page()),
            ("/dog.js", &Method::GET | &Method::HEAD) => Ok(page::module()),
            ("/ws", &Method::GET) => {
                // A real program derives the client from a session or a token. Here `?u=ann` makes you ann.
                let client = ClientId::new(query_param(&request, "u").unwrap_or_default())?;
                if let Some(refusal) = dog.refuse_websocket(&request) {
                    return Ok(refusal);
                }
                Ok(dog.group::<Hall>("public").identify(&client).await?.fetch(request).await?)
            }
            _ => Ok(text_response(StatusCode::NOT_FOUND, "not found")),
        }
    }
}

/// The Group. There is one, called "public".
pub struct Hall {
    limit: Limit,
}

impl Group for Hall {
    type Replica = Match;
    type Call = ();
    type Reply = ();
    const NAME: &'static str = "hall";

    async fn activate(cx: &GroupContext) -> Result<Self> {
        Ok(Self { limit: cx.env().get().copied().unwrap_or(DEFAULT_LIMIT) })
    }

    fn limit(&self) -> Limit {
        self.limit
    }

    /// Players have to meet, so a match is filled before another one is begun.
    fn policy(&self) -> Policy {
        Policy { placement: Placement::FillFirst, ..Policy::default() }
    }
}

/// The Replica: one match, and the players' sockets. A task moves it on; handlers only take notes for that task.
pub struct Match(Rc<Table>);

/// What the handlers and the task share.
struct Table {
    arena: RefCell<Arena>,
    slots: RefCell<BTreeMap<SocketId, Slot>>,
    /// Whether the task runs.
    runs: Cell<bool>,
}

/// What players are told besides snapshots.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Told<'a> {
    You { slot: Slot, room: &'a str },
    Players { players: Vec<Named> },
}

#[derive(Serialize)]
struct Named {
    slot: Slot,
    name: String,
}

impl Replica for Match {
    type Group = Hall;
    type Gossip = ();
    type Answer = ();
    /// How the page sees that its connection is alive, also while nothing moves.
    const AUTO_RESPONSE: Option<AutoResponse> = Some(AutoResponse::new("ping", "pong"));

    /// Sockets that are open already belong to an earlier time in memory. Their match begins again.
    async fn activate(cx: &Context<Self>) -> Result<Self> {
        let seed = cx.id().as_bytes().iter().fold(0_u64, |seed, byte| seed.rotate_left(8) ^ u64::from(*byte));
        let table = Table { arena: RefCell::new(Arena::new(seed)), slots: RefCell::default(), runs: Cell::new(false) };
        let this = Self(Rc::new(table));
        for socket in cx.sockets() {
            this.enter(cx, &socket)?;
        }
        Ok(this)
    }

    async fn receive(&self, cx: &Context<Self>, request: Request) -> Result<Response> {
        Ok(cx.connect(request))
    }

    async fn on_open(&self, cx: &Context<Self>, socket: &Socket) -> Result {
        self.enter(cx, socket)
    }

    /// A message is one byte: the keys that the player holds. Everything else is ignored.
    async fn on_message(&self, _: &Context<Self>, socket: &Socket, message: Message) -> Result {
        let slot = self.0.slots.borrow().get(&socket.id()).copied();
        if let (Some(slot), [keys]) = (slot, message.as_bytes()) {
            self.0.arena.borrow_mut().hold(slot, *keys);
        }
        Ok(())
    }

    async fn on_close(&self, cx: &Context<Self>, socket: &Socket, _: &Close) -> Result {
        self.leave(cx, socket)
    }

    async fn on_error(&self, cx: &Context<Self>, socket: &Socket, _: &SocketError) -> Result {
        self.leave(cx, socket)
    }
}

impl Match {
    fn enter(&self, cx: &Context<Self>, socket: &Socket) -> Result {
        let Some(slot) = self.0.arena.borrow_mut().enter() else { return Ok(()) };
        self.0.slots.borrow_mut().insert(socket.id(), slot);
        let room = cx.id().to_string();
        socket.send(Message::json(&Told::You { slot, room: &room[..8] })?)?;
        self.name_all(cx)?;
        if !self.0.runs.replace(true) {
            cx.spawn(run(cx.clone(), Rc::clone(&self.0)))?;
        }
        Ok(())
    }

    fn leave(&self, cx: &Context<Self>, socket: &Socket) -> Result {
        if let Some(slot) = self.0.slots.borrow_mut().remove(&socket.id()) {
            self.0.arena.borrow_mut().leave(slot);
        }
        self.name_all(cx)
    }

    /// Tells everybody who plays.
    fn name_all(&self, cx: &Context<Self>) -> Result {
        let slots = self.0.slots.borrow();
        let named = cx.sockets().filter_map(|socket| {
            let slot = *slots.get(&socket.id())?;
            Some(Named { slot, name: socket.client().to_string() })
        });
        Ok(cx.emit(Message::json(&Told::Players { players: named.collect() })?)?)
    }
}

/// Moves the match on, 20 times per second, until the last player has left or the server stops. Nothing is written to the
/// storage: a match that is interrupted begins again.
async fn run(cx: Context<Match>, table: Rc<Table>) {
    let (mut interval, mut stopping) = (cx.interval(TICK), pin!(cx.stopping()));
    while !table.arena.borrow().players().is_empty() {
        let skipped = match select(pin!(interval.tick()), stopping.as_mut()).await {
            Either::Left((skipped, _)) => skipped,
            Either::Right(_) => break,
        };
        if step(&cx, &table, skipped).is_err() {
            break;
        }
    }
    table.arena.borrow_mut().reset();
    table.runs.set(false);
    // It fails if this activation is over, and then nobody is kept out any more.
    let _ = cx.open_to_newcomers();
}

/// Makes a step, and sends it. Nobody new comes to a match that has begun.
fn step(cx: &Context<Match>, table: &Table, skipped: u64) -> Result<(), Error> {
    let was_open = table.arena.borrow().is_open();
    table.arena.borrow_mut().step(skipped);
    match (was_open, table.arena.borrow().is_open()) {
        (true, false) => cx.close_to_newcomers()?,
        (false, true) => cx.open_to_newcomers()?,
        _ => {}
    }
    cx.emit(Message::binary(table.arena.borrow().snapshot()))
}
