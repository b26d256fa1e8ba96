//! [`Error`]: why a server did not start.

use std::fmt;
use std::io;

/// Why a server did not start. Its text is one line that says what to change.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// # struct Chat;
/// # impl dog::App for Chat {
/// #     type Groups = ();
/// #     async fn fetch(&self, _: dog::Request, _: &dog::Dog<Self>) -> dog::Result<dog::Response> { Ok(dog::text_response(dog::http::StatusCode::OK, "")) }
/// # }
/// let error = dog_native::Server::new(Chat).bind("nonsense").start().await.unwrap_err();
/// assert!(error.is_configuration());
/// assert_eq!(error.to_string(), "bind: \"nonsense\" is no address: give host:port, such as 127.0.0.1:8787");
/// # });
/// ```
pub struct Error {
    kind: Kind,
    message: String,
    cause: Option<io::Error>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Configuration,
    Bind,
    System,
    Data,
    Cluster,
    Tls,
}

impl Error {
    pub(crate) fn configuration(message: impl Into<String>) -> Self {
        Self { kind: Kind::Configuration, message: message.into(), cause: None }
    }

    pub(crate) fn bind(message: impl Into<String>, cause: io::Error) -> Self {
        Self { kind: Kind::Bind, message: message.into(), cause: Some(cause) }
    }

    pub(crate) fn system(message: impl Into<String>, cause: io::Error) -> Self {
        Self { kind: Kind::System, message: message.into(), cause: Some(cause) }
    }

    pub(crate) fn data(message: impl Into<String>) -> Self {
        Self { kind: Kind::Data, message: message.into(), cause: None }
    }

    pub(crate) fn cluster(message: impl Into<String>) -> Self {
        Self { kind: Kind::Cluster, message: message.into(), cause: None }
    }

    pub(crate) fn tls(message: impl Into<String>) -> Self {
        Self { kind: Kind::Tls, message: message.into(), cause: None }
    }

    /// Returns whether the certificates or their key cannot be used: a file is missing or is no PEM file, or the key does not
    /// belong to the certificate. The text names the file.
    pub fn is_tls(&self) -> bool {
        self.kind == Kind::Tls
    }

    /// Returns whether the cluster could not be joined. The text names what is missing.
    pub fn is_cluster(&self) -> bool {
        self.kind == Kind::Cluster
    }

    /// Returns whether the data folder cannot be used: it is locked, damaged, not writable, or from another release. It
    /// was not changed.
    pub fn is_data(&self) -> bool {
        self.kind == Kind::Data
    }

    /// Returns whether a setting is invalid. The text names it.
    pub fn is_configuration(&self) -> bool {
        self.kind == Kind::Configuration
    }

    /// Returns whether the address cannot be listened on: it is in use, or this machine does not have it.
    pub fn is_bind(&self) -> bool {
        self.kind == Kind::Bind
    }

    /// Returns whether the operating system refused something else, such as a thread or a file descriptor.
    pub fn is_system(&self) -> bool {
        self.kind == Kind::System
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Error({:?}: {}, {:?})", self.kind, self.message, self.cause)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.cause.as_ref().map(|cause| cause as &(dyn std::error::Error + 'static))
    }
}
