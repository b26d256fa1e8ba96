//! How sockets end, and what their Replica hears of it: once, whatever happened.

use dog::ClientId;

use super::{Scenario, scenario};
use crate::app::protocol::{Act, Cause, End, Event, FAILING, SORE, Told, UNWANTED, Whom};
use crate::check::{Outcome, ensure, same};
use crate::client::{Client, Ending};
use crate::harness::Capability;
use crate::stage::{Place, Stage};

pub(super) fn scenarios() -> Vec<Scenario> {
    vec![
        scenario("close_by_the_client", &[7], by_client),
        scenario("close_by_the_server", &[7], by_server),
        scenario("close_reason_is_cut_at_a_character", &[], long_reason),
        scenario("close_in_on_open", &[7, 14], in_on_open),
        scenario("close_by_a_broken_connection", &[7], broken),
        scenario("close_by_a_failed_handler", &[7, 14], failed),
        scenario("close_by_a_breach_of_protocol", &[7], breach).needing(&[Capability::Frames]),
        scenario("on_close_that_fails_harms_nobody", &[7, 14], sore),
    ]
}

/// What the Replica has heard of the end of `client`, which was on it: one end, as the last event. It is asked by a
/// socket beside, again after a few turns of the host, so that a second end would show.
async fn heard_once(other: &mut Client, client: &ClientId) -> Outcome<End> {
    other.report_after(client).await?;
    for _ in 0..5 {
        other.obey(Act::Send { text: String::new() }).await?;
        same(other.hear().await?, "", "what comes between")?;
    }
    let report = other.report().await?;
    ensure(!report.open.contains(client), "a socket that has ended is still open")?;
    let events = report.of(client);
    let ends = events.iter().filter(|event| matches!(event, Event::End(_))).count();
    same(ends, 1, "how often the end was heard of")?;
    match events.into_iter().last() {
        Some(Event::End(end)) => Ok(end),
        other => Err(crate::check::Trouble::new(format!("the end is followed by {other:?}"))),
    }
}

fn closed(code: u16, reason: &str) -> End {
    End { error: None, code, reason: reason.into(), lingers: false }
}

async fn hall(stage: &Stage) -> Outcome<(Place, Client)> {
    let place = stage.pinned("hall", "closing");
    let other = place.join("other").await?;
    Ok((place, other))
}

/// Code and reason reach the Replica; the close is answered with the same code, and then the connection ends.
async fn by_client(stage: Stage) -> Outcome {
    let (place, mut other) = hall(&stage).await?;
    for (name, code, reason) in [
        ("plain", Some(1000), ""),
        ("leaving", Some(1001), "page left"),
        ("own", Some(4321), "größe"),
        ("long", Some(3000), &"r".repeat(123)),
        ("bare", None, ""),
    ] {
        let mut client = place.join(name).await?;
        let ending = client.close(code, reason).await?;
        let seen = code.unwrap_or(1005);
        same(ending.code, seen, "the code of the answer")?;
        same(heard_once(&mut other, client.id()).await?, closed(seen, reason), "what the Replica heard")?;
    }
    Ok(())
}

/// What was sent before comes first; then the close; nothing after. The socket is gone at once for its handlers.
async fn by_server(stage: Stage) -> Outcome {
    let (place, mut other) = hall(&stage).await?;
    for (name, code, reason) in [("plain", 1000, ""), ("own", 4001, "enough is enough"), ("retry", 1013, "größe")] {
        let mut client = place.join(name).await?;
        client.tell(Act::Close { code, reason: reason.into() }).await?;
        // Not handled any more. The connection may have ended before it is sent: that is how it should be.
        let _ = client.tell(Act::Emit { text: "too late".into(), to: Whom::Everyone }).await;
        same(client.ended().await?, Ending { code, reason: reason.into() }, "what the client saw")?;
        same(client.hear().await?, "last words", "what came before the close")?;
        ensure(client.hear().await.is_err(), "something came after the last words")?;
        same(heard_once(&mut other, client.id()).await?, closed(code, reason), "what the Replica heard")?;
    }
    Ok(())
}

/// A reason over 123 bytes is cut, and stays text.
async fn long_reason(stage: Stage) -> Outcome {
    let (place, _other) = hall(&stage).await?;
    let mut client = place.join("client").await?;
    client.tell(Act::Close { code: 4000, reason: "ö".repeat(100) }).await?;
    same(client.ended().await?, Ending { code: 4000, reason: "ö".repeat(61) }, "what the client saw")
}

/// A socket can be refused as soon as it opens; the client is told so.
async fn in_on_open(stage: Stage) -> Outcome {
    let (place, mut other) = hall(&stage).await?;
    let mut unwanted = place.join(&format!("{UNWANTED}x")).await?;
    let refused = Ending { code: 1008, reason: "not wanted".into() };
    same(unwanted.ended().await?, refused, "how an unwanted socket ends")?;
    same(heard_once(&mut other, unwanted.id()).await?, closed(1008, "not wanted"), "what the Replica heard")?;

    let mut failing = place.join(&format!("{FAILING}x")).await?;
    let ending = failing.ended().await?;
    same(ending.code, 1011, "how a socket ends whose on_open failed")?;
    ensure(!ending.reason.contains("secret"), "the close tells of the inside")?;
    let end = heard_once(&mut other, failing.id()).await?;
    same((end.error, end.code, end.lingers), (Some(Cause::Handler), 1011, false), "what the Replica heard")
}

/// No close at all: the Replica hears of an error.
async fn broken(stage: Stage) -> Outcome {
    let (place, mut other) = hall(&stage).await?;
    for name in ["dropped", "reset"] {
        let mut client = place.join(name).await?;
        client.report().await?;
        if name == "reset" {
            client.reset()?;
        } else {
            drop(client);
        }
        let end = heard_once(&mut other, &ClientId::new(name)?).await?;
        same((end.error, end.code, end.lingers), (Some(Cause::Lost), 1006, false), name)?;
    }
    Ok(())
}

/// A handler's error ends its own socket with 1011, and messages that wait behind it are not handled.
async fn failed(stage: Stage) -> Outcome {
    let (place, mut other) = hall(&stage).await?;
    let [mut failing, mut second] = place.join_each(["clumsy", "second"]).await?;
    failing.tell(Act::Fail { text: "the secret of on_message".into() }).await?;
    for _ in 0..10 {
        // The server may end the connection before all of these are sent: that is how it should be.
        if failing.tell(Act::Sockets).await.is_err() {
            break;
        }
    }
    let ending = failing.ended().await?;
    same(ending.code, 1011, "how a socket ends whose handler failed")?;
    ensure(!ending.reason.contains("secret"), "the close tells of the inside")?;
    let end = heard_once(&mut other, failing.id()).await?;
    same((end.error, end.code, end.lingers), (Some(Cause::Handler), 1011, false), "what the Replica heard")?;
    let events = other.report().await?.of(failing.id());
    same(events.len(), 4, "on_open, the message that failed, and the end")?;
    same(second.ask(Act::Sockets).await?, sockets(&["other", "second"])?, "who is left")
}

fn sockets(clients: &[&str]) -> Outcome<Told> {
    let clients = clients.iter().map(ClientId::new).collect::<Result<_, _>>()?;
    Ok(Told::Sockets { clients })
}

/// Breaches of protocol end the socket with the code of their kind; the Replica hears of an error.
async fn breach(stage: Stage) -> Outcome {
    let (place, mut other) = hall(&stage).await?;
    for (name, bytes, code) in super::bad_input::BREACHES {
        let name = name.replace(' ', "-");
        let mut client = place.join(&name).await?;
        client.write(bytes).await?;
        same(client.ended().await?.code, code, &name)?;
        let end = heard_once(&mut other, client.id()).await?;
        same((end.error, end.code, end.lingers), (Some(Cause::Protocol), code, false), &name)?;
    }
    Ok(())
}

/// An error of on_close is logged, no more.
async fn sore(stage: Stage) -> Outcome {
    let (place, mut other) = hall(&stage).await?;
    let mut sore = place.join(&format!("{SORE}x")).await?;
    same(sore.close(Some(1000), "").await?.code, 1000, "how the client sees its close")?;
    same(heard_once(&mut other, sore.id()).await?, closed(1000, ""), "what the Replica heard")?;
    same(other.ask(Act::Sockets).await?, sockets(&["other"])?, "who is left")
}
