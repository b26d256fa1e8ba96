//! [`Nats`]: which NATS a cluster is made over, and how.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_nats::{Client, ConnectErrorKind, ConnectOptions, Event, ServerAddr};
use bytes::Bytes;
use dog_engine::address::NodeId;
use dog_native::cluster::{Cluster, Joining, Pending, Ports, may_log};

use crate::address::{Addresses, Login};
use crate::jetstream::{Messages, context};
use crate::names::Names;
use crate::ready::{Obstacle, has_jetstream, is_recent, make_streams, secret, too_narrow};
use crate::{node, servers};

/// The shortest lease: a renewal needs time, and so do clocks.
const SHORTEST_LEASE: Duration = Duration::from_secs(2);
/// How long an answer of the server is waited for.
const ANSWER: Duration = Duration::from_secs(2);
/// Messages that have come and were not looked at yet, at most: more are lost. Of letters each is a bundle.
const TAKEN: usize = 1 << 16;
/// How long it takes until a NATS that is not there, or not ready, is looked for again.
const AGAIN: Duration = Duration::from_secs(1);

/// A cluster of servers over a NATS with JetStream, nats-server 2.12 or later: pass it to
/// [`Server::cluster`](dog_native::Server::cluster). Nothing happens before the server starts.
///
/// ```
/// use std::time::Duration;
/// use dog_nats::Nats;
///
/// let nats = Nats::connect("nats://10.0.0.1:4222,nats://10.0.0.2:4222,nats://10.0.0.3:4222")
///     .user_and_password("dog", "secret")
///     .prefix("chat")
///     .lease(Duration::from_secs(20));
/// ```
#[derive(Clone)]
pub struct Nats {
    settings: Settings,
}

#[derive(Clone)]
pub(crate) struct Settings {
    url: String,
    login: Login,
    certificates: Option<PathBuf>,
    tls: bool,
    prefix: String,
    replicas: Option<usize>,
    patience: Duration,
    pub(crate) lease: Duration,
}

/// A NATS that has what is needed.
pub(crate) struct Connected {
    pub(crate) client: Client,
    pub(crate) names: Names,
    pub(crate) leases: Messages,
    pub(crate) objects: Messages,
    pub(crate) secret: [u8; 32],
}

impl Nats {
    /// The servers, one or several with commas between: `nats://HOST:PORT`, or `tls://HOST:PORT`. Who the node is there may
    /// stand before the host, as `USER:PASSWORD@` or `TOKEN@`, special characters written as `%XX`; once is enough, for it
    /// is said to all servers. It is shown in no log, no error and no `Debug` output. An address that cannot be read, or
    /// a user that is set besides, is an error when the server starts.
    pub fn connect(url: impl Into<String>) -> Self {
        Self {
            settings: Settings {
                url: url.into(),
                login: Login::default(),
                certificates: None,
                tls: false,
                prefix: "dog".into(),
                replicas: None,
                patience: Duration::from_secs(60),
                lease: Duration::from_secs(15),
            },
        }
    }

    fn set(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        change(&mut self.settings);
        self
    }

    /// The token that NATS wants.
    #[must_use]
    pub fn token(self, token: impl Into<String>) -> Self {
        self.set(|settings| settings.login = Login::Token(token.into()))
    }

    /// The user that NATS wants, and its password.
    #[must_use]
    pub fn user_and_password(self, user: impl Into<String>, password: impl Into<String>) -> Self {
        self.set(|settings| settings.login = Login::User(user.into(), password.into()))
    }

    /// A file of credentials, as `nsc` writes it: a token and a key.
    #[must_use]
    pub fn credentials_file(self, file: impl Into<PathBuf>) -> Self {
        self.set(|settings| settings.login = Login::Credentials(file.into()))
    }

    /// Speaks TLS, whatever the address says.
    #[must_use]
    pub fn tls(self) -> Self {
        self.set(|settings| settings.tls = true)
    }

    /// Certificates, in a PEM file, that are trusted besides those of the system.
    #[must_use]
    pub fn root_certificates(self, file: impl Into<PathBuf>) -> Self {
        self.set(|settings| settings.certificates = Some(file.into()))
    }

    /// What all subjects and streams of this cluster begin with: clusters with different ones share a NATS. 1 to 32
    /// letters, digits, `-` or `_`. Default `dog`.
    #[must_use]
    pub fn prefix(self, prefix: impl Into<String>) -> Self {
        self.set(|settings| settings.prefix = prefix.into())
    }

    /// How many NATS servers keep each message, when the cluster is begun. Default: 3 where NATS is a cluster, else 1.
    #[must_use]
    pub fn replicas(self, replicas: usize) -> Self {
        self.set(|settings| settings.replicas = Some(replicas))
    }

    /// How long a node is waited for that is not heard of: then its objects go to others. The node itself, cut off, stops
    /// after four fifths of it. Whole seconds, 2 at least; below 15 it may end while NATS chooses another leader, which
    /// takes up to 6. Default 15 s.
    #[must_use]
    pub fn lease(self, time: Duration) -> Self {
        self.set(|settings| settings.lease = time)
    }

    /// How long a NATS that cannot be reached, or is not ready, is looked for at the start. Default 60 s.
    #[must_use]
    pub fn patience(self, time: Duration) -> Self {
        self.set(|settings| settings.patience = time)
    }
}

impl Cluster for Nats {
    fn join(&self, joining: Joining) -> Pending<Result<Ports, String>> {
        let settings = self.settings.clone();
        Box::pin(async move { node::join(settings, joining).await })
    }
}

impl fmt::Debug for Nats {
    /// Without what is secret.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Settings { prefix, lease, .. } = &self.settings;
        formatter.debug_struct("Nats").field("prefix", prefix).field("lease", lease).finish_non_exhaustive()
    }
}

/// What the server has said last of what it does not allow.
type Complaint = Arc<Mutex<Option<String>>>;

impl Settings {
    fn names(&self) -> Result<Names, String> {
        let names = Names::new(&self.prefix);
        names.ok_or_else(|| format!("prefix: \"{}\" is none: give 1 to 32 letters, digits, - or _", self.prefix))
    }

    /// Connects, and makes the streams if they are not there. What may pass is waited for. Clients' messages may have
    /// `longest` bytes.
    pub(crate) async fn connect(&self, longest: usize) -> Result<Connected, String> {
        let names = self.names()?;
        if self.lease < SHORTEST_LEASE || self.lease.subsec_nanos() != 0 {
            return Err(format!("lease: {:?} is out of range: give whole seconds, 2 at least", self.lease));
        }
        let until = Instant::now() + self.patience;
        loop {
            let (what, over) = match self.try_to_connect(&names).await {
                Ok(connected) => {
                    if let Some(what) = too_narrow(connected.client.server_info().max_payload, longest) {
                        tracing::warn!("{what}");
                    }
                    return Ok(connected);
                }
                Err(Obstacle::Lasting(what)) => (what, true),
                Err(Obstacle::Passing(what)) => (what, Instant::now() >= until),
            };
            if over {
                return Err(what);
            }
            tracing::warn!("{what}; tried again for {:.0?}", until.saturating_duration_since(Instant::now()));
            tokio::time::sleep(AGAIN).await;
        }
    }

    async fn try_to_connect(&self, names: &Names) -> Result<Connected, Obstacle> {
        let complaint = Complaint::default();
        let client = self.client(None, &complaint).await?;
        let info = client.server_info();
        if !is_recent(&info.version) {
            let what = format!("nats-server {} is too old: 2.12 or later is needed", info.version);
            return Err(Obstacle::Lasting(what));
        }
        let replicas = self.replicas.unwrap_or(if info.cluster.is_some() { 3 } else { 1 });
        let names = names.clone();
        let passing = |what: String| Obstacle::Passing(format!("NATS is not ready: {what}"));
        // What of this is not allowed is told now: later it would be told to nobody that letters do not arrive.
        let nobody = names.letters(NodeId::default());
        let _letters = client.subscribe(nobody.clone()).await.map_err(|error| passing(error.to_string()))?;
        client.publish(nobody, Bytes::new()).await.map_err(|error| passing(error.to_string()))?;
        let made = async {
            has_jetstream(&client).await?;
            make_streams(&client, &names, replicas).await?;
            let context = context(&client);
            let leases = Messages::open(&context, client.clone(), names.nodes()).await.map_err(passing)?;
            let objects = Messages::open(&context, client.clone(), names.objects()).await.map_err(passing)?;
            let secret = secret(&leases, &names).await.map_err(|trouble| passing(trouble.text().to_owned()))?;
            Ok((leases, objects, secret))
        };
        let made = made.await;
        if let Some(said) = complaint.lock().unwrap_or_else(PoisonError::into_inner).take() {
            return Err(Obstacle::Lasting(format!("NATS gives no permission: {said}")));
        }
        let (leases, objects, secret) = made?;
        Ok(Connected { client, names, leases, objects, secret })
    }

    /// Another connection, to that server alone.
    pub(crate) async fn client_of(&self, server: &ServerAddr) -> Result<Client, String> {
        let client = self.client(Some(server), &Complaint::default()).await;
        client.map_err(|(Obstacle::Passing(what) | Obstacle::Lasting(what))| what)
    }

    /// A connection to any of the servers, or to that one alone.
    async fn client(&self, only: Option<&ServerAddr>, complaint: &Complaint) -> Result<Client, Obstacle> {
        let Addresses { servers, login } = Addresses::read(&self.url, &self.login).map_err(Obstacle::Lasting)?;
        let servers = only.map_or(servers, |only| vec![only.clone()]);
        let heard = Arc::clone(complaint);
        let mut options = ConnectOptions::new()
            .name("durable-object-groups")
            .request_timeout(Some(ANSWER))
            .subscription_capacity(TAKEN)
            .reconnect_delay_callback(|attempts| {
                AGAIN.min(Duration::from_millis(50) * u32::try_from(attempts).unwrap_or(20))
            })
            .event_callback(move |event| note(Arc::clone(&heard), event));
        options = servers::attentive(options, self.lease);
        options = match login {
            Login::Nobody => options,
            Login::Token(token) => options.token(token),
            Login::User(user, password) => options.user_and_password(user, password),
            Login::Credentials(file) => options.credentials_file(&file).await.map_err(|error| {
                Obstacle::Lasting(format!("credentials: {} cannot be used: {error}", file.display()))
            })?,
        };
        if let Some(file) = &self.certificates {
            options = options.add_root_certificates(file.clone());
        }
        if self.tls {
            options = options.require_tls(true);
        }
        options.connect(&servers[..]).await.map_err(|error| {
            let shown = Addresses::shown(&servers);
            match error.kind() {
                ConnectErrorKind::Authentication | ConnectErrorKind::AuthorizationViolation => {
                    Obstacle::Lasting(format!("NATS at {shown} does not let this node in: {error}"))
                }
                _ => Obstacle::Passing(format!("NATS at {shown} cannot be reached: {error}")),
            }
        })
    }
}

async fn note(complaint: Complaint, event: Event) {
    match event {
        Event::Connected => tracing::info!("connected to NATS"),
        Event::Disconnected => tracing::warn!("the connection to NATS is lost: messages between nodes are too"),
        Event::ServerError(error) => {
            let text = error.to_string();
            if may_log("NATS reports an error") {
                tracing::error!("NATS: {text}");
            }
            if text.to_lowercase().contains("permissions violation") {
                complaint.lock().unwrap_or_else(PoisonError::into_inner).replace(text);
            }
        }
        other if may_log("NATS reports an event") => tracing::warn!("NATS: {other}"),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_secret_is_shown() {
        let nats = Nats::connect("nats://me:secret@10.0.0.1:4222, nats://10.0.0.2:4222");
        for nats in [nats.clone().token("secret"), nats.user_and_password("me", "secret")] {
            assert!(!format!("{nats:?} {nats:#?}").contains("secret"));
        }
    }
}
