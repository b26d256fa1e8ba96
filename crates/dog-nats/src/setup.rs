//! Checks and creates what a cluster requires of NATS: a recent server, JetStream, two streams, and a secret that all
//! nodes share. If something is missing, the error is one line.

use std::time::Duration;

use async_nats::Client;
use async_nats::jetstream::context::{CreateStreamError, CreateStreamErrorKind, RequestError, RequestErrorKind};
use async_nats::jetstream::response::Response;
use async_nats::jetstream::stream::{Config, DiscardPolicy, Info, RetentionPolicy, StorageType};
use async_nats::jetstream::{self, Context, ErrorCode, account::Account};
use dog::internal::MAX_LOG_RECORD;
use serde_json::json;

use crate::names::Names;
use crate::stream::{MessageStream, Put, StreamError};

/// The most bytes that a bundle adds to a client's message. Most of them are Replica ids.
const MAX_ENVELOPE: usize = 64 * 1024;
/// How long the server keeps the marker that tells followers of an expired lease.
const DELETE_MARKER_TTL: Duration = Duration::from_secs(60);

/// Why a node cannot join the cluster.
#[derive(Debug)]
pub(crate) enum JoinError {
    /// The problem may pass: a retry can succeed.
    Temporary(String),
    /// The operator has to change something.
    Permanent(String),
}

/// Returns a warning if NATS does not accept messages as long as those of clients may be.
pub(crate) fn max_payload_warning(max_payload: usize, max_message: usize) -> Option<String> {
    let needed = max_message.max(MAX_LOG_RECORD).saturating_add(MAX_ENVELOPE);
    (max_payload < needed).then(|| {
        format!(
            "NATS accepts messages of {max_payload} bytes (max_payload), and clients may send {max_message}: long messages do \
             not reach other nodes, and large values and records of logs are not stored; set max_payload to {needed} or more \
             in the configuration of NATS, or max_message of this server lower"
        )
    })
}

/// Whether a nats-server of this version has the required features.
pub(crate) fn is_supported(version: &str) -> bool {
    let mut parts = version.split(['.', '-']).map(|part| part.parse::<u32>().unwrap_or_default());
    (parts.next().unwrap_or_default(), parts.next().unwrap_or_default()) >= (2, 12)
}

/// Returns an error if JetStream is off or not ready.
pub(crate) async fn check_jetstream(client: &Client) -> Result<(), JoinError> {
    const OFF: &str = "JetStream is off in NATS: start nats-server with -js, or with jetstream {} in its configuration";
    let context = jetstream::new(client.clone());
    match context.request("INFO", &()).await {
        Ok(Response::<Account>::Ok(_)) => Ok(()),
        Ok(Response::Err { error }) => Err(match error.error_code() {
            ErrorCode::JETSTREAM_NOT_ENABLED_FOR_ACCOUNT | ErrorCode::JETSTREAM_NOT_ENABLED => {
                JoinError::Permanent(OFF.into())
            }
            _ => JoinError::Temporary(format!("JetStream is not ready: {error}")),
        }),
        Err(error) if error.kind() == RequestErrorKind::NoResponders && !client.server_info().jetstream => {
            Err(JoinError::Permanent(OFF.into()))
        }
        Err(error) => Err(JoinError::Temporary(format!("JetStream does not answer: {error}"))),
    }
}

/// Creates the streams of the cluster, unless they exist. Each message is stored on `replicas` servers.
pub(crate) async fn create_streams(client: &Client, names: &Names, replicas: usize) -> Result<(), JoinError> {
    let context = jetstream::new(client.clone());
    let leases = Config {
        subject_delete_marker_ttl: Some(DELETE_MARKER_TTL),
        ..config(names.nodes(), vec![names.leases(), names.secret()], replicas)
    };
    create_stream(&context, leases).await?;
    create_stream(&context, config(names.objects(), vec![names.all_objects()], replicas)).await
}

/// Returns the configuration of a stream that keeps the last message of each subject. Only its leader answers reads
/// (`allow_direct` is off).
fn config(name: String, subjects: Vec<String>, num_replicas: usize) -> Config {
    Config {
        name,
        subjects,
        retention: RetentionPolicy::Limits,
        storage: StorageType::File,
        discard: DiscardPolicy::New,
        max_messages_per_subject: 1,
        num_replicas,
        allow_message_ttl: true,
        allow_atomic_publish: true,
        allow_direct: false,
        ..Config::default()
    }
}

/// Creates a stream unless it exists. An existing stream keeps the configuration that an earlier node gave it.
async fn create_stream(context: &Context, config: Config) -> Result<(), JoinError> {
    let name = config.name.clone();
    let failed =
        |error: &dyn std::fmt::Display| JoinError::Temporary(format!("the stream {name} cannot be created: {error}"));
    let info: Result<Response<Info>, RequestError> = context.request(format!("STREAM.INFO.{name}"), &json!({})).await;
    match info {
        Ok(Response::Ok(Info { config, .. })) => {
            let is_ours = config.allow_atomic_publish && config.allow_message_ttl && !config.allow_direct;
            let error = format!("the stream {name} of NATS belongs to another application: choose another prefix");
            return if is_ours { Ok(()) } else { Err(JoinError::Permanent(error)) };
        }
        Ok(Response::Err { .. }) => {}
        Err(error) => return Err(failed(&error)),
    }
    match context.create_stream(config).await {
        Ok(_) => Ok(()),
        Err(error) => Err(failed(&reason(&error))),
    }
}

/// Returns the server's own error text, without the text that async-nats adds.
fn reason(error: &CreateStreamError) -> String {
    match error.kind() {
        CreateStreamErrorKind::JetStream(error) => error.to_string(),
        _ => error.to_string(),
    }
}

/// Returns the secret of the cluster. The first node creates it.
pub(crate) async fn shared_secret(leases: &dyn MessageStream, names: &Names) -> Result<[u8; 32], StreamError> {
    loop {
        if let Some(stored) = leases.last(&names.secret()).await? {
            let secret = stored.payload.and_then(|payload| <[u8; 32]>::try_from(&payload[..]).ok());
            return secret.ok_or_else(|| StreamError::Rejected("the secret of the cluster is damaged".into()));
        }
        let mut secret = vec![0; 32];
        getrandom::fill(&mut secret).map_err(|error| StreamError::Rejected(error.to_string()))?;
        match leases.put(Put::new(names.secret(), secret).expecting(0)).await {
            // After a conflict, another node was faster. The loop then reads its secret.
            Ok(_) | Err(StreamError::Conflict) => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_as_numbers() {
        for (version, supported) in
            [("2.12.0", true), ("2.15.1", true), ("3.0.0-beta", true), ("2.9.10", false), ("", false)]
        {
            assert_eq!(is_supported(version), supported, "{version}");
        }
    }

    #[test]
    fn a_max_payload_below_what_clients_may_send_is_a_warning() {
        assert_eq!(max_payload_warning(8 << 20, 1 << 20), None);
        let warning = max_payload_warning(1 << 20, 1 << 20).unwrap();
        assert!(warning.contains("max_payload to 1114112 or more"), "{warning}");
        assert_eq!(max_payload_warning(1 << 20, 1 << 16), None, "the default has room for the records of logs");
        let warning = max_payload_warning(1 << 19, 1 << 16).unwrap();
        assert!(warning.contains("records of logs") && warning.contains("917504 or more"), "{warning}");
    }
}
