//! A counting game with a leaderboard: how Replicas gossip about their clients, and how a socket remembers something.
//!
//! `cargo run --release -p counter`, then with any WebSocket client, `websocat` for one:
//!
//! ```sh
//! websocat 'ws://127.0.0.1:8788/ws?u=ann&game=tuesday'
//! {"type":"+1"}
//! ```
//!
//! # Protocol
//! `GET /ws?u=PLAYER[&game=NAME]` is the socket; every game is a cluster of its own. Messages are JSON.
//!
//! | a client sends | and then comes |
//! |---|---|
//! | `{"type":"+1"}`, `{"type":"-1"}` | to everyone in the game `{"type":"score","player":"ann","score":1}` |
//! | `{"type":"leaderboard"}` | to the one who asks `{"type":"leaderboard","leaders":[{"player":"ann","score":1}],"missing":0}` |
//! | anything else | to the one who sent it `{"type":"error","text":"…"}` |
//!
//! `leaders` are the ten best of all Replicas; `missing` says how many Replicas did not answer in time. A player scores
//! while connected. Usually all of a player's connections are on one Replica; where that was full, the player has a score
//! on both, and the leaderboard adds them up.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use dog::http::StatusCode;
use dog::{
    App, ClientId, Context, Dog, Group, GroupContext, Limit, Message, Replica, Request, Response, Result, Socket, To,
    query_param, text_response,
};
use serde::{Deserialize, Serialize};

/// The seats of one Replica, unless the [`Env`](dog::Env) holds a [`Limit`].
pub const DEFAULT_LIMIT: Limit = Limit::new(50);

/// How many the leaderboard names.
const LEADERS: usize = 10;

/// The way into a game.
pub struct Games;

impl App for Games {
    type Groups = (Game,);

    async fn fetch(&self, request: Request, dog: &Dog<Self>) -> Result<Response> {
        if request.uri().path() != "/ws" {
            return Ok(text_response(StatusCode::NOT_FOUND, "not found"));
        }
        let player = ClientId::new(query_param(&request, "u").unwrap_or_default())?;
        // Before anything is named: what can only fail is to cost nothing.
        if let Some(refusal) = dog.refuse_websocket(&request) {
            return Ok(refusal);
        }
        let game = query_param(&request, "game").unwrap_or_else(|| "main".to_owned());
        let counter = dog.group::<Game>(&game).identify(&player).await?;
        Ok(counter.fetch(request).await?)
    }
}

/// One game.
pub struct Game {
    limit: Limit,
}

impl Group for Game {
    type Replica = Counter;
    const NAME: &'static str = "game";

    async fn activate(cx: &GroupContext) -> Result<Self> {
        Ok(Self { limit: cx.env().get().copied().unwrap_or(DEFAULT_LIMIT) })
    }

    fn limit(&self) -> Limit {
        self.limit
    }
}

/// Counts for the players on it. The points of a connection are attached to its socket, so they are there as long as the
/// connection is, whether this object has rested meanwhile or not.
pub struct Counter;

/// What Counters ask each other.
#[derive(Debug, Serialize, Deserialize)]
pub enum Ask {
    /// "What are the scores of your players?"
    Scores,
}

/// Everyone's score.
pub type Scores = BTreeMap<ClientId, i64>;

#[derive(Deserialize)]
#[serde(tag = "type")]
enum Input {
    #[serde(rename = "+1")]
    Up,
    #[serde(rename = "-1")]
    Down,
    #[serde(rename = "leaderboard")]
    Leaderboard,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum Output<'a> {
    Score {
        #[serde(flatten)]
        of: Score,
    },
    Leaderboard {
        leaders: Vec<Score>,
        missing: usize,
    },
    Error {
        text: &'a str,
    },
}

#[derive(Serialize)]
struct Score {
    player: ClientId,
    score: i64,
}

impl Replica for Counter {
    type Group = Game;
    type Gossip = Ask;
    type Answer = Scores;

    async fn activate(_: &Context<Self>) -> Result<Self> {
        Ok(Self)
    }

    async fn receive(&self, cx: &Context<Self>, request: Request) -> Result<Response> {
        Ok(cx.connect(request))
    }

    async fn on_message(&self, cx: &Context<Self>, socket: &Socket, message: Message) -> Result {
        match message.to_json() {
            Ok(Input::Up) => count(cx, socket, 1),
            Ok(Input::Down) => count(cx, socket, -1),
            Ok(Input::Leaderboard) => Ok(socket.send(leaderboard(cx).await?)?),
            Err(_) => {
                let text = r#"send {"type":"+1"}, {"type":"-1"} or {"type":"leaderboard"}"#;
                Ok(socket.send(Message::json(&Output::Error { text })?)?)
            }
        }
    }

    async fn on_gossip(&self, cx: &Context<Self>, ask: Ask) -> Result<Scores> {
        match ask {
            Ask::Scores => scores(cx),
        }
    }
}

/// Nothing is awaited here, so nothing comes between reading the points and writing them.
fn count(cx: &Context<Counter>, socket: &Socket, change: i64) -> Result {
    socket.set_attachment(&points(socket)?.saturating_add(change))?;
    let player = socket.client().clone();
    let score = scores(cx)?.get(&player).copied().unwrap_or_default();
    let said = Message::json(&Output::Score { of: Score { player, score } })?;
    Ok(socket.broadcast(said, To::Everyone)?)
}

async fn leaderboard(cx: &Context<Counter>) -> Result<Message> {
    // All scores and not only the ten best of each Replica: a player who is on two of them may be among neither ten.
    let heard = cx.gossip(&Ask::Scores).await?;
    let missing = heard.missing.len();
    let mut total = scores(cx)?;
    for (player, score) in heard.into_answers().flatten() {
        add(&mut total, player, score);
    }
    let mut leaders: Vec<Score> = total.into_iter().map(|(player, score)| Score { player, score }).collect();
    // Equals keep the order of their names.
    leaders.sort_by_key(|leader| Reverse(leader.score));
    leaders.truncate(LEADERS);
    Ok(Message::json(&Output::Leaderboard { leaders, missing })?)
}

/// The scores of this Replica's players.
fn scores(cx: &Context<Counter>) -> Result<Scores> {
    let mut scores = Scores::new();
    for socket in cx.sockets() {
        add(&mut scores, socket.client().clone(), points(&socket)?);
    }
    Ok(scores)
}

fn points(socket: &Socket) -> Result<i64> {
    Ok(socket.attachment()?.unwrap_or_default())
}

fn add(scores: &mut Scores, player: ClientId, score: i64) {
    let total = scores.entry(player).or_default();
    *total = total.saturating_add(score);
}
