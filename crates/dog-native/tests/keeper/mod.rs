//! An App whose Replicas store what they are told to, over HTTP.

use std::path::Path;
use std::time::Duration;

use dog::http::StatusCode;
use dog::{
    Alarm, App, ClientId, Context, Dog, Failure, Group, GroupContext, Limit, List, Replica, Request, Response, Result,
    text_response,
};
use dog_native::{Running, Server};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

pub(crate) struct Keeper;

impl App for Keeper {
    type Groups = (Keepers,);

    async fn fetch(&self, request: Request, dog: &Dog<Self>) -> Result<Response> {
        let client = ClientId::new(dog::query_param(&request, "u").unwrap_or_default())?;
        Ok(dog.group::<Keepers>("keepers").identify(&client).await?.fetch(request).await?)
    }
}

pub(crate) struct Keepers;

impl Group for Keepers {
    type Replica = Kept;
    type Call = ();
    type Reply = ();
    const NAME: &'static str = "keepers";

    async fn activate(_: &GroupContext) -> Result<Self> {
        Ok(Self)
    }

    fn limit(&self) -> Limit {
        Limit::new(100)
    }
}

pub(crate) struct Kept;

impl Replica for Kept {
    type Group = Keepers;
    type Gossip = ();
    type Answer = ();

    async fn activate(_: &Context<Self>) -> Result<Self> {
        Ok(Self)
    }

    async fn receive(&self, cx: &Context<Self>, request: Request) -> Result<Response> {
        let storage = cx.storage();
        let path = request.uri().path().trim_start_matches('/').to_owned();
        let answer = match path.split('/').collect::<Vec<_>>()[..] {
            ["id"] => cx.id().to_string(),
            ["put", key, value] => {
                storage.put(key, &value).await?;
                "put".into()
            }
            // Ends the Replica's life while the write goes on.
            ["put_and_panic", key, size] => {
                let value = "x".repeat(size.parse()?);
                let mut put = std::pin::pin!(storage.put(key, &value));
                assert!(futures_util::poll!(&mut put).is_pending(), "the disk is not that fast");
                panic!("the Replica was told to, with a write under way");
            }
            ["length", key] => storage.get::<String>(key).await?.unwrap_or_default().len().to_string(),
            ["delete", key] => {
                storage.delete(key).await?;
                "deleted".into()
            }
            // Exactly one of the two keys has the value at any time, whenever the server dies.
            ["move", from, to] => {
                let moved = async |entries: &dog::Transaction| {
                    let value: Option<String> = entries.get(from).await?;
                    entries.delete(from)?;
                    entries.put(to, &value)?;
                    Ok(())
                };
                storage.transaction(moved).await?;
                "moved".into()
            }
            ["list"] => {
                let entries: Vec<(String, Option<String>)> = storage.list(&List::all()).await?;
                let entries = entries.into_iter().map(|(key, value)| format!("{key}={}", value.unwrap_or_default()));
                entries.collect::<Vec<_>>().join(" ")
            }
            ["alarm", millis] => {
                cx.set_alarm("told", cx.now() + Duration::from_millis(millis.parse()?), &()).await?;
                "set".into()
            }
            ["next_alarm"] => cx.alarm("told").await?.map_or("none".into(), |at| at.as_millis().to_string()),
            _ => return Ok(text_response(StatusCode::NOT_FOUND, "not found")),
        };
        Ok(text_response(StatusCode::OK, answer))
    }

    /// Fails the first time, panics the second time, and succeeds the third time.
    async fn on_alarm(&self, cx: &Context<Self>, _: Alarm) -> Result {
        let rung: Option<String> = cx.storage().get("rung").await?;
        let rung = rung.map_or(Ok(0), |rung| rung.parse::<u32>())? + 1;
        cx.storage().put("rung", &Some(rung.to_string())).await?;
        match rung {
            1 => Err(Failure::new("the alarm was told to fail")),
            2 => panic!("the alarm was told to"),
            _ => Ok(()),
        }
    }
}

/// Starts a server on a free port that keeps its data in `folder`.
pub(crate) async fn start(folder: &Path) -> Running {
    Server::new(Keeper).bind("127.0.0.1:0").workers(2).data(folder).start().await.unwrap()
}

/// Sends a request, and returns the text of the response.
pub(crate) async fn ask(running: &Running, client: &str, path: &str) -> String {
    ask_at(running.local_addr(), client, path).await.unwrap()
}

/// The same for a server that may be dying.
pub(crate) async fn ask_at(address: std::net::SocketAddr, client: &str, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    let client = client.replace(' ', "+");
    let request = format!("GET /{path}?u={client} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut response = String::new();
    stream.read_to_string(&mut response).await?;
    match response.split_once("\r\n\r\n") {
        Some((head, body)) if head.starts_with("HTTP/1.1 200") => Ok(body.to_owned()),
        _ => Err(std::io::Error::other(response)),
    }
}
