//! What a NATS must have: a recent server, JetStream, two streams, and a secret that all nodes share. And what is wrong
//! where it has not, said in one line.

use std::fmt;
use std::time::Duration;

use async_nats::Client;
use bytes::Bytes;

use crate::jetstream::{Messages, Put, Trouble};
use crate::names::Names;

/// What a letter has around a message, at most: addresses of many Replicas mostly.
const AROUND: usize = 64 * 1024;
/// How long the server says that a lease has ended.
const MARKERS: Duration = Duration::from_secs(60);

/// What keeps a node from joining: for now, or for good.
pub(crate) enum Obstacle {
    Passing(String),
    Lasting(String),
}

/// What is to be said of a NATS that does not take what clients may send.
pub(crate) fn too_narrow(takes: usize, longest: usize) -> Option<String> {
    let needed = longest.saturating_add(AROUND);
    (takes < needed).then(|| {
        format!(
            "NATS takes {takes} bytes at once: messages of clients, which may have {longest}, and stored values near that \
             do not reach other nodes; set max_payload to {needed} or more in its configuration, or max_message lower here"
        )
    })
}

pub(crate) fn is_recent(version: &str) -> bool {
    let mut parts = version.split(['.', '-']).map(|part| part.parse::<u32>().unwrap_or_default());
    (parts.next().unwrap_or_default(), parts.next().unwrap_or_default()) >= (2, 12)
}

async fn ask(
    client: &Client,
    subject: String,
    question: String,
) -> Result<serde_json::Value, async_nats::RequestError> {
    let answer = client.request(subject, Bytes::from(question)).await?;
    Ok(serde_json::from_slice(&answer.payload).unwrap_or_default())
}

pub(crate) async fn has_jetstream(client: &Client) -> Result<(), Obstacle> {
    const OFF: &str = "JetStream is off in NATS: start nats-server with -js, or with jetstream {} in its configuration";
    match ask(client, "$JS.API.INFO".into(), String::new()).await {
        Ok(answer) if answer["error"]["err_code"] == 10_039 || answer["error"]["err_code"] == 10_076 => {
            Err(Obstacle::Lasting(OFF.into()))
        }
        Ok(answer) if answer["error"].is_object() => {
            Err(Obstacle::Passing(format!("JetStream is not ready: {}", answer["error"]["description"])))
        }
        Ok(_) => Ok(()),
        Err(error) if error.kind() == async_nats::RequestErrorKind::NoResponders && !client.server_info().jetstream => {
            Err(Obstacle::Lasting(OFF.into()))
        }
        Err(error) => Err(Obstacle::Passing(format!("JetStream does not answer: {error}"))),
    }
}

/// Makes the streams of the cluster, unless they are there; each message is kept that often.
pub(crate) async fn make_streams(client: &Client, names: &Names, replicas: usize) -> Result<(), Obstacle> {
    let leases = format!(r#","subject_delete_marker_ttl":{}"#, MARKERS.as_nanos());
    make_stream(client, &names.nodes(), &[names.leases(), names.secret()], replicas, &leases).await?;
    make_stream(client, &names.objects(), &[names.all_objects()], replicas, "").await
}

/// Makes a stream, unless it is there. One that is there is as an earlier node has made it.
async fn make_stream(
    client: &Client,
    name: &str,
    subjects: &[String],
    replicas: usize,
    more: &str,
) -> Result<(), Obstacle> {
    let subjects = serde_json::Value::from(subjects);
    let question = format!(
        r#"{{"name":"{name}","subjects":{subjects},"retention":"limits","storage":"file","discard":"new","max_msgs_per_subject":1,"num_replicas":{replicas},"allow_msg_ttl":true,"allow_atomic":true,"allow_direct":false{more}}}"#
    );
    let passing = |error: &dyn fmt::Display| Obstacle::Passing(format!("the stream {name} cannot be had: {error}"));
    let info = ask(client, format!("$JS.API.STREAM.INFO.{name}"), String::new()).await;
    let info = info.map_err(|error| passing(&error))?;
    if info["config"].is_object() {
        let config = &info["config"];
        let right = config["allow_atomic"] == true && config["allow_msg_ttl"] == true && config["allow_direct"] != true;
        let what = format!("the stream {name} of NATS is somebody else's: give this cluster another prefix");
        return if right { Ok(()) } else { Err(Obstacle::Lasting(what)) };
    }
    let made = ask(client, format!("$JS.API.STREAM.CREATE.{name}"), question).await.map_err(|error| passing(&error))?;
    match made["error"]["description"].as_str() {
        None => Ok(()),
        Some(error) => Err(passing(&error)),
    }
}

/// What the first node has drawn.
pub(crate) async fn secret(leases: &Messages, names: &Names) -> Result<[u8; 32], Trouble> {
    loop {
        if let Some(stored) = leases.last(&names.secret()).await? {
            let secret = stored.payload.and_then(|payload| <[u8; 32]>::try_from(&payload[..]).ok());
            return secret.ok_or_else(|| Trouble::Refused("the secret of the cluster is damaged".into()));
        }
        let mut secret = vec![0; 32];
        getrandom::fill(&mut secret).map_err(|error| Trouble::Refused(error.to_string()))?;
        match leases.put(Put::new(names.secret(), secret).after(0)).await {
            Ok(_) | Err(Trouble::Outdated) => {}
            Err(trouble) => return Err(trouble),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_as_numbers() {
        for (version, recent) in
            [("2.12.0", true), ("2.15.1", true), ("3.0.0-beta", true), ("2.9.10", false), ("", false)]
        {
            assert_eq!(is_recent(version), recent, "{version}");
        }
    }

    #[test]
    fn a_nats_that_takes_less_than_clients_send_is_spoken_of() {
        assert_eq!(too_narrow(8 << 20, 1 << 20), None);
        let what = too_narrow(1 << 20, 1 << 20).unwrap();
        assert!(what.contains("max_payload to 1114112 or more"), "{what}");
    }
}
