//! All scenarios beside the peers: [`scenarios`]. Their names are the names of plots and of rows in docs/performance.md.

use std::time::Duration;

use crate::load::deliveries::Recipients;
use crate::load::workload::Pace;
use crate::scenarios::connects::Visits;
use crate::scenarios::memory::Idle;
use crate::scenarios::messages::Messages;
use crate::scenarios::timers::Intervals;
use crate::servers::entrant::{Entrant, Program};

use super::scenario::{Activity, PeerScenario};

/// All scenarios, in the order of each round.
pub fn scenarios() -> Vec<PeerScenario> {
    [messages(), replicas(), sizes(), verbs(), topics(), connections(), lengths(), special()]
        .into_iter()
        .flatten()
        .collect()
}

fn floor() -> Entrant {
    Entrant::new("floor", Program::Floor)
}

fn ours() -> Entrant {
    Entrant::new("ours", Program::Relay)
}

/// The relay under another name.
fn relay(name: &str, arguments: &[&str]) -> Entrant {
    Entrant::new(name, Program::Relay).with(arguments)
}

fn npm_dog(name: &str, arguments: &[&str]) -> Entrant {
    Entrant::new(name, Program::NpmDog).with(arguments)
}

fn uwebsockets() -> Entrant {
    Entrant::new("uWebSockets", Program::Socketify)
}

fn node_ws() -> Entrant {
    Entrant::new("node ws", Program::NodeWs)
}

fn axum() -> Entrant {
    Entrant::new("axum", Program::Axum)
}

fn all() -> Vec<Entrant> {
    let slower = [
        Entrant::new("socketioxide", Program::Socketioxide),
        Entrant::new("Socket.IO", Program::SocketIo),
        npm_dog("npm dog", &[]),
    ];
    fast().into_iter().chain(slower).collect()
}

/// Those that keep up with high rates.
fn fast() -> Vec<Entrant> {
    vec![floor(), ours(), uwebsockets(), node_ws(), axum()]
}

fn messages() -> Vec<PeerScenario> {
    let joined_floor = Entrant::new("joined floor", Program::Floor).with(&["--joined"]);
    let mut with_joined = all();
    with_joined.insert(1, joined_floor);
    let (slow, quick) = (Messages::every(50), Messages::every(5));
    vec![
        PeerScenario::messages("one", "One message in flight", Messages::ROOM, all()).plotted(),
        PeerScenario::messages("many", "32 messages in flight", Messages::BUSY, with_joined).plotted(),
        PeerScenario::messages("steady", "At a fixed rate", Messages { pace: slow, ..Messages::ROOM }, all()).plotted(),
        PeerScenario::messages(
            "steady-fast",
            "At ten times that rate",
            Messages { pace: quick, ..Messages::ROOM },
            fast(),
        ),
    ]
}

fn replicas() -> Vec<PeerScenario> {
    let entrants = || {
        vec![
            floor(),
            relay("ours, 1 Replica", &["--limit", "1000"]),
            relay("ours, 10 Replicas", &["--limit", "100"]),
            relay("ours, 200 Replicas", &["--limit", "5"]),
            npm_dog("npm dog, 1 Replica", &["--limit", "1000"]),
            npm_dog("npm dog, 10 Replicas", &["--limit", "100"]),
        ]
    };
    let (one, many) = (Messages { sockets: 1_000, ..Messages::ROOM }, Messages { sockets: 1_000, ..Messages::BUSY });
    vec![
        PeerScenario::messages("replicas", "From 1 Replica to 200, one in flight", one, entrants())
            .plotted()
            .about("The same sockets on more and more Replicas. npm's `dog` on 200 Replicas takes longer than a run."),
        PeerScenario::messages("replicas-many", "From 1 Replica to 200, 32 in flight", many, entrants()),
    ]
}

fn sizes() -> Vec<PeerScenario> {
    let entrants = || vec![floor(), relay("ours", &["--limit", "20000"]), uwebsockets()];
    let room = |sockets| Messages { sockets, ..Messages::ROOM };
    let busy = Messages { sockets: 15_000, ..Messages::BUSY };
    let rooms = Messages { sockets: 5_000, rooms: 1_000, senders: 1_000, ..Messages::BUSY };
    vec![
        PeerScenario::messages("sockets-500", "500 sockets", room(500), entrants()),
        PeerScenario::messages("sockets-5000", "5,000 sockets", room(5_000), entrants()),
        PeerScenario::messages("sockets-15000", "15,000 sockets", room(15_000), entrants()).plotted(),
        PeerScenario::messages("sockets-15000-many", "15,000 sockets, 32 in flight", busy, entrants()),
        PeerScenario::messages("rooms", "1,000 small rooms", rooms, fast()).plotted().about(
            "Five sockets per room: shows what a message costs besides its deliveries. uWebSockets is called from Python here, \
             once per message, which is most of its figure in small rooms.",
        ),
    ]
}

fn verbs() -> Vec<PeerScenario> {
    let verb = |name: &str, verb: &str, limit: &str| {
        Entrant::new(name, Program::Verbs).with(&["--verb", verb, "--limit", limit])
    };
    let npm = |verb: &str| npm_dog("npm dog, 10 Replicas", &["--verb", verb, "--limit", "50"]);
    let whispers = vec![
        verb("ours, 1 Replica", "whisper", "500"),
        verb("ours, 10 Replicas", "whisper", "50"),
        verb("ours, 100 Replicas", "whisper", "5"),
        npm("whisper"),
    ];
    let large = vec![verb("ours, 100 Replicas", "whisper", "50")];
    let gossips =
        vec![verb("ours, 10 Replicas", "gossip", "50"), verb("ours, 100 Replicas", "gossip", "5"), npm("gossip")];
    let whisper =
        Messages { senders: 100, pace: Pace::InFlight(32), recipients: Recipients::Opposite, ..Messages::ROOM };
    let gossip = Messages { senders: 4, pace: Pace::InFlight(4), recipients: Recipients::Sender, ..Messages::ROOM };
    vec![
        PeerScenario::messages("whisper", "Whisper", whisper, whispers)
            .about("Each of 100 clients whispers to one client, which is on another Replica where there are several."),
        PeerScenario::messages(
            "whisper-large",
            "Whisper among 5,000 clients",
            Messages { sockets: 5_000, ..whisper },
            large,
        )
        .about("Ten times the clients on the same number of Replicas."),
        PeerScenario::messages("gossip", "Gossip", gossip, gossips)
            .about("A delivery is a gossip to all siblings, the answers of all, and the message back to its sender."),
    ]
}

fn topics() -> Vec<PeerScenario> {
    let entrants = || {
        let ours = Entrant::new("ours", Program::Verbs).with(&["--verb", "topic", "--limit", "20000"]);
        vec![ours, Entrant::new("nats-server", Program::NatsGateway)]
    };
    let with_floor = || [floor()].into_iter().chain(entrants()).collect();
    let few = Messages { sockets: 5, recipients: Recipients::Subscribers(5), ..Messages::ROOM };
    let many = Messages { recipients: Recipients::Subscribers(500), ..Messages::ROOM };
    let busy = Messages { recipients: Recipients::Subscribers(500), ..Messages::BUSY };
    vec![
        PeerScenario::messages("topics", "A topic of 5 among 5 sockets", few, entrants()),
        PeerScenario::messages(
            "topics-5000",
            "A topic of 5 among 5,000 sockets",
            Messages { sockets: 5_000, ..few },
            entrants(),
        )
        .about("One Replica, with the same subscribers as before: the others do not hear the messages."),
        PeerScenario::messages("topics-500", "A topic of 500", many, with_floor()).plotted().about(
            "nats-server's own WebSocket gateway is the peer: a message is published to a subject, and each subscriber gets it in a \
             frame of its own. The floor has a room instead of a topic.",
        ),
        PeerScenario::messages("topics-500-many", "A topic of 500, 32 in flight", busy, with_floor()),
    ]
}

/// How long silent sockets are left alone. Objects hibernate after one second where they do.
const SETTLE: Duration = Duration::from_secs(3);

fn connections() -> Vec<PeerScenario> {
    let idle = |before, sockets| Activity::Idle(Idle { before, sockets, at_once: 4, settle: SETTLE, hibernate: None });
    let large = vec![
        floor(),
        relay("ours", &["--limit", "20000"]),
        relay("ours, hibernating", &["--hibernate-after", "1", "--limit", "20000"]),
        uwebsockets(),
        node_ws(),
    ];
    vec![
        PeerScenario::new(
            "visits",
            "Connecting and leaving",
            Activity::Visits(Visits { batch: 200, at_once: 4 }),
            all(),
        )
        .plotted()
        .about("The load generator on this machine bounds the rate too."),
        PeerScenario::new("idle", "Memory of an idle socket", idle(500, 15_000), large).plotted(),
        PeerScenario::new("idle-all", "Memory of an idle socket, all servers", idle(200, 2_000), all())
            .about("Fewer sockets, for the servers that need most memory."),
    ]
}

fn lengths() -> Vec<PeerScenario> {
    let room = |bytes| Messages { bytes, ..Messages::ROOM };
    let long = Messages { sockets: 200, ..room(65_536) };
    let busy = Messages { bytes: 4_096, ..Messages::BUSY };
    vec![
        PeerScenario::messages("bytes-64", "Messages of 64 bytes", room(64), fast()),
        PeerScenario::messages("bytes-4096", "Messages of 4 KiB", room(4_096), fast()),
        PeerScenario::messages("bytes-65536", "Messages of 64 KiB", long, fast()),
        PeerScenario::messages("bytes-4096-many", "Messages of 4 KiB, 32 in flight", busy, fast()),
    ]
}

fn special() -> Vec<PeerScenario> {
    let slow = Messages { bytes: 16 * 1024, pace: Messages::every(20), ..Messages::ROOM };
    let workers = |count| ["--limit", "50", "--workers", count];
    let threads = vec![relay("ours, 1 worker", &workers("1")), relay("ours, 2 workers", &workers("2"))];
    let compressing = vec![
        ours().with(&["--compress"]),
        uwebsockets().with(&["--compress"]),
        node_ws().with(&["--compress"]),
        relay("ours, not compressed", &[]),
    ];
    let words = Activity::Compressed(Messages { bytes: 1_024, ..Messages::ROOM });
    vec![
        PeerScenario::new(
            "slow",
            "One slow reader among 500",
            Activity::SlowReader(slow),
            vec![ours(), uwebsockets(), node_ws(), axum()],
        )
        .about("It fills the kernel's buffers first, and then its queue. What happens then is the server's policy."),
        PeerScenario::new(
            "timers",
            "Intervals",
            Activity::Intervals(Intervals { objects: 1_000, at_once: 4 }),
            vec![Entrant::new("ours", Program::Verbs).with(&["--verb", "tick"])],
        )
        .about("Each object counts its ticks, and does nothing else. A tick that is late by 50 ms is skipped, and lowers the rate."),
        PeerScenario::messages("workers", "Two workers against one", Messages::BUSY, threads).about(
            "Ten Replicas. The load generator uses one processor: of two processors, two workers have one and what is left of \
             the other.",
        ),
        PeerScenario::new("compressed", "With permessage-deflate", words, compressing).about(
            "1 KiB of words, without context takeover. Messages are counted by the frames' compression bit, and not inflated.",
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::harness::options::BenchOptions;

    #[test]
    fn names_are_unique_and_every_workload_is_possible() {
        let (scenarios, timing) = (scenarios(), BenchOptions::default().timing(2.0).unwrap());
        for (index, scenario) in scenarios.iter().enumerate() {
            assert!(scenarios[index + 1..].iter().all(|other| other.name != scenario.name), "{}", scenario.name);
            for (index, entrant) in scenario.entrants.iter().enumerate() {
                let others = &scenario.entrants[index + 1..];
                assert!(others.iter().all(|other| other.name != entrant.name), "{}, {}", scenario.name, entrant.name);
                if let Activity::Messages(messages) | Activity::Compressed(messages) | Activity::SlowReader(messages) =
                    scenario.activity
                {
                    messages.workload(entrant, timing).check().unwrap();
                }
            }
        }
    }
}
