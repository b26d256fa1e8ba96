//! [`Nats`]: the builder of a cluster over NATS.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use dog_native::cluster::{Cluster, Joining, Pending, Ports};

use crate::address::Login;
use crate::node;
use crate::settings::Settings;

/// A cluster of servers over a NATS with JetStream, nats-server 2.12 or later. Pass it to
/// [`Server::cluster`](dog_native::Server::cluster). It connects when the server starts.
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

impl Nats {
    /// Uses these servers: one address, or several separated by commas, as `nats://HOST:PORT` or `tls://HOST:PORT`. An
    /// address may contain the login as `USER:PASSWORD@` or `TOKEN@` before the host, with special characters as `%XX`.
    /// One address with a login is enough: the node uses it for all servers. No log line, no error and no `Debug`
    /// output shows the login.
    ///
    /// # Errors
    /// The server does not start if an address cannot be parsed, or if a login is set here and by another method.
    pub fn connect(url: impl Into<String>) -> Self {
        Self { settings: Settings::new(url.into()) }
    }

    fn set(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        change(&mut self.settings);
        self
    }

    /// Logs in with a token.
    #[must_use]
    pub fn token(self, token: impl Into<String>) -> Self {
        self.set(|settings| settings.login = Login::Token(token.into()))
    }

    /// Logs in as a user with a password.
    #[must_use]
    pub fn user_and_password(self, user: impl Into<String>, password: impl Into<String>) -> Self {
        self.set(|settings| settings.login = Login::User(user.into(), password.into()))
    }

    /// Logs in with a credentials file, as `nsc` writes it: a JWT and an NKey seed.
    #[must_use]
    pub fn credentials_file(self, file: impl Into<PathBuf>) -> Self {
        self.set(|settings| settings.login = Login::Credentials(file.into()))
    }

    /// Requires TLS, even for addresses with `nats://`.
    #[must_use]
    pub fn tls(self) -> Self {
        self.set(|settings| settings.tls = true)
    }

    /// Sets a PEM file with the authorities that the node trusts instead of those of the system. The file is read at each
    /// connection to a server.
    #[must_use]
    pub fn root_certificates(self, file: impl Into<PathBuf>) -> Self {
        self.set(|settings| settings.root_certificates = Some(file.into()))
    }

    /// Shows a certificate to NATS, for servers with `verify: true` in their TLS settings. Gives the file of the certificate,
    /// the node's own first and then those of the authorities between, and the file of its private key, both in PEM. Requires
    /// TLS. The files are read at each connection to a server, so new ones are used from the next one on.
    ///
    /// # Errors
    /// The server does not start if a file cannot be read.
    ///
    /// ```
    /// use dog_nats::Nats;
    ///
    /// let nats = Nats::connect("tls://nats.example:4222")
    ///     .root_certificates("nats-ca.pem")
    ///     .client_certificate("node.pem", "node-key.pem");
    /// ```
    #[must_use]
    pub fn client_certificate(self, certificate: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        let files = [certificate.into(), key.into()];
        self.set(|settings| settings.client_certificate = Some(files)).tls()
    }

    /// Sets the prefix of all subjects and streams of this cluster. Clusters with different prefixes can share a NATS.
    /// 1 to 32 letters, digits, `-` or `_`. Default: `dog`.
    #[must_use]
    pub fn prefix(self, prefix: impl Into<String>) -> Self {
        self.set(|settings| settings.prefix = prefix.into())
    }

    /// Sets the number of NATS servers that store each message. It takes effect only when the first node of the cluster
    /// creates the streams. Default: 3 if NATS is a cluster, otherwise 1.
    #[must_use]
    pub fn replicas(self, replicas: usize) -> Self {
        self.set(|settings| settings.replicas = Some(replicas))
    }

    /// Sets the lease time: if a node does not renew its lease for this long, its objects move to other nodes. The node
    /// itself stops acting after four fifths of it. Whole seconds, at least 2. A lease below 15 s may end while NATS
    /// elects a leader, which takes up to 6 s. Default: 15 s.
    ///
    /// # Errors
    /// The server does not start if the time is out of range.
    #[must_use]
    pub fn lease(self, time: Duration) -> Self {
        self.set(|settings| settings.lease = time)
    }

    /// Sets how long a starting server retries while NATS cannot be reached or is not ready. Default: 60 s.
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
    /// Formats it without the addresses and the login.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Settings { prefix, lease, .. } = &self.settings;
        formatter.debug_struct("Nats").field("prefix", prefix).field("lease", lease).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_output_shows_no_secret() {
        let nats = Nats::connect("nats://me:secret@10.0.0.1:4222, nats://10.0.0.2:4222");
        for nats in [nats.clone().token("secret"), nats.user_and_password("me", "secret")] {
            assert!(!format!("{nats:?} {nats:#?}").contains("secret"));
        }
    }
}
