//! How sockets end: their Replica is told once, whatever the reason.

use dog::ClientId;

use super::scenario::{Scenario, scenario};
use crate::app::protocol::{Act, Cause, FAILING, SORE, SocketEnd, SocketEvent, Told, UNWANTED, Whom};
use crate::check::{Outcome, ensure, same};
use crate::client::{Client, Ending};
use crate::harness::Capability;
use crate::stage::{Stage, TestGroup};

pub(super) fn scenarios() -> Vec<Scenario> {
    vec![
        scenario("close_by_the_client", &[7], by_client),
        scenario("close_by_the_server", &[7], by_server),
        scenario("close_reason_is_cut_at_a_character", &[], long_reason),
        scenario("close_in_on_open", &[7, 14], in_on_open),
        scenario("close_by_a_broken_connection", &[7], broken),
        scenario("close_by_a_failed_handler", &[7, 14], failed),
        scenario("close_by_a_protocol_error", &[7], breach).needing(&[Capability::Frames]),
        scenario("on_close_that_fails_affects_no_other_socket", &[7, 14], sore),
    ]
}

/// The end of the socket of `client`, as its Replica was told: one end, as the last event. Another socket asks again after
/// some turns of the host, so that a second end would be found.
async fn heard_once(other: &mut Client, client: &ClientId) -> Outcome<SocketEnd> {
    other.report_after(client).await?;
    for _ in 0..5 {
        other.obey(Act::Send { text: String::new() }).await?;
        same(other.hear().await?, "", "what comes between")?;
    }
    let report = other.report().await?;
    ensure(!report.open.contains(client), "a socket that has ended is still open")?;
    let events = report.of(client);
    let ends = events.iter().filter(|event| matches!(event, SocketEvent::End(_))).count();
    same(ends, 1, "how often the end was heard of")?;
    match events.into_iter().last() {
        Some(SocketEvent::End(end)) => Ok(end),
        other => Err(crate::check::ScenarioFailure::new(format!("the end is followed by {other:?}"))),
    }
}

fn closed(code: u16, reason: &str) -> SocketEnd {
    SocketEnd { error: None, code, reason: reason.into(), lingers: false }
}

async fn hall(stage: &Stage) -> Outcome<(TestGroup, Client)> {
    let group = stage.pinned("hall", "closing");
    let other = group.join("other").await?;
    Ok((group, other))
}

/// The Replica gets the code and the reason. The close is answered with the same code, and then the connection ends.
async fn by_client(stage: Stage) -> Outcome {
    let (group, mut other) = hall(&stage).await?;
    for (name, code, reason) in [
        ("plain", Some(1000), ""),
        ("leaving", Some(1001), "page left"),
        ("own", Some(4321), "größe"),
        ("long", Some(3000), &"r".repeat(123)),
        ("bare", None, ""),
    ] {
        let mut client = group.join(name).await?;
        let ending = client.close(code, reason).await?;
        let seen = code.unwrap_or(1005);
        same(ending.code, seen, "the code of the answer")?;
        same(heard_once(&mut other, client.id()).await?, closed(seen, reason), "what the Replica heard")?;
    }
    Ok(())
}

/// Messages that were sent before come first, then the close, then nothing. For handlers the socket is closed at once.
async fn by_server(stage: Stage) -> Outcome {
    let (group, mut other) = hall(&stage).await?;
    for (name, code, reason) in [("plain", 1000, ""), ("own", 4001, "enough is enough"), ("retry", 1013, "größe")] {
        let mut client = group.join(name).await?;
        client.tell(Act::Close { code, reason: reason.into() }).await?;
        // This is not handled any more. The connection may have ended before it is sent, which is right.
        let _ = client.tell(Act::Emit { text: "too late".into(), to: Whom::Everyone }).await;
        same(client.ended().await?, Ending { code, reason: reason.into() }, "what the client saw")?;
        same(client.hear().await?, "last words", "what came before the close")?;
        ensure(client.hear().await.is_err(), "something came after the last words")?;
        same(heard_once(&mut other, client.id()).await?, closed(code, reason), "what the Replica heard")?;
    }
    Ok(())
}

/// A reason of more than 123 bytes is cut, and stays UTF-8.
async fn long_reason(stage: Stage) -> Outcome {
    let (group, _other) = hall(&stage).await?;
    let mut client = group.join("client").await?;
    client.tell(Act::Close { code: 4000, reason: "ö".repeat(100) }).await?;
    same(client.ended().await?, Ending { code: 4000, reason: "ö".repeat(61) }, "what the client saw")
}

/// `on_open` can close the socket, and the client gets the close.
async fn in_on_open(stage: Stage) -> Outcome {
    let (group, mut other) = hall(&stage).await?;
    let mut unwanted = group.join(&format!("{UNWANTED}x")).await?;
    let refused = Ending { code: 1008, reason: "not wanted".into() };
    same(unwanted.ended().await?, refused, "how an unwanted socket ends")?;
    same(heard_once(&mut other, unwanted.id()).await?, closed(1008, "not wanted"), "what the Replica heard")?;

    let mut failing = group.join(&format!("{FAILING}x")).await?;
    let ending = failing.ended().await?;
    same(ending.code, 1011, "how a socket ends whose on_open failed")?;
    ensure(!ending.reason.contains("secret"), "the close tells of the inside")?;
    let end = heard_once(&mut other, failing.id()).await?;
    same((end.error, end.code, end.lingers), (Some(Cause::Handler), 1011, false), "what the Replica heard")
}

/// Without a close, the Replica is told of an error.
async fn broken(stage: Stage) -> Outcome {
    let (group, mut other) = hall(&stage).await?;
    for name in ["dropped", "reset"] {
        let mut client = group.join(name).await?;
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

/// An error of a handler closes its socket with 1011. Messages that wait behind it are not handled.
async fn failed(stage: Stage) -> Outcome {
    let (group, mut other) = hall(&stage).await?;
    let [mut failing, mut second] = group.join_each(["clumsy", "second"]).await?;
    failing.tell(Act::Fail { text: "the secret of on_message".into() }).await?;
    for _ in 0..10 {
        // The server may end the connection before all of these are sent, which is right.
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

/// A protocol error closes the socket with its close code, and the Replica is told of an error.
async fn breach(stage: Stage) -> Outcome {
    let (group, mut other) = hall(&stage).await?;
    for (name, bytes, code) in super::bad_input::BREACHES {
        let name = name.replace(' ', "-");
        let mut client = group.join(&name).await?;
        client.write(bytes).await?;
        same(client.ended().await?.code, code, &name)?;
        let end = heard_once(&mut other, client.id()).await?;
        same((end.error, end.code, end.lingers), (Some(Cause::Protocol), code, false), &name)?;
    }
    Ok(())
}

/// An error of `on_close` is only logged.
async fn sore(stage: Stage) -> Outcome {
    let (group, mut other) = hall(&stage).await?;
    let mut sore = group.join(&format!("{SORE}x")).await?;
    same(sore.close(Some(1000), "").await?.code, 1000, "how the client sees its close")?;
    same(heard_once(&mut other, sore.id()).await?, closed(1000, ""), "what the Replica heard")?;
    same(other.ask(Act::Sockets).await?, sockets(&["other"])?, "who is left")
}
