#![doc = include_str!("../README.md")]

use std::cmp::Reverse;
use std::collections::HashMap;

use dog::http::{HeaderValue, Method, StatusCode, header};
use dog::{
    App, Body, ClientId, Context, Dog, Group, GroupContext, Limit, Message, Replica, Request, Response, Result, Socket,
    Timestamp, To, query_param, text_response,
};
use serde::{Deserialize, Serialize};

/// The seats of one Replica, unless the [`Env`](dog::Env) holds a [`Limit`].
pub const DEFAULT_LIMIT: Limit = Limit::new(50);

/// Longest text of a task, in bytes.
const MAX_TEXT: usize = 256 * 1024;

/// Longest name of a task, in bytes.
const MAX_NAME: usize = 256;

/// Answers every request.
pub struct Tasks;

impl App for Tasks {
    type Groups = (Pool,);

    async fn fetch(&self, request: Request, dog: &Dog<Self>) -> Result<Response> {
        let Some(name) = request.uri().path().strip_prefix("/tasks/") else {
            return Ok(text_response(StatusCode::NOT_FOUND, "missing pool name: /tasks/NAME"));
        };
        // The name stays percent-encoded; it only has to be unique.
        let name = name.split('/').next().unwrap_or_default();
        if name.replace("%20", "").is_empty() {
            return Ok(text_response(StatusCode::BAD_REQUEST, "empty pool name: /tasks/NAME"));
        }
        let header = request.headers().get("x-request-id").and_then(|value| value.to_str().ok()).map(str::to_owned);
        let client = ClientId::new(header.or_else(|| query_param(&request, "u")).unwrap_or_default())?;
        if let Some(refusal) = refuse(&request, dog) {
            return Ok(refusal);
        }
        let desk = dog.group::<Pool>(name).identify(&client).await?;
        Ok(desk.fetch(request).await?)
    }
}

/// The part of the path after the name of the pool.
fn of_pool(request: &Request) -> Option<&str> {
    request.uri().path().trim_start_matches("/tasks/").split_once('/').map(|(_, rest)| rest)
}

/// Checks a request before a pool is named: one that can only fail should not create a pool.
fn refuse(request: &Request, dog: &Dog<Tasks>) -> Option<Response> {
    match (of_pool(request), request.method()) {
        (Some("ws"), _) => dog.refuse_websocket(request),
        (None | Some(""), &Method::POST) => None,
        (None | Some(""), _) => {
            let mut response = text_response(StatusCode::METHOD_NOT_ALLOWED, "POST a task, or open /tasks/NAME/ws");
            response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("POST"));
            Some(response)
        }
        (Some(_), _) => Some(text_response(StatusCode::NOT_FOUND, "not found")),
    }
}

/// One pool.
pub struct Pool {
    limit: Limit,
}

impl Group for Pool {
    type Replica = Desk;
    type Call = ();
    type Reply = ();
    const NAME: &'static str = "pool";

    async fn activate(cx: &GroupContext) -> Result<Self> {
        Ok(Self { limit: cx.env().get().copied().unwrap_or(DEFAULT_LIMIT) })
    }

    fn limit(&self) -> Limit {
        self.limit
    }
}

/// The Replica. It takes the tasks of its clients, and tells the whole pool when they are done.
pub struct Desk;

#[derive(Deserialize)]
#[serde(tag = "type")]
enum Input {
    #[serde(rename = "count:words")]
    CountWords { task: String, text: String },
}

#[derive(Serialize)]
#[serde(tag = "type")]
enum Output<'a> {
    #[serde(rename = "task:done")]
    Done {
        task: &'a str,
        from: &'a str,
        #[serde(flatten)]
        count: Count,
        time: Timestamp,
    },
    #[serde(rename = "error")]
    Error { text: &'a str },
}

impl Replica for Desk {
    type Group = Pool;
    type Gossip = ();
    type Answer = ();

    async fn activate(_: &Context<Self>) -> Result<Self> {
        Ok(Self)
    }

    async fn receive(&self, cx: &Context<Self>, request: Request) -> Result<Response> {
        // The App has refused everything else.
        if of_pool(&request) == Some("ws") { Ok(cx.connect(request)) } else { hand_in(cx, request).await }
    }

    /// Messages of one socket are handled one at a time, so a client has one task at a time per socket. Messages of other
    /// sockets are handled meanwhile.
    async fn on_message(&self, cx: &Context<Self>, socket: &Socket, message: Message) -> Result {
        let refusal = match message.to_json() {
            Ok(Input::CountWords { task, text }) if task.len() <= MAX_NAME && text.len() <= MAX_TEXT => {
                let done = work(cx, &task, socket.client().as_str(), text).await?;
                return Ok(socket.broadcast(done, To::Everyone)?);
            }
            Ok(Input::CountWords { .. }) => "too long: 256 bytes of name and 256 KiB of text at most",
            Err(_) => r#"not understood: send {"type":"count:words","task":"NAME","text":"…"}"#,
        };
        Ok(socket.send(Message::json(&Output::Error { text: refusal })?)?)
    }
}

async fn hand_in(cx: &Context<Desk>, request: Request) -> Result<Response> {
    let task = query_param(&request, "task").unwrap_or_default();
    if task.len() > MAX_NAME {
        return Ok(text_response(StatusCode::BAD_REQUEST, "the name of the task is over 256 bytes"));
    }
    // If the body is too large, this `?` answers with 413.
    let body = request.into_body().bytes(MAX_TEXT).await?;
    let Ok(body) = String::from_utf8(body.into()) else {
        return Ok(text_response(StatusCode::BAD_REQUEST, "the body is not UTF-8"));
    };
    let done = work(cx, &task, "HTTP", body).await?;
    cx.broadcast(done.clone())?;
    let mut response = Response::new(Body::from(done.to_bytes()));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}

/// Does a task. The counting runs on another thread, because it would hold up all objects of this thread.
async fn work(cx: &Context<Desk>, task: &str, from: &str, text: String) -> Result<Message> {
    let count = tokio::task::spawn_blocking(move || Count::of(&text)).await?;
    Ok(Message::json(&Output::Done { task, from, count, time: cx.now() })?)
}

/// The result of a task.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Count {
    /// Number of words.
    words: usize,
    /// The three most common words, with their counts.
    common: Vec<(String, usize)>,
}

impl Count {
    /// Counts the words of `text`, in lower case.
    pub fn of(text: &str) -> Self {
        let mut counts = HashMap::<String, usize>::new();
        for word in text.split(|letter: char| !letter.is_alphanumeric()).filter(|word| !word.is_empty()) {
            *counts.entry(word.to_lowercase()).or_default() += 1;
        }
        let words = counts.values().sum();
        let mut common: Vec<(String, usize)> = counts.into_iter().collect();
        common.sort_by(|(a, often), (b, seldom)| (Reverse(often), a).cmp(&(Reverse(seldom), b)));
        common.truncate(3);
        Self { words, common }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_counted() {
        let count = Count::of("The dog, and the other dog!");
        assert_eq!(count.words, 6);
        assert_eq!(count.common, [("dog".to_owned(), 2), ("the".to_owned(), 2), ("and".to_owned(), 1)]);
        assert_eq!(Count::of(" . "), Count { words: 0, common: Vec::new() });
    }
}
