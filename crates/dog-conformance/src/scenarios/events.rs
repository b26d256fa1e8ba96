//! Event streams: sockets that are the body of a response.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::scenario::{Scenario, scenario};
use super::slow::{connect_with_little_room, send_until_let_go, was_too_slow};
use crate::app::protocol::{Act, Cause, Command, CommandReply, JournalReport, SocketEvent, Step, Whom};
use crate::check::{Outcome, ScenarioFailure, ensure, eventually, same, within};
use crate::harness::Capability;
use crate::stage::{Stage, TestGroup};

pub(super) fn scenarios() -> Vec<Scenario> {
    vec![
        scenario("event_stream_hears_every_verb_in_order", &[5, 6], verbs),
        scenario("event_stream_holds_a_seat", &[1, 8], seat),
        scenario("event_stream_is_closed_with_a_code", &[7], closed),
        scenario("event_stream_is_told_that_a_handler_failed", &[14], failed),
        scenario("event_stream_ends_with_its_client", &[7], left),
        scenario("event_stream_is_opened_with_get", &[1], only_get),
        scenario("event_stream_takes_what_its_client_delivers", &[7], delivered),
        scenario("event_stream_takes_nothing_of_a_session_that_is_not_its_own", &[15], foreign),
        scenario("event_stream_writes_texts_as_they_are", &[6], texts),
        scenario("event_stream_of_bytes_has_what_is_sent_and_nothing_else", &[5, 6], bytes),
        scenario("event_stream_that_is_not_read_is_closed_and_others_hear_everything", &[6, 12], slow)
            .needing(&[Capability::BoundedOutbox]),
    ]
}

/// Several Replicas, with event streams beside the WebSocket of the speaker and elsewhere. Who is where depends on the nodes.
async fn verbs(stage: Stage) -> Outcome {
    const COUNT: u32 = 100;
    let group = stage.spread("pair", "verbs");
    let mut speaker = group.join("speaker").await?;
    let mut near = group.events("near").await?;
    let (mut far, mut lines) = (group.events("far").await?, group.lines("lines").await?);
    let clients = ["near", "far", "lines"].map(dog::ClientId::new).into_iter().collect::<Result<Vec<_>, _>>()?;
    let mut reports = speaker.survey().await?;
    reports.retain(|(replica, _)| *replica == speaker.replica());
    let beside: Vec<bool> =
        clients.iter().map(|client| reports.iter().any(|(_, report)| report.open.contains(client))).collect();
    speaker.obey(Act::Sequence { count: COUNT, clients }).await?;
    speaker.broadcast("end").await?;
    for (listener, stream) in [&mut near, &mut far, &mut lines].into_iter().enumerate() {
        let hears = |number: &u32| match Step::of(*number, 3) {
            Step::Send => false,
            Step::Emit => beside[listener],
            Step::Broadcast | Step::Confirmed => true,
            Step::Whisper(client) => client == listener,
        };
        let expected: Vec<String> = (0..COUNT).filter(hears).map(|number| number.to_string()).collect();
        same(stream.hear_until("end").await?, expected, "what an event stream hears")?;
    }
    same(speaker.confirmed("counted", Whom::Everyone).await?, (4, vec![]), "sockets that a broadcast reaches")?;
    same(speaker.whisper("far", "whispered").await?, 1, "sockets that a whisper reaches")
}

async fn seat(stage: Stage) -> Outcome {
    let group = stage.pinned("single", "seat");
    let stream = group.events("listener").await?;
    let other = group.join("other").await?;
    let mut survey = group.join("survey").await?;
    ensure(survey.replica() != other.replica(), "one seat per Replica")?;
    let reports = survey.survey().await?;
    let open = reports.iter().flat_map(|(_, report)| report.open.iter().map(ToString::to_string));
    let mut open: Vec<String> = open.collect();
    open.sort();
    same(open, ["listener", "other", "survey"].map(String::from), "whose sockets are open")?;
    ensure(reports.iter().all(|(_, report)| report.most <= 1), "a Replica had more sockets than seats")?;
    let listens =
        |(_, report): &&(dog::ReplicaId, JournalReport)| report.open.iter().any(|client| client.as_str() == "listener");
    let Some((replica, _)) = reports.iter().find(listens) else {
        return Err(ScenarioFailure::new("no Replica lists the event stream"));
    };
    drop(stream);
    group.settles_on(*replica).await
}

async fn closed(stage: Stage) -> Outcome {
    let group = stage.pinned("hall", "closed");
    let mut speaker = group.join("speaker").await?;
    // Its attachment is there when `on_open` begins.
    let (mut stream, mut lines) = (group.events("tagged-stream").await?, group.lines("lines").await?);
    speaker.obey(Act::Emit { text: "before".into(), to: Whom::Others }).await?;
    speaker.obey(Act::CloseOthers { code: 4001, reason: "all over".into() }).await?;
    for events in [&mut stream, &mut lines] {
        same(events.hear().await?, "before", "what was sent before")?;
    }
    same(stream.ended().await?, Some((4001, "all over".to_owned())), "the last event")?;
    same(lines.ended().await?, None, "the last line")?;
    for client in ["tagged-stream", "lines"] {
        let events = speaker.report_after(&dog::ClientId::new(client)?).await?.of(&dog::ClientId::new(client)?);
        let [SocketEvent::Opening, SocketEvent::Opened, SocketEvent::End(end)] = &events[..] else {
            return Err(ScenarioFailure::new(format!("the events of {client}: {events:?}")));
        };
        same((end.error, end.code, end.lingers), (None, 4001, false), "the end as the Replica saw it")?;
    }
    same(speaker.report().await?.seats, 1, "open sockets")
}

async fn failed(stage: Stage) -> Outcome {
    let group = stage.pinned("hall", "failed");
    let mut refused = group.events("failing-stream").await?;
    same(refused.ended().await?, Some((1011, String::new())), "the end of a stream whose on_open fails")?;
    let mut stream = group.events("stream").await?;
    let mut speaker = group.join("speaker").await?;
    speaker.tell(Act::Panic { text: "the secret".into() }).await?;
    same(stream.ended().await?, Some((1011, String::new())), "the end of a stream whose Replica panics")
}

async fn left(stage: Stage) -> Outcome {
    let group = stage.pinned("hall", "left");
    let mut speaker = group.join("speaker").await?;
    let stream = group.events("stream").await?;
    speaker.broadcast("heard").await?;
    drop(stream);
    let client = dog::ClientId::new("stream")?;
    let events = speaker.report_after(&client).await?.of(&client);
    let [SocketEvent::Opening, SocketEvent::Opened, SocketEvent::End(end)] = &events[..] else {
        return Err(ScenarioFailure::new(format!("the events of a stream: {events:?}")));
    };
    same((end.error, end.code, end.lingers), (Some(Cause::Lost), 1006, false), "the end as the Replica saw it")
}

async fn only_get(stage: Stage) -> Outcome {
    let group = stage.pinned("single", "get");
    let response = group.request("POST", &group.path("events", "client"), "").await?;
    same(response.status().as_u16(), 405, "the status")?;
    same(response.headers().get("allow").map(dog::http::HeaderValue::as_bytes), Some(&b"GET"[..]), "what is allowed")?;
    let mut stream = group.events("client").await?;
    let body = serde_json::to_vec(&Command { id: 0, act: Act::Sockets })?;
    let elsewhere = group.request("POST", &group.path("http", "other"), body).await?;
    same(elsewhere.status().as_u16(), 200, "the status of a request that needs another seat")?;
    group.join("speaker").await?.broadcast("heard").await?;
    same(stream.hear().await?, "heard", "what the stream hears")
}

async fn texts(stage: Stage) -> Outcome {
    let group = stage.pinned("hall", "texts");
    let mut speaker = group.join("speaker").await?;
    let (mut stream, mut lines) = (group.events("stream").await?, group.lines("lines").await?);
    for (text, as_events, as_line) in [
        (" two  spaces ", " two  spaces ", " two  spaces "),
        ("a\nb\r\nc", "a\nb\nc", "a b  c"),
        ("data: x\n\nevent: close", "data: x\n\nevent: close", "data: x  event: close"),
        (":comment", ":comment", ":comment"),
        ("é🐕", "é🐕", "é🐕"),
    ] {
        speaker.obey(Act::Broadcast { text: text.into(), to: Whom::Others }).await?;
        same(stream.hear().await?, as_events, "an event")?;
        same(lines.hear().await?, as_line, "a line")?;
    }
    Ok(())
}

/// The stream is opened with POST, after its body was read.
async fn bytes(stage: Stage) -> Outcome {
    let group = stage.pinned("hall", "bytes");
    let mut speaker = group.join("speaker").await?;
    let mut stream = group.bytes("listener").await?;
    same(stream.content_type(), "application/octet-stream", "the content type")?;
    let texts = ["a", "two\nlines", "", "\n\n:comment\r\n", "é🐕", "end"];
    for text in texts {
        speaker.obey(Act::Broadcast { text: text.into(), to: Whom::Others }).await?;
    }
    let (expected, mut heard) = (texts.concat(), Vec::new());
    while heard.len() < expected.len() {
        let bytes = stream.next_bytes().await?;
        heard.extend_from_slice(&bytes.ok_or_else(|| ScenarioFailure::new("the stream has ended"))?);
    }
    same(String::from_utf8_lossy(&heard).as_ref(), expected.as_str(), "what a stream of bytes has")
}

/// What the App answers when a client delivers a text.
async fn deliver(group: &TestGroup, session: &str, text: impl Into<bytes::Bytes>) -> Outcome<u16> {
    let path = format!("/{}/deliver?session={session}", group.name());
    Ok(group.request("POST", &path, text).await?.status().as_u16())
}

/// Over any node, in order, and without a seat.
async fn delivered(stage: Stage) -> Outcome {
    let group = stage.spread("single", "delivered");
    let mut stream = group.events("talking-stream").await?;
    let session = stream.hear().await?;
    for number in 0..20 {
        same(deliver(&group, &session, number.to_string()).await?, 202, "the answer to a message")?;
    }
    for number in 0..20 {
        same(stream.hear().await?, number.to_string(), "the echo of a message")?;
    }
    let mut other = group.join("other").await?;
    let command =
        serde_json::to_vec(&Command { id: 1, act: Act::Broadcast { text: "said".into(), to: Whom::Others } })?;
    same(deliver(&group, &session, command).await?, 202, "the answer to a command")?;
    same(other.hear().await?, "said", "what another client hears")?;
    let reply: CommandReply = serde_json::from_str(&stream.hear().await?)?;
    same(reply.reply, 1, "the reply to the command")?;
    let long = vec![b'x'; dog::MAX_DELIVERED + 1];
    same(deliver(&group, &session, long).await?, 413, "the answer to a message that is too long")?;
    let command = serde_json::to_vec(&Command { id: 2, act: Act::Close { code: 4000, reason: "over".into() } })?;
    same(deliver(&group, &session, command).await?, 202, "the answer to the last command")?;
    same(stream.ended().await?, Some((4000, "over".to_owned())), "the last event")?;
    same(deliver(&group, &session, "late").await?, 404, "the answer after the end")?;
    let seats = other.survey().await?.into_iter().map(|(_, report)| report.most).max();
    same(seats, Some(1), "the most sockets on one Replica")
}

async fn foreign(stage: Stage) -> Outcome {
    let group = stage.pinned("hall", "foreign");
    let (mut stream, mut other) = (group.events("talking-stream").await?, group.events("talking-other").await?);
    let (session, its) = (stream.hear().await?, other.hear().await?);
    ensure(session != its, "two streams have one session")?;
    let mut forged = vec![String::new(), "none".into(), format!("{session}0"), "0".repeat(session.len())];
    // The socket of one with the secret of the other; a secret, a socket and a Replica that are not there.
    forged.push(format!("{}{}", &session[..80], &its[80..]));
    for at in [0, 64, 80, 111] {
        let mut digits = session.clone().into_bytes();
        digits[at] = if digits[at] == b'0' { b'1' } else { b'0' };
        forged.push(String::from_utf8(digits)?);
    }
    for forged in forged {
        same(deliver(&group, &forged, "forged").await?, 404, "the answer to a forged session")?;
    }
    same(deliver(&stage.pinned("hall", "elsewhere"), &session, "x").await?, 404, "a session of another Group")?;
    same(deliver(&group.of_class("pair"), &session, "x").await?, 404, "a session of another class")?;
    same(deliver(&group, &session, "mine").await?, 202, "the answer to the session itself")?;
    same(stream.hear().await?, "mine", "all that was handled")?;
    drop(stream);
    eventually("the session ends with the stream", async || Ok(deliver(&group, &session, "late").await? == 404))
        .await?;
    same(deliver(&group, &its, "other").await?, 202, "the answer to the other session")?;
    same(other.hear().await?, "other", "all that the other one hears")
}

/// An event stream whose client reads the head of the response and then nothing.
async fn never_reads(group: &TestGroup) -> Outcome<TcpStream> {
    let mut stream = connect_with_little_room(group).await?;
    let request = format!("GET {} HTTP/1.1\r\nhost: conformance\r\n\r\n", group.path("events", "slow"));
    within("the head of an event stream", async {
        stream.write_all(request.as_bytes()).await?;
        let mut head = [0; 12];
        stream.read_exact(&mut head).await?;
        same(&head, b"HTTP/1.1 200", "the status")
    })
    .await?;
    Ok(stream)
}

async fn slow(stage: Stage) -> Outcome {
    let group = stage.pinned("hall", "slow");
    let mut speaker = group.join("speaker").await?;
    let mut reader = group.events("reader").await?;
    let slow = never_reads(&group).await?;
    send_until_let_go(&mut speaker, async || reader.hear().await).await?;
    was_too_slow(&mut speaker, &dog::ClientId::new("slow")?).await?;
    drop(slow);
    speaker.obey(Act::Broadcast { text: "end".into(), to: Whom::Others }).await?;
    same(reader.hear().await?, "end", "what the others hear")
}
