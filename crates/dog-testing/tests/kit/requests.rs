//! What goes with a request to its Replica: the identity from the App, and the client's address.

use std::cell::RefCell;
use std::time::Duration;

use dog::http::StatusCode;
use dog::{App, ClientId, Close, Context, Dog, Group, GroupContext, Limit, Replica, Request, Response, Result, Socket};
use dog_testing::{Cluster, websocket};
use serde::{Deserialize, Serialize};

thread_local! {
    /// What the App and the handlers have seen.
    static SEEN: RefCell<Vec<String>> = RefCell::default();
}

fn note(text: impl Into<String>) {
    SEEN.with_borrow_mut(|seen| seen.push(text.into()));
}

fn seen() -> Vec<String> {
    SEEN.take()
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct User {
    name: String,
    rights: Vec<String>,
}

struct Door;

impl App for Door {
    type Groups = (Lobby,);

    async fn fetch(&self, request: Request, dog: &Dog<Self>) -> Result<Response> {
        note(format!("App from {:?}", dog::peer_address(&request)));
        let name = dog::query_param(&request, "u").unwrap_or_default();
        let rights = dog::query_param(&request, "rights").unwrap_or_default();
        let lobby = dog.group::<Lobby>("lobby");
        if request.uri().path() == "/group" {
            return Ok(lobby.fetch(request).await?);
        }
        let replica = lobby.identify(&ClientId::new(&name)?).await?;
        let user = User { name, rights: vec!["r".repeat(rights.parse().unwrap_or(0))] };
        match replica.fetch_as(request, &user).await {
            Err(error) if error.is_too_large() => Ok(dog::text_response(StatusCode::FORBIDDEN, error.to_string())),
            answer => Ok(answer?),
        }
    }
}

struct Lobby;

impl Group for Lobby {
    type Replica = Room;
    type Call = ();
    type Reply = ();
    const NAME: &'static str = "lobby";

    async fn activate(_: &GroupContext) -> Result<Self> {
        Ok(Self)
    }

    fn limit(&self) -> Limit {
        Limit::new(1)
    }

    async fn receive(&self, _: &GroupContext, request: Request) -> Result<Response> {
        note(format!("Group from {:?} as {:?}", dog::peer_address(&request), dog::identity::<User>(&request)?));
        Ok(dog::text_response(StatusCode::OK, ""))
    }
}

struct Room;

impl Replica for Room {
    type Group = Lobby;
    type Gossip = ();
    type Answer = ();

    async fn activate(_: &Context<Self>) -> Result<Self> {
        note("awake");
        Ok(Self)
    }

    async fn receive(&self, cx: &Context<Self>, request: Request) -> Result<Response> {
        let user = dog::identity::<User>(&request)?.map(|user| user.name);
        note(format!("Replica from {:?} as {user:?}", dog::peer_address(&request)));
        match request.uri().path() {
            "/ws" => Ok(cx.connect(request)),
            _ => Ok(dog::text_response(StatusCode::OK, "")),
        }
    }

    async fn on_message(&self, _: &Context<Self>, socket: &Socket, _: dog::Message) -> Result {
        assert!(socket.identity::<u8>().is_err_and(|error| error.is_encoding()));
        note(format!("message as {:?}", socket.identity::<User>()?.map(|user| user.name)));
        Ok(())
    }

    async fn on_close(&self, cx: &Context<Self>, socket: &Socket, _: &Close) -> Result {
        note(format!("end as {:?}", socket.identity::<User>()?.map(|user| user.name)));
        let (cx, socket) = (cx.clone(), socket.clone());
        cx.storage().put("ended", &true).await?;
        assert!(socket.identity::<User>()?.is_some(), "its last handler still runs");
        Ok(())
    }
}

fn from(path: &str, address: [u16; 8]) -> Request {
    let mut request = websocket(path);
    dog::set_peer_address(&mut request, address.into());
    request
}

#[test]
fn an_identity_and_an_address_reach_the_replica() {
    let cluster = Cluster::new(Door);
    seen();
    let ann = cluster.open(from("/ws?u=ann", [0, 0, 0, 0, 0, 0xFFFF, 0xC000, 0x0201])).unwrap();
    assert_eq!(seen(), ["App from Some(192.0.2.1)", "awake", "Replica from Some(192.0.2.1) as Some(\"ann\")"]);
    cluster.get("/hello?u=bob");
    assert_eq!(seen(), ["App from None", "awake", "Replica from None as Some(\"bob\")"]);
    cluster.fetch(from("/group", [0x2001, 0xDB8, 0, 0, 0, 0, 0, 1]));
    assert_eq!(seen(), ["App from Some(2001:db8::1)", "Group from Some(2001:db8::1) as None"]);
    ann.close();
    cluster.run();
}

#[test]
fn a_socket_keeps_its_identity_until_its_last_handler_has_ended() {
    let cluster = Cluster::builder(Door).hibernate_after(Duration::from_secs(5)).start();
    let ann = cluster.connect("/ws?u=ann");
    cluster.advance(Duration::from_secs(10));
    seen();
    ann.send("");
    cluster.run();
    assert_eq!(seen(), ["awake", "message as Some(\"ann\")"], "it has hibernated");
    ann.vanish();
    cluster.run();
    assert_eq!(seen(), ["end as Some(\"ann\")"]);
    assert!(cluster.failures().is_empty(), "{:?}", cluster.failures());
}

#[test]
fn an_identity_that_is_too_large_is_refused_before_anything_is_sent() {
    let cluster = Cluster::new(Door);
    let refused = cluster.get("/hello?u=ann&rights=5000");
    assert_eq!(refused.status(), StatusCode::FORBIDDEN);
    assert!(cluster.read_text(refused).contains("4096 at most"));
    // Its seat is free again: one Replica with one seat is enough.
    seen();
    cluster.get("/hello?u=bob");
    let heard = seen();
    assert_eq!(heard.last().map(String::as_str), Some("Replica from None as Some(\"bob\")"));
    assert!(!heard.iter().any(|event| event == "awake"), "it was refused before the Replica heard of it: {heard:?}");
}
