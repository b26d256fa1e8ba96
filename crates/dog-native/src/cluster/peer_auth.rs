//! TCP connections between nodes. Both sides prove that they know the secret of the cluster.

use std::time::Duration;

use dog::Error;
use dog::internal::Kind;
use dog_engine::address::NodeId;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::node::Node;

/// How long two nodes may take to authenticate each other.
const AUTHENTICATION: Duration = Duration::from_secs(3);
/// How long another node may be silent on a connection. If a network drops all packets, nothing else reports that.
pub(super) const SILENCE: Duration = Duration::from_secs(15);

pub(super) fn unreachable(what: impl std::fmt::Display) -> Error {
    Error::new(Kind::Unreachable, format!("the node of the object cannot be reached: {what}"))
}

/// Connects to another node.
pub(super) async fn connect(node: &Node, to: NodeId) -> Result<TcpStream, Error> {
    timeout(AUTHENTICATION, connect_and_prove(node, to)).await.map_err(unreachable)?
}

async fn connect_and_prove(node: &Node, to: NodeId) -> Result<TcpStream, Error> {
    let address = node.ports.directory.address(to).ok_or_else(|| unreachable("it has ended"))?;
    let mut stream = TcpStream::connect(address).await.map_err(unreachable)?;
    tune(&stream);
    let mut challenge = [0; 32];
    stream.read_exact(&mut challenge).await.map_err(unreachable)?;
    let nonce = random()?;
    let conversation = Conversation { secret: &node.ports.secret, server: to, challenge, nonce };
    stream.write_all(&[nonce, conversation.proof(CONNECTS)?].concat()).await.map_err(unreachable)?;
    let mut theirs = [0; 32];
    stream.read_exact(&mut theirs).await.map_err(|_| unreachable("it does not know this node"))?;
    if conversation.is_proved(ACCEPTS, &theirs)? {
        Ok(stream)
    } else {
        Err(unreachable("another process answers at its address"))
    }
}

/// Authenticates an accepted connection: the other side proves that it is a node and wants this one, and this node
/// proves the same. Returns `None` if the other side does not answer in time.
pub(super) async fn authenticate(node: &Node, stream: &mut TcpStream) -> Option<Result<(), Error>> {
    tune(stream);
    timeout(AUTHENTICATION, challenge(node, stream)).await.ok()
}

async fn challenge(node: &Node, stream: &mut TcpStream) -> Result<(), Error> {
    let challenge = random()?;
    stream.write_all(&challenge).await.map_err(unreachable)?;
    let (mut nonce, mut proof) = ([0; 32], [0; 32]);
    stream.read_exact(&mut nonce).await.map_err(unreachable)?;
    stream.read_exact(&mut proof).await.map_err(unreachable)?;
    let conversation = Conversation { secret: &node.ports.secret, server: node.id(), challenge, nonce };
    if conversation.server == NodeId::default() || !conversation.is_proved(CONNECTS, &proof)? {
        return Err(unreachable("it does not know the secret, or wants another node"));
    }
    stream.write_all(&conversation.proof(ACCEPTS)?).await.map_err(unreachable)
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
}

impl Conversation<'_> {
    /// Computes the HMAC-SHA256 of what `side` must prove.
    fn mac(&self, side: &[u8]) -> Result<Hmac<Sha256>, Error> {
        let mut mac = Hmac::<Sha256>::new_from_slice(self.secret).map_err(unreachable)?;
        for part in [b"dog node ", side, &[0], &self.server.as_u64().to_be_bytes(), &self.challenge, &self.nonce] {
            mac.update(part);
        }
        Ok(mac)
    }

    fn proof(&self, side: &[u8]) -> Result<[u8; 32], Error> {
        Ok(self.mac(side)?.finalize().into_bytes().into())
    }

    /// Verifies a proof in constant time.
    fn is_proved(&self, side: &[u8], proof: &[u8; 32]) -> Result<bool, Error> {
        Ok(self.mac(side)?.verify_slice(proof).is_ok())
    }
}

fn random() -> Result<[u8; 32], Error> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(unreachable)?;
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
        };
        let this = conversation(&[1; 32], 4, 2, 3);
        let proof = this.proof(CONNECTS).unwrap();
        assert!(this.is_proved(CONNECTS, &proof).unwrap());
        assert!(!this.is_proved(ACCEPTS, &proof).unwrap());
        for other in [
            conversation(&[0; 32], 4, 2, 3),
            conversation(&[1; 32], 5, 2, 3),
            conversation(&[1; 32], 4, 3, 3),
            conversation(&[1; 32], 4, 2, 2),
            conversation(&[1; 32], 4, 3, 2),
        ] {
            assert!(!other.is_proved(CONNECTS, &proof).unwrap());
        }
    }

    #[test]
    fn the_proof_is_hmac_sha256_as_it_always_was() {
        // Nodes of two releases authenticate each other, so the bytes must not change.
        let secret = [1; 32];
        let this = Conversation { secret: &secret, server: NodeId::from_raw(4), challenge: [2; 32], nonce: [3; 32] };
        let said = [&b"dog node connects\0"[..], &4_u64.to_be_bytes(), &[2; 32], &[3; 32]].concat();
        let pad = |with: u8| -> Vec<u8> { (0..64).map(|at| with ^ secret.get(at).copied().unwrap_or(0)).collect() };
        use sha2::Digest as _;
        let inner = Sha256::digest([pad(0x36), said].concat());
        let outer: [u8; 32] = Sha256::digest([&pad(0x5c)[..], &inner[..]].concat()).into();
        assert_eq!(this.proof(CONNECTS).unwrap(), outer);
    }
}
