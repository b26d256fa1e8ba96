//! Runs of the world: what happens in it, and what has to be true when it has become quiet.

use bytes::Bytes;
use dog::internal::{PresenceChange, Topic};
use dog::{Anonymous, ClientId, Epoch};
use dog_engine::presence::{ConnectionEnd, PresenceSettings, RosterChange, Rosters};
use proptest::prelude::*;

use crate::group::Group;
use crate::world::{Mail, REPLICAS, ToGroup, ToReplica, World};
use crate::{Checked, ensure};

/// One step. A number selects one of the existing items, modulo their count.
#[derive(Clone, Debug)]
pub(crate) enum Op {
    Open { client: u8, replica: usize },
    Close { socket: u8, departure: ConnectionEnd },
    Update { socket: u8, value: u8 },
    Toggle { socket: u8, topic: u8 },
    Assign { socket: u8, client: u8 },
    Disconnect { client: u8 },
    Drain { replica: usize },
    Deliver { message: u16 },
    DeliverAll,
    Double { message: u16 },
    Lose { message: u16 },
    Die { replica: usize },
    NoticeDeath { replica: usize, departure: ConnectionEnd },
    Live { replica: usize },
    Hibernate { replica: usize },
    GroupDies,
    GroupWakes,
    Pass { millis: u64 },
}

fn departure() -> impl Strategy<Value = ConnectionEnd> {
    prop_oneof![4 => Just(ConnectionEnd::Gone), 1 => Just(ConnectionEnd::Restarting), 1 => Just(ConnectionEnd::Disconnected)]
}

pub(crate) fn op() -> impl Strategy<Value = Op> {
    let (n, replica) = (any::<u8>, || 0..REPLICAS);
    let message = any::<u16>;
    prop_oneof![
        14 => (0..6_u8, replica()).prop_map(|(client, replica)| Op::Open { client, replica }),
        8 => (n(), departure()).prop_map(|(socket, departure)| Op::Close { socket, departure }),
        4 => (n(), 0..3_u8).prop_map(|(socket, value)| Op::Update { socket, value }),
        6 => (n(), 0..3_u8).prop_map(|(socket, topic)| Op::Toggle { socket, topic }),
        2 => (n(), 0..4_u8).prop_map(|(socket, client)| Op::Assign { socket, client }),
        2 => (0..4_u8).prop_map(|client| Op::Disconnect { client }),
        1 => replica().prop_map(|replica| Op::Drain { replica }),
        20 => message().prop_map(|message| Op::Deliver { message }),
        8 => Just(Op::DeliverAll),
        3 => message().prop_map(|message| Op::Double { message }),
        5 => message().prop_map(|message| Op::Lose { message }),
        2 => replica().prop_map(|replica| Op::Die { replica }),
        2 => (replica(), departure()).prop_map(|(replica, departure)| Op::NoticeDeath { replica, departure }),
        2 => replica().prop_map(|replica| Op::Live { replica }),
        1 => replica().prop_map(|replica| Op::Hibernate { replica }),
        2 => Just(Op::GroupDies),
        3 => Just(Op::GroupWakes),
        14 => (0..800_u64).prop_map(|millis| Op::Pass { millis }),
    ]
}

pub(crate) fn run(settings: PresenceSettings, follows: [bool; REPLICAS], ops: &[Op]) -> Checked {
    let mut world = World::new(settings, follows);
    for (index, op) in ops.iter().enumerate() {
        world.apply(op).map_err(|wrong| format!("step {index}, {op:?}: {wrong}"))?;
    }
    world.becomes_quiet()
}

/// Four clients with names, and two that are not known yet.
fn client(number: u8) -> ClientId {
    if number < 4 {
        return ClientId::new(format!("u{number}")).expect("a name");
    }
    let generated = ClientId::to_be_generated(Anonymous::ForGood).generate(Epoch::from_raw(1), || u64::from(number));
    generated.expect("it asks for an id")
}

fn value(number: u8) -> Bytes {
    vec![number].into()
}

impl World {
    fn apply(&mut self, op: &Op) -> Checked {
        let now = self.now;
        match *op {
            Op::Open { client: number, replica } if self.replicas[replica].is_alive => {
                self.replicas[replica].open(client(number), value(0));
            }
            Op::Close { socket, departure } => {
                if let Some((replica, socket)) = self.socket(socket) {
                    self.replicas[replica].close(socket, departure);
                }
            }
            Op::Update { socket, value: number } => {
                if let Some((replica, socket)) = self.socket(socket) {
                    self.replicas[replica].update(socket, value(number));
                }
            }
            Op::Toggle { socket, topic } => {
                if let Some((replica, socket)) = self.socket(socket) {
                    let topic = Topic::new(format!("t{topic}")).expect("a name");
                    self.replicas[replica].toggle(socket, topic);
                }
            }
            Op::Assign { socket, client: number } => {
                if let Some((replica, socket)) = self.socket(socket) {
                    self.replicas[replica].assign(socket, &client(number));
                }
            }
            Op::Disconnect { client: number } => self.disconnect(&client(number)),
            Op::Drain { replica } => self.replicas[replica].close_all(ConnectionEnd::Restarting, |_| true),
            Op::Deliver { message } => {
                if let Some(index) = self.select(message) {
                    let mail = self.mail.remove(index);
                    self.deliver(mail)?;
                }
            }
            Op::DeliverAll => self.deliver_all()?,
            Op::Double { message } => self.double(message)?,
            Op::Lose { message } => {
                if let Some(index) = self.select(message) {
                    let mail = self.mail.remove(index);
                    self.lose(&mail)?;
                }
            }
            Op::NoticeDeath { replica, departure } if !self.replicas[replica].is_alive => {
                let life = self.replicas[replica].life;
                if let Some(group) = &mut self.group {
                    group.lost(replica, life, departure, now);
                }
            }
            Op::GroupDies => self.group = None,
            Op::GroupWakes => self.wake_group(),
            Op::Pass { millis } => self.pass(millis)?,
            Op::Open { .. } | Op::NoticeDeath { .. } => {}
            Op::Die { .. } | Op::Live { .. } | Op::Hibernate { .. } => self.change_life(op),
        }
        Ok(())
    }

    fn change_life(&mut self, op: &Op) {
        match *op {
            Op::Die { replica } => {
                self.replicas[replica].is_alive = false;
                self.replicas[replica].sockets.clear();
            }
            Op::Live { replica } if !self.replicas[replica].is_alive => self.replicas[replica].next_life(false),
            Op::Hibernate { replica } if self.replicas[replica].is_alive => self.replicas[replica].next_life(true),
            _ => {}
        }
    }

    fn wake_group(&mut self) {
        if self.group.is_none() {
            self.lives += 1;
            self.group = Some(Group::new(self.lives, self.settings, self.now));
        }
    }

    fn socket(&self, number: u8) -> Option<(usize, usize)> {
        let sockets = |replica: usize| (0..self.replicas[replica].sockets.len()).map(move |socket| (replica, socket));
        let all: Vec<_> = (0..REPLICAS).flat_map(sockets).collect();
        (!all.is_empty()).then(|| all[usize::from(number) % all.len()])
    }

    fn disconnect(&mut self, client: &ClientId) {
        for replica in &mut self.replicas {
            replica.close_all(ConnectionEnd::Disconnected, |of| of == client);
        }
        if let Some(group) = &mut self.group {
            group.disconnect(client, self.now);
        }
    }

    fn select(&self, number: u16) -> Option<usize> {
        (!self.mail.is_empty()).then(|| usize::from(number) % self.mail.len())
    }

    fn double(&mut self, number: u16) -> Checked {
        let Some(index) = self.select(number) else { return Ok(()) };
        let mail = self.mail[index].clone();
        // A call has one answer.
        let is_call = matches!(
            mail,
            Mail::ToGroup { message: ToGroup::Question(_) | ToGroup::Roster(..), .. }
                | Mail::ToReplica { message: ToReplica::Answer(..) | ToReplica::Roster(_), .. }
        );
        if is_call { Ok(()) } else { self.deliver(mail) }
    }

    /// Everything arrives, in the order in which it was sent.
    fn deliver_all(&mut self) -> Checked {
        while !self.mail.is_empty() {
            let mail = self.mail.remove(0);
            self.deliver(mail)?;
        }
        Ok(())
    }

    /// Nothing is lost any more, and the Group notices which Replicas are dead.
    fn becomes_quiet(&mut self) -> Checked {
        self.wake_group();
        self.deliver_all()?;
        for replica in 0..REPLICAS {
            self.apply(&Op::NoticeDeath { replica, departure: ConnectionEnd::Gone })?;
        }
        let mut quiet = 0;
        for _ in 0..200 {
            self.deliver_all()?;
            self.pass(100)?;
            quiet = if self.is_quiet() { quiet + 1 } else { 0 };
            // A report that was lost is sent again after a second.
            if quiet > 12 {
                break;
            }
        }
        let truth = self.truth();
        let group = self.group.as_ref().ok_or("the Group is away")?;
        let told = group.presence().told().map(|(roster, _)| roster);
        ensure!(told == Some(&truth), "open is {truth:?}, but the Group has told {told:?}");
        for replica in &self.replicas {
            let knows = replica.knows();
            ensure!(knows.is_none_or(|knows| *knows == truth), "{} knows {knows:?}, not {truth:?}", replica.number);
        }
        ensure!(self.is_quiet(), "a quiet world sends {:?}, or waits for something", self.mail);
        Ok(())
    }

    /// Nothing is on its way but to Replicas that are dead, and the Group waits for nothing.
    fn is_quiet(&self) -> bool {
        let is_of_dead = |mail: &Mail| match mail {
            Mail::ToReplica { replica, .. } => !self.replicas[*replica].is_alive,
            Mail::ToGroup { .. } => false,
        };
        let presence = self.group.as_ref().map(Group::presence);
        let rests = presence.is_some_and(|presence| presence.is_settled() && presence.next_deadline().is_none());
        rests && self.mail.iter().all(is_of_dead)
    }

    /// Who is there: all clients with open sockets, in the room and in the topics of these.
    fn truth(&self) -> Rosters {
        let mut rosters = Rosters::default();
        for socket in self.replicas.iter().flat_map(|replica| &replica.sockets) {
            let topics = socket.topics.iter().cloned().map(Some);
            for topic in topics.chain([None]) {
                let (client, value) = (socket.client.clone(), socket.value.clone());
                let arrived = PresenceChange::Arrived { client: client.clone() };
                rosters.apply(&RosterChange { topic: topic.clone(), change: arrived });
                let change = PresenceChange::Opened { client, connection: socket.id, value };
                assert!(rosters.apply(&RosterChange { topic, change }), "it is there once");
            }
        }
        rosters
    }
}
