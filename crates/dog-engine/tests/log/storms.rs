//! Runs of the world: what happens in it, and what has to be true when it has become quiet.

use dog::internal::LogBounds;
use proptest::prelude::*;

use crate::world::{Mail, REPLICAS, SOCKETS, Seen, World};
use crate::{Checked, ensure};

/// One step. A number selects one of the existing items, modulo their count.
#[derive(Clone, Debug)]
pub(crate) enum Op {
    Publish { bytes: usize },
    Deliver { message: u16 },
    DeliverAll,
    Double { message: u16 },
    Lose { message: u16 },
    Open { socket: usize, replica: usize },
    Close { socket: usize },
    Drain { socket: usize, most: usize },
    Shrink { replica: usize, bytes: usize },
    Crash { replica: usize },
    Restart { is_durable: bool },
    Reset,
    Pass { millis: u64 },
}

pub(crate) fn op() -> impl Strategy<Value = Op> {
    let (message, socket, replica) = (any::<u16>, || 0..SOCKETS, || 0..REPLICAS);
    prop_oneof![
        20 => (0..60_usize).prop_map(|bytes| Op::Publish { bytes }),
        20 => message().prop_map(|message| Op::Deliver { message }),
        6 => Just(Op::DeliverAll),
        3 => message().prop_map(|message| Op::Double { message }),
        6 => message().prop_map(|message| Op::Lose { message }),
        10 => (socket(), replica()).prop_map(|(socket, replica)| Op::Open { socket, replica }),
        3 => socket().prop_map(|socket| Op::Close { socket }),
        10 => (socket(), 1..20_usize).prop_map(|(socket, most)| Op::Drain { socket, most }),
        2 => (replica(), 0..100_usize).prop_map(|(replica, bytes)| Op::Shrink { replica, bytes }),
        1 => replica().prop_map(|replica| Op::Crash { replica }),
        1 => prop::bool::weighted(0.7).prop_map(|is_durable| Op::Restart { is_durable }),
        1 => Just(Op::Reset),
        4 => (0..600_u64).prop_map(|millis| Op::Pass { millis }),
    ]
}

pub(crate) fn run(bounds: LogBounds, ops: &[Op]) -> Checked {
    let mut world = World::new(bounds);
    for (index, op) in ops.iter().enumerate() {
        world.apply(op).map_err(|wrong| format!("step {index}, {op:?}: {wrong}"))?;
    }
    world.becomes_quiet()
}

impl World {
    fn apply(&mut self, op: &Op) -> Checked {
        match *op {
            Op::Publish { bytes } => self.publish(bytes),
            Op::Deliver { message } => {
                if let Some(index) = self.select(message) {
                    let message = self.mail.remove(index);
                    self.deliver(message)?;
                }
            }
            Op::DeliverAll => self.deliver_all()?,
            Op::Double { message } => {
                if let Some(index) = self.select(message) {
                    let message = self.mail[index].clone();
                    // A call has one answer.
                    if !matches!(message.1, Mail::Ask(..) | Mail::Answer(..)) {
                        self.deliver(message)?;
                    }
                }
            }
            Op::Lose { message } => {
                if let Some(index) = self.select(message) {
                    let message = self.mail.remove(index);
                    self.lose(message);
                }
            }
            Op::Open { socket, replica } => self.open(socket, replica)?,
            Op::Close { socket } => self.close(socket),
            Op::Drain { socket, most } => self.drain(socket, most)?,
            Op::Shrink { replica, bytes } => self.replicas[replica].shrink(bytes),
            Op::Crash { replica } => self.replicas[replica].crash(),
            Op::Restart { is_durable } => self.group.restart(is_durable, self.now),
            Op::Reset => self.group.reset(self.now),
            Op::Pass { millis } => self.pass(millis),
        }
        Ok(())
    }

    fn select(&self, number: u16) -> Option<usize> {
        (!self.mail.is_empty()).then(|| usize::from(number) % self.mail.len())
    }

    /// Everything arrives, in the order in which it was sent.
    fn deliver_all(&mut self) -> Checked {
        while !self.mail.is_empty() {
            let message = self.mail.remove(0);
            self.deliver(message)?;
        }
        Ok(())
    }

    fn close(&mut self, socket: usize) {
        self.replicas.iter_mut().for_each(|replica| replica.close(socket));
    }

    fn open(&mut self, socket: usize, number: usize) -> Checked {
        self.close(socket);
        let Self { replicas, sockets, history, group, now, .. } = self;
        sockets[socket].replica = number;
        replicas[number].open(socket, &mut Seen { sockets, history, group }, *now)?;
        self.collect(number);
        Ok(())
    }

    fn drain(&mut self, socket: usize, most: usize) -> Checked {
        let Self { replicas, sockets, history, group, now, .. } = self;
        let number = sockets[socket].replica;
        replicas[number].drain(socket, most, &mut Seen { sockets, history, group }, *now)?;
        self.collect(number);
        Ok(())
    }

    /// Nothing is lost any more. A second later every open socket has everything, and nothing is sent.
    fn becomes_quiet(&mut self) -> Checked {
        for _ in 0..20 {
            self.deliver_all()?;
            self.pass(50);
        }
        for _ in 0..1000 {
            self.deliver_all()?;
            (0..SOCKETS).try_for_each(|socket| self.drain(socket, 10))?;
        }
        let head = self.group.head();
        for socket in 0..SOCKETS {
            let replica = &self.replicas[self.sockets[socket].replica];
            if !replica.has(socket) {
                continue;
            }
            ensure!(replica.is_live(socket), "socket {socket} never catches up");
            let position = self.sockets[socket].position.as_ref();
            ensure!(position == Some(&head), "the log is at {head}, socket {socket} at {position:?}");
        }
        for _ in 0..20 {
            self.pass(50);
            self.deliver_all()?;
        }
        self.pass(1000);
        let talks = self.mail.iter().any(|(number, _)| self.replicas[*number].follows());
        ensure!(!talks, "a quiet world sends {:?}", self.mail);
        Ok(())
    }
}
