#![doc = include_str!("../README.md")]

use std::time::Duration;

use dog::http::{HeaderValue, Method, StatusCode, header};
use dog::{
    Alarm, App, ClientId, Context, Dog, Error, Failure, Group, GroupContext, Limit, List, Message, Replica, Request,
    Response, Result, Socket, Timestamp, json_response, query_param, text_response,
};
use serde::{Deserialize, Serialize};

/// The seats of one Replica, unless the [`Env`](dog::Env) holds a [`Limit`].
pub const DEFAULT_LIMIT: Limit = Limit::new(50);

/// Longest text of a job, in bytes. The payload of an alarm has 16 KiB at most.
const MAX_TEXT: usize = 15 * 1024;

/// The furthest time of a job: a year.
const MAX_WAIT: u64 = 365 * 24 * 60 * 60;

/// The most jobs that are listed.
const MAX_LIST: usize = 1_000;

/// The number of steps of a job, and how long each takes.
const STEPS: usize = 10;
const STEP: Duration = Duration::from_millis(100);

/// When a job that is done is forgotten.
const FORGET_AFTER: Duration = Duration::from_secs(60 * 60);

/// Answers every request.
pub struct Jobs;

impl App for Jobs {
    type Groups = (Pool,);

    async fn fetch(&self, request: Request, dog: &Dog<Self>) -> Result<Response> {
        let (pool, rest) = match request.uri().path().strip_prefix("/jobs/") {
            Some(path) => path.split_once('/').unwrap_or((path, "")),
            None => return Ok(text_response(StatusCode::NOT_FOUND, "missing pool name: /jobs/POOL")),
        };
        // The name stays percent-encoded; it only has to be unique.
        if pool.replace("%20", "").is_empty() {
            return Ok(text_response(StatusCode::BAD_REQUEST, "empty pool name: /jobs/POOL"));
        }
        let group = dog.group::<Pool>(pool);
        match (rest, request.method()) {
            // The Group has the jobs. It is asked directly, which takes no seat.
            ("", &Method::GET | &Method::POST) => Ok(group.fetch(request).await?),
            (id, &Method::DELETE) if id.parse::<u64>().is_ok() => Ok(group.fetch(request).await?),
            ("ws" | "events", &Method::GET) => {
                // A handshake that can only fail should not create a pool.
                if let Some(refusal) = dog.refuse_websocket(&request).filter(|_| rest == "ws") {
                    return Ok(refusal);
                }
                let client = ClientId::new(query_param(&request, "u").unwrap_or_default())?;
                Ok(group.identify(&client).await?.fetch(request).await?)
            }
            ("" | "ws" | "events", _) => {
                let mut response = text_response(StatusCode::METHOD_NOT_ALLOWED, "POST a job, or GET /jobs/POOL");
                response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, POST"));
                Ok(response)
            }
            _ => Ok(text_response(StatusCode::NOT_FOUND, "not found")),
        }
    }
}

/// One pool. It has the jobs and runs them.
pub struct Pool {
    limit: Limit,
}

/// What is to be done: the payload of a job's alarm.
#[derive(Serialize, Deserialize)]
struct Job {
    text: String,
    /// How many attempts fail, to show what happens then.
    fail: u32,
}

/// What is known of a job, as it is stored and told.
#[derive(Clone, Serialize, Deserialize)]
struct Status {
    id: u64,
    #[serde(flatten)]
    state: State,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
enum State {
    Waiting { due: Timestamp },
    Running { attempt: u32, percent: usize },
    Failed { attempt: u32 },
    Done { words: usize },
    Cancelled,
}

/// The key of a job's status.
fn key(id: u64) -> String {
    format!("job/{id:020}")
}

/// The name of the alarm that runs a job, and of the one that forgets it.
fn run(id: u64) -> String {
    format!("run/{id}")
}

fn forget(id: u64) -> String {
    format!("forget/{id}")
}

impl Group for Pool {
    type Replica = Watch;
    type Call = ();
    type Reply = ();
    const NAME: &'static str = "pool";

    async fn activate(cx: &GroupContext) -> Result<Self> {
        Ok(Self { limit: cx.env().get().copied().unwrap_or(DEFAULT_LIMIT) })
    }

    fn limit(&self) -> Limit {
        self.limit
    }

    async fn receive(&self, cx: &GroupContext, request: Request) -> Result<Response> {
        match *request.method() {
            Method::POST => hand_in(cx, request).await,
            Method::DELETE => {
                let id = request.uri().path().rsplit('/').next().unwrap_or_default();
                cancel(cx, id.parse()?).await
            }
            _ => {
                let jobs: Vec<(String, Status)> = cx.storage().list(&List::prefix("job/").limit(MAX_LIST)).await?;
                let jobs: Vec<Status> = jobs.into_iter().map(|(_, status)| status).collect();
                Ok(json_response(StatusCode::OK, &jobs)?)
            }
        }
    }

    /// Alarms of several jobs run side by side. One that fails is called again later, and delays no other.
    async fn on_alarm(&self, cx: &GroupContext, alarm: Alarm) -> Result {
        match alarm.name().split_once('/') {
            Some(("run", id)) => work(cx, id.parse()?, alarm.attempt(), alarm.payload()?).await,
            Some(("forget", id)) => Ok(cx.storage().delete(&key(id.parse()?)).await?),
            _ => Err(Failure::new(format!("what is the alarm {:?}?", alarm.name()))),
        }
    }
}

/// Stores a job and sets its alarm: both or nothing.
async fn hand_in(cx: &GroupContext, request: Request) -> Result<Response> {
    let number = |name: &str| query_param(&request, name).map_or(Ok(0), |number| number.parse::<u32>());
    let (Ok(wait), Ok(fail)) = (number("in"), number("fail")) else {
        return Ok(text_response(StatusCode::BAD_REQUEST, "in=SECONDS and fail=N are whole numbers"));
    };
    if u64::from(wait) > MAX_WAIT {
        return Ok(text_response(StatusCode::BAD_REQUEST, "in=SECONDS is a year at most"));
    }
    let due = cx.now() + Duration::from_secs(wait.into());
    // If the body is too large, this `?` answers with 413.
    let body = request.into_body().bytes(MAX_TEXT).await?;
    let Ok(text) = String::from_utf8(body.into()) else {
        return Ok(text_response(StatusCode::BAD_REQUEST, "the body is not UTF-8"));
    };
    let job = Job { text, fail };
    let storage = cx.storage();
    let stored = storage.transaction(async |entries| {
        let id = entries.get::<u64>("last").await?.unwrap_or(0) + 1;
        let status = Status { id, state: State::Waiting { due } };
        entries.put("last", &id)?;
        entries.put(&key(id), &status)?;
        entries.set_alarm(&run(id), due, &job)?;
        Ok(status)
    });
    match stored.await {
        Ok(status) => {
            // A job that is due runs already, and tells of itself.
            if cx.now() < due {
                cx.broadcast(Message::json(&status)?)?;
            }
            Ok(json_response(StatusCode::ACCEPTED, &status)?)
        }
        Err(failure) if failure.downcast_ref().is_some_and(Error::is_too_many) => {
            Ok(text_response(StatusCode::TOO_MANY_REQUESTS, "the pool is full: try again later"))
        }
        Err(failure) => Err(failure),
    }
}

/// Takes a job back. If it runs, its end finds nothing to store.
async fn cancel(cx: &GroupContext, id: u64) -> Result<Response> {
    let storage = cx.storage();
    let was_there = storage.transaction(async |entries| {
        let was_there = entries.get::<Status>(&key(id)).await?.is_some();
        if was_there {
            entries.delete(&key(id))?;
            entries.delete_alarm(&run(id))?;
            entries.delete_alarm(&forget(id))?;
        }
        Ok(was_there)
    });
    if !was_there.await? {
        return Ok(text_response(StatusCode::NOT_FOUND, "no such job"));
    }
    cx.broadcast(Message::json(&Status { id, state: State::Cancelled })?)?;
    Ok(text_response(StatusCode::NO_CONTENT, ""))
}

/// Does one attempt of a job.
async fn work(cx: &GroupContext, id: u64, attempt: u32, job: Job) -> Result {
    let tell = |state: State| -> Result { Ok(cx.broadcast(Message::json(&Status { id, state })?)?) };
    if attempt <= job.fail {
        tell(State::Failed { attempt })?;
        return Err(Failure::new(format!("job {id} was told to fail {} times", job.fail)));
    }
    for step in 0..STEPS {
        tell(State::Running { attempt, percent: 100 * step / STEPS })?;
        cx.sleep(STEP).await;
    }
    let words = job.text.split_whitespace().count();
    let done = Status { id, state: State::Done { words } };
    let forget_at = cx.now() + FORGET_AFTER;
    let storage = cx.storage();
    let stored = storage.transaction(async |entries| {
        let exists = entries.get::<Status>(&key(id)).await?.is_some();
        if exists {
            entries.put(&key(id), &done)?;
            entries.set_alarm(&forget(id), forget_at, &())?;
        }
        Ok(exists)
    });
    if stored.await? {
        cx.broadcast(Message::json(&done)?)?;
    }
    Ok(())
}

/// The Replica. Its sockets and event streams hear what the pool broadcasts.
pub struct Watch;

impl Replica for Watch {
    type Group = Pool;
    type Gossip = ();
    type Answer = ();

    async fn activate(_: &Context<Self>) -> Result<Self> {
        Ok(Self)
    }

    async fn receive(&self, cx: &Context<Self>, request: Request) -> Result<Response> {
        // The App has refused everything else.
        let streams = request.uri().path().ends_with("/events");
        Ok(if streams { cx.event_stream(request) } else { cx.connect(request) })
    }

    async fn on_message(&self, _: &Context<Self>, socket: &Socket, _: Message) -> Result {
        Ok(socket.send(r#"{"error":"this socket only tells: POST a job to /jobs/POOL"}"#)?)
    }
}
