//! All rounds of all that is measured: [`Runner`].

use std::time::Duration;

use anyhow::Result;
use dog_benches::connect;
use dog_benches::ledger::Reach;
use dog_benches::load::Crowd;
use dog_benches::measure::{as_float, load_average};
use dog_benches::plan::Pace;

use crate::records::{Place, Records, Sample};
use crate::seats;
use crate::stage::{Cluster, Entrant, SEATS, Stage};
use crate::talk::{SENDERS, Time, crowd, talk};

/// Nodes of a cluster.
const NODES: [usize; 3] = [1, 2, 3];

/// Replicas of a node where there are to be many.
pub(crate) const MANY_REPLICAS: usize = 50;

/// Messages under way where there are many.
const MANY: usize = 32;

/// Sockets of a room where it is not deliveries that cost: a sender has two at each of three nodes.
pub(crate) const FEW: usize = SENDERS;

/// Clients that whisper: an odd half, and no multiple of three, so that the one across is at another node.
pub(crate) const WHISPERERS: usize = 50;

/// Clients where there is gossip, and Replicas of a node where there are to be several.
pub(crate) const GOSSIPERS: usize = 60;
pub(crate) const SEVERAL_REPLICAS: usize = 10;

/// How long a crowd talks before anything of it is counted, letters too: nodes have looked up by then where the Replicas
/// of others live.
const ACQUAINTANCE: Duration = Duration::from_millis(100);

/// Times that a single server and a cluster of one are measured in a round, one after the other.
const PAIRS: usize = 3;

/// What is measured, and for how long.
pub(crate) struct Runner {
    pub(crate) sockets: usize,
    pub(crate) bytes: usize,
    pub(crate) rate: Pace,
    pub(crate) time: Time,
    pub(crate) rounds: usize,
    /// Parts that are wanted; all, if none is named.
    pub(crate) only: Vec<String>,
}

/// The parts that a run has.
pub(crate) const PARTS: [&str; 3] = ["broadcast", "verbs", "single"];

/// Who plays with how many nodes.
type Turn = (Entrant, &'static str, usize);

impl Runner {
    /// Plays all rounds. What fails is noted, and the rest goes on.
    pub(crate) fn run(&self, stage: &Stage) -> Records {
        let mut records = Records::default();
        for round in 0..self.rounds {
            if self.wants("broadcast") {
                self.in_turn(round, self.broadcasters(stage), |turn| self.broadcast(stage, turn, round, &mut records));
            }
            if self.wants("verbs") {
                self.in_turn(round, self.speakers(), |turn| self.verb(stage, turn, round, &mut records));
                self.in_turn(round, vec![(verbs("whisper", SEATS), "seats", 2)], |turn| {
                    self.place(stage, turn, round, &mut records);
                });
            }
            if self.wants("single") {
                let alone = self.single(stage, round, &mut records);
                note(&mut records, round, "one server with and without a cluster", alone);
            }
            eprintln!("round {} of {}, load average {}", round + 1, self.rounds, load_average());
        }
        records
    }

    fn wants(&self, part: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only == part)
    }

    /// Whoever is first in one round is last in the next, so that a drift helps nobody.
    fn in_turn(&self, round: usize, mut turns: Vec<Turn>, mut play: impl FnMut(Turn)) {
        if round % 2 == 1 {
            turns.reverse();
        }
        turns.into_iter().for_each(&mut play);
    }

    fn broadcasters(&self, stage: &Stage) -> Vec<Turn> {
        let mut turns = Vec::new();
        for nodes in NODES {
            let limit = (self.sockets / nodes / MANY_REPLICAS).max(1);
            let all = [
                (Entrant::Relay { limit: SEATS }, "ours", nodes),
                (Entrant::Relay { limit }, "ours, 50 Replicas a node", nodes),
                (Entrant::SocketIo, "Socket.IO + Redis", nodes),
                (Entrant::Nchan, "nchan + Redis", nodes),
            ];
            turns.extend(all.into_iter().filter(|(entrant, ..)| stage.has(*entrant)));
        }
        turns
    }

    fn speakers(&self) -> Vec<Turn> {
        let turns = NODES.map(|nodes| {
            let several = GOSSIPERS / nodes / SEVERAL_REPLICAS;
            [
                (verbs("whisper", SEATS), "whisper", nodes),
                (verbs("gossip", SEATS), "gossip", nodes),
                (verbs("gossip", several), "gossip, 10 Replicas a node", nodes),
            ]
        });
        turns.concat()
    }

    fn broadcast(&self, stage: &Stage, (entrant, who, nodes): Turn, round: usize, records: &mut Records) {
        let played = stage.start(entrant, nodes).and_then(|cluster| self.hear(&cluster, entrant));
        let played = played.map(|samples| {
            for (part, sample) in samples {
                records.add(Place::new(part, who, nodes), round, sample);
            }
        });
        note(records, round, &format!("{who}, nodes: {nodes}"), played);
    }

    /// What a crowd hears, and then a few.
    fn hear(&self, cluster: &Cluster, entrant: Entrant) -> Result<Vec<(&'static str, Sample)>> {
        let message = (entrant.payload(), self.bytes);
        let before = cluster.traffic()?;
        let streams = cluster.enter(self.sockets, |number| connect::query(number, 0))?;
        let came = as_float(cluster.traffic()?.since(before).bytes_in) / as_float(self.sockets as u64) / 1e3;
        let replicas = cluster.replicas(self.sockets)?;
        let mut all = crowd(cluster, streams, Reach::Room, message, self.time)?;
        self.acquaint(cluster, &mut all)?;
        let paces = [("one", Pace::InFlight(1)), ("many", Pace::InFlight(MANY)), ("rate", self.rate)];
        let mut samples = Vec::new();
        for (part, pace) in paces {
            let mut sample = talk(cluster, &mut all, pace)?;
            sample.extend([("Replicas", replicas), ("KB a socket", came)]);
            samples.push((part, sample));
        }
        drop(all);
        let streams = cluster.enter(FEW, |number| connect::query(number, 1))?;
        let mut few = crowd(cluster, streams, Reach::Room, message, self.time)?;
        self.acquaint(cluster, &mut few)?;
        samples.push(("few", talk(cluster, &mut few, Pace::InFlight(1))?));
        Ok(samples)
    }

    fn acquaint(&self, cluster: &Cluster, crowd: &mut Crowd) -> Result<()> {
        crowd.count_for(ACQUAINTANCE);
        talk(cluster, crowd, Pace::InFlight(1))?;
        crowd.count_for(self.time.measured);
        Ok(())
    }

    fn verb(&self, stage: &Stage, (entrant, who, nodes): Turn, round: usize, records: &mut Records) {
        let played = stage.start(entrant, nodes).and_then(|cluster| self.speak(&cluster, entrant));
        let played = played.map(|sample| records.add(Place::new("verbs", who, nodes), round, sample));
        note(records, round, &format!("{who}, nodes: {nodes}"), played);
    }

    fn speak(&self, cluster: &Cluster, entrant: Entrant) -> Result<Sample> {
        let whispers = matches!(entrant, Entrant::Verb { name: "whisper", .. });
        let (sockets, reach) = if whispers { (WHISPERERS, Reach::Across) } else { (GOSSIPERS, Reach::Sender) };
        let query = |number: usize| format!("{}&to=u{}", connect::query(number, 0), Reach::across(number, sockets));
        let streams = cluster.enter(sockets, query)?;
        let replicas = cluster.replicas(sockets)?;
        let mut crowd = crowd(cluster, streams, reach, (entrant.payload(), self.bytes), self.time)?;
        self.acquaint(cluster, &mut crowd)?;
        let mut sample = talk(cluster, &mut crowd, Pace::InFlight(1))?;
        sample.insert("Replicas", replicas);
        let many = talk(cluster, &mut crowd, Pace::InFlight(MANY))?;
        sample.extend(many.get("nodes a message").map(|cpu| ("nodes a message, 32 in flight", *cpu)));
        Ok(sample)
    }

    /// Seats of a Group that lives at the first of two nodes: asked for there, and at the other one.
    fn place(&self, stage: &Stage, (entrant, who, nodes): Turn, round: usize, records: &mut Records) {
        let played = stage.start(entrant, nodes).and_then(|cluster| {
            // Whoever comes first wakes the Group where it comes; it has a Replica at each node from then on.
            let stays = cluster.enter(nodes, |number| format!("u=first{number}&room=seats"))?;
            let mut samples = Vec::new();
            for (node, where_it_is) in ["at the Group's node", "at another node"].into_iter().enumerate() {
                let asked = seats::ask(&cluster, node, self.time.measured)?;
                samples.push((Place::new("seats", format!("asked {where_it_is}"), nodes), asked));
                let visited = seats::visit(&cluster, node, self.time.measured)?;
                samples.push((Place::new("seats", format!("socket opened {where_it_is}"), nodes), visited));
            }
            drop(stays);
            Ok(samples)
        });
        let played = played.map(|samples| {
            samples.into_iter().for_each(|(place, sample)| records.add(place, round, sample));
        });
        note(records, round, &format!("{who}, nodes: {nodes}"), played);
    }

    /// One server, and a cluster of one: both are there, and whoever is not measured has nothing to do.
    fn single(&self, stage: &Stage, round: usize, records: &mut Records) -> Result<()> {
        let entrants = [(Entrant::Alone, "without"), (Entrant::Relay { limit: SEATS }, "with")];
        let mut both = Vec::new();
        for (entrant, who) in entrants {
            let cluster = stage.start(entrant, 1)?;
            let streams = cluster.enter(self.sockets, |number| connect::query(number, 0))?;
            let crowd = crowd(&cluster, streams, Reach::Room, (entrant.payload(), self.bytes), self.time)?;
            both.push((cluster, crowd, who));
        }
        for pair in 0..PAIRS {
            for (part, pace) in [("single, one", Pace::InFlight(1)), ("single, many", Pace::InFlight(MANY))] {
                both.reverse();
                for (cluster, crowd, who) in &mut both {
                    let sample = talk(cluster, crowd, pace)?;
                    records.add(Place::new(part, *who, 1), round * PAIRS + pair, sample);
                }
            }
        }
        Ok(())
    }
}

fn verbs(name: &'static str, limit: usize) -> Entrant {
    Entrant::Verb { name, limit }
}

fn note(records: &mut Records, round: usize, what: &str, played: Result<()>) {
    match played {
        Ok(()) => println!("[round {}, load {}] {what}", round + 1, load_average()),
        Err(error) => {
            let failure = format!("{what}: {error:#}");
            println!("[round {}] failed: {failure}", round + 1);
            records.fail(failure);
        }
    }
}

/// How long each part is run before anything is counted.
pub(crate) fn time(measured: Duration) -> Time {
    Time { warm_up: (measured / 4).min(Duration::from_secs(1)), measured }
}
