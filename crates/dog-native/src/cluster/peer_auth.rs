//! Connections between nodes: TCP, or TLS over it. Both sides prove that they know the secret of the cluster. With TLS they
//! prove it for their TLS connection, so that nobody can pass on what they say, not even somebody with a certificate.

use std::io;
use std::time::Duration;

use dog::Error;
use dog::internal::Kind;
use dog_engine::address::NodeId;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::client;

use super::node::Node;
use crate::repeats::seldom;
use crate::tls::{NodeCertificates, NodeStream, explain};

/// How long two nodes may take to authenticate each other.
const AUTHENTICATION: Duration = Duration::from_secs(3);
/// How long another node may be silent on a connection. If a network drops all packets, nothing else reports that.
pub(super) const SILENCE: Duration = Duration::from_secs(15);

pub(super) fn unreachable(what: impl std::fmt::Display) -> Error {
    Error::new(Kind::Unreachable, format!("the node of the object cannot be reached: {what}"))
}

/// A connection to another node.
pub(super) trait PeerStream: AsyncRead + AsyncWrite + Send + Unpin {
    /// Returns the connection below.
    fn tcp(&self) -> &TcpStream;
}

impl PeerStream for TcpStream {
    fn tcp(&self) -> &TcpStream {
        self
    }
}

impl PeerStream for client::TlsStream<TcpStream> {
    fn tcp(&self) -> &TcpStream {
        self.get_ref().0
    }
}

/// Connects to another node.
pub(super) async fn connect(node: &Node, to: NodeId) -> Result<Box<dyn PeerStream>, Error> {
    timeout(AUTHENTICATION, connect_and_prove(node, to)).await.map_err(unreachable)?
}

async fn connect_and_prove(node: &Node, to: NodeId) -> Result<Box<dyn PeerStream>, Error> {
    let address = node.ports.directory.address(to).ok_or_else(|| unreachable("it has ended"))?;
    let mut stream = TcpStream::connect(address).await.map_err(unreachable)?;
    tune(&stream);
    let Some(certificates) = node.tls() else {
        prove(node, to, &mut stream, None).await.map_err(unreachable)??;
        return Ok(Box::new(stream));
    };
    match connect_encrypted(node, to, stream, certificates).await {
        Ok(stream) => Ok(stream?),
        Err(error) => {
            let (why, kind) = (explain(&error), "TLS with another node failed");
            seldom!(warn, kind, node = %to, %address, "TLS with another node failed: {why}");
            Err(unreachable(why))
        }
    }
}

/// Fails with what the connection fails with. The result of the proof is inside.
async fn connect_encrypted(
    node: &Node,
    to: NodeId,
    stream: TcpStream,
    certificates: &NodeCertificates,
) -> io::Result<Result<Box<dyn PeerStream>, Error>> {
    let mut stream = certificates.connect(stream).await?;
    let channel = channel(stream.get_ref().1)?;
    // Reading fails if the other node refuses the certificate of this one.
    let proved = prove(node, to, &mut *stream, Some(channel)).await?;
    Ok(proved.map(|()| stream as Box<dyn PeerStream>))
}

/// Proves to an accepted connection's side that this is a node, and that the other is `to`.
async fn prove(
    node: &Node,
    server: NodeId,
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    channel: Option<[u8; 32]>,
) -> io::Result<Result<(), Error>> {
    let mut challenge = [0; 32];
    stream.read_exact(&mut challenge).await?;
    let nonce = random()?;
    let conversation = Conversation { secret: &node.ports.secret, server, challenge, nonce, channel };
    stream.write_all(&[nonce, conversation.proof(CONNECTS)].concat()).await?;
    stream.flush().await?;
    let mut theirs = [0; 32];
    if stream.read_exact(&mut theirs).await.is_err() {
        return Ok(Err(unreachable("it does not know this node")));
    }
    let proved = conversation.is_proved(ACCEPTS, &theirs);
    Ok(if proved { Ok(()) } else { Err(unreachable("another process answers at its address")) })
}

/// A connection that comes from a node.
pub(super) enum Accepted {
    Plain(TcpStream),
    Encrypted(NodeStream),
}

/// Authenticates an accepted connection: the other side proves that it is a node and wants this one, and this node
/// proves the same. The error is for the operator. Returns `None` if the other side does not answer in time.
pub(super) async fn authenticate(node: &Node, stream: TcpStream) -> Option<Result<Accepted, String>> {
    tune(&stream);
    let authenticate = async {
        let mut stream = stream;
        let Some(certificates) = node.tls() else {
            challenge(node, &mut stream, None).await?;
            return Ok(Accepted::Plain(stream));
        };
        // Boxed, so that the task of a connection without TLS is no larger.
        let accepted = Box::pin(certificates.accept(stream)).await;
        let mut stream = accepted.map_err(|error| explain(&error))?;
        let channel = channel(stream.get_ref().1).map_err(text)?;
        challenge(node, &mut *stream, Some(channel)).await?;
        Ok(Accepted::Encrypted(stream))
    };
    timeout(AUTHENTICATION, authenticate).await.ok()
}

async fn challenge(
    node: &Node,
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    channel: Option<[u8; 32]>,
) -> Result<(), String> {
    let challenge = random().map_err(text)?;
    stream.write_all(&challenge).await.map_err(text)?;
    stream.flush().await.map_err(text)?;
    let (mut nonce, mut proof) = ([0; 32], [0; 32]);
    stream.read_exact(&mut nonce).await.map_err(text)?;
    stream.read_exact(&mut proof).await.map_err(text)?;
    let conversation = Conversation { secret: &node.ports.secret, server: node.id(), challenge, nonce, channel };
    if conversation.server == NodeId::default() || !conversation.is_proved(CONNECTS, &proof) {
        return Err("it does not know the secret, or wants another node".into());
    }
    stream.write_all(&conversation.proof(ACCEPTS)).await.map_err(text)?;
    stream.flush().await.map_err(text)
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

/// Returns a secret of a TLS connection that both of its sides know and nobody else (RFC 5705).
fn channel<Data>(tls: &rustls::ConnectionCommon<Data>) -> io::Result<[u8; 32]> {
    tls.export_keying_material([0; 32], b"EXPORTER-dog-node", None).map_err(io::Error::other)
}

/// Names the side that has connected.
const CONNECTS: &[u8] = b"connects";
/// Names the side that has accepted.
const ACCEPTS: &[u8] = b"accepts";

/// One authentication. A proof is valid for one side of one conversation only.
struct Conversation<'a> {
    secret: &'a [u8; 32],
    /// The node that has accepted the connection.
    server: NodeId,
    challenge: [u8; 32],
    nonce: [u8; 32],
    /// With TLS, the secret of the connection.
    channel: Option<[u8; 32]>,
}

impl Conversation<'_> {
    /// Computes the HMAC-SHA256 of what `side` must prove.
    fn mac(&self, side: &[u8]) -> Hmac<Sha256> {
        // HMAC fills a key that is shorter than a block with zeros.
        let mut key = [0; 64];
        key[..self.secret.len()].copy_from_slice(self.secret);
        let mut mac = Hmac::<Sha256>::new(&key.into());
        for part in [b"dog node ", side, &[0], &self.server.as_u64().to_be_bytes(), &self.challenge, &self.nonce] {
            mac.update(part);
        }
        mac.update(self.channel.as_ref().map_or(&[], |channel| &channel[..]));
        mac
    }

    fn proof(&self, side: &[u8]) -> [u8; 32] {
        self.mac(side).finalize().into_bytes().into()
    }

    /// Verifies a proof in constant time.
    fn is_proved(&self, side: &[u8], proof: &[u8; 32]) -> bool {
        self.mac(side).verify_slice(proof).is_ok()
    }
}

fn random() -> io::Result<[u8; 32]> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(io::Error::other)?;
    Ok(bytes)
}

/// Sends small frames at once, and ends an idle connection if the other node is silent. A connection with unread bytes
/// may have a busy reader: see `peer_watch`. If the system refuses an option, the connection works without it.
fn tune(stream: &TcpStream) {
    let _ = stream.set_nodelay(true);
    let keepalive = TcpKeepalive::new().with_time(SILENCE * 2 / 3).with_interval(SILENCE / 15).with_retries(5);
    let _ = SockRef::from(stream).set_tcp_keepalive(&keepalive);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proof_is_good_for_one_node_one_side_and_one_conversation() {
        let conversation = |secret, server, challenge, nonce| Conversation {
            secret,
            server: NodeId::from_raw(server),
            challenge: [challenge; 32],
            nonce: [nonce; 32],
            channel: None,
        };
        let this = conversation(&[1; 32], 4, 2, 3);
        let proof = this.proof(CONNECTS);
        assert!(this.is_proved(CONNECTS, &proof));
        assert!(!this.is_proved(ACCEPTS, &proof));
        for other in [
            conversation(&[0; 32], 4, 2, 3),
            conversation(&[1; 32], 5, 2, 3),
            conversation(&[1; 32], 4, 3, 3),
            conversation(&[1; 32], 4, 2, 2),
            conversation(&[1; 32], 4, 3, 2),
        ] {
            assert!(!other.is_proved(CONNECTS, &proof));
        }
        // Nor is it good for another TLS connection, which somebody between the nodes would have.
        let [one, other] =
            [1, 2].map(|channel| Conversation { channel: Some([channel; 32]), ..conversation(&[1; 32], 4, 2, 3) });
        assert!(one.is_proved(CONNECTS, &one.proof(CONNECTS)));
        for passed_on in [&other, &this] {
            assert!(!passed_on.is_proved(CONNECTS, &one.proof(CONNECTS)));
        }
    }

    #[test]
    fn the_proof_is_hmac_sha256_as_it_always_was() {
        // Nodes of two releases authenticate each other, so the bytes must not change.
        let secret = [1; 32];
        let this = Conversation {
            secret: &secret,
            server: NodeId::from_raw(4),
            challenge: [2; 32],
            nonce: [3; 32],
            channel: None,
        };
        let said = [&b"dog node connects\0"[..], &4_u64.to_be_bytes(), &[2; 32], &[3; 32]].concat();
        let pad = |with: u8| -> Vec<u8> { (0..64).map(|at| with ^ secret.get(at).copied().unwrap_or(0)).collect() };
        use sha2::Digest as _;
        let inner = Sha256::digest([pad(0x36), said].concat());
        let outer: [u8; 32] = Sha256::digest([&pad(0x5c)[..], &inner[..]].concat()).into();
        assert_eq!(this.proof(CONNECTS), outer);
    }
}
