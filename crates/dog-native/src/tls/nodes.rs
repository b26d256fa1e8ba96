//! The TLS that nodes of a cluster speak with each other: [`NodeCertificates`].
//!
//! Each side shows a certificate of one of the cluster's authorities. Its names are not checked, because a node is reached at
//! the address of its lease, which may change with each start. Which node answers is proved afterwards: see
//! `cluster::peer_auth`.
//!
//! No session is resumed. So every connection shows a certificate that is valid now, for the authorities of now.

#[cfg(test)]
mod tests;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier, verify_server_cert_signed_by_trust_anchor};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, ParsedCertificate, WebPkiClientVerifier};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::version::TLS13;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, ServerConfig, SignatureScheme};
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsConnector, client, server};

use super::files::Files;
use super::pem::PemFile;
use super::reloading::{Loaded, Reloading, Source};
use crate::error::Error;

/// The certificate of a node and its key, and the authorities of the cluster.
pub(crate) type NodeCertificates = Reloading<ForNodes>;

/// The connection of a node that has connected to this one. It is boxed, so that the task of one without TLS is no larger.
pub(crate) type NodeStream = Box<server::TlsStream<TcpStream>>;

/// The setting that gives the files.
const SETTING: &str = "node_tls";

#[derive(Debug)]
pub(crate) struct ForNodes {
    files: Files,
    authorities: PemFile,
    provider: Arc<CryptoProvider>,
}

/// The settings of both sides.
#[derive(Clone, Debug)]
pub(crate) struct BothSides {
    accepts: Arc<ServerConfig>,
    connects: Arc<ClientConfig>,
}

impl NodeCertificates {
    /// Takes the paths.
    pub(crate) fn new(certificates: PathBuf, key: PathBuf, authorities: PathBuf) -> Self {
        Self::from_source(ForNodes {
            files: Files::new(SETTING, certificates, key),
            authorities: PemFile::new(SETTING, authorities),
            provider: Arc::new(ring::default_provider()),
        })
    }

    fn both(&self) -> io::Result<BothSides> {
        self.settings().ok_or_else(|| io::Error::other("no certificates are loaded"))
    }

    /// Does the handshake with a node that has connected.
    pub(crate) async fn accept(&self, stream: TcpStream) -> io::Result<NodeStream> {
        Ok(Box::new(TlsAcceptor::from(self.both()?.accepts).accept(stream).await?))
    }

    /// Does the handshake with a node that this one has connected to. It may refuse this node's certificate after this has
    /// completed: then the first read fails.
    pub(crate) async fn connect(&self, stream: TcpStream) -> io::Result<Box<client::TlsStream<TcpStream>>> {
        let address = ServerName::from(stream.peer_addr()?.ip());
        Ok(Box::new(TlsConnector::from(self.both()?.connects).connect(address, stream).await?))
    }
}

/// Explains to an operator why a handshake with another node failed.
pub(crate) fn explain(error: &io::Error) -> String {
    use rustls::Error as Tls;
    if error.kind() == io::ErrorKind::UnexpectedEof {
        return "it ended the connection without TLS, as a node without node_tls does".to_owned();
    }
    let Some(tls) = error.get_ref().and_then(|inner| inner.downcast_ref::<Tls>()) else { return error.to_string() };
    match tls {
        Tls::NoCertificatesPresented => "it shows no certificate: give it node_tls too".to_owned(),
        Tls::InvalidMessage(_) | Tls::InappropriateMessage { .. } => format!("it speaks no TLS, or another: {tls}"),
        Tls::InvalidCertificate(why) => format!("its certificate {}", explain_certificate(why)),
        Tls::AlertReceived(alert) => format!("it refuses the certificate of this node, its log says why: {alert:?}"),
        other => other.to_string(),
    }
}

fn explain_certificate(why: &CertificateError) -> String {
    match why {
        CertificateError::UnknownIssuer | CertificateError::BadSignature => "is of no authority that is trusted".into(),
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => "has expired".into(),
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => "is not valid yet".into(),
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "is not for both servers and clients (extended key usage)".into()
        }
        other => format!("is not valid: {other}"),
    }
}

impl Source for ForNodes {
    type Settings = BothSides;
    const NAME: &'static str = "the certificates for other nodes";

    fn files(&self) -> Vec<&PemFile> {
        let [certificates, key] = self.files.all();
        vec![certificates, key, &self.authorities]
    }

    /// A certificate that other nodes with the same authorities would refuse is an error.
    fn load(&self) -> Result<Loaded<BothSides>, Error> {
        let pair = self.files.load(&self.provider)?;
        let authorities = Arc::new(self.authorities()?);
        let own = Arc::new(SingleCertAndKey::from(pair.certified.clone()));
        let unusable = |error: rustls::Error| self.authorities.error(error);
        let clients = WebPkiClientVerifier::builder_with_provider(Arc::clone(&authorities), Arc::clone(&self.provider));
        let clients = clients.build().map_err(|error| self.authorities.error(error))?;
        let servers =
            Arc::new(NodeVerifier::new(authorities, &self.provider).map_err(|error| self.authorities.error(error))?);
        self.check(&pair.certified, &*clients, &servers)?;
        let accepts = ServerConfig::builder_with_provider(Arc::clone(&self.provider));
        let accepts = accepts.with_protocol_versions(&[&TLS13]).map_err(unusable)?;
        let mut accepts = accepts.with_client_cert_verifier(clients).with_cert_resolver(Arc::clone(&own) as _);
        accepts.session_storage = Arc::new(NoServerSessionStorage {});
        accepts.send_tls13_tickets = 0;
        let connects = ClientConfig::builder_with_provider(Arc::clone(&self.provider));
        let connects = connects.with_protocol_versions(&[&TLS13]).map_err(unusable)?;
        let connects = connects.dangerous().with_custom_certificate_verifier(servers);
        let mut connects = connects.with_client_cert_resolver(own);
        connects.resumption = Resumption::disabled();
        let settings = BothSides { accepts: Arc::new(accepts), connects: Arc::new(connects) };
        Ok(Loaded { settings, expires: pair.expires })
    }
}

impl ForNodes {
    fn authorities(&self) -> Result<RootCertStore, Error> {
        let mut store = RootCertStore::empty();
        for authority in self.authorities.certificates()? {
            store.add(authority).map_err(|error| {
                let path = self.authorities.path().display();
                self.authorities.error(format_args!("an authority in {path} cannot be used: {error}"))
            })?;
        }
        Ok(store)
    }

    /// Checks this node's certificate as other nodes do.
    fn check(&self, own: &CertifiedKey, clients: &dyn ClientCertVerifier, servers: &NodeVerifier) -> Result<(), Error> {
        let [certificate, above @ ..] = &own.cert[..] else { return Err(self.files.certificates().no_certificate()) };
        let now = UnixTime::now();
        let verified = clients.verify_client_cert(certificate, above, now);
        let Err(error) = verified.and_then(|_| servers.verify(certificate, above, now)) else { return Ok(()) };
        let [file, authorities] = [self.files.certificates(), &self.authorities].map(|file| file.path().display());
        let why = match &error {
            rustls::Error::InvalidCertificate(why) => explain_certificate(why),
            other => other.to_string(),
        };
        Err(self
            .authorities
            .error(format_args!("the certificate in {file} {why}; the authorities are in {authorities}")))
    }
}

/// Accepts the certificates of the cluster's authorities, whatever name they are for.
#[derive(Debug)]
struct NodeVerifier {
    authorities: Arc<RootCertStore>,
    provider: Arc<CryptoProvider>,
    /// Verifies signatures.
    signatures: Arc<WebPkiServerVerifier>,
}

impl NodeVerifier {
    fn new(
        authorities: Arc<RootCertStore>,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Self, rustls::client::VerifierBuilderError> {
        let signatures = WebPkiServerVerifier::builder_with_provider(Arc::clone(&authorities), Arc::clone(provider));
        Ok(Self { authorities, provider: Arc::clone(provider), signatures: signatures.build()? })
    }

    fn verify(
        &self,
        certificate: &CertificateDer<'_>,
        above: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), rustls::Error> {
        let algorithms = self.provider.signature_verification_algorithms.all;
        let certificate = ParsedCertificate::try_from(certificate)?;
        verify_server_cert_signed_by_trust_anchor(&certificate, &self.authorities, above, now, algorithms)
    }
}

impl ServerCertVerifier for NodeVerifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        above: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.verify(certificate, above, now)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.signatures.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.signatures.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.signatures.supported_verify_schemes()
    }
}
