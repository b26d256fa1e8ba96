//! The model: what a cluster of so many nodes and sockets asks of each of its resources. Pure arithmetic on [`Inputs`], on
//! the message counts that `growth` counts and the simulation's tests hold the engine to.

use crate::inputs::Inputs;

/// How long a Group waits for all members to know a new one: `Policy::join_deadline`.
pub(crate) const JOIN_DEADLINE: f64 = 2.0;
/// How often a member with seats is asked for them: the lease of its word.
const ASKED_EVERY: f64 = 30.0;
/// In how many seconds those come back whose node has died.
pub(crate) const RETURN: f64 = 10.0;
/// Letters of a visit: a place asked for and given, and a report with its acknowledgement when it comes and when it goes.
const VISIT_LETTERS: f64 = 6.0;
/// Letters of a whisper: where the client is, and the whisper, each with its answer.
const WHISPER_LETTERS: f64 = 4.0;
/// How many times a letter is handled by NATS's servers: two of three have their nodes at different ones.
const HOPS: f64 = 1.0 + 2.0 / 3.0;

/// Rooms of one kind.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rooms {
    pub(crate) rooms: f64,
    /// Sockets of each.
    pub(crate) size: f64,
    /// Seats of a Replica.
    pub(crate) limit: f64,
    /// Broadcasts a second in each.
    pub(crate) broadcasts: f64,
    /// Over how many nodes the balancer spreads the sockets of one: all, where it knows nothing of rooms.
    pub(crate) balanced_over: f64,
}

/// A cluster.
#[derive(Clone, Debug)]
pub(crate) struct Cluster {
    pub(crate) nodes: f64,
    pub(crate) kinds: Vec<Rooms>,
}

/// What is asked of a resource, and what it has.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Load {
    pub(crate) resource: &'static str,
    pub(crate) used: f64,
    pub(crate) of: f64,
}

impl Load {
    fn new(resource: &'static str, used: f64, of: f64) -> Self {
        Self { resource, used, of }
    }

    pub(crate) fn utilisation(&self) -> f64 {
        self.used / self.of
    }
}

impl Rooms {
    pub(crate) fn sockets(&self) -> f64 {
        self.rooms * self.size
    }

    /// Nodes that have a socket of a room: so many, when each socket goes to any of those it is balanced over.
    pub(crate) fn nodes(&self) -> f64 {
        self.balanced_over * (1.0 - (1.0 - 1.0 / self.balanced_over).powf(self.size))
    }

    /// Replicas of a room: each of its nodes has as many as its sockets there need.
    pub(crate) fn replicas(&self) -> f64 {
        self.nodes() * (self.size / self.nodes() / self.limit).ceil()
    }

    /// How many of a hundred letters to the Group go to another node, as a share.
    fn abroad(&self) -> f64 {
        1.0 - 1.0 / self.nodes()
    }
}

/// What goes between nodes in a second, in all.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Flow {
    pub(crate) letters: f64,
    pub(crate) bytes: f64,
}

impl Flow {
    fn of(letters: f64, bytes_each: f64) -> Self {
        Self { letters, bytes: letters * bytes_each }
    }
}

impl std::iter::Sum for Flow {
    fn sum<I: Iterator<Item = Self>>(flows: I) -> Self {
        flows.fold(Self::default(), |sum, flow| Self {
            letters: sum.letters + flow.letters,
            bytes: sum.bytes + flow.bytes,
        })
    }
}

/// A model of one cluster.
pub(crate) struct Model<'a> {
    pub(crate) inputs: &'a Inputs,
    pub(crate) cluster: &'a Cluster,
}

impl Model<'_> {
    pub(crate) fn total(&self, of: impl Fn(&Rooms) -> f64) -> f64 {
        self.cluster.kinds.iter().map(of).sum()
    }

    fn worst(&self, of: impl Fn(&Rooms) -> f64) -> f64 {
        self.cluster.kinds.iter().map(of).fold(0.0, f64::max)
    }

    /// One broadcast: a letter for each other node of the room, with the ids of its Replicas there.
    pub(crate) fn broadcast(&self, rooms: &Rooms) -> Flow {
        let there = rooms.replicas() / rooms.nodes();
        Flow::of(rooms.nodes() - 1.0, self.inputs.broadcast_bytes + there * self.inputs.replica_bytes)
    }

    /// All members asked for their seats once: a question and an answer each.
    fn asked_once(&self, rooms: &Rooms) -> Flow {
        let asked = Flow::of(rooms.replicas() * rooms.abroad(), self.question_bytes(rooms));
        let answered = Flow::of(rooms.replicas() * rooms.abroad(), self.inputs.visit_bytes);
        [asked, answered].into_iter().sum()
    }

    /// A question with the view.
    fn question_bytes(&self, rooms: &Rooms) -> f64 {
        self.inputs.visit_bytes + rooms.replicas() * self.inputs.member_bytes
    }

    /// Letters between nodes at rest, all rooms of a kind.
    fn flow(&self, rooms: &Rooms) -> Flow {
        let each = |flow: Flow, times: f64| Flow { letters: flow.letters * times, bytes: flow.bytes * times };
        let visits = rooms.size * self.inputs.visits * VISIT_LETTERS * rooms.abroad();
        let whispers = rooms.size * self.inputs.whispers * WHISPER_LETTERS * rooms.abroad();
        let of_one: Flow = [
            each(self.broadcast(rooms), rooms.broadcasts),
            Flow::of(visits, self.inputs.visit_bytes),
            Flow::of(whispers, self.inputs.broadcast_bytes),
            each(self.asked_once(rooms), 1.0 / ASKED_EVERY),
        ]
        .into_iter()
        .sum();
        each(of_one, rooms.rooms)
    }

    pub(crate) fn letters(&self) -> Flow {
        self.cluster.kinds.iter().map(|rooms| self.flow(rooms)).sum()
    }

    /// Renewals told to followers, a second: each node's to each.
    pub(crate) fn renewals(&self) -> f64 {
        self.cluster.nodes * self.cluster.nodes * 3.0 / self.inputs.lease
    }

    /// Microseconds that both ends of a letter cost, NATS aside.
    fn letter(&self) -> f64 {
        let Inputs { write, read, letter_sender, letter_receiver, .. } = *self.inputs;
        write + read + letter_sender + letter_receiver
    }

    /// Microseconds of its thread for which a Group places one client and hears that it has come.
    pub(crate) fn visit(&self) -> f64 {
        let Inputs { identify, report, write, read, .. } = *self.inputs;
        identify + report + 2.0 * (write + read)
    }

    /// Share of its thread that the Group of a room uses.
    fn group(&self, rooms: &Rooms) -> f64 {
        let Inputs { report, locate, write, read, member_write, wake, .. } = *self.inputs;
        let visits = rooms.size * self.inputs.visits * (self.visit() + report + read + write);
        let whispers = rooms.size * self.inputs.whispers * (locate + read + write);
        let views = rooms.replicas() * rooms.replicas() * member_write + rooms.size * wake;
        (visits + whispers + views / ASKED_EVERY) / 1e6
    }

    /// Share of its thread that whoever speaks in a room uses, at most: if it is always the same.
    fn speaker(&self, rooms: &Rooms) -> f64 {
        let letters = rooms.nodes() * (self.inputs.write + self.inputs.letter_sender);
        rooms.broadcasts * (rooms.replicas() * self.inputs.route + letters) / 1e6
    }

    /// What each resource has to do while nothing out of the ordinary happens.
    pub(crate) fn at_rest(&self) -> Vec<Load> {
        let (inputs, nodes) = (self.inputs, self.cluster.nodes);
        let letters = self.letters();
        let deliveries = self.total(|rooms| rooms.sockets() * rooms.broadcasts);
        let node = (deliveries * inputs.delivery + letters.letters * self.letter()) / 1e6 / nodes;
        let thread = letters.letters / nodes * (inputs.letter_sender + inputs.letter_receiver + inputs.read)
            + self.renewals() / nodes * inputs.follow_receiver
            + letters.bytes / nodes / inputs.member_bytes * inputs.member_read;
        let nats = letters.letters * HOPS * inputs.letter_server + self.renewals() * inputs.follow_server;
        vec![
            Load::new("node: processors", node, inputs.cores),
            Load::new("node: the thread that speaks to NATS", thread / 1e6, 1.0),
            Load::new("node: network", letters.bytes / nodes, inputs.link),
            Load::new("node: memory", self.memory(), inputs.memory),
            Load::new("the thread of the largest Group", self.worst(|rooms| self.group(rooms)), 1.0),
            Load::new("the network of its node", self.worst(|rooms| self.group_bytes(rooms)), inputs.link),
            Load::new("the thread of the busiest speaker", self.worst(|rooms| self.speaker(rooms)), 1.0),
            Load::new("NATS: processors", nats / 1e6, inputs.nats_cores),
            Load::new("NATS: network", letters.bytes * HOPS, inputs.nats_link),
            Load::new("NATS: renewals alone", self.renewals() * inputs.follow_server / 1e6, inputs.nats_cores),
        ]
    }

    /// What the node of a room's Group sends a second when members are asked.
    fn group_bytes(&self, rooms: &Rooms) -> f64 {
        self.asked_once(rooms).bytes / ASKED_EVERY
    }

    /// Bytes of memory of a node, users' own aside.
    pub(crate) fn memory(&self) -> f64 {
        let of_kind = |rooms: &Rooms| {
            let (replicas, here) = (rooms.replicas(), rooms.rooms * rooms.nodes() / self.cluster.nodes);
            let views = rooms.rooms * replicas / self.cluster.nodes * replicas * self.inputs.member_bytes;
            let routes = here * replicas * self.inputs.route_bytes;
            let sockets = rooms.sockets() / self.cluster.nodes * self.inputs.socket_bytes;
            // The one that has the Group of a room has it whole.
            let books = (rooms.rooms / self.cluster.nodes).ceil() * rooms.size * self.inputs.client_bytes;
            views + routes + sockets + books
        };
        self.total(of_kind)
    }

    /// What each has to do when a node has died and its clients come back within [`RETURN`].
    pub(crate) fn node_dies(&self) -> Vec<Load> {
        let (inputs, nodes) = (self.inputs, self.cluster.nodes);
        let visits = self.total(Rooms::sockets) / nodes / RETURN;
        let Looks { reads, claims } = self.looks_for_dead();
        let largest = self.worst(|rooms| rooms.size / nodes / RETURN * self.visit() / 1e6);
        let thread = visits * 4.0 * (inputs.letter_sender + inputs.letter_receiver + inputs.read);
        vec![
            Load::new("look-ups at the stream's leader", reads / RETURN, inputs.looks),
            Load::new("claims at the stream's leader", claims / RETURN, inputs.puts),
            Load::new("the thread of the largest Group", largest, 1.0),
            Load::new("nodes: threads that speak to NATS", thread / 1e6 / nodes, 1.0),
        ]
    }

    /// What has to be found, and claimed anew, of what a dead node had: its Groups by whoever comes first, its Replicas by
    /// their Groups, which ask them for their seats; and by each node that speaks to them meanwhile.
    pub(crate) fn looks_for_dead(&self) -> Looks {
        let nodes = self.cluster.nodes;
        let groups = self.total(|rooms| rooms.rooms) / nodes;
        let replicas = self.total(|rooms| rooms.rooms * rooms.replicas()) / nodes;
        let speakers = |rooms: &Rooms| (rooms.broadcasts * RETURN).min(rooms.nodes() - 1.0).max(0.0);
        let spoken_to = self.total(|rooms| rooms.rooms * rooms.replicas() / nodes * speakers(rooms));
        // The object, the lease of the node that had it, and the alarm.
        Looks { reads: 3.0 * (groups + replicas) + 2.0 * spoken_to, claims: groups + replicas }
    }

    /// How many alarms each Replica can set in an hour until the processors of NATS have nothing else to do: each is told to
    /// all nodes, when it is set and when it has rung.
    pub(crate) fn alarms_an_hour(&self) -> f64 {
        let replicas = self.total(|rooms| rooms.rooms * rooms.replicas());
        let told = 2.0 * self.cluster.nodes * self.inputs.follow_server / 1e6;
        3_600.0 * self.inputs.nats_cores / (replicas * told)
    }

    /// What it takes that the largest room fills at once.
    pub(crate) fn fill(&self) -> Option<Fill> {
        let rooms = self.cluster.kinds.iter().max_by(|one, other| one.size.total_cmp(&other.size))?;
        let replicas = rooms.replicas();
        let round_bytes = replicas * self.question_bytes(rooms) * rooms.abroad();
        let round = (round_bytes / self.inputs.link).max(replicas * replicas * self.inputs.member_write / 1e6);
        Some(Fill {
            replicas,
            seconds: rooms.size * self.visit() / 1e6,
            admits: replicas * replicas / 2.0 * self.inputs.admit / 1e6,
            round_bytes,
            round,
            known_by_all: replicas * (rooms.nodes() - 1.0) / self.inputs.looks,
        })
    }

    /// All that has a limit, in the order of how near it is.
    pub(crate) fn first(&self) -> Vec<Load> {
        let fill = self.fill().map(|fill| Load::new("a round of joins within its deadline", fill.round, JOIN_DEADLINE));
        let mut loads: Vec<Load> = self.at_rest().into_iter().chain(self.node_dies()).chain(fill).collect();
        loads.sort_by(|one, other| other.utilisation().total_cmp(&one.utilisation()));
        loads
    }
}

/// Requests to the stream of objects.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Looks {
    pub(crate) reads: f64,
    pub(crate) claims: f64,
}

/// How a room fills.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fill {
    pub(crate) replicas: f64,
    /// For which its Group's thread places everybody.
    pub(crate) seconds: f64,
    /// And names all Replicas.
    pub(crate) admits: f64,
    /// The last round of introductions: to each member, a view of all.
    pub(crate) round_bytes: f64,
    pub(crate) round: f64,
    /// For which the stream's leader tells every node of the room where each Replica is.
    pub(crate) known_by_all: f64,
}
