//! Whom the Group itself reaches: [`Listeners`].

use std::collections::HashSet;

use dog::{ClientId, ReplicaId};

use super::clients::Clients;
use super::member::Member;
use super::members::Members;

/// The members that have sockets, or may have some, the older before the younger.
#[derive(Clone, Copy, Debug)]
pub struct Listeners<'a> {
    members: &'a Members,
    clients: &'a Clients,
}

impl<'a> Listeners<'a> {
    pub(super) fn new(members: &'a Members, clients: &'a Clients) -> Self {
        Self { members, clients }
    }

    /// All of them: those with seats or tickets, because what was a ticket or a request may be a socket by now, and those that
    /// were not heard. A member that is known to be empty is not reached, because that would activate it.
    pub fn all(self) -> impl Iterator<Item = ReplicaId> + use<'a> {
        self.members.unparked_that(|member| member.seats() > 0 || member.is_unheard())
    }

    /// Those that may have sockets of this client.
    pub fn of(self, client: &ClientId) -> Vec<ReplicaId> {
        let located: HashSet<ReplicaId> = self.clients.replicas(client).collect();
        let members = self.members.unparked_that(|_| true);
        members.filter(|replica| located.contains(replica) || self.members.is_unheard(*replica)).collect()
    }

    /// The members without sockets, parked ones included.
    pub fn left_out(self) -> impl Iterator<Item = ReplicaId> + use<'a> {
        let empty = self.members.unparked_that(|member| member.seats() == 0 && !member.is_unheard());
        empty.chain(self.members.parked())
    }

    /// The members whose sockets are not known: what the books say of them may be wrong.
    pub fn unheard(self) -> impl Iterator<Item = ReplicaId> + use<'a> {
        self.members.unparked_that(Member::is_unheard)
    }
}
