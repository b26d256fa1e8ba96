//! The Replicas of the model world, and the messages between objects.

use std::collections::{BTreeMap, BTreeSet};

use dog::internal::Door;
use dog::{ClientId, Epoch, Limit, ReplicaId, SocketId};
use dog_engine::address::{SeatId, Ticket, TicketId, View, ViewVersion};
use dog_engine::message::Report;
use dog_engine::seats::Seats;

/// A Replica: its life, if it has one, and how many lives it has had.
#[derive(Debug, Default)]
pub(crate) struct Object {
    pub(crate) lives: u64,
    pub(crate) life: Option<ReplicaLife>,
    /// Whether it may not know all siblings until it has the latest view. It was silent or parked and missed a view, or
    /// its life began with an old one.
    pub(crate) behind: bool,
    /// The version of the view that announces its latest join.
    pub(crate) announced: ViewVersion,
}

/// One life of a Replica. Plain lists keep the seats a second time, to check `Seats` against them.
#[derive(Debug)]
pub(crate) struct ReplicaLife {
    pub(crate) epoch: Epoch,
    pub(crate) seats: Seats,
    pub(crate) view: View,
    pub(crate) requests: Vec<(SeatId, Ticket)>,
    pub(crate) sockets: Vec<(SocketId, Ticket)>,
    pub(crate) used: BTreeSet<TicketId>,
    pub(crate) door: Door,
}

/// The real seats of a Replica at the time of its report.
#[derive(Clone, Debug, Default)]
pub(crate) struct Truth {
    pub(crate) clients: BTreeMap<ClientId, u32>,
    /// The sockets among them.
    pub(crate) sockets: BTreeMap<ClientId, u32>,
    /// The tickets of those seats.
    pub(crate) tickets: Vec<TicketId>,
    pub(crate) door: Door,
}

impl ReplicaLife {
    pub(crate) fn begin(replica: ReplicaId, epoch: Epoch, limit: Limit) -> Self {
        Self {
            epoch,
            seats: Seats::new(replica, epoch, limit),
            view: View::default(),
            requests: Vec::new(),
            sockets: Vec::new(),
            used: BTreeSet::new(),
            door: Door::Open,
        }
    }

    fn seated(&self) -> impl Iterator<Item = &Ticket> {
        let requests = self.requests.iter().map(|(_, ticket)| ticket);
        requests.chain(self.sockets.iter().map(|(_, ticket)| ticket))
    }

    pub(crate) fn occupied(&self) -> usize {
        self.requests.len() + self.sockets.len()
    }

    pub(crate) fn truth(&self) -> Truth {
        let mut truth = Truth { door: self.door, ..Truth::default() };
        for ticket in self.seated() {
            *truth.clients.entry(ticket.client.clone()).or_default() += 1;
            truth.tickets.push(ticket.id);
        }
        for (_, ticket) in &self.sockets {
            *truth.sockets.entry(ticket.client.clone()).or_default() += 1;
        }
        truth
    }

    pub(crate) fn set_door(&mut self, door: Door) {
        self.door = door;
        self.seats.set_door(door);
    }

    /// Takes a view if it is later than the present one. Views may arrive late or twice.
    pub(crate) fn update_view(&mut self, view: &View) {
        if view.version > self.view.version {
            self.view = view.clone();
        }
    }
}

/// A message in flight. It may be delivered in any order, twice, or never.
#[derive(Clone, Debug)]
pub(crate) enum Envelope {
    /// To the Group.
    Report(Report, Truth),
    /// To the Group.
    Release(Ticket),
    /// To the Group.
    Farewell(ReplicaId, Epoch),
    /// To the Group: the answer to a call from that life of the Group. Another life drops it.
    Counted(Epoch, Report, Truth),
    /// To a Replica.
    Acknowledge(ReplicaId, Epoch, u64),
    /// To a Replica.
    UpdateView(ReplicaId, View),
    /// To a Replica, from a life of the Group.
    Census(ReplicaId, Epoch, View),
}
