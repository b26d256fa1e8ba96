//! Storage with concurrent clients on all nodes, while nodes and NATS servers are killed and suspended. For each object
//! there must be one order of all commands that explains all answers (linearizability).

use std::net::SocketAddr;
use std::time::Duration;

use dog_test_support::process::Signal;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::app::PATIENCE;
use crate::child::Child;
use crate::faults::{owner_and_others, start};
use crate::record::{Recorder, Victim};
use crate::registers::{Answer, Command};
use crate::seeds::random;
use crate::server::NatsServers;

const LEASE: Duration = Duration::from_secs(3);
const ROOMS: [&str; 3] = ["first", "second", "third"];
/// The number of clients per room. They connect to different nodes.
const CLIENTS: usize = 4;

/// Sends random commands until the task is aborted. Reconnects through the next node when its socket ends.
async fn live(
    record: Recorder,
    entries: watch::Receiver<Vec<SocketAddr>>,
    (room, first): (&'static str, usize),
    mut random: fastrand::Rng,
    tell: watch::Sender<u32>,
    stop: watch::Receiver<bool>,
) {
    // No two commands write the same value, so a value that is read names the command that wrote it.
    let mut value = random.u32(1..1 << 30);
    let mut known = [0; 2];
    for turn in first.. {
        let entry = entries.borrow()[turn % entries.borrow().len()];
        let Ok(mut client) = record.try_to_join(entry, room, &format!("client-{first}")).await else {
            // Real clients also pause before they reconnect. Behind a load balancer they may reach another node.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        loop {
            if *stop.borrow() {
                return;
            }
            let register = random.usize(0..2);
            value += 1;
            let command = match random.u8(0..8) {
                0 | 1 => Command::Get(register),
                2 => Command::Both,
                3 => Command::Swap,
                4 | 5 => Command::CompareAndSet(register, known[register], value),
                _ => Command::Put(register, value),
            };
            let Some(answer) = client.register(command).await else { break };
            match (command, answer) {
                (Command::Get(register) | Command::CompareAndSet(register, ..), Answer::Value(now)) => {
                    known[register] = now;
                }
                (Command::Put(register, now) | Command::CompareAndSet(register, _, now), Answer::Done) => {
                    known[register] = now;
                }
                (_, Answer::Values(first, second)) => known = [first, second],
                _ => {}
            }
            tell.send_modify(|answered| *answered += 1);
        }
    }
}

struct Crowd {
    /// The number of answers from each room.
    answered: [watch::Sender<u32>; ROOMS.len()],
    lives: Vec<JoinHandle<()>>,
    entries: watch::Sender<Vec<SocketAddr>>,
    stop: watch::Sender<bool>,
}

impl Crowd {
    fn come(record: &Recorder, nodes: &[Child], random: &mut fastrand::Rng) -> Self {
        let (entries, entry) = watch::channel(nodes.iter().map(|node| node.address).collect());
        let (stop, stops) = watch::channel(false);
        let answered = ROOMS.map(|_| watch::Sender::new(0));
        let life = |number: usize| {
            let room = number % ROOMS.len();
            // The clients of one room connect to all nodes.
            let who = (ROOMS[room], number / ROOMS.len());
            let tell = answered[room].clone();
            tokio::spawn(live(record.clone(), entry.clone(), who, random.fork(), tell, stops.clone()))
        };
        let lives = (0..CLIENTS * ROOMS.len()).map(life).collect();
        Self { answered, lives, entries, stop }
    }

    /// Waits until each room has answered `more` more commands.
    async fn goes_on(&self, record: &Recorder, more: u32) {
        let wanted = self.answered.each_ref().map(|answered| *answered.borrow() + more);
        for ((answered, wanted), room) in self.answered.iter().zip(wanted).zip(ROOMS) {
            let mut answered = answered.subscribe();
            let come = tokio::time::timeout(
                std::time::Duration::from_secs(25),
                answered.wait_for(|answered| *answered >= wanted),
            )
            .await;
            assert!(come.is_ok(), "the {room} room no longer answers: {}", record.open());
        }
    }

    async fn end(self) {
        self.stop.send_replace(true);
        for life in self.lives {
            tokio::time::timeout(PATIENCE, life).await.expect("it ends").expect("a client");
        }
    }
}

#[tokio::test]
async fn the_registers_of_each_object_have_one_order_through_kills_pauses_and_a_change_of_leader() {
    let mut random = random("storage");
    let mut nats = NatsServers::start(3, "");
    let record = Recorder::new(LEASE);
    let mut nodes = start(&nats, LEASE);
    let crowd = Crowd::come(&record, &nodes, &mut random);
    crowd.goes_on(&record, 100).await;
    // The fault comes at a random point of the load.
    crowd.goes_on(&record, random.u32(0..50)).await;
    let (owner, _) = owner_and_others(&record, &nodes, ROOMS[0]).await;
    record.fault(Victim::Node(nodes[owner].id()));
    nodes[owner].kill();
    nodes[owner] = Child::start(&nats.url(), LEASE);
    crowd.entries.send_replace(nodes.iter().map(|node| node.address).collect());
    crowd.goes_on(&record, 100 + random.u32(0..50)).await;
    let (owner, _) = owner_and_others(&record, &nodes, ROOMS[1]).await;
    let fault = record.fault(Victim::Node(nodes[owner].id()));
    nodes[owner].signal(Signal::STOP);
    // When its rooms answer again, other nodes serve them. So its lease is over.
    crowd.goes_on(&record, 50 + random.u32(0..50)).await;
    nodes[owner].signal(Signal::CONT);
    record.is_well(fault);
    crowd.goes_on(&record, 100).await;
    let leader = nats.leader("dog_objects").await;
    let fault = record.fault(Victim::Nats);
    nats.kill(leader);
    crowd.goes_on(&record, 100 + random.u32(0..50)).await;
    nats.restart(leader);
    nats.is_whole().await;
    record.is_well(fault);
    crowd.goes_on(&record, 100).await;
    crowd.end().await;
    println!(
        "cluster: registers of {} objects, a node killed, one stopped past its lease, the leader of NATS killed: one order explains all; {}",
        ROOMS.len(),
        record.check()
    );
}
