//! One Replica in the books, as plain data.

use std::collections::HashMap;

use dog::internal::Door;
use dog::{ClientId, Epoch, ReplicaId, Timestamp};

use crate::address::{NodeId, ViewVersion};
use crate::message::SeatCount;

/// The state of a Replica as a member of its Group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemberState {
    /// It is being introduced to its siblings. It is given tickets, and the clients are answered when it has joined.
    Joining,
    /// It serves clients.
    Active,
    /// It has missed a deadline. It stays a member, and gets no clients until it is heard again.
    Suspected,
    /// The Group has woken and does not know its seats yet. It gets no clients.
    Uncounted,
    /// It was empty for long. It is not part of the view, and is used before a new Replica is made.
    Parked,
}

impl MemberState {
    pub(crate) fn takes_clients(self) -> bool {
        matches!(self, Self::Active | Self::Joining)
    }
}

/// What a Group stores of a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemberRecord {
    /// The member.
    pub replica: ReplicaId,
    /// Whether it is parked.
    pub parked: bool,
}

/// What the books say of one member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberSeats {
    /// The member.
    pub replica: ReplicaId,
    /// Its state.
    pub state: MemberState,
    /// Seats taken, as last reported.
    pub occupied: u32,
    /// Valid tickets.
    pub reserved: u32,
    /// Whether it takes no newcomers, as last reported.
    pub is_closed: bool,
    /// The life that has reported this.
    pub epoch: Epoch,
    /// What each client has there, as last reported, ordered by client.
    pub clients: Vec<(ClientId, SeatCount)>,
}

/// One Replica in the books.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) state: MemberState,
    /// The node that it lives on, as it has reported. Until then, the node that it should live on.
    pub(super) node: NodeId,
    /// The life that `sequence` and `occupied` belong to. Unknown until it was heard.
    pub(super) epoch: Epoch,
    pub(super) sequence: u64,
    /// As last reported.
    pub(super) occupied: u32,
    /// Valid tickets that no report has named.
    pub(super) reserved: u32,
    /// As last reported. A parked one is open.
    pub(super) door: Door,
    /// Whether this life of the Group has all its seats, so that reports of changes are enough.
    pub(super) counted: bool,
    /// Whether it has said that it has seats, although they may not be counted yet.
    pub(super) says_seated: bool,
    /// What each client has there, as reported.
    pub(super) clients: HashMap<ClientId, SeatCount>,
    /// Smaller for older members.
    pub(super) order: u64,
    /// Numbers the period in which it has been empty. Timestamps may not tell two periods apart.
    pub(super) emptiness: Option<u64>,
    /// When it was last heard.
    pub(super) heard: Timestamp,
    /// A view that it may not have.
    pub(super) missed: Option<ViewVersion>,
    /// Whether a client has ever had a seat there, as far as is known.
    pub(super) served: bool,
    /// Whether it was examined since it was parked: does it store anything?
    pub(super) examined: bool,
}

impl Member {
    pub(super) fn new(state: MemberState, order: u64) -> Self {
        Self {
            state,
            node: NodeId::default(),
            epoch: Epoch::default(),
            sequence: 0,
            occupied: 0,
            reserved: 0,
            door: Door::Open,
            counted: false,
            says_seated: false,
            clients: HashMap::new(),
            order,
            emptiness: None,
            heard: Timestamp::default(),
            missed: None,
            served: false,
            examined: false,
        }
    }

    /// Whether clients that are not remembered there can be placed on it, if it has room.
    pub(super) fn takes_newcomers(&self) -> bool {
        self.state.takes_clients() && self.door == Door::Open
    }

    /// Seats taken or reserved.
    pub(super) fn seats(&self) -> u32 {
        self.occupied + self.reserved
    }

    /// Whether it has to be asked for its seats. Members that are joining answer that with a census anyway, and parked ones
    /// will.
    pub(super) fn is_uncounted(&self) -> bool {
        !self.counted && !matches!(self.state, MemberState::Joining | MemberState::Parked)
    }

    /// Whether its sockets are not known: it was not counted, or did not answer.
    pub(super) fn is_unheard(&self) -> bool {
        self.is_uncounted() || self.state == MemberState::Suspected
    }

    /// Whether the books may be wrong about it, or it about its siblings.
    pub(super) fn is_in_doubt(&self) -> bool {
        !self.counted || self.missed.is_some() || self.state == MemberState::Suspected
    }

    pub(super) fn summary(&self, replica: ReplicaId) -> MemberSeats {
        let mut clients: Vec<_> = self.clients.iter().map(|(client, seats)| (client.clone(), *seats)).collect();
        clients.sort_unstable();
        let Self { state, occupied, reserved, door, epoch, .. } = *self;
        MemberSeats { replica, state, occupied, reserved, is_closed: door == Door::Closed, epoch, clients }
    }
}
