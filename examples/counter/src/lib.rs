#![doc = include_str!("../README.md")]

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

/// Number of players on the leaderboard.
const LEADERS: usize = 10;

/// Answers every request.
pub struct Games;

impl App for Games {
    type Groups = (Game,);

    async fn fetch(&self, request: Request, dog: &Dog<Self>) -> Result<Response> {
        if request.uri().path() != "/ws" {
            return Ok(text_response(StatusCode::NOT_FOUND, "not found"));
        }
        let player = ClientId::new(query_param(&request, "u").unwrap_or_default())?;
        // Before a Group is named: a request that can only fail should not create a room.
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
    type Call = ();
    type Reply = ();
    const NAME: &'static str = "game";

    async fn activate(cx: &GroupContext) -> Result<Self> {
        Ok(Self { limit: cx.env().get().copied().unwrap_or(DEFAULT_LIMIT) })
    }

    fn limit(&self) -> Limit {
        self.limit
    }
}

/// The Replica. The points of each connection are attached to its socket, so they last as long as the connection, even if this
/// object hibernates meanwhile.
pub struct Counter;

/// What Replicas ask each other.
#[derive(Debug, Serialize, Deserialize)]
pub enum Ask {
    /// "What are the scores of your players?"
    Scores,
}

/// The score of each player.
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

/// There is no `.await` between reading the points and writing them, so no other handler can interfere.
fn count(cx: &Context<Counter>, socket: &Socket, change: i64) -> Result {
    socket.set_attachment(&points(socket)?.saturating_add(change))?;
    let player = socket.client().clone();
    let score = scores(cx)?.get(&player).copied().unwrap_or_default();
    let said = Message::json(&Output::Score { of: Score { player, score } })?;
    Ok(socket.broadcast(said, To::Everyone)?)
}

async fn leaderboard(cx: &Context<Counter>) -> Result<Message> {
    // All scores, not the ten best of each Replica: a player on two Replicas may be in neither ten.
    let replies = cx.gossip(&Ask::Scores).await?;
    let missing = replies.missing.len();
    let mut total = scores(cx)?;
    for (player, score) in replies.into_answers().flatten() {
        add(&mut total, player, score);
    }
    let mut leaders: Vec<Score> = total.into_iter().map(|(player, score)| Score { player, score }).collect();
    // Players with equal scores stay in the order of their names.
    leaders.sort_by_key(|leader| Reverse(leader.score));
    leaders.truncate(LEADERS);
    Ok(Message::json(&Output::Leaderboard { leaders, missing })?)
}

/// The scores of the players on this Replica.
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
