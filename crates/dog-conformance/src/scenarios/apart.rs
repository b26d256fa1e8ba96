//! Promise 15: no path, header or body from outside reaches the messages between objects.
//!
//! The scenarios send what the objects of the npm package send to each other: that package accepts it from anybody.

use bytes::Bytes;
use dog::http::{Request, StatusCode};
use dog::{GroupId, ReplicaId};

use super::scenario::{Scenario, scenario};
use super::seats::{SEATS, fill, join};
use crate::app::protocol::{Echo, MARKED_HEADER, Whom};
use crate::check::{Outcome, ensure, same};
use crate::client::{self, Client};
use crate::stage::{Stage, TestGroup};

/// `src/internal/routes.ts` of the npm package.
const PATHS: [&str; 6] = ["/~$~/close", "/~$~/jello", "/~$~/message", "/~$~/whisper", "/~$~/gossip", "/~$~/identify"];

pub(super) fn scenarios() -> Vec<Scenario> {
    vec![
        scenario("internal_paths_are_ordinary_to_the_app", &[15], to_the_app),
        scenario("internal_paths_are_ordinary_to_objects", &[15], to_objects),
        scenario("internal_headers_have_no_effect", &[1, 15], headers),
        scenario("internal_tickets_from_outside_are_not_accepted", &[1, 15], tickets),
        scenario("extensions_do_not_pass_between_app_and_objects", &[15], extensions),
    ]
}

/// The headers of `src/internal/headers.ts` of the npm package, with correct ids.
fn internal_headers(group: GroupId, replica: ReplicaId) -> Vec<(&'static str, String)> {
    vec![
        ("x-dog-group-identifier", group.to_string()),
        ("x-dog-client-identifier", "victim0".into()),
        ("x-dog-replica-identifier", replica.to_string()),
        ("x-dog-neighbor-identifier", "attacker".into()),
        ("x-dog-target-identifier", "victim0".into()),
        ("x-dog-client-empty", "1".into()),
    ]
}

/// Two Replicas: a full one, and one with a single socket. Nothing from outside may reach either.
struct Victims {
    group: TestGroup,
    full: Vec<Client>,
    speaker: Client,
}

impl Victims {
    async fn new(stage: &Stage) -> Outcome<Self> {
        let group = stage.pinned("octet", "victims");
        let full = fill(&group, "victim").await?;
        let speaker = group.join("speaker").await?;
        Ok(Self { group, full, speaker })
    }

    /// Sends a request from outside, as `GET` and as `POST`. It must arrive unchanged at `seen_by`.
    async fn attack(&self, path: &str, query: &str, seen_by: &str) -> Outcome {
        let victim = self.full[0].replica();
        for method in ["GET", "POST"] {
            let headers = internal_headers(self.group.group_id(), victim);
            let mut request = Request::builder().method(method).uri(format!("{path}{query}"));
            for (name, value) in &headers {
                request = request.header(*name, value);
            }
            let body = if method == "POST" { "hello victim" } else { "" };
            let request = request.header("host", "conformance").body(Bytes::from(body))?;
            let response = client::send(self.group.entry(), request).await?;
            same(response.status(), StatusCode::NOT_FOUND, "what an unknown path is")?;
            let echo: Echo = serde_json::from_slice(response.body())?;
            same((&*echo.seen_by, &*echo.method, &*echo.path), (seen_by, method, path), "who saw what")?;
            same(echo.body, body, "the body that was seen")?;
            for (name, value) in headers {
                ensure(echo.headers.contains(&(name.into(), value)), format!("the header {name} was not seen"))?;
            }
        }
        Ok(())
    }

    /// No socket has received anything or was closed, and no seat of the full Replica is free.
    async fn are_unharmed(mut self) -> Outcome {
        same(self.speaker.whisper("victim0", "are you there?").await?, 1, "sockets that a whisper reaches")?;
        same(self.full[0].hear().await?, "are you there?", "all that the victim hears")?;
        same(self.speaker.confirmed("all", Whom::Everyone).await?, (SEATS + 1, vec![]), "whom a broadcast reaches")?;
        for client in self.full.iter_mut().chain([&mut self.speaker]) {
            same(client.hear().await?, "all", "all that a socket hears")?;
        }
        same(self.speaker.survey().await?.len(), 2, "Replicas in the cluster")?;
        // These are more clients than the second Replica has seats: one would go to the full one if the books were wrong.
        let strangers = join(&self.group, "newcomer", SEATS + 1).await?;
        let full = self.full[0].replica();
        ensure(strangers.iter().all(|client| client.replica() != full), "a ninth seat on a Replica of eight")
    }
}

/// Such paths reach `App::fetch` like all others.
async fn to_the_app(stage: Stage) -> Outcome {
    let victims = Victims::new(&stage).await?;
    for path in PATHS {
        victims.attack(path, "", "app").await?;
    }
    victims.are_unharmed().await
}

/// Requests with such paths that the App forwards reach `receive` like all others.
async fn to_objects(stage: Stage) -> Outcome {
    let victims = Victims::new(&stage).await?;
    for path in PATHS {
        let query = format!("?u=attacker&forward={}", victims.group.name());
        victims.attack(path, &query, "replica").await?;
        victims.attack(path, &format!("{query}&to=group"), "group").await?;
    }
    victims.are_unharmed().await
}

/// On a path of the App such headers have no effect: only the App says which client it identifies, and where.
async fn headers(stage: Stage) -> Outcome {
    let victims = Victims::new(&stage).await?;
    let group = &victims.group;
    let full = victims.full[0].replica();
    for _ in 0..3 {
        let mut request = Request::get(group.path("identify", "attacker")).header("host", "conformance");
        for (name, value) in internal_headers(group.group_id(), full) {
            request = request.header(name, value);
        }
        let response = client::send(group.entry(), request.body(Bytes::new())?).await?;
        same(response.status(), StatusCode::OK, "identify")?;
        let identified: crate::app::protocol::Identified = serde_json::from_slice(response.body())?;
        ensure(identified.replica != full, "a header led to a seat on a full Replica")?;
    }
    victims.are_unharmed().await
}

/// The headers that hosts add to a request from object to object have no effect when a client sends them.
async fn tickets(stage: Stage) -> Outcome {
    let victims = Victims::new(&stage).await?;
    let group = &victims.group;
    for to in ["", "&to=group"] {
        for head in ["none", "", "AAAA", "gqJpZIKlZXBvY2gBpm51bWJlcgA="] {
            let path = format!("/anything?u=attacker&forward={}{to}", group.name());
            let request = Request::get(path).header("host", "conformance");
            let request = request.header("dog-head", head).header("dog-answer", "refusal");
            let response = client::send(group.entry(), request.body(Bytes::new())?).await?;
            same(response.status(), StatusCode::NOT_FOUND, "what an unknown path is")?;
            let echo: Echo = serde_json::from_slice(response.body())?;
            same(&*echo.seen_by, if to.is_empty() { "replica" } else { "group" }, "who saw it")?;
            let inside = echo.headers.iter().any(|(name, _)| name == "dog-head");
            ensure(!inside, "an object has seen a header that belongs to the inside")?;
            same(echo.identity, None, "the identity of a request that has none")?;
            ensure(!response.headers().contains_key("dog-answer"), "a word of the inside was shown")?;
        }
    }
    victims.are_unharmed().await
}

/// Extensions of a request do not pass from the App to an object, and those of a response not back. They would be lost between
/// nodes, so they are lost on one server too.
async fn extensions(stage: Stage) -> Outcome {
    let group = stage.spread("single", "extensions");
    // On every node.
    let _clients = group.join_all("client", 6).await?;
    for number in 0..6 {
        for (to, seen_by) in [("", "replica"), ("&to=group", "group")] {
            let path = format!("/anything?u=other{number}&forward={}{to}", group.name());
            let response = group.request("POST", &path, "a body").await?;
            let echo: Echo = serde_json::from_slice(response.body())?;
            same((&*echo.seen_by, echo.body.as_str()), (seen_by, "a body"), "who saw what")?;
            ensure(!echo.marked, format!("a {seen_by} has seen an extension of the App's"))?;
            ensure(!response.headers().contains_key(MARKED_HEADER), "the App has seen an extension of an object's")?;
        }
    }
    Ok(())
}
