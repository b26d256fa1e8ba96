//! Promise 15: no path, header or body from outside reaches what objects say to each other.
//!
//! What is sent here is what the npm package's objects say to each other, and what it takes from anybody.

use bytes::Bytes;
use dog::http::{Request, StatusCode};
use dog::{GroupId, ReplicaId};

use super::seats::{SEATS, fill, join};
use super::{Scenario, scenario};
use crate::app::protocol::{Echo, MARKED_HEADER, Whom};
use crate::check::{Outcome, ensure, same};
use crate::client::{self, Client};
use crate::stage::{Place, Stage};

/// `src/internal/routes.ts` of the npm package.
const PATHS: [&str; 6] = ["/~$~/close", "/~$~/jello", "/~$~/message", "/~$~/whisper", "/~$~/gossip", "/~$~/identify"];

pub(super) fn scenarios() -> Vec<Scenario> {
    vec![
        scenario("internal_paths_are_ordinary_to_the_app", &[15], to_the_app),
        scenario("internal_paths_are_ordinary_to_objects", &[15], to_objects),
        scenario("internal_headers_mean_nothing", &[1, 15], headers),
        scenario("internal_tickets_are_not_taken_from_outside", &[1, 15], tickets),
        scenario("extensions_stay_on_their_side", &[15], extensions),
    ]
}

/// `src/internal/headers.ts` of the npm package, filled in by somebody who knows the ids.
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

/// Two Replicas: one full of victims, and one with the speaker alone. Nothing from outside may reach either.
struct Victims {
    place: Place,
    full: Vec<Client>,
    speaker: Client,
}

impl Victims {
    async fn new(stage: &Stage) -> Outcome<Self> {
        let place = stage.pinned("octet", "victims");
        let full = fill(&place, "victim").await?;
        let speaker = place.join("speaker").await?;
        Ok(Self { place, full, speaker })
    }

    /// Sends a request from outside, as `GET` and as `POST`: it was seen as it is, by `seen_by`.
    async fn attack(&self, path: &str, query: &str, seen_by: &str) -> Outcome {
        let victim = self.full[0].replica();
        for method in ["GET", "POST"] {
            let headers = internal_headers(self.place.group_id(), victim);
            let mut request = Request::builder().method(method).uri(format!("{path}{query}"));
            for (name, value) in &headers {
                request = request.header(*name, value);
            }
            let body = if method == "POST" { "hello victim" } else { "" };
            let request = request.header("host", "conformance").body(Bytes::from(body))?;
            let response = client::send(self.place.entry(), request).await?;
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

    /// Nobody has heard anything, nobody has gone, and no seat of the full Replica is free.
    async fn are_unharmed(mut self) -> Outcome {
        same(self.speaker.whisper("victim0", "are you there?").await?, 1, "sockets that a whisper reaches")?;
        same(self.full[0].hear().await?, "are you there?", "all that the victim hears")?;
        same(self.speaker.confirmed("all", Whom::Everyone).await?, (SEATS + 1, vec![]), "whom a broadcast reaches")?;
        for client in self.full.iter_mut().chain([&mut self.speaker]) {
            same(client.hear().await?, "all", "all that a socket hears")?;
        }
        same(self.speaker.survey().await?.len(), 2, "Replicas in the cluster")?;
        // More than fit beside the speaker: one would go to the full Replica if the books said that it has room.
        let strangers = join(&self.place, "newcomer", SEATS + 1).await?;
        let full = self.full[0].replica();
        ensure(strangers.iter().all(|client| client.replica() != full), "a ninth seat on a Replica of eight")
    }
}

/// They reach `App::fetch` like anything else.
async fn to_the_app(stage: Stage) -> Outcome {
    let victims = Victims::new(&stage).await?;
    for path in PATHS {
        victims.attack(path, "", "app").await?;
    }
    victims.are_unharmed().await
}

/// Passed on by the App as they are, they reach `receive` like anything else.
async fn to_objects(stage: Stage) -> Outcome {
    let victims = Victims::new(&stage).await?;
    for path in PATHS {
        let query = format!("?u=attacker&forward={}", victims.place.name());
        victims.attack(path, &query, "replica").await?;
        victims.attack(path, &format!("{query}&to=group"), "group").await?;
    }
    victims.are_unharmed().await
}

/// On a path that means something they mean nothing: who identifies, and where, is said by the App alone.
async fn headers(stage: Stage) -> Outcome {
    let victims = Victims::new(&stage).await?;
    let place = &victims.place;
    let full = victims.full[0].replica();
    for _ in 0..3 {
        let mut request = Request::get(place.path("identify", "attacker")).header("host", "conformance");
        for (name, value) in internal_headers(place.group_id(), full) {
            request = request.header(name, value);
        }
        let response = client::send(place.entry(), request.body(Bytes::new())?).await?;
        same(response.status(), StatusCode::OK, "identify")?;
        let identified: crate::app::protocol::Identified = serde_json::from_slice(response.body())?;
        ensure(identified.replica != full, "a header led to a seat on a full Replica")?;
    }
    victims.are_unharmed().await
}

/// What hosts write beside a request that crosses from object to object: whoever sends it from outside gains nothing.
async fn tickets(stage: Stage) -> Outcome {
    let victims = Victims::new(&stage).await?;
    let place = &victims.place;
    for to in ["", "&to=group"] {
        for ticket in ["none", "", "AAAA", "gqJpZIKlZXBvY2gBpm51bWJlcgA="] {
            let path = format!("/anything?u=attacker&forward={}{to}", place.name());
            let request = Request::get(path).header("host", "conformance");
            let request = request.header("dog-ticket", ticket).header("dog-answer", "refusal");
            let response = client::send(place.entry(), request.body(Bytes::new())?).await?;
            same(response.status(), StatusCode::NOT_FOUND, "what an unknown path is")?;
            let echo: Echo = serde_json::from_slice(response.body())?;
            same(&*echo.seen_by, if to.is_empty() { "replica" } else { "group" }, "who saw it")?;
            ensure(!response.headers().contains_key("dog-answer"), "a word of the inside was shown")?;
        }
    }
    victims.are_unharmed().await
}

/// What the App puts into a request's extensions no object sees, and the other way round: between nodes they are lost, so
/// they are on one server too.
async fn extensions(stage: Stage) -> Outcome {
    let place = stage.spread("single", "extensions");
    // On every node.
    let _clients = place.join_all("client", 6).await?;
    for number in 0..6 {
        for (to, seen_by) in [("", "replica"), ("&to=group", "group")] {
            let path = format!("/anything?u=other{number}&forward={}{to}", place.name());
            let response = place.request("POST", &path, "a body").await?;
            let echo: Echo = serde_json::from_slice(response.body())?;
            same((&*echo.seen_by, echo.body.as_str()), (seen_by, "a body"), "who saw what")?;
            ensure(!echo.marked, format!("a {seen_by} has seen an extension of the App's"))?;
            ensure(!response.headers().contains_key(MARKED_HEADER), "the App has seen an extension of an object's")?;
        }
    }
    Ok(())
}
