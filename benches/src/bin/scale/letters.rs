//! What letters between nodes weigh, and what it costs to write and to read them. Their envelope is the native host's own, a
//! class's name and a Group's id before what is said, and is made here in the same form.

use std::hint::black_box;

use anyhow::Result;
use dog::{ClientId, Epoch, Message, ReplicaId, Timestamp};
use dog_benches::measure::{as_float, own_cpu_time};
use dog_engine::address::{NodeId, Ticket, TicketId, View, ViewVersion};
use dog_engine::message::{Delivery, GroupCall, GroupCast, ReplicaCast, Report};
use dog_engine::wire::{decode, encode};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Bytes of a broadcast's message.
pub(crate) const PAYLOAD: usize = 128;
const TIMES: u32 = 20_000;
/// Members of the view that is weighed, and how often it is written and read.
const MEMBERS: u32 = 10_000;
const VIEWS: u32 = 200;

/// Bytes, and microseconds of processor time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Letters {
    /// A broadcast to the Replicas of one node: without them, and for each.
    pub(crate) broadcast_bytes: f64,
    pub(crate) replica_bytes: f64,
    /// A question or statement about one client, on average of those that a visit takes.
    pub(crate) visit_bytes: f64,
    pub(crate) write: f64,
    pub(crate) read: f64,
    /// A view, for each of its members.
    pub(crate) member_bytes: f64,
    pub(crate) member_write: f64,
    pub(crate) member_read: f64,
}

type Envelope<T> = (String, [u8; 32], T);

fn envelope<T>(what: T) -> Envelope<T> {
    ("lobby".into(), [7; 32], what)
}

fn replica(number: u32) -> ReplicaId {
    ReplicaId::from_name("room", &number.to_string())
}

/// How long it is, and what it costs to write and to read.
fn weigh<T: Serialize + DeserializeOwned>(what: &T, times: u32) -> Result<[f64; 3]> {
    let bytes = encode(what)?;
    let time = |act: &mut dyn FnMut() -> Result<()>| -> Result<f64> {
        let before = own_cpu_time();
        (0..times).try_for_each(|_| act())?;
        Ok((own_cpu_time() - before).as_secs_f64() * 1e6 / f64::from(times))
    };
    let write = time(&mut || {
        black_box(encode(what)?);
        Ok(())
    })?;
    let read = time(&mut || {
        black_box(decode::<T>(&bytes)?);
        Ok(())
    })?;
    Ok([as_float(bytes.len() as u64), write, read])
}

fn broadcast(replicas: u32) -> Envelope<(Vec<[u8; 32]>, ReplicaCast)> {
    let message = Message::text("x".repeat(PAYLOAD));
    let cast = ReplicaCast::Deliver(Delivery { message, except: None });
    envelope(((0..replicas).map(|number| *replica(number).as_bytes()).collect(), cast))
}

/// The messages of one visit, with the space of its return address in each question and answer.
fn visit() -> Result<[[f64; 3]; 4]> {
    let (client, replica) = (ClientId::new("client-00000001")?, replica(1));
    let (epoch, near) = (Epoch::from_raw(1 << 40), NodeId::from_raw(u64::MAX));
    let back = (near, 1_u32, 1_000_000_u64);
    let id = TicketId { epoch, number: 1_000_000 };
    let question = envelope((GroupCall::Identify { client: client.clone(), refused: None, near }, back));
    let expires = Timestamp::from_millis(1_800_000_000_000);
    let answer = envelope((Ticket { id, replica, client: client.clone(), expires }, back));
    let (clients, taken) = (vec![(client, 1)], vec![id]);
    let report = Report { replica, epoch, node: near, sequence: 9, occupied: 9, clients, taken, census: false };
    let acknowledge = ReplicaCast::Acknowledge { epoch, sequence: 9 };
    Ok([
        weigh(&question, TIMES)?,
        weigh(&answer, TIMES)?,
        weigh(&envelope(GroupCast::Report(report)), TIMES)?,
        weigh(&envelope((vec![*replica.as_bytes()], acknowledge)), TIMES)?,
    ])
}

fn view() -> View {
    let version = ViewVersion { epoch: Epoch::from_raw(1 << 40), change: 1 };
    View { version, members: (0..MEMBERS).map(replica).collect() }
}

/// Weighs them all.
pub(crate) fn measure() -> Result<Letters> {
    let ([one, ..], [many, ..]) = (weigh(&broadcast(1), TIMES)?, weigh(&broadcast(101), TIMES)?);
    let replica_bytes = (many - one) / 100.0;
    let visit = visit()?;
    let mean = |at: usize| visit.iter().map(|figures| figures[at]).sum::<f64>() / 4.0;
    let view = weigh(&view(), VIEWS)?.map(|figure| figure / f64::from(MEMBERS));
    Ok(Letters {
        broadcast_bytes: one - replica_bytes,
        replica_bytes,
        visit_bytes: mean(0),
        write: mean(1),
        read: mean(2),
        member_bytes: view[0],
        member_write: view[1],
        member_read: view[2],
    })
}
