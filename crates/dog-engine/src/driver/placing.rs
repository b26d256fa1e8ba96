//! Who is waiting for a place, and who gets one: what the books decide is done here.

use dog::internal::Kind;
use dog::{ClientId, Error, Group};

use super::group::{Awake, GroupDriver};
use super::waiting::Waiting;
use crate::address::{NodeId, Ticket};
use crate::books::Placement;
use crate::host::Host;
use crate::message::GroupAnswer;
use crate::reply::Reply;

/// A client with a seat, and the answer that is owed to it, at the node that it has reached.
pub(super) type Seated = (Ticket, NodeId, Reply<GroupAnswer>);

/// What a client hears for whom no Replica could be made.
pub(super) fn no_replica() -> Error {
    Error::new(Kind::NoRoom, "no Replica could be made for this client: try again later")
}

impl<G: Group, H: Host> GroupDriver<G, H> {
    /// Places a client, or lets it wait for a Replica with room.
    pub(super) fn identify(&self, awake: &Awake<G>, waiting: Waiting) {
        if !self.place(awake, waiting) {
            self.grow(awake);
        }
    }

    /// Whether no Replica more is needed for it.
    fn place(&self, awake: &Awake<G>, waiting: Waiting) -> bool {
        let (now, near) = (self.host.now(), waiting.near);
        loop {
            let placement = awake.books.borrow_mut().identify_near(&waiting.client, waiting.refused, near, now);
            match placement {
                Placement::Placed { ticket, joined } => {
                    self.seat(awake, ticket, joined, waiting);
                    return true;
                }
                Placement::Unpark(replica) => self.admit(awake, replica, near),
                placement @ (Placement::Grow | Placement::Wait) => {
                    self.waiting.borrow_mut().push(waiting);
                    return placement == Placement::Wait;
                }
            }
        }
    }

    fn seat(&self, awake: &Awake<G>, ticket: Ticket, joined: bool, Waiting { near, reply, .. }: Waiting) {
        if joined {
            reply.send(Ok(GroupAnswer::Identified(ticket)));
            return self.plan_look(awake);
        }
        self.joining.borrow_mut().entry(ticket.replica).or_default().push((ticket, near, reply));
    }

    /// The one who waits longest, and for whom no new Replica was to be had: any that has room will do.
    pub(super) fn place_first_anywhere(&self, awake: &Awake<G>) {
        let Some(first) = self.waiting.borrow_mut().pop() else { return };
        let placement = awake.books.borrow_mut().identify_anywhere(&first.client, self.host.now());
        match placement {
            Some(Placement::Placed { ticket, joined }) => self.seat(awake, ticket, joined, first),
            _ => first.reply.send(Err(no_replica())),
        }
    }

    /// The Replica has joined. The ticket's time begins now: how long a Replica takes to wake, or the disk to keep it, is
    /// not to cost its first clients their seats.
    pub(super) fn answer_seated(&self, awake: &Awake<G>, (ticket, near, reply): Seated) {
        let renewed = awake.books.borrow_mut().renew(&ticket, self.host.now());
        match renewed {
            Some(ticket) => reply.send(Ok(GroupAnswer::Identified(ticket))),
            None => self.identify(awake, Waiting { client: ticket.client, refused: None, near, reply }),
        }
    }

    /// All are counted now, or something has room: places those who wait, in their order.
    pub(super) fn place_waiting(&self, awake: &Awake<G>) {
        if awake.books.borrow().is_waking() {
            // They would all wait again, once for every member that is counted.
            return;
        }
        let waiting = self.waiting.borrow_mut().take();
        for waiting in waiting {
            self.place(awake, waiting);
        }
        self.grow(awake);
        let locating = std::mem::take(&mut *self.locating.borrow_mut());
        for (client, reply) in locating {
            self.locate(awake, client, reply);
        }
    }

    /// There is a new Replica at that node: places as many of those who wait there as it has seats.
    pub(super) fn place_near(&self, awake: &Awake<G>, near: NodeId) {
        let seats = awake.books.borrow().limit().get() as usize;
        let waiting = self.waiting.borrow_mut().take_near(near, seats);
        for waiting in waiting {
            self.place(awake, waiting);
        }
    }

    /// Says where a client is. Members of an earlier life are asked first: nobody is to be missed for a restart.
    pub(super) fn locate(&self, awake: &Awake<G>, client: ClientId, reply: Reply<GroupAnswer>) {
        if awake.books.borrow().is_waking() {
            return self.locating.borrow_mut().push((client, reply));
        }
        let places = awake.books.borrow().locate(&client);
        reply.send(Ok(GroupAnswer::Located(places)));
    }
}
