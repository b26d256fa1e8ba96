use std::path::Path;

use dog_test_support::certificates::{Authority, replace};
use rustls::HandshakeKind;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;

/// A certificate and its key, as text.
type Shown = (String, String);

/// A node with files of the test.
struct TestNode {
    folder: TempDir,
    certificates: NodeCertificates,
}

impl TestNode {
    fn of(shows: &Shown, trusts: &[&Authority]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let [certificate, key, authorities] = ["node.pem", "key.pem", "ca.pem"].map(|name| folder.path().join(name));
        let node = Self { certificates: NodeCertificates::new(certificate, key, authorities), folder };
        node.show(shows);
        node.trust(trusts);
        node
    }

    /// A node that has loaded its files.
    fn loaded(shows: &Shown, trusts: &[&Authority]) -> Self {
        let node = Self::of(shows, trusts);
        node.certificates.load().unwrap();
        node
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn show(&self, (certificate, key): &Shown) {
        replace(&self.path().join("node.pem"), certificate);
        replace(&self.path().join("key.pem"), key);
    }

    fn trust(&self, authorities: &[&Authority]) {
        let texts = authorities.iter().map(|authority| std::fs::read_to_string(authority.root()).unwrap());
        replace(&self.path().join("ca.pem"), &texts.collect::<String>());
    }

    /// The error with which the node does not start.
    fn fails(&self) -> String {
        let error = self.certificates.load().unwrap_err();
        assert!(error.is_tls());
        error.to_string()
    }
}

fn node(authority: &Authority) -> Shown {
    authority.certificate("node", false)
}

/// Connects one node to another, which then says one byte. Returns what each side gets: `Ok` is the byte arriving.
async fn meet(accepts: &NodeCertificates, connects: &NodeCertificates) -> (io::Result<NodeStream>, io::Result<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let accept = async {
        let (stream, _) = listener.accept().await?;
        let mut stream = accepts.accept(stream).await?;
        stream.write_all(b"x").await?;
        stream.flush().await?;
        Ok(stream)
    };
    let connect = async {
        let mut stream = connects.connect(TcpStream::connect(address).await?).await?;
        stream.read_exact(&mut [0]).await.map(drop)
    };
    tokio::join!(accept, connect)
}

#[tokio::test]
async fn nodes_of_one_authority_meet_and_every_connection_shows_its_certificate() {
    let authority = Authority::new();
    let [one, other] = [(); 2].map(|()| TestNode::loaded(&node(&authority), &[&authority]));
    for _ in 0..3 {
        let (accepted, connected) = meet(&one.certificates, &other.certificates).await;
        connected.unwrap();
        let accepted = accepted.unwrap();
        assert_eq!(accepted.get_ref().1.handshake_kind(), Some(HandshakeKind::Full), "a session was resumed");
        assert_eq!(accepted.get_ref().1.protocol_version(), Some(rustls::ProtocolVersion::TLSv1_3));
    }
}

#[tokio::test]
async fn a_node_of_another_authority_is_refused_on_both_sides() {
    let [ours, theirs] = [(); 2].map(|()| Authority::new());
    let home = TestNode::loaded(&node(&ours), &[&ours]);
    // It trusts us, so only we refuse it.
    let stranger = TestNode::loaded(&node(&theirs), &[&ours, &theirs]);
    let (accepted, connected) = meet(&home.certificates, &stranger.certificates).await;
    assert_eq!(explain(&accepted.unwrap_err()), "its certificate is of no authority that is trusted");
    let refused = explain(&connected.unwrap_err());
    assert!(refused.starts_with("it refuses the certificate of this node"), "{refused}");
    let (accepted, connected) = meet(&stranger.certificates, &home.certificates).await;
    assert_eq!(explain(&connected.unwrap_err()), "its certificate is of no authority that is trusted");
    assert!(accepted.is_err());
}

/// Makes the settings of a node without the checks of its own certificate, as a node of somebody else.
fn unchecked(shows: Option<&Shown>, trusts: &Authority) -> NodeCertificates {
    let good = TestNode::loaded(&node(trusts), &[trusts]);
    let provider = Arc::new(ring::default_provider());
    let connects = ClientConfig::builder_with_provider(Arc::clone(&provider));
    let connects = connects.with_protocol_versions(&[&TLS13]).unwrap();
    let verifier = NodeVerifier::new(Arc::new(good.certificates.source().authorities().unwrap()), &provider).unwrap();
    let connects = connects.dangerous().with_custom_certificate_verifier(Arc::new(verifier));
    let connects = match shows {
        None => connects.with_no_client_auth(),
        Some(shows) => {
            good.show(shows);
            let pair = good.certificates.source().files.load(&provider).unwrap();
            connects.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(pair.certified)))
        }
    };
    let settings = BothSides { connects: Arc::new(connects), ..good.certificates.both().unwrap() };
    good.certificates.set(settings);
    good.certificates
}

#[tokio::test]
async fn no_certificate_and_one_that_has_expired_are_refused() {
    let authority = Authority::new();
    let home = TestNode::loaded(&node(&authority), &[&authority]);
    for (shows, why) in [
        (None, "it shows no certificate: give it node_tls too"),
        (Some(authority.certificate("node", true)), "its certificate has expired"),
    ] {
        let (accepted, connected) = meet(&home.certificates, &unchecked(shows.as_ref(), &authority)).await;
        assert_eq!(explain(&accepted.unwrap_err()), why);
        assert!(connected.is_err());
    }
}

#[tokio::test]
async fn a_peer_without_tls_is_named_as_such() {
    let authority = Authority::new();
    let home = TestNode::loaded(&node(&authority), &[&authority]);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let plain = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        // The challenge of a node without TLS.
        stream.write_all(&[7; 32]).await.unwrap();
        let _ = stream.read_to_end(&mut Vec::new()).await;
    };
    let connect = async { home.certificates.connect(TcpStream::connect(address).await?).await.map(drop) };
    let ((), connected) = tokio::join!(plain, connect);
    let why = explain(&connected.unwrap_err());
    assert!(why.starts_with("it speaks no TLS"), "{why}");
}

#[tokio::test]
async fn an_authority_is_replaced_step_by_step_while_all_nodes_meet() {
    let [old, new] = [(); 2].map(|()| Authority::new());
    let steps: [(Shown, &[&Authority]); 4] =
        [(node(&old), &[&old]), (node(&old), &[&old, &new]), (node(&new), &[&old, &new]), (node(&new), &[&new])];
    let [first, second] = [(); 2].map(|()| TestNode::loaded(&steps[0].0, steps[0].1));
    for (shows, trusts) in &steps[1..] {
        // One node has taken the step and the other has not.
        for node in [&first, &second] {
            node.show(shows);
            node.trust(trusts);
            node.certificates.reload().unwrap();
            for (accepts, connects) in [(&first, &second), (&second, &first)] {
                let (accepted, connected) = meet(&accepts.certificates, &connects.certificates).await;
                connected.unwrap();
                accepted.unwrap();
            }
        }
    }
    let left_behind = TestNode::loaded(&steps[1].0, steps[1].1);
    assert!(
        meet(&first.certificates, &left_behind.certificates).await.0.is_err(),
        "the old authority is still trusted"
    );
    let figures = first.certificates.figures();
    assert_eq!((figures.reloads, figures.failed_reloads), (3, 0));
}

#[tokio::test]
async fn files_that_cannot_be_used_are_named_and_the_old_ones_are_kept() {
    let [ours, theirs] = [(); 2].map(|()| Authority::new());
    let node = TestNode::of(&ours.certificate("node", false), &[&theirs]);
    let path = |name: &str| node.path().join(name).display().to_string();
    let (certificate, authorities) = (path("node.pem"), path("ca.pem"));
    let of_none = format!(
        "node_tls: the certificate in {certificate} is of no authority that is trusted; the authorities are in {authorities}"
    );
    assert_eq!(node.fails(), of_none);
    node.trust(&[&ours]);
    node.certificates.load().unwrap();
    let other = TestNode::loaded(&ours.certificate("other", false), &[&ours]);
    let changes: [(&str, &dyn Fn()); 5] = [
        ("is of no authority that is trusted", &|| node.trust(&[&theirs])),
        ("contains no certificate", &|| node.trust(&[])),
        ("ca.pem cannot be read", &|| std::fs::remove_file(&authorities).unwrap()),
        ("has expired", &|| node.show(&ours.certificate("node", true))),
        ("does not belong to", &|| replace(Path::new(&certificate), &ours.certificate("node", false).0)),
    ];
    for (why, change) in changes {
        change();
        let error = node.certificates.reload().unwrap_err();
        assert!(
            error.is_tls() && error.to_string().starts_with("node_tls: ") && error.to_string().contains(why),
            "{error}"
        );
        let (accepted, connected) = meet(&node.certificates, &other.certificates).await;
        connected.unwrap();
        accepted.unwrap();
        node.show(&ours.certificate("node", false));
        node.trust(&[&ours]);
        node.certificates.reload().unwrap();
    }
    assert_eq!(node.certificates.figures().failed_reloads, 5);
}
