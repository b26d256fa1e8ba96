//! Publications while nodes and NATS servers are killed and cut off. Afterwards what each socket has received is compared with
//! the log: without a gap and without a double (promise 17), and a position has one publication (promise 18).

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use dog::{Position, ROOM};
use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::Message as Frame;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use crate::app::{DURABLE, PATIENCE};
use crate::scene::{SERVERS, Scene, host};

const LEASE: Duration = Duration::from_secs(5);

/// The room of each test: an own one per topic.
fn room(topic: &str) -> String {
    format!("published-{}", topic.len())
}

/// The time between two publications of a client.
const PACE: Duration = Duration::from_millis(20);

/// What one socket has received.
#[derive(Clone, Debug, Default)]
struct View {
    /// After which position it goes on. `None`: it began where the log was, or was told that something is lost.
    since: Option<Position>,
    /// The texts of publications.
    texts: Vec<String>,
    /// The code of its close.
    code: Option<u16>,
}

/// What clients have received and learned.
#[derive(Clone, Debug, Default)]
struct Seen {
    /// Those of its sockets, one after the other.
    views: Vec<View>,
    /// The positions of its own publications.
    positions: BTreeMap<String, Position>,
    /// The texts of those, in the order of the answers.
    answered: Vec<String>,
    /// How many were answered, with a position or without.
    published: usize,
    /// How many sockets went on where the one before was.
    resumed: usize,
    is_open: bool,
    /// Of its last socket.
    node: Option<SocketAddr>,
}

impl Seen {
    /// Where it has been: the last of its own publications that it has received. Another epoch may have begun before.
    fn newest(&self) -> Option<Position> {
        let received: BTreeSet<_> = self.views.iter().flat_map(|view| &view.texts).collect();
        let last = self.answered.iter().rev().find(|text| received.contains(text))?;
        self.positions.get(last).cloned()
    }

    fn view(&mut self) -> &mut View {
        self.views.last_mut().expect("a socket")
    }
}

/// A client that publishes numbers and follows those of all. It comes back through the next node.
struct Client {
    seen: watch::Receiver<Seen>,
    task: JoinHandle<()>,
}

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

async fn connect(entry: SocketAddr, name: &str, topic: &str, since: Option<&Position>) -> Option<Socket> {
    let since = since.map(|since| format!("&since={since}")).unwrap_or_default();
    let connecting = connect_async(format!("ws://{entry}/?room={}&u={name}&topic={topic}{since}", room(topic)));
    Some(tokio::time::timeout(Duration::from_secs(8), connecting).await.ok()?.ok()?.0)
}

impl Client {
    fn start(name: String, topic: &'static str, entries: Vec<SocketAddr>, stop: watch::Receiver<bool>) -> Self {
        let (tell, seen) = watch::channel(Seen::default());
        let task = tokio::spawn(live(name, topic, entries, stop, tell));
        Self { seen, task }
    }

    /// Waits until this holds for what it has seen.
    async fn until(&mut self, what: &str, holds: impl Fn(&Seen) -> bool) {
        let waited = tokio::time::timeout(PATIENCE, self.seen.wait_for(|seen| holds(seen))).await.is_ok();
        let of_view = |view: &View| (view.since.clone(), view.texts.len(), view.texts.first().cloned(), view.code);
        let views: Vec<_> = self.seen.borrow().views.iter().map(of_view).collect();
        assert!(waited, "{what}: {views:?}");
    }

    /// Waits until it has no socket at a node that has ended.
    async fn leaves(&mut self, node: SocketAddr) {
        self.until("stays at a node that has ended", |seen| seen.is_open && seen.node != Some(node)).await;
    }

    async fn publishes(&mut self, more: usize) {
        let wanted = self.seen.borrow().published + more;
        self.until("publications are no longer answered", |seen| seen.published >= wanted).await;
    }
}

async fn live(
    name: String,
    topic: &str,
    entries: Vec<SocketAddr>,
    stop: watch::Receiver<bool>,
    tell: watch::Sender<Seen>,
) {
    let mut number = 0;
    for entry in entries.iter().cycle() {
        let since = tell.borrow().newest();
        let Some(mut socket) = connect(*entry, &name, topic, since.as_ref()).await else {
            // Real clients also pause before they come again.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        tell.send_modify(|seen| {
            (seen.is_open, seen.node) = (false, Some(*entry));
            seen.views.push(View { since, ..View::default() });
        });
        let mut pace = tokio::time::interval(PACE);
        loop {
            tokio::select! {
                _ = pace.tick(), if !*stop.borrow() => {
                    number += 1;
                    if socket.send(Frame::text(format!("publish {name}-{number}"))).await.is_err() {
                        break;
                    }
                }
                frame = socket.next() => match frame {
                    Some(Ok(Frame::Text(text))) => tell.send_modify(|seen| hears(seen, &text)),
                    Some(Ok(Frame::Close(close))) => {
                        tell.send_modify(|seen| seen.view().code = close.map(|close| close.code.into()));
                        break;
                    }
                    Some(Ok(_)) => {}
                    Some(Err(_)) | None => break,
                },
            }
        }
        tell.send_modify(|seen| seen.is_open = false);
    }
}

fn hears(seen: &mut Seen, text: &str) {
    if let Some(publication) = text.strip_prefix("publication ") {
        seen.view().texts.push(publication.to_owned());
    } else if let Some((publication, position)) = text.strip_prefix("published ").and_then(|text| text.split_once(' '))
    {
        seen.published += 1;
        seen.positions.insert(publication.to_owned(), position.parse().expect("a position"));
        seen.answered.push(publication.to_owned());
    } else if text.starts_with("unknown ") {
        seen.published += 1;
    } else if text.starts_with("lost: ") {
        // What came before this is of the subscription to the room that each socket has.
        seen.view().since = None;
    } else if text == "resumed" || text == "subscribed" {
        seen.is_open = true;
        seen.resumed += usize::from(text == "resumed");
    }
}

/// What the log has, read through one node.
async fn log(entry: SocketAddr, topic: &str) -> Vec<(Position, String)> {
    let reading = async {
        loop {
            // A node that takes over may close the first socket.
            if let Some(lines) = read_log(entry, topic).await {
                return lines;
            }
        }
    };
    let lines = tokio::time::timeout(PATIENCE, reading).await.expect("an answer");
    let line = |line: &str| line.split_once(' ').map(|(at, text)| (at.parse().expect("a position"), text.to_owned()));
    lines.lines().filter_map(line).collect()
}

/// `EPOCH:OFFSET TEXT` per line.
async fn read_log(entry: SocketAddr, topic: &str) -> Option<String> {
    let mut socket = connect(entry, "wide-reader", topic, None).await?;
    socket.send(Frame::text("log")).await.ok()?;
    loop {
        if let Frame::Text(text) = socket.next().await?.ok()?
            && let Some(lines) = text.strip_prefix("log\n")
        {
            return Some(lines.to_owned());
        }
    }
}

/// The known positions of publications. None has two, and no two have the same.
fn positions(clients: &[Seen], log: &[(Position, String)]) -> BTreeMap<String, Position> {
    let (mut all, mut taken) = (BTreeMap::new(), BTreeMap::new());
    let answered = clients.iter().flat_map(|seen| seen.positions.iter().map(|(text, at)| (text.clone(), at.clone())));
    for (text, at) in answered.chain(log.iter().map(|(at, text)| (text.clone(), at.clone()))) {
        let other = taken.insert(at.to_string(), text.clone());
        assert!(other.as_ref().is_none_or(|other| *other == text), "{at} is of {other:?} and {text}");
        let before = all.insert(text.clone(), at.clone());
        assert!(before.as_ref().is_none_or(|before| *before == at), "{text} is at {before:?} and {at}");
    }
    all
}

/// Each view is a run of one log, without gap and double, and begins where the client was. A socket that is told of a loss (1013)
/// may show another run before.
fn check_view(view: &View, positions: &BTreeMap<String, Position>) {
    let mut last = view.since.as_ref().map(|since| (0_usize, since));
    for (number, text) in (1..).zip(&view.texts) {
        let Some(at) = positions.get(text) else { continue };
        if let Some((before, position)) = last {
            let apart = (number - before) as u64;
            let follows = position.epoch() == at.epoch() && position.offset() + apart == at.offset();
            assert!(
                follows || view.code == Some(1013),
                "{text} at {at} comes {apart} after {position}: {:?}",
                &view.texts[before..number]
            );
        }
        last = Some((number, at));
    }
    let once: BTreeSet<_> = view.texts.iter().collect();
    assert_eq!(once.len(), view.texts.len(), "something came twice");
}

async fn ends(clients: Vec<Client>, stop: &watch::Sender<bool>) -> Vec<Seen> {
    stop.send_replace(true);
    let mut all = Vec::new();
    for client in clients {
        client.task.abort();
        all.push(client.seen.borrow().clone());
    }
    all
}

/// Waits until each client is connected and has received what each publishes from now on.
async fn all_hear_all(clients: &mut [Client]) {
    for client in &mut *clients {
        client.until("not connected again", |seen| seen.is_open).await;
    }
    for publisher in 0..clients.len() {
        let before = clients[publisher].seen.borrow().answered.len();
        clients[publisher].until("not published", |seen| seen.answered.len() > before + 1).await;
        let text = clients[publisher].seen.borrow().answered.last().cloned().expect("a publication");
        for client in &mut *clients {
            let has = |seen: &Seen| seen.views.iter().any(|view| view.texts.contains(&text));
            client.until(&format!("{text} does not come"), has).await;
        }
    }
}

/// Clients of three nodes publish and follow while the network of one is cut, one NATS server ends and comes back, and one node
/// ends.
async fn through_kills_and_cuts(topic: &'static str) {
    let mut scene = Scene::start(LEASE);
    let entries = scene.entries();
    let (stop, stops) = watch::channel(false);
    let mut clients = Vec::new();
    for number in 0..entries.len() {
        // A client comes back through another node. The first one has brought the Group to its node.
        let all = entries.iter().copied().cycle().skip(number).take(3).collect();
        let mut client = Client::start(format!("wide-{number}"), topic, all, stops.clone());
        client.until("not connected", |seen| seen.is_open).await;
        client.publishes(10).await;
        clients.push(client);
    }
    all_hear_all(&mut clients).await;
    // What is on the way to that node and from it is lost. Its sockets stay.
    let others = [SERVERS[0], SERVERS[1], SERVERS[2], host(0), host(2)];
    scene.network.cut(&[host(1)], &others);
    clients[0].publishes(50).await;
    scene.network.heal(&[host(1)], &others);
    all_hear_all(&mut clients).await;
    scene.nats.kill(2);
    clients[0].publishes(20).await;
    scene.nats.restart(2);
    scene.nodes[2].kill();
    for client in &mut clients {
        client.leaves(entries[2]).await;
    }
    all_hear_all(&mut clients).await;
    if topic == DURABLE {
        // The node of the Group.
        scene.nodes[0].kill();
        for client in &mut clients {
            client.leaves(entries[0]).await;
        }
        all_hear_all(&mut clients).await;
    }
    // All that a client has received is in the log by now.
    let seen = ends(clients, &stop).await;
    check(topic, &seen, &log(entries[1], topic).await);
}

fn check(topic: &str, seen: &[Seen], log: &[(Position, String)]) {
    let positions = positions(seen, log);
    let views = || seen.iter().flat_map(|seen| &seen.views);
    for view in views() {
        check_view(view, &positions);
    }
    let epochs: BTreeSet<_> = positions.values().map(|at| at.epoch().to_string()).collect();
    if topic == DURABLE {
        assert_eq!(epochs.len(), 1, "a durable log goes on");
        let there: BTreeSet<_> = log.iter().map(|(_, text)| text).collect();
        let lost = seen.iter().flat_map(|seen| seen.positions.keys()).find(|text| !there.contains(text));
        assert!(lost.is_none(), "acknowledged, and not in the log: {lost:?}");
        let unknown = views().flat_map(|view| &view.texts).find(|text| !there.contains(text));
        assert!(unknown.is_none(), "received, and not in the log: {unknown:?}");
    }
    println!(
        "cluster: publications through a cut, the end of nodes and of a NATS server, {}: {} in the log, {} epoch(s), {} received by \
         {} sockets, of which {} went on where the client was, without a gap or a double",
        if topic == DURABLE { "durable" } else { "in memory" },
        log.len(),
        epochs.len(),
        views().map(|view| view.texts.len()).sum::<usize>(),
        views().count(),
        seen.iter().map(|seen| seen.resumed).sum::<usize>(),
    );
}

#[tokio::test]
async fn subscribers_have_what_the_log_in_memory_has_through_kills_and_cuts() {
    through_kills_and_cuts(ROOM).await;
}

#[tokio::test]
async fn subscribers_have_what_the_durable_log_has_through_kills_and_cuts() {
    through_kills_and_cuts(DURABLE).await;
}
