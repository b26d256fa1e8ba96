//! Connects to NATS. [`connect`] opens a node's connection and creates the streams. [`connect_to`] opens another
//! connection.

use std::fs::File;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_nats::{Client, ConnectErrorKind, ConnectOptions, Event, ServerAddr};
use bytes::Bytes;
use dog_engine::address::NodeId;
use dog_native::cluster::may_log;

use crate::address::{Addresses, Login};
use crate::failover::detect_dead_connections;
use crate::names::Names;
use crate::settings::Settings;
use crate::setup::{JoinError, check_jetstream, create_streams, is_supported, max_payload_warning, shared_secret};
use crate::stream::JetStream;

/// The shortest lease: renewals take time, and clocks run at different speeds.
const MIN_LEASE: Duration = Duration::from_secs(2);
/// How long a request waits for its answer.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(2);
/// The number of messages of one subscription that may wait in the client. More are lost. A bundle of node messages is
/// one message.
const SUBSCRIPTION_CAPACITY: usize = 1 << 16;
/// The pause between two attempts to connect at the start, and the longest pause between two attempts to reconnect.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// A connection to a NATS that meets the requirements of a cluster.
pub(crate) struct Connection {
    pub(crate) client: Client,
    pub(crate) names: Names,
    pub(crate) leases: JetStream,
    pub(crate) objects: JetStream,
    /// The secret that all nodes of the cluster share.
    pub(crate) secret: [u8; 32],
}

/// The last permission error that the server reported.
type PermissionError = Arc<Mutex<Option<String>>>;

/// Connects, and creates the streams if they do not exist. Retries temporary errors for [`Settings::patience`]. Clients
/// may send messages of up to `max_message` bytes.
pub(crate) async fn connect(settings: &Settings, max_message: usize) -> Result<Connection, String> {
    let prefix = &settings.prefix;
    let names = Names::new(prefix)
        .ok_or_else(|| format!("prefix: \"{prefix}\" is not valid: give 1 to 32 letters, digits, - or _"))?;
    if settings.lease < MIN_LEASE || settings.lease.subsec_nanos() != 0 {
        return Err(format!("lease: {:?} is out of range: give whole seconds, at least 2", settings.lease));
    }
    let until = Instant::now() + settings.patience;
    loop {
        match try_connect(settings, &names).await {
            Ok(connection) => {
                let max_payload = connection.client.server_info().max_payload;
                if let Some(warning) = max_payload_warning(max_payload, max_message) {
                    tracing::warn!("{warning}");
                }
                return Ok(connection);
            }
            Err(JoinError::Temporary(what)) if Instant::now() < until => {
                let left = until.saturating_duration_since(Instant::now());
                tracing::warn!("{what}; trying again for {left:.0?}");
            }
            Err(JoinError::Temporary(what) | JoinError::Permanent(what)) => return Err(what),
        }
        tokio::time::sleep(RETRY_AFTER).await;
    }
}

async fn try_connect(settings: &Settings, names: &Names) -> Result<Connection, JoinError> {
    let permission_error = PermissionError::default();
    let client = client(settings, None, &permission_error).await?;
    let info = client.server_info();
    if !is_supported(&info.version) {
        let what = format!("nats-server {} is too old: 2.12 or later is needed", info.version);
        return Err(JoinError::Permanent(what));
    }
    let replicas = settings.replicas.unwrap_or(if info.cluster.is_some() { 3 } else { 1 });
    let not_ready = |what: String| JoinError::Temporary(format!("NATS is not ready: {what}"));
    // A test message shows now whether a permission is missing. Later, node messages would be lost without an error.
    let nobody = names.messages(NodeId::default());
    let _subscription = client.subscribe(nobody.clone()).await.map_err(|error| not_ready(error.to_string()))?;
    client.publish(nobody, Bytes::new()).await.map_err(|error| not_ready(error.to_string()))?;
    let prepared = async {
        check_jetstream(&client).await?;
        create_streams(&client, names, replicas).await?;
        let leases = JetStream::open(client.clone(), names.nodes()).await.map_err(not_ready)?;
        let objects = JetStream::open(client.clone(), names.objects()).await.map_err(not_ready)?;
        let secret = shared_secret(&leases, names).await.map_err(|error| not_ready(error.text().to_owned()))?;
        Ok((leases, objects, secret))
    };
    let prepared = prepared.await;
    if let Some(error) = permission_error.lock().unwrap_or_else(PoisonError::into_inner).take() {
        return Err(JoinError::Permanent(format!("NATS denies a permission: {error}")));
    }
    let (leases, objects, secret) = prepared?;
    Ok(Connection { client, names: names.clone(), leases, objects, secret })
}

/// Opens another connection, to that server only.
pub(crate) async fn connect_to(settings: &Settings, server: &ServerAddr) -> Result<Client, JoinError> {
    client(settings, Some(server), &PermissionError::default()).await
}

/// Opens a connection to any of the servers, or to `only`.
async fn client(
    settings: &Settings,
    only: Option<&ServerAddr>,
    permission_error: &PermissionError,
) -> Result<Client, JoinError> {
    let Addresses { servers, login } = Addresses::read(&settings.url, &settings.login).map_err(JoinError::Permanent)?;
    let servers = only.map_or(servers, |only| vec![only.clone()]);
    let permission_error = Arc::clone(permission_error);
    let mut options = ConnectOptions::new()
        .name("durable-object-groups")
        .request_timeout(Some(REQUEST_TIMEOUT))
        .subscription_capacity(SUBSCRIPTION_CAPACITY)
        .reconnect_delay_callback(|attempts| {
            RETRY_AFTER.min(Duration::from_millis(50) * u32::try_from(attempts).unwrap_or(20))
        })
        .event_callback(move |event| take_event(Arc::clone(&permission_error), event));
    options = detect_dead_connections(options, settings.lease);
    options = match login {
        Login::Anonymous => options,
        Login::Token(token) => options.token(token),
        Login::User(user, password) => options.user_and_password(user, password),
        Login::Credentials(file) => options.credentials_file(&file).await.map_err(|error| {
            JoinError::Permanent(format!("credentials: {} cannot be used: {error}", file.display()))
        })?,
    };
    options = with_tls(options, settings)?;
    options.connect(&servers[..]).await.map_err(|error| {
        let shown = Addresses::shown(&servers);
        match error.kind() {
            ConnectErrorKind::Authentication | ConnectErrorKind::AuthorizationViolation => {
                JoinError::Permanent(format!("NATS at {shown} rejects the login of this node: {error}"))
            }
            _ => JoinError::Temporary(format!("NATS at {shown} cannot be reached: {error}")),
        }
    })
}

fn with_tls(mut options: ConnectOptions, settings: &Settings) -> Result<ConnectOptions, JoinError> {
    if let Some(file) = &settings.root_certificates {
        check_readable("root certificates", file)?;
        options = options.add_root_certificates(file.clone());
    }
    if let Some([certificate, key]) = &settings.client_certificate {
        check_readable("client certificate", certificate)?;
        check_readable("key of the client certificate", key)?;
        options = options.add_client_certificate(certificate.clone(), key.clone());
    }
    Ok(if settings.tls { options.require_tls(true) } else { options })
}

/// The client reads the files at each connection, and takes a missing one for a server that cannot be reached.
fn check_readable(what: &str, file: &Path) -> Result<(), JoinError> {
    let Err(error) = File::open(file) else { return Ok(()) };
    Err(JoinError::Permanent(format!("{what}: {} cannot be read: {error}", file.display())))
}

async fn take_event(permission_error: PermissionError, event: Event) {
    match event {
        Event::Connected => tracing::info!("connected to NATS"),
        Event::Disconnected => {
            tracing::warn!("the connection to NATS is lost: messages between nodes are lost until it is back");
        }
        Event::ServerError(error) => {
            let text = error.to_string();
            if may_log("NATS reports an error") {
                tracing::error!("NATS: {text}");
            }
            if text.to_lowercase().contains("permissions violation") {
                permission_error.lock().unwrap_or_else(PoisonError::into_inner).replace(text);
            }
        }
        other if may_log("NATS reports an event") => tracing::warn!("NATS: {other}"),
        _ => {}
    }
}
