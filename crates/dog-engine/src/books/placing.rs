//! Which Replica serves a client.

use dog::{ClientId, ReplicaId, Timestamp};

use super::{Books, Promise, Standing, TICKET_MARGIN, sweep};
use crate::address::{NodeId, Ticket, TicketId};

/// What [`Books::identify`] decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Placement {
    /// This Replica, with a seat kept there.
    Placed {
        /// The seat's ticket.
        ticket: Ticket,
        /// Whether the Replica has joined; if not, the answer must wait until it has.
        joined: bool,
    },
    /// All are full, but this one is parked: admit it, then ask again.
    Unpark(ReplicaId),
    /// All are full: admit a new one, then ask again.
    Grow,
    /// Some members are not counted yet: ask again once they are. With the question for its seats each is given the
    /// view, so that then all know each other, whoever was just joining when the Group's last life ended.
    Wait,
}

impl Books {
    /// Decides which Replica serves `client`: the one it went to last while that has room, else the least used, else a
    /// parked one, else a new one.
    ///
    /// `refused` is a Replica that was just named and did not take the client: another is named this time if there is
    /// one with room.
    pub fn identify(&mut self, client: &ClientId, refused: Option<ReplicaId>, now: Timestamp) -> Placement {
        self.identify_near(client, refused, NodeId::default(), now)
    }

    /// [`identify`](Books::identify) for a client that has reached this node: it is placed on a Replica there, a new one
    /// if need be, unless it was elsewhere last.
    pub fn identify_near(
        &mut self,
        client: &ClientId,
        refused: Option<ReplicaId>,
        near: NodeId,
        now: Timestamp,
    ) -> Placement {
        if self.is_waking() {
            return Placement::Wait;
        }
        let sticky = self.clients.last(client).filter(|last| Some(*last) != refused);
        if let Some(last) = sticky {
            match self.standing(last) {
                Some(standing) if standing.takes_clients() && self.has_room(last) => {
                    return self.place(client, last, now);
                }
                // It went back to rest; what it keeps for this client is still there.
                Some(Standing::Parked) => return Placement::Unpark(last),
                _ => {}
            }
        }
        match self.least_used(refused, near) {
            Some(replica) => self.place(client, replica, now),
            None => self.longest_parked(refused, near).map_or(Placement::Grow, Placement::Unpark),
        }
    }

    /// Places a client on the Replica with the most room, wherever that is: for where no other can be made.
    pub fn identify_anywhere(&mut self, client: &ClientId, now: Timestamp) -> Option<Placement> {
        let with_room = self.by_use.iter().filter(|(_, seats, ..)| *seats < self.limit.get());
        let (.., replica) = with_room.min_by_key(|(_, seats, order, _)| (*seats, *order)).copied()?;
        Some(self.place(client, replica, now))
    }

    /// One that is parked, of that node if there is any.
    fn longest_parked(&self, refused: Option<ReplicaId>, near: NodeId) -> Option<ReplicaId> {
        let mut parked = self.parked.iter().copied().filter(|parked| Some(*parked) != refused).peekable();
        let first = parked.peek().copied();
        parked.find(|parked| self.members.get(parked).is_some_and(|member| member.node == near)).or(first)
    }

    /// Whether some members have yet to tell their seats, so that it is not known who is where.
    pub fn is_waking(&self) -> bool {
        self.uncounted > 0
    }

    fn has_room(&self, replica: ReplicaId) -> bool {
        self.seats(replica) < self.limit.get()
    }

    /// The node's member with the most room, joined ones first among equals because they are older.
    fn least_used(&self, refused: Option<ReplicaId>, near: NodeId) -> Option<ReplicaId> {
        let first = (near, 0, 0, ReplicaId::from_bytes([0; 32]));
        let there = self.by_use.range(first..).take_while(|(node, ..)| *node == near);
        let with_room = there.take_while(|(_, seats, ..)| *seats < self.limit.get());
        with_room.map(|(.., replica)| *replica).find(|replica| Some(*replica) != refused)
    }

    fn place(&mut self, client: &ClientId, replica: ReplicaId, now: Timestamp) -> Placement {
        let ticket = self.promise(client, replica, now);
        Placement::Placed { ticket, joined: self.standing(replica) == Some(Standing::Active) }
    }

    fn promise(&mut self, client: &ClientId, replica: ReplicaId, now: Timestamp) -> Ticket {
        let id = TicketId { epoch: self.epoch, number: self.next_ticket };
        self.next_ticket += 1;
        let expires = now + self.policy.ticket_lifetime;
        self.tickets.insert(id, Promise { replica, client: client.clone() });
        self.expiries.push_back((expires + TICKET_MARGIN, id));
        let tickets = &self.tickets;
        sweep(&mut self.expiries, tickets.len(), |(_, id)| tickets.contains_key(id));
        self.change(replica, |member| member.promised += 1);
        self.note_emptiness(replica, now);
        self.clients.ticket_given(client, replica);
        Ticket { id, replica, client: client.clone(), expires }
    }

    /// Keeps the seat of a ticket that nobody could come with yet, for a whole ticket's life from now on. `None` when it
    /// is not kept any more: then the client is to be placed anew.
    pub fn renew(&mut self, ticket: &Ticket, now: Timestamp) -> Option<Ticket> {
        if !self.tickets.contains_key(&ticket.id) {
            return None;
        }
        self.drop_ticket(ticket.id, now);
        Some(self.promise(&ticket.client, ticket.replica, now))
    }

    /// The Replicas where `client` has a seat or a ticket: where a whisper to it goes.
    pub fn locate(&self, client: &ClientId) -> Vec<ReplicaId> {
        self.clients.places(client).collect()
    }

    /// The Replica that `client` went to last, while that is remembered.
    pub fn last(&self, client: &ClientId) -> Option<ReplicaId> {
        self.clients.last(client)
    }

    /// A ticket that nobody will come with.
    pub fn release(&mut self, ticket: TicketId, now: Timestamp) {
        self.drop_ticket(ticket, now);
    }

    pub(super) fn drop_ticket(&mut self, ticket: TicketId, now: Timestamp) {
        let Some(Promise { replica, client }) = self.tickets.remove(&ticket) else { return };
        self.change(replica, |member| member.promised -= 1);
        self.note_emptiness(replica, now);
        self.clients.ticket_gone(&client, replica, now);
    }
}
