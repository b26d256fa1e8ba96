//! What a Group does without its own code: from the App, and from its own handlers.

use std::cell::Cell;
use std::time::Duration;

use dog::http::StatusCode;
use dog::{
    App, ClientId, CloseCode, Context, Dog, Env, Error, Failure, Group, GroupContext, GroupHandle, Limit, Message,
    Replica, Request, Response, Result, Socket, To, query_param, text_response,
};
use dog_testing::{ClientSocket, Cluster};

const HALL: &str = "hall";

struct House;

/// What `Hall::activate` does from now on.
#[derive(Default)]
struct Activation {
    fails: Cell<bool>,
    hangs: Cell<bool>,
}

thread_local! {
    static ACTIVATION: Activation = Activation::default();
}

impl App for House {
    type Groups = (Hall,);

    async fn fetch(&self, request: Request, dog: &Dog<Self>) -> Result<Response> {
        let named = query_param(&request, "group").unwrap_or_else(|| HALL.to_owned());
        let hall = dog.group::<Hall>(&named);
        let path = request.uri().path().to_owned();
        match path.strip_prefix("/app/") {
            Some(verb) => answer(of_app(&hall, verb, &request).await),
            None if path.starts_with("/own/") => Ok(hall.fetch(request).await?),
            None => {
                let client = ClientId::new(query_param(&request, "u").unwrap_or_default())?;
                Ok(hall.identify(&client).await?.fetch(request).await?)
            }
        }
    }
}

fn answer(outcome: Result<String, Error>) -> Result<Response> {
    Ok(text_response(StatusCode::OK, outcome?))
}

fn param(request: &Request, name: &str) -> String {
    query_param(request, name).unwrap_or_default()
}

/// The verbs of an App and of a Group have the same names and types.
macro_rules! perform {
    ($group:expr, $verb:expr, $request:expr, $gossip:expr) => {{
        let (client, text) = (ClientId::new(param($request, "u")), param($request, "text"));
        match $verb {
            "cast" => $group.broadcast(text).map(|()| "cast".to_owned()),
            "announce" => $group.broadcast_confirmed(text).await.map(|report| reached(&report)),
            "whisper" => $group.whisper(&client?, text).await.map(|report| reached(&report)),
            "kick" => {
                let code = CloseCode::new(4003).unwrap_or(CloseCode::POLICY);
                $group.disconnect(&client?, code, "removed").await.map(|report| reached(&report))
            }
            "clients" => {
                let after = client.ok();
                let page = $group.clients(after.as_ref(), param($request, "limit").parse().unwrap_or(9)).await?;
                let clients: Vec<String> =
                    page.clients.iter().map(|(who, sockets)| format!("{who}:{sockets}")).collect();
                Ok(format!("{} next {:?} missing {}", clients.join(" "), page.next, page.missing.len()))
            }
            "count" => {
                let count = $group.count().await?;
                Ok(format!("{} {} missing {}", count.clients, count.sockets, count.missing.len()))
            }
            _ => {
                let replies = $gossip.await?;
                let left_out = replies.parked.as_ref().map_or(0, Vec::len);
                Ok(format!(
                    "{} answered, {} missing, {left_out} left out",
                    replies.answers.len(),
                    replies.missing.len()
                ))
            }
        }
    }};
}

fn reached(report: &dog::BroadcastReport) -> String {
    format!("{} missing {}", report.sockets, report.missing.len())
}

async fn of_app(hall: &GroupHandle<Hall>, verb: &str, request: &Request) -> Result<String, Error> {
    perform!(hall, verb, request, hall.gossip(&()))
}

struct Hall {
    limit: Limit,
}

impl Group for Hall {
    type Replica = Room;
    type Call = ();
    type Reply = ();
    const NAME: &'static str = "hall";

    async fn activate(cx: &GroupContext) -> Result<Self> {
        if ACTIVATION.with(|activation| activation.hangs.get()) {
            std::future::pending::<()>().await;
        }
        if ACTIVATION.with(|activation| activation.fails.get()) {
            return Err(Failure::new("not now"));
        }
        Ok(Self { limit: cx.env().get().copied().unwrap_or(Limit::new(2)) })
    }

    fn limit(&self) -> Limit {
        self.limit
    }

    async fn receive(&self, cx: &GroupContext, request: Request) -> Result<Response> {
        let verb = request.uri().path().trim_start_matches("/own/").to_owned();
        if verb == "many" {
            for number in 0..50 {
                cx.broadcast(format!("{number}"))?;
                if number % 10 == 0 {
                    cx.broadcast_confirmed(format!("{number} confirmed")).await?;
                }
            }
        }
        let outcome: Result<String, Error> =
            async { perform!(cx, verb.as_str(), &request, cx.gossip::<Room>(&())) }.await;
        answer(outcome)
    }
}

struct Room;

impl Replica for Room {
    type Group = Hall;
    type Gossip = ();
    type Answer = usize;

    async fn activate(_: &Context<Self>) -> Result<Self> {
        Ok(Self)
    }

    async fn receive(&self, cx: &Context<Self>, request: Request) -> Result<Response> {
        match request.uri().path() {
            "/never" => std::future::pending().await,
            _ => Ok(cx.connect(request)),
        }
    }

    async fn on_message(&self, cx: &Context<Self>, socket: &Socket, message: Message) -> Result {
        let Some(name) = message.as_text() else { return Ok(()) };
        let report = cx.disconnect(&ClientId::new(name)?, CloseCode::POLICY, "by a client").await?;
        Ok(socket.send(reached(&report))?)
    }

    async fn on_close(&self, _: &Context<Self>, socket: &Socket, close: &dog::Close) -> Result {
        Ok(socket.broadcast(format!("{} closed with {}", socket.client(), close.code()), To::Others)?)
    }

    async fn on_gossip(&self, cx: &Context<Self>, (): ()) -> Result<usize> {
        Ok(cx.sockets().count())
    }
}

fn house(seats: u32) -> Cluster {
    ACTIVATION.with(|activation| {
        activation.fails.set(false);
        activation.hangs.set(false);
    });
    Cluster::builder(House).env(Env::new().with(Limit::new(seats))).start()
}

fn ask(cluster: &Cluster, path: &str) -> String {
    let response = cluster.get(path);
    let status = response.status();
    let text = cluster.read_text(response);
    cluster.run();
    if status == StatusCode::OK { text } else { format!("{status}: {text}") }
}

fn enter<const N: usize>(cluster: &Cluster, names: [&str; N]) -> [ClientSocket; N] {
    names.map(|name| cluster.connect(&format!("/ws?u={name}")))
}

#[test]
fn verbs_of_a_group_reach_every_socket_on_every_replica() {
    let cluster = house(1);
    let sockets = enter(&cluster, ["ann", "bob", "ann"]);
    for from in ["app", "own"] {
        assert_eq!(ask(&cluster, &format!("/{from}/announce?text=hello")), "3 missing 0");
        assert_eq!(ask(&cluster, &format!("/{from}/cast?text=again")), "cast");
        assert_eq!(ask(&cluster, &format!("/{from}/whisper?u=ann&text=psst")), "2 missing 0");
        assert_eq!(ask(&cluster, &format!("/{from}/whisper?u=nobody&text=psst")), "0 missing 0");
        let heard = sockets.each_ref().map(ClientSocket::received_texts);
        assert_eq!(heard, [vec!["hello", "again", "psst"], vec!["hello", "again"], vec!["hello", "again", "psst"]]);
        assert_eq!(ask(&cluster, &format!("/{from}/gossip")), "3 answered, 0 missing, 0 left out");
    }
    assert_eq!(cluster.members::<Hall>(HALL).unwrap().len(), 3, "no verb has created a Replica");
}

#[test]
fn clients_are_counted_by_their_sockets_and_read_in_pages() {
    let cluster = house(2);
    let request = dog::http::Request::get("/never?u=ann").body(dog::Body::empty()).unwrap();
    let pending = cluster.begin(request);
    cluster.run();
    assert_eq!(ask(&cluster, "/app/count"), "0 0 missing 0", "a request is no socket");
    assert_eq!(ask(&cluster, "/app/clients"), " next None missing 0");
    drop(pending);
    let sockets = enter(&cluster, ["cid", "ann", "bob", "ann"]);
    assert_eq!(ask(&cluster, "/app/count"), "3 4 missing 0");
    assert_eq!(ask(&cluster, "/own/clients"), "ann:2 bob:1 cid:1 next None missing 0");
    assert_eq!(ask(&cluster, "/app/clients?limit=2"), "ann:2 bob:1 next Some(\"bob\") missing 0");
    assert_eq!(ask(&cluster, "/app/clients?limit=2&u=bob"), "cid:1 next None missing 0");
    assert_eq!(ask(&cluster, "/app/clients?limit=0&u=a"), "ann:2 next Some(\"ann\") missing 0");
    sockets[1].close();
    cluster.run();
    assert_eq!(ask(&cluster, "/app/clients"), "ann:1 bob:1 cid:1 next None missing 0");
}

#[test]
fn disconnect_closes_the_sockets_of_a_client_everywhere_and_counts_them() {
    let cluster = house(1);
    let [one, bob, two] = enter(&cluster, ["ann", "bob", "ann"]);
    assert_eq!(ask(&cluster, "/app/announce?text=last"), "3 missing 0");
    assert_eq!(ask(&cluster, "/app/kick?u=ann"), "2 missing 0");
    for closed in [&one, &two] {
        assert_eq!(closed.received_texts()[0], "last");
        let close = closed.closed().unwrap();
        assert_eq!((close.code().as_u16(), close.reason()), (4003, "removed"));
    }
    assert_eq!(bob.received_texts(), ["last", "ann closed with 4003", "ann closed with 4003"]);
    assert_eq!(ask(&cluster, "/app/kick?u=ann"), "0 missing 0");
    assert_eq!(ask(&cluster, "/own/count"), "1 1 missing 0");
    let [ann] = enter(&cluster, ["ann"]);
    bob.send("ann");
    cluster.run();
    assert!(bob.received_texts().contains(&"1 missing 0".to_owned()) && !ann.is_open());
}

#[test]
fn a_verb_to_a_group_that_does_not_exist_leaves_nothing() {
    let cluster = house(2);
    let (objects, entries) = (cluster.objects_in_memory(), cluster.entries_on_disk());
    for (verb, answered) in [
        ("announce?text=x", "0 missing 0"),
        ("cast?text=x", "cast"),
        ("whisper?u=ann&text=x", "0 missing 0"),
        ("kick?u=ann", "0 missing 0"),
        ("clients", " next None missing 0"),
        ("count", "0 0 missing 0"),
        ("gossip", "0 answered, 0 missing, 0 left out"),
    ] {
        assert_eq!(ask(&cluster, &format!("/app/{verb}")), answered);
        assert_eq!((cluster.objects_in_memory(), cluster.entries_on_disk()), (objects, entries), "after {verb}");
    }
}

/// The members and the census are enough. The value is made when a client needs a seat.
#[test]
fn verbs_work_while_activate_fails_or_hangs() {
    for hangs in [false, true] {
        let cluster = house(1);
        let [ann, bob] = enter(&cluster, ["ann", "bob"]);
        ACTIVATION.with(|activation| if hangs { activation.hangs.set(true) } else { activation.fails.set(true) });
        assert!(cluster.restart_group::<Hall>(HALL));
        // Someone else needs the value.
        let waits = cluster.begin(dog::http::Request::get("/own/count").body(dog::Body::empty()).unwrap());
        assert_eq!(ask(&cluster, "/app/announce?text=hello"), "2 missing 0");
        assert_eq!((ann.received_texts(), bob.received_texts()), (vec!["hello".to_owned()], vec!["hello".to_owned()]));
        assert_eq!(ask(&cluster, "/app/clients"), "ann:1 bob:1 next None missing 0");
        assert_eq!(ask(&cluster, "/app/kick?u=bob"), "1 missing 0");
        assert!(!bob.is_open());
        cluster.advance(Duration::from_secs(15));
        assert!(matches!(waits.answer(), Some(Err(response)) if response.status().is_server_error()));
        ACTIVATION.with(|activation| {
            activation.hangs.set(false);
            activation.fails.set(false);
        });
        // The attempt that hangs is given up.
        cluster.advance(Duration::from_secs(11));
        let [_cid] = enter(&cluster, ["cid"]);
        assert_eq!(ask(&cluster, "/app/announce?text=again"), "2 missing 0");
        assert_eq!(ann.received_texts().last().map(String::as_str), Some("again"));
        // Reports that nobody took meanwhile are repeated after a second.
        cluster.advance(Duration::from_secs(1));
        assert_eq!(ask(&cluster, "/app/clients"), "ann:1 cid:1 next None missing 0");
        drop(cluster.failures());
    }
}

#[test]
fn after_a_restart_verbs_wait_for_the_census_and_name_the_members_that_were_not_heard() {
    let cluster = house(1);
    let [ann, bob, cid] = enter(&cluster, ["ann", "bob", "cid"]);
    cluster.cut_off_replica(cid.replica());
    assert!(cluster.restart_group::<Hall>(HALL));
    let before = cluster.now();
    assert_eq!(ask(&cluster, "/app/count"), "2 2 missing 1");
    let waited = cluster.now().since(before);
    assert!(waited >= Duration::from_secs(1) && waited <= Duration::from_secs(2), "it waited {waited:?}");
    assert_eq!(ask(&cluster, "/app/announce?text=hello"), "2 missing 1");
    assert_eq!(ask(&cluster, "/app/kick?u=ann"), "1 missing 1");
    cluster.heal();
    cluster.advance(Duration::from_secs(10));
    assert_eq!(ask(&cluster, "/app/announce?text=again"), "2 missing 0");
    assert_eq!((ann.is_open(), bob.received_texts().len()), (false, 3));
    assert_eq!(cid.received_texts(), ["again"]);
}

#[test]
fn what_waits_for_the_census_is_bounded() {
    let cluster = house(1);
    let [ann, bob] = enter(&cluster, ["ann", "bob"]);
    cluster.cut_off_replica(bob.replica());
    assert!(cluster.restart_group::<Hall>(HALL));
    let counts: Vec<_> = (0..1001)
        .map(|_| cluster.begin(dog::http::Request::get("/app/count").body(dog::Body::empty()).unwrap()))
        .collect();
    cluster.advance(Duration::from_secs(3));
    let statuses: Vec<u16> = counts
        .iter()
        .map(|count| count.answer().unwrap().map_or_else(|response| response.status().as_u16(), |_| 101))
        .collect();
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 1000);
    assert_eq!(statuses.iter().filter(|status| **status == 503).count(), 1);
    drop((ann, cluster.failures()));
}

#[test]
fn what_a_group_sends_reaches_each_socket_in_its_order() {
    let cluster = house(1);
    let sockets = enter(&cluster, ["ann", "bob", "cid"]);
    assert!(cluster.restart_group::<Hall>(HALL), "the first of them wait for the census");
    ask(&cluster, "/own/many");
    let expected: Vec<String> = (0..50)
        .flat_map(|number| {
            let confirmed = (number % 10 == 0).then(|| format!("{number} confirmed"));
            std::iter::once(number.to_string()).chain(confirmed)
        })
        .collect();
    for socket in &sockets {
        assert_eq!(socket.received_texts(), expected);
    }
}

#[test]
fn a_replica_without_sockets_is_not_woken() {
    let cluster = house(1);
    let [ann, bob] = enter(&cluster, ["ann", "bob"]);
    let empty = bob.replica();
    bob.close();
    cluster.advance(Duration::from_secs(2));
    assert!(cluster.evict_replica(empty) && !cluster.replicas::<Hall>(HALL).contains(&empty));
    assert_eq!(ask(&cluster, "/app/announce?text=hello"), "1 missing 0");
    assert_eq!(ask(&cluster, "/app/gossip"), "1 answered, 0 missing, 1 left out");
    assert!(!cluster.replicas::<Hall>(HALL).contains(&empty));
    // One that hibernates with its sockets hears, without its value.
    assert!(cluster.evict_replica(ann.replica()));
    assert_eq!(ask(&cluster, "/app/announce?text=asleep"), "1 missing 0");
    assert!(!cluster.is_awake(ann.replica()));
    assert_eq!(ann.received_texts().last().map(String::as_str), Some("asleep"));
}
