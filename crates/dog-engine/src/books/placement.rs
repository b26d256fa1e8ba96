//! Which Replica serves a client (promises 1, 2 and 3).

use dog::{ClientId, ReplicaId, Timestamp};

use super::Books;
use super::member::{Member, MemberState};
use crate::address::{NodeId, Ticket, TicketId};
use crate::fault_injection::{Fault, is_planted};

/// The decision of [`Books::identify`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// This Replica, with a reserved seat.
    Placed {
        /// The ticket for the seat.
        ticket: Ticket,
        /// Whether the Replica has joined. If not, the answer must wait until it has.
        joined: bool,
    },
    /// All Replicas are full, but this one is parked: admit it, then ask again.
    Unpark(ReplicaId),
    /// All Replicas are full: admit a new one, then ask again.
    Grow,
    /// The client has as many seats as [`Policy::max_seats_per_client`](dog::Policy::max_seats_per_client) allows.
    Refuse,
    /// Some members are not counted yet: ask again when they are. The call for its seats also tells each member the view, so
    /// that then all know each other, also those that were joining when the Group's last life ended.
    Wait,
}

impl Books {
    /// Decides which Replica serves `client`: the one that it used last while that has room, otherwise the first that is open in the
    /// order of [`Policy::placement`](dog::Policy::placement), otherwise a parked one, otherwise a new one.
    ///
    /// `refused` is a Replica that has just refused the client. Another one is chosen if there is one with room.
    pub fn identify(&mut self, client: &ClientId, refused: Option<ReplicaId>, now: Timestamp) -> Decision {
        self.identify_near(client, refused, NodeId::default(), now)
    }

    /// [`identify`](Books::identify) for a client that has reached the node `near`. The client is placed on a Replica there, a
    /// new one if necessary, unless it used a Replica elsewhere last.
    pub fn identify_near(
        &mut self,
        client: &ClientId,
        refused: Option<ReplicaId>,
        near: NodeId,
        now: Timestamp,
    ) -> Decision {
        if self.awaits_census() {
            return Decision::Wait;
        }
        if self.has_enough(client, refused.is_some()) {
            return Decision::Refuse;
        }
        let sticky = self.clients.last(client).filter(|last| Some(*last) != refused && !client.is_anonymous());
        if let Some(last) = sticky {
            match self.state(last) {
                Some(state) if state.takes_clients() && self.has_room(last) => {
                    return self.place(client, last, false, now);
                }
                // What it stores for this client is still there.
                Some(MemberState::Parked) => return Decision::Unpark(last),
                _ => {}
            }
        }
        let (placement, limit) = (self.policy.placement, self.limit.get());
        match self.members.with_room(placement, near, limit, refused) {
            Some(replica) => self.place(client, replica, true, now),
            None => self.members.longest_parked(near, refused).map_or(Decision::Grow, Decision::Unpark),
        }
    }

    /// Places a client on a Replica with room on any node, for when no new Replica can be made.
    pub fn identify_anywhere(&mut self, client: &ClientId, now: Timestamp) -> Option<Decision> {
        if self.has_enough(client, false) {
            return Some(Decision::Refuse);
        }
        let replica = self.members.with_room_anywhere(self.policy.placement, self.limit.get())?;
        Some(self.place(client, replica, true, now))
    }

    /// Whether the client may not have one more seat. The ticket of a client that was refused by a Replica is kept until it
    /// expires, and is none of its seats.
    fn has_enough(&self, client: &ClientId, was_refused: bool) -> bool {
        let Some(most) = self.policy.max_seats_per_client else { return false };
        let has_enough = self.clients.seats_and_tickets(client) >= most.saturating_add(u32::from(was_refused));
        has_enough && !is_planted(Fault::ClientHasNoLimit)
    }

    /// The client, with an id that was never used before if it asks for one.
    pub fn with_id(&mut self, client: ClientId) -> ClientId {
        let generated = client.generate(self.epoch, || {
            self.generated += 1;
            self.generated
        });
        generated.unwrap_or(client)
    }

    /// Whether some members have yet to report their seats, so that it is not known where clients are.
    pub fn awaits_census(&self) -> bool {
        self.members.any_uncounted()
    }

    fn has_room(&self, replica: ReplicaId) -> bool {
        self.seats(replica) < self.limit.get()
    }

    /// Whether a client that is not remembered there may be placed on this member.
    pub fn takes_newcomers(&self, replica: ReplicaId) -> bool {
        self.members.get(replica).is_some_and(Member::takes_newcomers)
    }

    fn place(&mut self, client: &ClientId, replica: ReplicaId, newcomer: bool, now: Timestamp) -> Decision {
        let ticket = self.reserve(client, replica, newcomer, now);
        Decision::Placed { ticket, joined: self.state(replica) == Some(MemberState::Active) }
    }

    fn reserve(&mut self, client: &ClientId, replica: ReplicaId, newcomer: bool, now: Timestamp) -> Ticket {
        let ticket = self.tickets.issue(client, replica, newcomer, now);
        self.members.change(replica, |member| member.reserved += 1);
        self.members.note_emptiness(replica, now);
        self.clients.ticket_given(client, replica);
        ticket
    }

    /// Replaces a ticket that nobody could use yet by one with a full lifetime. `None` if it has expired: then the client has
    /// to be placed again.
    pub fn renew(&mut self, ticket: &Ticket, now: Timestamp) -> Option<Ticket> {
        if !self.tickets.is_valid(ticket.id) {
            return None;
        }
        self.release(ticket.id, now);
        Some(self.reserve(&ticket.client, ticket.replica, ticket.newcomer, now))
    }

    /// The Replicas where `client` has a seat or a ticket: where a whisper to it goes.
    pub fn locate(&self, client: &ClientId) -> Vec<ReplicaId> {
        self.clients.replicas(client).collect()
    }

    /// The Replica that `client` used last, while it is remembered.
    pub fn last(&self, client: &ClientId) -> Option<ReplicaId> {
        self.clients.last(client)
    }

    /// The ticket is used, expired, or given back.
    pub fn release(&mut self, ticket: TicketId, now: Timestamp) {
        let Some(reservation) = self.tickets.remove(ticket) else { return };
        let replica = reservation.replica;
        self.members.change(replica, |member| member.reserved -= 1);
        self.members.note_emptiness(replica, now);
        self.clients.ticket_gone(&reservation.client, replica, now);
    }
}
