//! Promises 9 and 14: a failure affects nothing else, and shows no internals.

use dog::http::{Response, StatusCode};

use super::scenario::{Scenario, scenario};
use super::seats::{Beside, SEATS, join};
use crate::app::protocol::{Act, Attached, StorageStep, Whom};
use crate::check::{Outcome, ensure, same};
use crate::harness::Capability;
use crate::stage::Stage;

pub(super) fn scenarios() -> Vec<Scenario> {
    vec![
        scenario("receive_that_fails_answers_500", &[14], receive_fails),
        scenario("receive_that_fails_with_an_error_of_the_app_is_no_4xx", &[14], own_doing),
        scenario("refusal_answers_with_its_status_and_text_everywhere", &[14], refusals),
        scenario("refusal_in_a_handler_of_a_socket_closes_with_1011", &[14], refusal_on_a_socket),
        scenario("receive_that_panics_costs_its_object", &[8, 14], receive_panics),
        scenario("handler_that_panics_costs_its_object", &[8, 14], handler_panics),
        scenario("app_that_fails_or_panics_answers_500", &[14], app_fails),
        scenario("group_that_fails_answers_500", &[14], group_fails),
        scenario("cluster_outlives_its_group_object", &[9, 14], group_panics).needing(&[Capability::GroupRestart]),
    ]
}

const SECRET: &str = "the secret of the handler";

/// A short answer without internals.
fn says_nothing(response: &Response<bytes::Bytes>) -> Outcome {
    same(response.status(), StatusCode::INTERNAL_SERVER_ERROR, "the status")?;
    ensure(response.body().len() <= 200, format!("{} bytes of body", response.body().len()))?;
    let whole = format!("{:?} {:?}", response.headers(), response.body());
    ensure(!whole.contains("secret") && !whole.contains(".rs"), format!("it tells of the inside: {whole}"))
}

/// Only the request fails.
async fn receive_fails(stage: Stage) -> Outcome {
    let group = stage.pinned("hall", "fails");
    let mut client = group.join("client").await?;
    says_nothing(&group.post("caller", Act::Fail { text: SECRET.into() }).await?)?;
    says_nothing(&group.request("POST", &group.path("http", "caller"), "no command").await?)?;
    same(client.report().await?.open, vec![client.id().clone()], "who is there")
}

/// If a value of the App is too large or of another type, the client's request is not to blame: 500. A conflict has its own
/// status. An error of the client is a 4xx.
async fn own_doing(stage: Stage) -> Outcome {
    let group = stage.pinned("hall", "doing");
    let insist = async |step: StorageStep| -> Outcome<[Response<bytes::Bytes>; 2]> {
        let path = format!("{}&do=storage_or_fail", group.path("group", "x"));
        let by_group = group.request("POST", &path, serde_json::to_vec(std::slice::from_ref(&step))?).await?;
        Ok([by_group, group.post("caller", Act::StorageOrFail { steps: vec![step] }).await?])
    };
    let (long, shape) = ("secret".repeat(dog::MAX_KEY), Attached::default());
    insist(StorageStep::PutShape("shape".into(), shape)).await?;
    let refused = [
        StorageStep::PutBytes("large".into(), dog::MAX_VALUE),
        StorageStep::Put(long.clone(), "x".into()),
        StorageStep::Get(long),
        StorageStep::Number("shape".into()),
    ];
    for step in refused {
        for response in insist(step).await? {
            says_nothing(&response)?;
            same(response.body().as_ref(), &b"internal error"[..], "what a client reads of what the App did wrong")?;
        }
    }
    for response in insist(StorageStep::AlwaysConflict("key".into())).await? {
        same(response.status(), StatusCode::SERVICE_UNAVAILABLE, "the status of a transaction that is given up")?;
        let text = String::from_utf8_lossy(response.body()).into_owned();
        ensure(!text.contains("transaction"), format!("it tells of the inside: {text}"))?;
    }
    let large = vec![b'x'; (1 << 20) + 1];
    let response = group.request("POST", &group.path("http", "caller"), large).await?;
    same(response.status(), StatusCode::PAYLOAD_TOO_LARGE, "the status of a body that is too large")?;
    ensure(String::from_utf8_lossy(response.body()).contains("1048576"), "it does not say how much is taken")
}

/// A Replica, a Group and the App refuse. The client, whichever node it has reached, gets the status and the text. What is no
/// error is a fault of the App.
async fn refusals(stage: Stage) -> Outcome {
    let group = stage.spread("hall", "refuses");
    for (status, text) in
        [(401, "who are you?"), (403, "not here"), (429, "slowly"), (503, "closed for today"), (500, "?")]
    {
        let query = format!("do=refuse&status={status}&text={}", text.replace(' ', "%20").replace('?', "%3F"));
        for path in [format!("/refuse?{query}"), format!("{}&{query}", group.path("group", "x"))] {
            refused(&group.request("GET", &path, "").await?, status, text)?;
        }
        for caller in ["a", "b", "c"] {
            let response = group.post(caller, Act::Refuse { status, text: text.into() }).await?;
            refused(&response, status, text)?;
        }
    }
    for status in [200, 302] {
        says_nothing(&group.post("a", Act::Refuse { status, text: SECRET.into() }).await?)?;
    }
    Ok(())
}

fn refused(response: &Response<bytes::Bytes>, status: u16, text: &str) -> Outcome {
    let got = (response.status().as_u16(), response.body().as_ref());
    same(got, (status, text.as_bytes()), "what a client that is refused gets")
}

/// It is a failure like any other.
async fn refusal_on_a_socket(stage: Stage) -> Outcome {
    let group = stage.pinned("hall", "refuses");
    let [mut client, mut other] = group.join_each(["client", "other"]).await?;
    client.tell(Act::Refuse { status: 403, text: SECRET.into() }).await?;
    let ending = client.ended().await?;
    same((ending.code, ending.reason.as_str()), (1011, ""), "how a socket ends whose handler refuses")?;
    same(other.report().await?.open, vec![other.id().clone()], "who is there")
}

/// The sockets of the Replica that panicked end with 1011. Its siblings and other Groups go on. A new life of the Replica has
/// all its seats.
async fn handler_panics(stage: Stage) -> Outcome {
    let (group, elsewhere) = (stage.pinned("octet", "panics"), stage.pinned("octet", "goes-on"));
    let mut stranger = elsewhere.join("stranger").await?;
    let mut beside = Beside::new(&group).await?;
    let mut victims = join(&group, "victim", SEATS).await?;
    let replica = victims[0].replica();
    same(victims[7].replica(), replica, "where the second eight are")?;
    victims[3].tell(Act::Panic { text: SECRET.into() }).await?;
    for victim in &mut victims {
        let ending = victim.ended().await?;
        same(ending.code, 1011, "how the sockets of a Replica that panicked end")?;
        ensure(!ending.reason.contains("secret"), "the close tells of the inside")?;
    }
    same(beside.one().confirmed("on we go", Whom::Everyone).await?.0, SEATS, "whom a broadcast reaches")?;
    same(stranger.report().await?.open, vec![stranger.id().clone()], "who is in another Group")?;
    beside.all_free(&group, replica).await?;
    let mut again = group.join("victim0").await?;
    same(again.replica(), replica, "where a victim comes back to")?;
    same(again.report().await?.open, vec![again.id().clone()], "who is there in the new life")
}

/// A request makes the Replica panic.
async fn receive_panics(stage: Stage) -> Outcome {
    let group = stage.pinned("octet", "panics");
    let mut beside = Beside::new(&group).await?;
    let mut victims = join(&group, "victim", SEATS - 1).await?;
    let replica = victims[0].replica();
    says_nothing(&group.post("victim0", Act::Panic { text: SECRET.into() }).await?)?;
    for victim in &mut victims {
        same(victim.ended().await?.code, 1011, "how the sockets of a Replica that panicked end")?;
    }
    same(beside.one().confirmed("on we go", Whom::Everyone).await?.0, SEATS, "whom a broadcast reaches")?;
    beside.all_free(&group, replica).await
}

/// An error or a panic of the App affects only its request.
async fn app_fails(stage: Stage) -> Outcome {
    let group = stage.pinned("hall", "app");
    let mut client = group.join("client").await?;
    for path in ["/fail", "/panic", "/fail", "/panic"] {
        says_nothing(&group.request("GET", path, "").await?)?;
        same(client.report().await?.open, vec![client.id().clone()], "who is there")?;
    }
    group.join("late").await?.leave().await
}

/// The Group's `receive` fails. Its books are as before.
async fn group_fails(stage: Stage) -> Outcome {
    let group = stage.pinned("pair", "group");
    let [mut first, second] = group.join_each(["first", "second"]).await?;
    says_nothing(&group.request("GET", &format!("{}&do=fail", group.path("group", "x")), "").await?)?;
    let third = group.join("third").await?;
    ensure(third.replica() != second.replica(), "a third client on a Replica of two seats")?;
    same(first.confirmed("all", Whom::Everyone).await?, (3, vec![]), "whom a broadcast reaches")
}

/// The Group's object crashes. It is one cluster before and after, with the same limit, members and clients.
async fn group_panics(stage: Stage) -> Outcome {
    let group = stage.pinned("octet", "group");
    let mut beside = Beside::new(&group).await?;
    let mut others = vec![group.join("other").await?];
    for round in 1..=3 {
        let path = format!("{}&do=panic", group.path("group", "x"));
        says_nothing(&group.request("GET", &path, "").await?)?;
        others.push(group.join(&format!("newcomer{round}")).await?);
        same(others[round].replica(), others[0].replica(), "the only Replica with a free seat")?;
        let all = SEATS + 1 + round;
        same(beside.one().confirmed("all", Whom::Everyone).await?, (all, vec![]), "whom a broadcast reaches")?;
        same(beside.one().whisper("other", "still there?").await?, 1, "sockets that a whisper reaches")?;
    }
    same(group.join("other").await?.replica(), others[0].replica(), "where a client comes back to")
}
