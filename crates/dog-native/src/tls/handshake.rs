//! The handshake of TLS.

use std::io;

use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::certificates::Certificates;
use crate::pace::Client;

/// A client that speaks TLS. It is boxed, so that the task of a client that does not is no larger.
pub(crate) type TlsClient = Box<TlsStream<Client>>;

/// The first byte of every TLS connection: the type of a record with a part of the handshake.
const HANDSHAKE: u8 = 22;

/// What a client has begun with.
pub(crate) enum Greeting {
    /// TLS, and the handshake is done.
    Tls(TlsClient),
    /// Something else, such as a request without TLS.
    Plain(Client),
    /// Nothing: it has ended its side, as those do who only check that somebody listens.
    Gone,
}

/// Does the handshake with a client. How long it may take is the business of its pace.
pub(crate) async fn greet(client: Client, certificates: &Certificates) -> io::Result<Greeting> {
    match client.first_byte().await? {
        None => return Ok(Greeting::Gone),
        Some(HANDSHAKE) => {}
        Some(_) => return Ok(Greeting::Plain(client)),
    }
    let config = certificates.settings().ok_or_else(|| io::Error::other("no certificates are loaded"))?;
    let stream = TlsAcceptor::from(config).accept(client).await?;
    Ok(Greeting::Tls(Box::new(stream)))
}
