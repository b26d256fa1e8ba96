//! The ways to log in to NATS, and the NATS permissions that a node needs.

use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use dog_native::{Running, Server};
use dog_nats::Nats;
use dog_test_support::certificates::Authority;
use nkeys::KeyPair;
use serde_json::{Value, json};

use crate::app::{Client, PATIENCE, Rooms};
use crate::child::Child;
use crate::server::NatsServers;

/// The subjects to which a node publishes, according to docs/cluster.md.
const PUBLISHES: &[&str] = &["dog.>", "$JS.API.>"];
/// The subjects to which a node subscribes, according to docs/cluster.md.
const SUBSCRIBES: &[&str] = &["dog.to.>", "_INBOX.>"];

fn server(nats: Nats) -> Server<Rooms> {
    Server::new(Rooms).bind("127.0.0.1:0").workers(1).cluster(nats)
}

async fn node(nats: Nats) -> Running {
    server(nats.patience(PATIENCE)).start().await.expect("a node")
}

/// Asserts that a node with these settings cannot join, and that the error contains `because`.
async fn is_refused(nats: Nats, because: &str) {
    let error = server(nats.patience(Duration::ZERO)).start().await.expect_err("the node cannot join");
    assert!(error.is_cluster() && error.to_string().contains(because), "{error}");
}

/// Asserts that nodes with these settings form a cluster, in which writes and messages between objects work.
async fn works(nats: &Nats) {
    let nodes = [node(nats.clone()).await, node(nats.clone()).await];
    let mut here = Client::join(nodes[0].local_addr(), "allowed", "wide-here").await;
    let mut there = Client::join(nodes[1].local_addr(), "allowed", "wide-there").await;
    assert_ne!(here.replica, there.replica, "each node has its own Replica");
    assert!(here.put(1).await && here.say("to all").await);
    assert_eq!(there.hear().await.as_deref(), Some("to all"));
    assert!(here.say("alarm 0").await);
    while there.hear().await.expect("the socket is open") != "it rings" {}
    drop((here, there));
    for node in nodes {
        node.shutdown().await;
    }
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder")
}

fn write(folder: &Path, name: &str, text: &str) -> PathBuf {
    let file = folder.join(name);
    std::fs::write(&file, text).expect("the file can be written");
    file
}

#[tokio::test]
async fn a_token_lets_a_node_in() {
    let nats = NatsServers::start(1, "authorization { token: right }");
    works(&Nats::connect(nats.url()).token("right")).await;
    is_refused(Nats::connect(nats.url()).token("wrong"), "rejects the login of this node").await;
    is_refused(Nats::connect(nats.url()), "rejects the login of this node").await;
}

#[tokio::test]
async fn an_address_may_contain_the_login() {
    let nats = NatsServers::start(1, "authorization { user: \"dog@home\", password: \"r:/?#%, @ght\" }");
    let right = "dog%40home:r%3A%2F%3F%23%25%2C%20%40ght@";
    let address = |user: &str| nats.url().replace("nats://", &format!("nats://{user}"));
    works(&Nats::connect(address(right))).await;
    // One address with a login is enough: it is used for all servers.
    for addresses in [[address(""), address(right)], [address(right), address("")], [address(right), address(right)]] {
        works(&Nats::connect(addresses.join(","))).await;
    }
    works(&Nats::connect(address(right).replace("nats://", ""))).await;
    is_refused(Nats::connect(address("dog%40home:wrong@")), "rejects the login of this node").await;
    is_refused(Nats::connect(address("dog%40home@")), "rejects the login of this node").await;
    is_refused(Nats::connect(address(right)).user_and_password("dog@home", "r:/?#%, @ght"), "leave one of them out")
        .await;
    drop(nats);
    let nats = NatsServers::start(1, "authorization { token: \"r:ght\" }");
    works(&Nats::connect(nats.url().replace("nats://", "nats://r%3Aght@"))).await;
    is_refused(Nats::connect(nats.url().replace("nats://", "nats://wrong@")), "rejects the login of this node").await;
}

/// Searches the `trace` logs of nodes for passwords: of a node that joins, loses NATS and reconnects, and of nodes that
/// are rejected.
#[tokio::test]
async fn secrets_of_an_address_are_never_logged() {
    const SECRETS: [&str; 3] = ["s3cret", "4nother", "t0ken"];
    let folder = folder();
    let lease = Duration::from_secs(15);
    let log = |name: &str| std::fs::File::create(folder.path().join(name)).expect("the log can be created");
    let mut nats = NatsServers::start(1, "authorization { user: dog, password: s3cret }");
    let address = |user: &str| nats.url().replace("nats://", &format!("nats://{user}@"));
    let (right, wrong, token) = (address("dog:s3cret"), address("dog:4nother"), address("t0ken"));
    let node = Child::start_logging(&right, lease, log("in"));
    node.until_ready(true).await;
    Child::fails(&wrong, log("wrong"));
    Child::fails(&token, log("token"));
    Child::fails(&format!("{right},nats://dog:4nother"), log("no address"));
    nats.kill(0);
    node.until_ready(false).await;
    nats.restart(0);
    node.until_ready(true).await;
    node.terminate();
    for (name, says) in [
        ("in", "the connection to NATS is lost"),
        ("in", "write operation: CONNECT"),
        ("wrong", "rejects the login of this node"),
        ("token", "rejects the login of this node"),
        ("no address", "address 2 of 2 of NATS"),
    ] {
        let log = std::fs::read_to_string(folder.path().join(name)).expect("text");
        assert!(log.contains(says), "{name}: the log has no such line: {log}");
        for secret in SECRETS {
            let line = log.lines().find(|line| line.contains(secret));
            assert!(line.is_none(), "{name}: {}", line.unwrap_or_default());
        }
    }
}

/// Returns the TLS configuration of a server with a certificate of the authority.
fn tls(authority: &Authority) -> String {
    let [certificate, key] = authority.vouches_for("127.0.0.1");
    format!("tls {{ cert_file: {certificate:?}, key_file: {key:?}, timeout: 5 }}")
}

#[tokio::test]
async fn a_server_of_a_private_certificate_authority_is_trusted() {
    let ours = Authority::new();
    let nats = NatsServers::start(1, &tls(&ours));
    works(&Nats::connect(nats.url()).root_certificates(ours.root())).await;
    works(&Nats::connect(nats.url().replace("nats://", "tls://")).root_certificates(ours.root()).prefix("dog")).await;
    let theirs = Authority::new();
    is_refused(Nats::connect(nats.url()).root_certificates(theirs.root()), "cannot be reached").await;
    is_refused(Nats::connect(nats.url()), "cannot be reached").await;
}

#[tokio::test]
async fn a_server_that_asks_for_a_certificate_gets_one() {
    let [ours, theirs] = [(); 2].map(|()| Authority::new());
    let root = ours.root();
    let verifying = tls(&ours).replace("timeout: 5", &format!("ca_file: {root:?}, verify: true, timeout: 5"));
    let nats = NatsServers::start(1, &verifying);
    let [certificate, key] = ours.vouches_for("node");
    let trusting = || Nats::connect(nats.url().replace("nats://", "tls://")).root_certificates(root);
    works(&trusting().client_certificate(&certificate, &key)).await;
    is_refused(trusting(), "cannot be reached").await;
    let [forged, its_key] = theirs.vouches_for("node");
    is_refused(trusting().client_certificate(forged, its_key), "cannot be reached").await;
    let missing = ours.folder().join("none.pem");
    is_refused(trusting().client_certificate(&certificate, missing), "none.pem cannot be read").await;
}

#[tokio::test]
async fn a_server_without_tls_is_rejected_if_tls_is_required() {
    let nats = NatsServers::start(1, "");
    node(Nats::connect(nats.url())).await.shutdown().await;
    is_refused(Nats::connect(nats.url()).tls(), "cannot be reached").await;
}

/// An operator and an account with users, as `nsc` creates them.
struct Company {
    operator: KeyPair,
    system: KeyPair,
    account: KeyPair,
}

impl Company {
    fn new() -> Self {
        let [system, account] = [KeyPair::new_account(), KeyPair::new_account()];
        Self { operator: KeyPair::new_operator(), system, account }
    }

    /// Returns the configuration of a server that accepts users of the account.
    fn configuration(&self) -> String {
        let operator = json!({ "type": "operator", "version": 2, "system_account": self.system.public_key() });
        let limits = json!({
            "subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "wildcards": true, "conn": -1, "leaf": -1,
            "mem_storage": -1, "disk_storage": -1, "streams": -1, "consumer": -1,
        });
        let mut accounts = String::new();
        for (account, limits) in [(&self.system, json!({ "subs": -1, "conn": -1 })), (&self.account, limits)] {
            let claims = json!({ "type": "account", "version": 2, "limits": limits });
            let token = sign(&self.operator, account, &claims);
            accounts.push_str(&format!("{}: {token}\n", account.public_key()));
        }
        format!(
            "operator: {}\nsystem_account: {}\nresolver: MEMORY\nresolver_preload {{\n{accounts}}}",
            sign(&self.operator, &self.operator, &operator),
            self.system.public_key()
        )
    }

    /// Returns the credentials of a new user of the account.
    fn user(&self) -> String {
        let user = KeyPair::new_user();
        let claims = json!({ "type": "user", "version": 2, "subs": -1, "data": -1, "payload": -1 });
        let token = sign(&self.account, &user, &claims);
        let seed = user.seed().expect("the key has a seed");
        format!(
            "-----BEGIN NATS USER JWT-----\n{token}\n------END NATS USER JWT------\n\n\
             -----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
        )
    }
}

/// Returns a JWT in which the issuer makes claims about the subject.
fn sign(issuer: &KeyPair, subject: &KeyPair, says: &Value) -> String {
    let claims = json!({
        "jti": subject.public_key(), "iat": 1_700_000_000, "iss": issuer.public_key(), "name": "dog",
        "sub": subject.public_key(), "nats": says,
    });
    let head = json!({ "typ": "JWT", "alg": "ed25519-nkey" });
    let text = [head, claims].map(|part| BASE64_URL_SAFE_NO_PAD.encode(part.to_string())).join(".");
    let signature = issuer.sign(text.as_bytes()).expect("the key has a seed");
    format!("{text}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature))
}

#[tokio::test]
async fn credentials_let_a_node_in() {
    let (ours, theirs, folder) = (Company::new(), Company::new(), folder());
    let nats = NatsServers::start(1, &ours.configuration());
    let right = write(folder.path(), "right.creds", &ours.user());
    works(&Nats::connect(nats.url()).credentials_file(&right)).await;
    let wrong = write(folder.path(), "wrong.creds", &theirs.user());
    is_refused(Nats::connect(nats.url()).credentials_file(&wrong), "rejects the login of this node").await;
    let broken = write(folder.path(), "broken.creds", "nothing of use");
    is_refused(Nats::connect(nats.url()).credentials_file(&broken), "broken.creds cannot be used").await;
    is_refused(Nats::connect(nats.url()).credentials_file(folder.path().join("none")), "none cannot be used").await;
}

fn user(name: &str, publishes: &[&str], subscribes: &[&str]) -> String {
    format!("{{ user: {name}, password: right, permissions: {{ publish: {publishes:?}, subscribe: {subscribes:?} }} }}")
}

#[tokio::test]
async fn the_permissions_of_the_documentation_suffice_and_none_can_be_left_out() {
    let without = |all: &[&'static str], number: usize| -> Vec<&'static str> {
        let (before, after) = all.split_at(number);
        [before, &after[1..]].concat()
    };
    let fewer_to_publish = (0..PUBLISHES.len()).map(|number| (without(PUBLISHES, number), SUBSCRIBES.to_vec()));
    let fewer_to_hear = (0..SUBSCRIBES.len()).map(|number| (PUBLISHES.to_vec(), without(SUBSCRIBES, number)));
    let fewer: Vec<_> = fewer_to_publish.chain(fewer_to_hear).collect();
    let users = fewer
        .iter()
        .enumerate()
        .map(|(number, (publishes, subscribes))| user(&format!("fewer-{number}"), publishes, subscribes));
    let users: Vec<String> = users.chain([user("dog", PUBLISHES, SUBSCRIBES)]).collect();
    let nats = NatsServers::start(1, &format!("authorization {{ users: [ {} ] }}", users.join(", ")));
    works(&Nats::connect(nats.url()).user_and_password("dog", "right")).await;
    for number in 0..fewer.len() {
        let nats = Nats::connect(nats.url()).user_and_password(format!("fewer-{number}"), "right");
        is_refused(nats, "NATS denies a permission").await;
    }
}
