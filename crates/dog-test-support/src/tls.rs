//! Clients that speak TLS.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// The name that clients expect in the certificate of a server.
pub const NAME: &str = "localhost";

/// Both versions of TLS that are in use.
pub const BOTH: &[&SupportedProtocolVersion] = &[&TLS13, &TLS12];

/// Returns the settings of a client that trusts the authority with the certificate in this file. It remembers sessions.
///
/// # Panics
/// If the file contains no certificate.
pub fn trusting(root: &Path, versions: &[&'static SupportedProtocolVersion]) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(root).expect("a certificate")).expect("an authority");
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let config = config.with_protocol_versions(versions).expect("versions");
    let mut config = config.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Arc::new(config)
}

/// Connects and does the handshake.
///
/// # Errors
/// If nothing listens there, or one of the two does not like what the other says.
///
/// # Panics
/// Never.
pub async fn connect(config: &Arc<ClientConfig>, server: SocketAddr) -> io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(server).await?;
    stream.set_nodelay(true)?;
    TlsConnector::from(Arc::clone(config)).connect(NAME.try_into().expect("a name"), stream).await
}

/// Returns the certificate that the server has shown, also if it was shown earlier and the session is resumed.
///
/// # Panics
/// If there is none.
pub fn certificate(stream: &TlsStream<TcpStream>) -> CertificateDer<'static> {
    stream.get_ref().1.peer_certificates().expect("a certificate")[0].clone().into_owned()
}

/// Returns the same settings for a client that resumes no session, so that it is shown a certificate each time.
pub fn forgetful(config: Arc<ClientConfig>) -> Arc<ClientConfig> {
    let mut config = Arc::unwrap_or_clone(config);
    config.resumption = rustls::client::Resumption::disabled();
    Arc::new(config)
}
