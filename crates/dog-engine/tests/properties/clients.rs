//! The steps of clients: they ask for a Replica, use their tickets, and open and close sockets.

use dog::internal::Door;
use dog::{ClientId, ReplicaId, SocketId};
use dog_engine::address::Ticket;
use dog_engine::books::{Decision, MemberState};
use dog_engine::seats::Refusal;

use crate::objects::ReplicaLife;
use crate::world::{Checked, World, ensure};

/// Returns the Replica with this number.
fn replica(number: u8) -> ReplicaId {
    ReplicaId::from_bytes([number; 32])
}

impl World {
    pub(crate) fn identify(&mut self, client: &ClientId, refused: bool) -> Checked {
        let refused = self.expected.clients.get(client).map(|known| known.last).filter(|_| refused);
        // Placement is repeated after each admission. The bound checks that this ends.
        for _ in 0..3 {
            let placement = self.books.identify(client, refused, self.now);
            self.check_placement(client, refused, &placement)?;
            match placement {
                Decision::Placed { ticket, joined } => {
                    self.expected.give(&ticket);
                    if joined {
                        return self.answer(ticket);
                    }
                    self.waiting.push(ticket);
                    return Ok(());
                }
                Decision::Unpark(parked) => self.admit(parked)?,
                Decision::Grow => {
                    self.replicas += 1;
                    self.admit(replica(self.replicas))?;
                }
                Decision::Wait | Decision::Refuse => return Ok(()),
            }
        }
        Err("placement does not end".into())
    }

    fn admit(&mut self, replica: ReplicaId) -> Checked {
        self.object(replica);
        self.expected.admit(replica);
        ensure!(self.books.admit(replica, self.now), "{replica:?} cannot be admitted, because it is a member");
        Ok(())
    }

    fn answer(&mut self, ticket: Ticket) -> Checked {
        self.check_siblings_know(ticket.replica)?;
        self.hands.push(ticket);
        Ok(())
    }

    pub(crate) fn answer_waiting(&mut self) -> Checked {
        if !self.in_state(&[MemberState::Uncounted]).is_empty() {
            return Ok(());
        }
        for ticket in std::mem::take(&mut self.waiting) {
            match self.books.state(ticket.replica) {
                Some(MemberState::Joining) => self.waiting.push(ticket),
                Some(MemberState::Active) => self.answer(ticket)?,
                // The client gets an error, and the ticket expires.
                _ => {}
            }
        }
        Ok(())
    }

    pub(crate) fn come(&mut self, ticket: &Ticket) -> Checked {
        self.wake(ticket.replica);
        let (now, limit) = (self.now, self.limit);
        let Some(life) = &mut self.object(ticket.replica).life else { return Ok(()) };
        let expected = if ticket.expires <= now {
            Some(Refusal::Expired)
        } else if life.used.contains(&ticket.id) {
            Some(Refusal::Used)
        } else {
            let is_full = life.occupied() >= usize::try_from(limit.get()).expect("small");
            let is_closed =
                life.door == Door::Closed && ticket.newcomer && !life.truth().clients.contains_key(&ticket.client);
            is_full.then_some(Refusal::Full).or(is_closed.then_some(Refusal::Closed))
        };
        let taken = life.seats.take(ticket, now);
        ensure!(taken.err() == expected, "{ticket:?} was answered with {taken:?}, not {expected:?}");
        if let Ok(seat) = taken {
            life.used.insert(ticket.id);
            life.requests.push((seat, ticket.clone()));
        }
        Ok(())
    }

    /// Returns the life that has the `number`th of all requests or sockets, and the index of that one within the life.
    fn find(&mut self, number: u8, of: impl Fn(&ReplicaLife) -> usize) -> Option<(&mut ReplicaLife, usize)> {
        let lives = self.objects.values().filter_map(|object| object.life.as_ref());
        let all: usize = lives.map(&of).sum();
        let mut at = usize::from(number).checked_rem(all)?;
        for life in self.objects.values_mut().filter_map(|object| object.life.as_mut()) {
            if at < of(life) {
                return Some((life, at));
            }
            at -= of(life);
        }
        None
    }

    pub(crate) fn open(&mut self, request: u8) -> Checked {
        self.sockets += 1;
        let socket = SocketId::from_raw(self.sockets);
        let Some((life, at)) = self.find(request, |life| life.requests.len()) else { return Ok(()) };
        let (seat, ticket) = life.requests.remove(at);
        let opened = life.seats.open(seat, socket);
        ensure!(opened.as_ref() == Some(&ticket.client), "{socket:?} was opened for {opened:?}");
        life.sockets.push((socket, ticket));
        Ok(())
    }

    pub(crate) fn end(&mut self, request: u8) -> Checked {
        let Some((life, at)) = self.find(request, |life| life.requests.len()) else { return Ok(()) };
        let (seat, _) = life.requests.remove(at);
        ensure!(life.seats.release(seat) && !life.seats.release(seat), "{seat:?} must be released exactly once");
        Ok(())
    }

    pub(crate) fn close(&mut self, socket: u8) -> Checked {
        let Some((life, at)) = self.find(socket, |life| life.sockets.len()) else { return Ok(()) };
        let (socket, ticket) = life.sockets.remove(at);
        let closed = life.seats.close(socket);
        ensure!(closed == Some(ticket.client), "{socket:?} was closed for {closed:?}");
        Ok(())
    }
}
