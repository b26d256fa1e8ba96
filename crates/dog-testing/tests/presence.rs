//! Presence in the test kit: what is told of clients that come, go and come back, what it costs, and what it outlives.

use std::time::Duration;

use dog::{
    ClientId, CloseCode, Context, Group, GroupContext, Limit, Message, Policy, Presence, PresenceChange, PresenceNews,
    Replica, Request, Response, Result, Socket,
};
use dog_test_support::app::{House, MAIN};
use dog_testing::{Builder, ClientSocket, Cluster};

/// Whether the Replicas want to know who is there, and whether the Group has a presence at all.
trait Kind: 'static {
    const NAME: &'static str;
    const HAS_PRESENCE: bool = true;
    const FOLLOWS: bool;
}

enum Following {}
impl Kind for Following {
    const NAME: &'static str = "following";
    const FOLLOWS: bool = true;
}

enum Quiet {}
impl Kind for Quiet {
    const NAME: &'static str = "quiet";
    const FOLLOWS: bool = false;
}

enum Without {}
impl Kind for Without {
    const NAME: &'static str = "without";
    const HAS_PRESENCE: bool = false;
    const FOLLOWS: bool = true;
}

struct Hall<K>(std::marker::PhantomData<K>);

impl<K: Kind> Group for Hall<K> {
    type Replica = Room<K>;
    type Call = ();
    type Reply = ();
    const NAME: &'static str = K::NAME;

    async fn activate(_: &GroupContext) -> Result<Self> {
        Ok(Self(std::marker::PhantomData))
    }

    fn limit(&self) -> Limit {
        Limit::new(1)
    }

    fn policy(&self) -> Policy {
        Policy { presence: K::HAS_PRESENCE.then(Presence::default), ..Policy::default() }
    }

    async fn on_arrive(&self, cx: &GroupContext, client: &ClientId) -> Result {
        Ok(cx.broadcast(format!("hook +{client}"))?)
    }

    async fn on_leave(&self, cx: &GroupContext, client: &ClientId) -> Result {
        Ok(cx.broadcast(format!("hook -{client}"))?)
    }

    async fn on_presence_reset(&self, cx: &GroupContext) -> Result {
        let counts = cx.presence_counts().await?;
        Ok(cx.broadcast(format!("hook reset {}", counts.clients))?)
    }
}

struct Room<K>(std::marker::PhantomData<K>);

impl<K: Kind> Replica for Room<K> {
    type Group = Hall<K>;
    type Gossip = ();
    type Answer = ();
    const FOLLOWS_PRESENCE: bool = K::FOLLOWS;

    async fn activate(_: &Context<Self>) -> Result<Self> {
        Ok(Self(std::marker::PhantomData))
    }

    async fn receive(&self, cx: &Context<Self>, request: Request) -> Result<Response> {
        Ok(cx.connect(request))
    }

    /// Closes the socket as a server does that shuts down, or sets the text as its value, or says why it cannot.
    async fn on_message(&self, _: &Context<Self>, socket: &Socket, message: Message) -> Result {
        if message.as_text() == Some("restart") {
            socket.close(CloseCode::RESTARTING, "");
            return Ok(());
        }
        match socket.set_presence(&message.as_text()) {
            Ok(()) => Ok(()),
            Err(error) if error.is_too_large() => Ok(socket.send("too large")?),
            Err(error) if error.is_no_presence() => Ok(socket.send("no presence")?),
            Err(error) => Err(error.into()),
        }
    }

    async fn on_presence(&self, cx: &Context<Self>, news: PresenceNews) -> Result {
        let PresenceNews::Changed { changes, .. } = news else {
            let page = cx.presence(None, 100).await?;
            let clients: Vec<_> = page.clients.iter().map(|present| present.client.as_str()).collect();
            return Ok(cx.emit(format!("reset {}", clients.join(",")))?);
        };
        for change in changes {
            let client = change.client();
            cx.emit(match &change {
                PresenceChange::Arrived { .. } => format!("+{client}"),
                PresenceChange::Opened { .. } => format!("{client} opens"),
                PresenceChange::Updated { .. } => format!("{client} is {:?}", change.value::<String>()?),
                PresenceChange::Closed { .. } => format!("{client} closes"),
                PresenceChange::Left { .. } => format!("-{client}"),
            })?;
        }
        Ok(())
    }
}

fn builder<K: Kind>() -> Builder<House<Hall<K>>> {
    Cluster::builder(House::new())
}

/// Long enough for a tick, and far shorter than the grace time.
const SOON: Duration = Duration::from_millis(500);

/// In this time the Group has asked each of its Replicas whether it is alive.
const LIVENESS: Duration = Duration::from_secs(60);

const GRACE: Duration = Duration::from_secs(5);

fn connect(cluster: &Cluster, client: &str) -> ClientSocket {
    let socket = cluster.connect(&format!("/ws?u={client}"));
    cluster.advance(SOON);
    socket
}

/// What a socket has received from its Replica, or from the Group.
fn told(socket: &ClientSocket, by_hook: bool) -> Vec<String> {
    let all = socket.received_texts();
    all.into_iter().filter(|text| text.starts_with("hook") == by_hook).collect()
}

/// A socket that sees what is told, and has seen itself arrive.
fn watch<K: Kind>(cluster: &Cluster) -> ClientSocket {
    let watcher = connect(cluster, "watcher");
    cluster.advance(SOON);
    let _ = watcher.received_texts();
    watcher
}

/// Who is there after these lines, of which the first is a reset.
fn there(lines: &[String]) -> Vec<String> {
    assert!(lines[0].starts_with("reset"), "{lines:?}");
    let mut there = Vec::new();
    for line in lines {
        if let Some(clients) = line.strip_prefix("reset ") {
            there = clients.split(',').filter(|client| !client.is_empty()).map(ToOwned::to_owned).collect();
        } else if let Some(client) = line.strip_prefix('+') {
            there.push(client.to_owned());
        } else if let Some(client) = line.strip_prefix('-') {
            there.retain(|known| known != client);
        }
    }
    there
}

fn clients<K: Kind>(cluster: &Cluster) -> Vec<(String, u32)> {
    let page = cluster.wait_for(cluster.group::<Hall<K>>(MAIN).clients(None, 100)).expect("an answer");
    page.clients.into_iter().map(|(client, sockets)| (client.to_string(), sockets)).collect()
}

#[test]
fn a_client_arrives_once_and_leaves_once_however_often_it_reloads() {
    let cluster = builder::<Following>().start();
    let watcher = watch::<Following>(&cluster);
    let ann = connect(&cluster, "ann");
    assert_eq!(watcher.received_texts(), ["+ann", "ann opens", "hook +ann"]);
    ann.close();
    cluster.advance(SOON);
    let ann = connect(&cluster, "ann");
    let second = connect(&cluster, "ann");
    assert_eq!(watcher.received_texts(), ["ann closes", "ann opens", "ann opens"]);
    [ann, second].iter().for_each(ClientSocket::close);
    cluster.advance(GRACE - SOON);
    assert_eq!(watcher.received_texts(), ["ann closes", "ann closes"]);
    assert_eq!(clients::<Following>(&cluster), [("ann".into(), 0), ("watcher".into(), 1)]);
    cluster.advance(SOON * 2);
    assert_eq!(watcher.received_texts(), ["-ann", "hook -ann"]);
    assert_eq!(clients::<Following>(&cluster), [("watcher".into(), 1)]);
}

#[test]
fn one_that_begins_to_follow_is_told_who_is_there() {
    let cluster = builder::<Following>().start();
    let ann = connect(&cluster, "ann");
    cluster.advance(SOON);
    assert_eq!(there(&told(&ann, false)), ["ann"]);
    let bob = connect(&cluster, "bob");
    cluster.advance(SOON);
    assert_eq!(there(&told(&bob, false)), ["ann", "bob"]);
    assert_eq!(told(&ann, false), ["+bob", "bob opens"]);
}

#[test]
fn a_value_is_shown_and_one_over_1_kib_changes_nothing() {
    let cluster = builder::<Following>().start();
    let watcher = watch::<Following>(&cluster);
    let ann = connect(&cluster, "ann");
    ann.send("typing");
    cluster.advance(SOON);
    ann.send("x".repeat(1024));
    cluster.advance(SOON);
    assert!(ann.received_texts().contains(&"too large".to_owned()));
    assert_eq!(told(&watcher, false), ["+ann", "ann opens", r#"ann is Some("typing")"#]);
    let page = cluster.wait_for(cluster.group::<Hall<Following>>(MAIN).presence(None, 100)).unwrap();
    let values = page.clients[0].connections.iter().map(|connection| connection.value::<String>().unwrap());
    assert_eq!(values.collect::<Vec<_>>(), [Some("typing".to_owned())]);
}

#[test]
fn pages_have_everybody_once() {
    let cluster = builder::<Quiet>().start();
    let sockets: Vec<_> = (0..7).map(|number| connect(&cluster, &format!("u{number}"))).collect();
    let group = cluster.group::<Hall<Quiet>>(MAIN);
    let (mut read, mut after) = (Vec::new(), None);
    loop {
        let page = cluster.wait_for(group.presence(after.as_ref(), 4)).unwrap();
        read.extend(page.clients.into_iter().filter(|present| !present.connections.is_empty()));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    let names: Vec<_> = read.iter().map(|present| (present.client.as_str(), present.connections.len())).collect();
    assert_eq!(names, [("u0", 1), ("u1", 1), ("u2", 1), ("u3", 1), ("u4", 1), ("u5", 1), ("u6", 1)]);
    let counts = cluster.wait_for(group.presence_counts()).unwrap();
    assert_eq!((counts.clients, counts.connections), (sockets.len(), sockets.len()));
}

#[test]
fn one_who_is_disconnected_leaves_at_once_also_in_its_grace_time() {
    let cluster = builder::<Following>().start();
    let watcher = watch::<Following>(&cluster);
    let (ann, bob) = (connect(&cluster, "ann"), connect(&cluster, "bob"));
    bob.close();
    cluster.advance(SOON);
    let _ = watcher.received_texts();
    for client in ["ann", "bob"] {
        let client = ClientId::new(client).unwrap();
        let group = cluster.group::<Hall<Following>>(MAIN);
        cluster.wait_for(group.disconnect(&client, CloseCode::POLICY, "removed")).unwrap();
        cluster.advance(SOON);
    }
    assert_eq!(told(&watcher, false), ["ann closes", "-ann", "-bob"]);
    assert!(!ann.is_open());
}

#[test]
fn a_life_of_the_group_goes_on_where_the_one_before_it_was() {
    let cluster = builder::<Following>().start();
    let watcher = watch::<Following>(&cluster);
    let (_ann, bob) = (connect(&cluster, "ann"), connect(&cluster, "bob"));
    let _ = watcher.received_texts();
    let version = |cluster: &Cluster| {
        let page = cluster.wait_for(cluster.group::<Hall<Following>>(MAIN).presence(None, 1)).unwrap();
        page.version.unwrap()
    };
    let before = version(&cluster);
    assert!(cluster.restart_group::<Hall<Following>>(MAIN));
    bob.close();
    let after = version(&cluster);
    assert!(after.life > before.life && after.epoch == before.epoch && after.number >= before.number);
    cluster.advance(GRACE + SOON * 2);
    assert_eq!(watcher.received_texts(), ["bob closes", "-bob", "hook -bob"]);
}

#[test]
fn if_nobody_knows_what_was_told_a_presence_begins_again() {
    let cluster = builder::<Quiet>().start();
    let watcher = watch::<Quiet>(&cluster);
    let _ann = connect(&cluster, "ann");
    assert_eq!(watcher.received_texts(), ["hook +ann"]);
    assert!(cluster.restart_group::<Hall<Quiet>>(MAIN));
    let counts = cluster.wait_for(cluster.group::<Hall<Quiet>>(MAIN).presence_counts()).unwrap();
    assert_eq!(counts.clients, 2);
    cluster.advance(GRACE);
    assert_eq!(watcher.received_texts(), ["hook reset 2"]);
}

#[test]
fn the_clients_of_a_replica_that_has_crashed_leave_after_their_grace_time() {
    let cluster = builder::<Following>().nodes(3).start();
    let watcher = watch::<Following>(&cluster);
    let ann = connect(&cluster, "ann");
    let _ = watcher.received_texts();
    assert!(cluster.crash_replica(ann.replica()));
    cluster.advance(LIVENESS);
    assert_eq!(told(&watcher, false), ["ann closes", "-ann"]);
}

#[test]
fn a_client_whose_server_shuts_down_has_the_time_of_the_shutdown_and_10_s() {
    let cluster = builder::<Following>().start();
    let watcher = watch::<Following>(&cluster);
    let ann = connect(&cluster, "ann");
    let _ = watcher.received_texts();
    ann.send("restart");
    cluster.advance(Duration::from_secs(19));
    assert_eq!(watcher.received_texts(), ["ann closes"]);
    cluster.advance(Duration::from_secs(2));
    assert_eq!(watcher.received_texts(), ["-ann", "hook -ann"]);
}

#[test]
fn what_is_lost_on_the_way_is_fetched() {
    let cluster = builder::<Following>().start();
    let watcher = watch::<Following>(&cluster);
    cluster.cut_off_replica(watcher.replica());
    let _ann = connect(&cluster, "ann");
    assert_eq!(told(&watcher, false), [""; 0]);
    cluster.heal();
    cluster.advance(SOON * 2);
    assert_eq!(told(&watcher, false), ["+ann", "ann opens"]);
}

#[test]
fn values_and_names_outlive_hibernation_and_a_value_that_comes_back_is_told_everything() {
    let cluster = builder::<Following>().hibernate_after(Duration::from_secs(1)).start();
    let watcher = watch::<Following>(&cluster);
    watcher.send("typing");
    cluster.advance(Duration::from_secs(10));
    assert!(!cluster.is_awake(watcher.replica()));
    let _ = watcher.received_texts();
    let _ann = connect(&cluster, "ann");
    assert_eq!(told(&watcher, false), ["reset ann,watcher"]);
    let page = cluster.wait_for(cluster.group::<Hall<Following>>(MAIN).presence(None, 100)).unwrap();
    assert_eq!(page.clients[1].connections[0].value::<String>().unwrap().as_deref(), Some("typing"));
}

#[test]
fn a_replica_that_does_not_follow_is_told_nothing_and_not_woken() {
    let cluster = builder::<Quiet>().hibernate_after(Duration::from_secs(1)).count_traffic().start();
    let quiet = cluster.connect("/ws?u=quiet");
    cluster.advance(Duration::from_secs(20));
    assert!(!cluster.is_awake(quiet.replica()));
    let _ = cluster.take_traffic();
    let _ann = connect(&cluster, "ann");
    let names = cluster.take_traffic();
    assert!(format!("{names:?}").contains("Report of connections"), "{names:?}");
    assert!(!format!("{names:?}").contains("\"Presence\""), "{names:?}");
    assert!(!cluster.is_awake(quiet.replica()));
}

#[test]
fn a_group_without_presence_sends_nothing_for_it() {
    let cluster = builder::<Without>().count_traffic().start();
    let watcher = watch::<Without>(&cluster);
    let ann = connect(&cluster, "ann");
    ann.send("typing");
    cluster.advance(SOON);
    assert_eq!(ann.received_texts(), ["no presence"]);
    ann.close();
    cluster.advance(GRACE * 2);
    assert_eq!(watcher.received_texts(), [""; 0]);
    let traffic = format!("{:?}", cluster.take_traffic());
    assert!(!traffic.contains("connections") && !traffic.to_lowercase().contains("presence"), "{traffic}");
    let error = cluster.wait_for(cluster.group::<Hall<Without>>(MAIN).presence_counts()).unwrap_err();
    assert!(error.is_no_presence(), "{error}");
}

#[test]
fn a_group_that_does_not_exist_has_nobody_and_is_not_made() {
    let cluster = builder::<Quiet>().start();
    let page = cluster.wait_for(cluster.group::<Hall<Quiet>>("nowhere").presence(None, 10)).unwrap();
    assert_eq!((page.version, page.clients.len()), (None, 0));
    assert!(!cluster.is_group_awake::<Hall<Quiet>>("nowhere"));
}
