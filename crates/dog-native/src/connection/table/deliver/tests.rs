//! Messages to all sockets, to one, or to all but one, over any turns: each socket reads what it was promised, in
//! order.

use std::cell::Cell;
use std::io::Read;
use std::os::unix::net::UnixStream;
use std::rc::Rc;

use dog::{CloseCode, Epoch, Message, ReplicaId, SocketId};
use dog_engine::seats::Audience;
use mio::Poll;
use proptest::prelude::*;
use rustls::ClientConnection;

use crate::config::{Compression, Config, SlowConsumer};
use crate::connection::table::WRITES_PER_CHECK;
use crate::connection::tls::testing::{over, pair};
use crate::connection::{Connections, Lane, Stream};
use crate::metrics::counters::Counters;

const SOCKETS: usize = 5;

/// More than the kernel takes at once, together with a few others.
const LARGE: usize = 40_000;

#[derive(Clone, Debug)]
enum Step {
    /// A message to all, or to all but one.
    All { except: Option<usize>, large: bool },
    /// A message to one socket.
    One(usize),
    /// The socket is closed and leaves the audience.
    Close(usize),
    /// The queued frames are written.
    EndTurn,
    /// The client reads what has arrived.
    Read(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let which = 0..SOCKETS;
    prop_oneof![
        6 => (proptest::option::of(which.clone()), any::<bool>())
            .prop_map(|(except, large)| Step::All { except, large }),
        3 => which.clone().prop_map(Step::One),
        1 => which.clone().prop_map(Step::Close),
        3 => Just(Step::EndTurn),
        2 => which.prop_map(Step::Read),
    ]
}

struct Peer {
    lane: Lane,
    socket: SocketId,
    stream: UnixStream,
    tls: Option<ClientConnection>,
    read: Vec<u8>,
    /// The numbers of the messages that it must read.
    promised: Vec<u32>,
    open: bool,
}

struct World {
    connections: Connections,
    config: Config,
    peers: Vec<Peer>,
    audience: Vec<SocketId>,
    changes: u64,
    next: u32,
    _poll: Poll,
}

impl World {
    fn new(max_outbox: usize, lanes: [Lane; SOCKETS], encrypts: bool) -> Self {
        let poll = Poll::new().unwrap();
        let config = Config {
            max_outbox,
            slow_consumer: SlowConsumer::DropNewest,
            compression: Some(Compression::new().at_least(100)),
            ..Config::default()
        };
        let (registry, counters) = (poll.registry().try_clone().unwrap(), Rc::new(Counters::default()));
        let mut connections = Connections::new(registry, &config, counters, Box::new(|| true));
        let peers: Vec<Peer> = lanes.into_iter().map(|lane| peer(&mut connections, lane, encrypts)).collect();
        connections.flush();
        let audience = peers.iter().map(|peer| peer.socket).collect();
        Self { connections, config, peers, audience, changes: 0, next: 0, _poll: poll }
    }

    fn message(&mut self, large: bool) -> Message {
        self.next += 1;
        let mut payload = self.next.to_be_bytes().to_vec();
        // Each byte has four random bits, so the message has half its size when it is compressed.
        let mut state = self.next;
        payload.extend(
            std::iter::repeat_with(|| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                state.to_be_bytes()[0] & 0x0f
            })
            .take(if large { LARGE - 4 } else { 0 }),
        );
        Message::binary(payload)
    }

    /// Returns for how many sockets it was queued.
    fn tell_all(&mut self, except: Option<usize>, large: bool) -> usize {
        let message = self.message(large);
        let left_out: Vec<SocketId> = except.into_iter().map(|at| self.peers[at].socket).collect();
        let audience = Audience {
            replica: ReplicaId::from_name("room", "1"),
            epoch: Epoch::from_raw(1),
            changes: self.changes,
            sockets: &self.audience,
        };
        self.connections.deliver_to_all(&self.config, &message, &audience, &left_out)
    }

    fn close(&mut self, at: usize) {
        let peer = &mut self.peers[at];
        peer.open = false;
        self.connections.close(peer.socket, CloseCode::NORMAL, "");
        self.audience.retain(|socket| *socket != peer.socket);
        self.changes += 1;
    }

    /// Reads and writes until nothing is left.
    fn drain(&mut self) {
        loop {
            let read: usize = self.peers.iter_mut().map(Peer::read).sum();
            self.peers.iter().for_each(|peer| self.connections.writable(peer.socket));
            self.connections.flush();
            if read == 0 && self.connections.totals().2 == 0 {
                break;
            }
        }
        for peer in &mut self.peers {
            peer.read();
        }
    }
}

fn peer(connections: &mut Connections, lane: Lane, encrypts: bool) -> Peer {
    let (ours, stream) = UnixStream::pair().unwrap();
    for stream in [&ours, &stream] {
        stream.set_nonblocking(true).unwrap();
    }
    let socket = connections.insert(None);
    let (transport, tls) = if encrypts {
        let (session, client) = pair();
        (over(ours, session), Some(client))
    } else {
        (Stream::from_pair(ours).into(), None)
    };
    connections.attach(socket, transport, &[], lane, None).unwrap();
    Peer { lane, socket, stream, tls, read: Vec::new(), promised: Vec::new(), open: true }
}

impl Peer {
    fn read(&mut self) -> usize {
        let mut arrived = Vec::new();
        // It ends with `WouldBlock`.
        let _ = self.stream.read_to_end(&mut arrived);
        match &mut self.tls {
            None => self.read.extend(&arrived),
            Some(tls) => decrypt(tls, &arrived, &mut self.read),
        }
        arrived.len()
    }

    /// Returns the numbers of the messages that it has read before a close.
    fn heard(&self) -> Vec<u32> {
        let (mut rest, mut heard) = (&self.read[..], Vec::new());
        while let [first @ (0x82 | 0xc2), length, tail @ ..] = rest {
            let (length, tail) = match length {
                126 => (usize::from(u16::from_be_bytes([tail[0], tail[1]])), &tail[2..]),
                short => (usize::from(*short), tail),
            };
            let (payload, after) = tail.split_at(length);
            let message = if *first == 0x82 { payload.to_vec() } else { inflated(payload) };
            assert!([4, LARGE].contains(&message.len()));
            // Only large messages are compressed, and only for clients with the full window.
            let packs = self.lane == Lane::Compressed && message.len() == LARGE;
            assert_eq!(*first == 0xc2, packs, "{:?}", self.lane);
            heard.push(u32::from_be_bytes(message[..4].try_into().unwrap()));
            rest = after;
        }
        assert!(matches!(rest, [] | [0x88, ..]), "half a frame, or something else");
        heard
    }
}

fn decrypt(tls: &mut ClientConnection, mut bytes: &[u8], plain: &mut Vec<u8>) {
    while !bytes.is_empty() {
        tls.read_tls(&mut bytes).unwrap();
        tls.process_new_packets().unwrap();
        // It ends with `WouldBlock`.
        let _ = tls.reader().read_to_end(plain);
    }
}

fn inflated(payload: &[u8]) -> Vec<u8> {
    let mut message = Vec::with_capacity(LARGE + 1);
    let whole = [payload, &[0, 0, 0xff, 0xff]].concat();
    let mut stream = flate2::Decompress::new(false);
    stream.decompress_vec(&whole, &mut message, flate2::FlushDecompress::Sync).unwrap();
    message
}

/// The same lane for all sockets, or any lane for each.
fn lanes() -> impl Strategy<Value = [Lane; SOCKETS]> {
    let lane = prop_oneof![Just(Lane::Plain), Just(Lane::Compressed), Just(Lane::CompressedWindow(9))];
    prop_oneof![Just([Lane::Plain; SOCKETS]), Just([Lane::Compressed; SOCKETS]), proptest::array::uniform5(lane)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn each_socket_reads_what_it_was_promised(
        lanes in lanes(),
        encrypts in any::<bool>(),
        steps in proptest::collection::vec(step(), 1..80),
    ) {
        let mut world = World::new(64 << 20, lanes, encrypts);
        for step in steps {
            match step {
                Step::All { except, large } => {
                    let taken = world.tell_all(except, large);
                    let number = world.next;
                    let open = world.peers.iter_mut().enumerate().filter(|(at, peer)| peer.open && Some(*at) != except);
                    let count = open.map(|(_, peer)| peer.promised.push(number)).count();
                    prop_assert_eq!(taken, count);
                }
                Step::One(at) => {
                    let message = world.message(false);
                    let taken = world.connections.deliver(&world.config, &message, &[world.peers[at].socket], &[]);
                    prop_assert_eq!(taken, usize::from(world.peers[at].open));
                    if taken == 1 {
                        let number = world.next;
                        world.peers[at].promised.push(number);
                    }
                }
                Step::Close(at) => world.close(at),
                Step::EndTurn => prop_assert!(world.connections.flush()),
                Step::Read(at) => {
                    world.peers[at].read();
                }
            }
        }
        world.drain();
        for peer in &world.peers {
            prop_assert_eq!(peer.heard(), peer.promised.clone());
        }
    }

    /// If a socket does not read, it misses exactly as many messages as reported, and the others miss none.
    #[test]
    fn a_client_that_does_not_read_misses_what_the_policy_says(
        encrypts in any::<bool>(),
        turns in proptest::collection::vec(1..30_usize, 1..20),
    ) {
        let mut world = World::new(300_000, [Lane::Plain; SOCKETS], encrypts);
        let (mut all, mut missed) = (0, 0);
        for turn in turns {
            for _ in 0..turn {
                all += 1;
                missed += SOCKETS - world.tell_all(None, true);
            }
            world.connections.flush();
            for peer in &mut world.peers[1..] {
                peer.read();
            }
            // The others have read, so their outboxes can be written.
            for _ in 0..20 {
                world.peers[1..].iter().for_each(|peer| world.connections.writable(peer.socket));
                world.connections.flush();
                for peer in &mut world.peers[1..] {
                    peer.read();
                }
            }
        }
        world.drain();
        let heard: Vec<usize> = world.peers.iter().map(|peer| peer.heard().len()).collect();
        prop_assert_eq!(heard.iter().sum::<usize>(), SOCKETS * all - missed);
        for peer in &world.peers {
            prop_assert!(peer.heard().is_sorted(), "out of order");
        }
        prop_assert!(heard[1..].iter().all(|count| *count >= heard[0]), "{heard:?}");
    }
}

/// A lease ends while messages are written, in a fan-out or to each socket separately.
#[test]
fn nothing_more_is_written_soon_after_it_may_not_be() {
    const MANY: usize = 50;
    for alike in [true, false] {
        let poll = Poll::new().unwrap();
        let (registry, counters) = (poll.registry().try_clone().unwrap(), Rc::new(Counters::default()));
        let asked = Rc::new(Cell::new(0));
        let gate = Rc::clone(&asked);
        // The gate allows writing twice.
        let gate = move || gate.replace(gate.get() + 1) < 2;
        let config = Config::default();
        let mut connections = Connections::new(registry, &config, counters, Box::new(gate));
        let mut peers: Vec<Peer> = (0..MANY).map(|_| peer(&mut connections, Lane::Plain, false)).collect();
        let sockets: Vec<SocketId> = peers.iter().map(|peer| peer.socket).collect();
        let message = Message::text("hello");
        if alike {
            let (replica, epoch) = (ReplicaId::from_name("room", "1"), Epoch::from_raw(1));
            let audience = Audience { replica, epoch, changes: 0, sockets: &sockets };
            assert_eq!(connections.deliver_to_all(&config, &message, &audience, &[]), MANY);
        } else {
            assert_eq!(connections.deliver(&config, &message, &sockets, &[]), MANY);
        }
        assert!(!connections.flush(), "flush did not report that writing was stopped");
        let written = peers.iter_mut().filter_map(|peer| (peer.read() > 0).then_some(())).count();
        assert_eq!(written, 3 * WRITES_PER_CHECK, "alike: {alike}");
        let waiting = sockets.iter().filter(|socket| connections.get(**socket).unwrap().waiting() > 0).count();
        assert_eq!(waiting, MANY - written, "the unwritten frames are not queued");
    }
}
