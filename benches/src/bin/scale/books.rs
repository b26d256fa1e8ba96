//! What a Group's books cost: time and memory, with many clients and many Replicas. The books alone, as in
//! `crates/dog-engine/benches/books.rs`, but in sizes that a criterion bench would take an hour for.

use std::hint::black_box;
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use dog::{ClientId, Epoch, Limit, Policy, ReplicaId, Timestamp};
use dog_benches::measure::{as_float, own_cpu_time, resident_bytes};
use dog_engine::address::{NodeId, Ticket};
use dog_engine::books::{Books, MemberRecord, Placement};
use dog_engine::message::Report;

/// What one thing costs, in microseconds of processor time, with so many Replicas in the books.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Costs {
    pub(crate) replicas: u32,
    /// A client that is remembered is placed, and gives its ticket back.
    pub(crate) known: f64,
    /// One that is not.
    pub(crate) new: f64,
    /// The Replica's word that it has come, and that it has gone.
    pub(crate) report: f64,
    /// Where a whisper goes.
    pub(crate) locate: f64,
    /// A Replica more, and the view with it.
    pub(crate) admit: f64,
    /// The Group wakes: all members tell their seats; for each client.
    pub(crate) wake: f64,
    /// Of memory, for each client.
    pub(crate) bytes_a_client: f64,
}

const EPOCH: Epoch = Epoch::from_raw(1);
const NOW: Timestamp = Timestamp::from_millis(1_000_000);
/// How often each thing is done, and how often where it is slow.
const TIMES: u32 = 100_000;
const SLOW_TIMES: u32 = 50;

fn replica(number: u32) -> ReplicaId {
    let mut id = [0; 32];
    // Spread, as ids are.
    for (part, factor) in id.chunks_exact_mut(8).zip([0x9e37_79b9_7f4a_7c15_u64, 3, 5, 7]) {
        part.copy_from_slice(&u64::from(number + 1).wrapping_mul(factor).to_be_bytes());
    }
    ReplicaId::from_bytes(id)
}

fn client(number: u32) -> Result<ClientId> {
    Ok(ClientId::new(format!("client-{number:08}"))?)
}

/// What a Replica says of its seats.
fn report(replica: ReplicaId, sequence: u64, clients: Vec<(ClientId, u32)>, occupied: u32, census: bool) -> Report {
    let node = NodeId::default();
    Report { replica, epoch: EPOCH, node, sequence, occupied, clients, taken: Vec::new(), census }
}

/// How long each of `times` took, in microseconds of this process.
fn each(times: u32, mut act: impl FnMut(u32) -> Result<()>) -> Result<f64> {
    let before = own_cpu_time();
    (0..times).try_for_each(&mut act)?;
    Ok((own_cpu_time() - before).as_secs_f64() * 1e6 / f64::from(times))
}

/// Books of a room with these seats taken, and the share of memory and time that each client took.
struct Room {
    books: Books,
    replicas: u32,
    clients: u32,
    /// Seats taken on each Replica.
    seated: u32,
    wake: f64,
    bytes_a_client: f64,
}

impl Room {
    fn new(replicas: u32, clients: u32) -> Result<Self> {
        let seated = clients / replicas;
        let limit = Limit::new(2 * seated + 2);
        let memory = resident_bytes(std::process::id())?;
        let records = (0..replicas).map(|number| MemberRecord { replica: replica(number), parked: false });
        let mut books = Books::restore(EPOCH, limit, Policy::default(), records);
        let mut took = Duration::ZERO;
        for number in 0..replicas {
            let first = number * seated;
            let clients = (first..first + seated).map(|number| Ok((client(number)?, 1))).collect::<Result<_>>()?;
            let census = report(replica(number), 1, clients, seated, true);
            let before = own_cpu_time();
            ensure!(books.report(&census, NOW), "a census was not taken in");
            took += own_cpu_time() - before;
        }
        let clients = seated * replicas;
        let memory = resident_bytes(std::process::id())?.saturating_sub(memory);
        let wake = took.as_secs_f64() * 1e6 / f64::from(clients);
        Ok(Self { books, replicas, clients, seated, wake, bytes_a_client: as_float(memory) / f64::from(clients) })
    }

    fn identify(&mut self, who: &ClientId) -> Result<Ticket> {
        match self.books.identify(who, None, NOW) {
            Placement::Placed { ticket, .. } => Ok(ticket),
            other => bail!("there is room, and yet the books say {other:?}"),
        }
    }

    /// Clients spread over all of them, in no order that memory could guess.
    fn any(&self, turn: u32) -> u32 {
        turn.wrapping_mul(2_654_435_761) % self.clients
    }

    fn known(&mut self) -> Result<f64> {
        let clients: Vec<_> = (0..TIMES).map(|turn| client(self.any(turn))).collect::<Result<_>>()?;
        each(TIMES, |turn| {
            let ticket = self.identify(&clients[turn as usize])?;
            self.books.release(ticket.id, NOW);
            Ok(())
        })
    }

    fn new_clients(&mut self) -> Result<f64> {
        let clients: Vec<_> = (0..TIMES).map(|turn| client(self.clients + turn)).collect::<Result<_>>()?;
        each(TIMES, |turn| {
            let ticket = self.identify(&clients[turn as usize])?;
            self.books.release(ticket.id, NOW);
            Ok(())
        })
    }

    /// Half of them that somebody has come, half that the same has gone.
    fn reports(&mut self) -> Result<f64> {
        let mut reports = Vec::with_capacity(TIMES as usize);
        for turn in 0..TIMES {
            let (visit, comes) = (turn / 2, turn % 2 == 0);
            let seats = u32::from(comes);
            let who = client(2 * self.clients + visit)?;
            let sequence = u64::from(turn) + 2;
            reports.push(report(
                replica(visit % self.replicas),
                sequence,
                vec![(who, seats)],
                self.seated + seats,
                false,
            ));
        }
        each(TIMES, |turn| {
            ensure!(self.books.report(&reports[turn as usize], NOW), "a report was not taken in");
            Ok(())
        })
    }

    fn locate(&mut self) -> Result<f64> {
        let clients: Vec<_> = (0..TIMES).map(|turn| client(self.any(turn))).collect::<Result<_>>()?;
        each(TIMES, |turn| {
            ensure!(black_box(self.books.locate(&clients[turn as usize])).len() == 1, "a client is lost");
            Ok(())
        })
    }

    fn admit(&mut self) -> Result<f64> {
        each(SLOW_TIMES, |turn| {
            ensure!(self.books.admit(replica(self.replicas + turn), NOW), "a new Replica was a member");
            Ok(())
        })
    }
}

/// What everything costs in a room of that size.
pub(crate) fn costs(replicas: u32, clients: u32) -> Result<Costs> {
    let mut room = Room::new(replicas, clients)?;
    Ok(Costs {
        replicas,
        known: room.known()?,
        new: room.new_clients()?,
        report: room.reports()?,
        locate: room.locate()?,
        admit: room.admit()?,
        wake: room.wake,
        bytes_a_client: room.bytes_a_client,
    })
}
