//! Clients that become known after their sockets have opened.

use std::cell::RefCell;
use std::time::Duration;

use dog::{
    Anonymous, App, ClientId, Close, CloseCode, Context, Dog, Group, GroupContext, Limit, Message, Policy, Replica,
    Request, Response, Result, Socket, To,
};
use dog_testing::{ClientSocket, Cluster};

struct Door;

impl App for Door {
    type Groups = (Lobby,);

    async fn fetch(&self, request: Request, dog: &Dog<Self>) -> Result<Response> {
        let lobby = dog.group::<Lobby>("lobby");
        let replica = match request.uri().path() {
            "/stranger" => lobby.identify_anonymous(Anonymous::UntilAssigned).await?,
            "/guest" => lobby.identify_anonymous(Anonymous::ForGood).await?,
            name => lobby.identify(&ClientId::new(&name[1..])?).await?,
        };
        Ok(replica.fetch(request).await?)
    }
}

struct Lobby;

impl Group for Lobby {
    type Replica = Room;
    type Call = ();
    type Reply = ();
    const NAME: &'static str = "lobby";

    async fn activate(_: &GroupContext) -> Result<Self> {
        Ok(Self)
    }

    fn limit(&self) -> Limit {
        Limit::new(2)
    }

    fn policy(&self) -> Policy {
        Policy { unassigned_code: CloseCode::from_raw(4001), ..Policy::default() }
    }
}

/// Keeps the sockets that it was told to keep.
#[derive(Default)]
struct Room {
    kept: RefCell<Vec<Socket>>,
}

impl Replica for Room {
    type Group = Lobby;
    type Gossip = ();
    type Answer = ();

    async fn activate(_: &Context<Self>) -> Result<Self> {
        Ok(Self::default())
    }

    async fn receive(&self, cx: &Context<Self>, request: Request) -> Result<Response> {
        Ok(cx.connect(request))
    }

    async fn on_message(&self, _: &Context<Self>, socket: &Socket, message: Message) -> Result {
        let text = message.as_text().unwrap_or_default();
        let (command, rest) = text.split_once(' ').unwrap_or((text, ""));
        match command {
            "assign" => {
                let outcome = match socket.assign(&ClientId::new(rest)?).await {
                    Ok(()) => "assigned".to_owned(),
                    Err(error) if error.is_assigned() => "known already".to_owned(),
                    Err(error) if error.is_deadline() => "not acknowledged".to_owned(),
                    Err(error) => error.to_string(),
                };
                socket.send(outcome)?;
            }
            "keep" => self.kept.borrow_mut().push(socket.clone()),
            "kept" => {
                let kept: Vec<_> = self.kept.borrow().iter().map(|socket| name(socket.client())).collect();
                socket.send(kept.join(" "))?;
            }
            "who" => socket.send(name(socket.client()))?,
            "id" => socket.send(format!("{:?}", socket.client()))?,
            "whisper" => {
                let sockets = socket.whisper(&ClientId::new(rest)?, "psst").await?;
                socket.send(sockets.to_string())?;
            }
            _ => socket.broadcast(message, To::Others)?,
        }
        Ok(())
    }

    async fn on_close(&self, cx: &Context<Self>, socket: &Socket, close: &Close) -> Result {
        Ok(cx.broadcast(format!("{} closed with {}", name(socket.client()), close.code()))?)
    }
}

fn name(client: &ClientId) -> String {
    if client.is_anonymous() { "?".to_owned() } else { client.to_string() }
}

/// Sends a command. Returns what this socket receives.
fn tell(cluster: &Cluster, socket: &ClientSocket, command: &str) -> Vec<String> {
    socket.send(command);
    cluster.run();
    socket.received_texts()
}

#[test]
fn a_socket_that_is_not_assigned_in_time_closes_and_frees_its_seat() {
    let cluster = Cluster::new(Door);
    let [ann, stranger] = ["/ann", "/stranger"].map(|path| cluster.connect(path));
    assert_eq!(stranger.replica(), ann.replica(), "a stranger goes where there is room");
    cluster.advance(Duration::from_secs(9));
    let late = cluster.connect("/stranger");
    cluster.advance(Duration::from_millis(900));
    assert!(stranger.is_open());
    cluster.advance(Duration::from_millis(200));
    assert_eq!(stranger.closed().map(|close| close.code().as_u16()), Some(4001));
    assert_eq!(ann.received_texts(), ["? closed with 4001"]);
    assert!(late.is_open(), "each has a time of its own");
    assert_eq!(cluster.seats(ann.replica()), 1);
    cluster.advance(Duration::from_secs(9));
    assert!(!late.is_open());
    let next = cluster.connect("/stranger");
    cluster.advance(Duration::from_secs(11));
    assert!(!next.is_open(), "the time is watched again after a pause");
    assert!(ann.is_open());
}

#[test]
fn one_that_is_assigned_or_may_stay_unknown_stays() {
    let cluster = Cluster::new(Door);
    let [stranger, guest] = ["/stranger", "/guest"].map(|path| cluster.connect(path));
    assert_ne!(tell(&cluster, &stranger, "id"), tell(&cluster, &guest, "id"), "each has an id of its own");
    assert_eq!(tell(&cluster, &stranger, "assign ann"), ["assigned"]);
    cluster.advance(Duration::from_secs(60));
    assert!(stranger.is_open() && guest.is_open());
    assert_eq!(
        (tell(&cluster, &stranger, "who"), tell(&cluster, &guest, "who")),
        (vec!["ann".into()], vec!["?".into()])
    );
    assert_eq!(tell(&cluster, &guest, "assign bob"), ["assigned"], "a guest may become known at any time");
    assert_eq!(tell(&cluster, &guest, "assign cid"), ["known already"]);
    stranger.close();
    cluster.run();
    assert_eq!(guest.received_texts(), ["ann closed with 1000"]);
}

#[test]
fn every_handle_of_a_socket_learns_of_the_assignment() {
    let cluster = Cluster::new(Door);
    let stranger = cluster.connect("/stranger");
    tell(&cluster, &stranger, "keep");
    assert_eq!(tell(&cluster, &stranger, "kept"), ["?"]);
    tell(&cluster, &stranger, "assign ann");
    assert_eq!(tell(&cluster, &stranger, "kept"), ["ann"]);
}

#[test]
fn the_name_outlives_hibernation_and_the_deadline_too() {
    let cluster = Cluster::builder(Door).hibernate_after(Duration::ZERO).start();
    let [stranger, other] = ["/stranger", "/stranger"].map(|path| cluster.connect(path));
    assert_eq!(tell(&cluster, &stranger, "assign ann"), ["assigned"]);
    assert_eq!(tell(&cluster, &stranger, "who"), ["ann"]);
    cluster.advance(Duration::from_secs(11));
    assert!(stranger.is_open() && !other.is_open());
}

#[test]
fn a_group_that_cannot_be_reached_hears_of_the_assignment_later() {
    let cluster = Cluster::new(Door);
    let [stranger, _second, elsewhere] = ["/stranger", "/second", "/elsewhere"].map(|path| cluster.connect(path));
    cluster.advance(Duration::from_secs(2));
    cluster.cut_off_group::<Lobby>("lobby");
    assert_eq!(tell(&cluster, &stranger, "assign ann"), [""; 0], "it waits for the Group");
    cluster.advance(Duration::from_secs(4));
    assert_eq!(stranger.received_texts(), ["not acknowledged"]);
    assert_eq!(tell(&cluster, &stranger, "who"), ["ann"], "the name stays");
    cluster.heal();
    cluster.advance(Duration::from_secs(2));
    assert_eq!(tell(&cluster, &elsewhere, "whisper ann"), ["1"]);
    assert_eq!(stranger.received_texts(), ["psst"]);
}

#[test]
fn a_client_that_was_never_known_is_not_remembered() {
    let cluster = Cluster::new(Door);
    let [guest, _second] = ["/guest", "/second"].map(|path| cluster.connect(path));
    let id = tell(&cluster, &guest, "id");
    guest.close();
    cluster.advance(Duration::from_secs(1));
    let again = cluster.connect("/guest");
    assert_ne!(tell(&cluster, &again, "id"), id);
}
