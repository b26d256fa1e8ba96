//! The lives of Replicas and of the Group, and the joins of Replicas.

use dog::internal::Door;
use dog::{Epoch, ReplicaId};
use dog_engine::address::View;
use dog_engine::books::{Books, MemberState};

use crate::objects::{Envelope, ReplicaLife};
use crate::world::{Checked, World, ensure};

impl World {
    pub(crate) fn begin_life(&mut self, replica: ReplicaId) -> Epoch {
        let limit = self.limit;
        let object = self.object(replica);
        object.lives += 1;
        let epoch = Epoch::from_raw(object.lives);
        object.life = Some(ReplicaLife::begin(replica, epoch, limit));
        epoch
    }

    /// Gives a Replica the latest view.
    pub(crate) fn show_view(&mut self, replica: ReplicaId) {
        let view = self.books.view().clone();
        self.has_view(replica, &view);
    }

    /// Gives a Replica a view. A parked Replica does not receive the following views.
    pub(crate) fn has_view(&mut self, replica: ReplicaId, view: &View) {
        let is_latest = view.version >= self.books.view().version;
        let parked = self.books.state(replica) == Some(MemberState::Parked);
        let object = self.object(replica);
        object.behind = parked || (object.behind && !is_latest);
        if let Some(life) = &mut object.life {
            life.update_view(view);
        }
    }

    /// Begins a life of the Replica unless there is one. A life first enrols with the Group.
    pub(crate) fn wake(&mut self, replica: ReplicaId) {
        if self.object(replica).life.is_none() {
            let epoch = self.begin_life(replica);
            let census = self.object(replica).life.as_ref().map(|life| life.seats.census());
            self.books.enrolled(&census.expect("a life that was just begun"), self.now);
            self.expected.enrolled(replica, epoch);
            self.expected.remember(self.now);
            self.show_view(replica);
        }
    }

    pub(crate) fn crash(&mut self, replica: ReplicaId, farewell: bool) {
        if let Some(life) = self.object(replica).life.take()
            && farewell
        {
            self.bag.push(Envelope::Farewell(replica, life.epoch));
        }
    }

    pub(crate) fn restart(&mut self) {
        let mut records: Vec<_> = self.books.records().collect();
        records.sort_unstable_by_key(|record| record.replica);
        self.epoch = Epoch::from_raw(self.epoch.as_u64() + 1);
        self.expected.restart(records.iter().map(|record| record.replica));
        self.books = Books::restore(self.epoch, self.limit, self.policy, records);
        // Waiting clients get no answer.
        self.waiting.clear();
        // The census call carries the view to each member.
        self.told = self.books.view().clone();
        self.ask_uncounted();
    }

    /// Sends a new view to all its members.
    pub(crate) fn tell_siblings(&mut self) {
        let view = self.books.view().clone();
        if view.version == self.told.version {
            return;
        }
        let told = std::mem::replace(&mut self.told, view.clone());
        for member in view.members.iter() {
            if !told.members.contains(member) {
                self.object(*member).announced = view.version;
            }
            self.bag.push(Envelope::UpdateView(*member, view.clone()));
        }
    }

    /// Completes the join of a Replica. Siblings that have not answered by now are suspected.
    pub(crate) fn join(&mut self, replica: ReplicaId) -> Checked {
        for sibling in self.unaware_of(replica) {
            if self.books.state(sibling) == Some(MemberState::Joining) && !self.object(sibling).behind {
                // The sibling is joining too and has not received the view yet, so it must join first.
                return Ok(());
            }
        }
        self.join_at_deadline(replica)
    }

    /// Returns the living siblings that do not know the Replica.
    fn unaware_of(&mut self, replica: ReplicaId) -> Vec<ReplicaId> {
        let announced = self.object(replica).announced;
        let unaware = |sibling: &ReplicaId| {
            let life = self.objects[sibling].life.as_ref();
            *sibling != replica && life.is_none_or(|life| life.view.version < announced)
        };
        self.alive().into_iter().filter(unaware).collect()
    }

    /// Completes the join at its deadline. Siblings that are joining too may still lack the view.
    pub(crate) fn join_at_deadline(&mut self, replica: ReplicaId) -> Checked {
        for sibling in self.unaware_of(replica) {
            self.books.suspect(sibling);
            self.object(sibling).behind = true;
        }
        // The join call may begin a life of the Replica.
        if self.object(replica).life.is_none() {
            self.begin_life(replica);
        }
        self.show_view(replica);
        if let Some(life) = &mut self.object(replica).life
            && life.occupied() == 0
        {
            life.set_door(Door::Open);
        }
        if let Some(life) = &self.objects[&replica].life {
            let census = life.seats.census();
            self.books.joined(&census, self.now);
            self.expected.report(&census, &life.truth(), false);
        }
        self.expected.remember(self.now);
        let state = self.books.state(replica);
        ensure!(state == Some(MemberState::Active), "{replica:?} has joined, and its state is {state:?}");
        Ok(())
    }

    pub(crate) fn fail_join(&mut self, replica: ReplicaId) {
        self.object(replica).life = None;
        self.books.remove(replica, self.now);
        self.expected.remove(replica);
        self.expected.remember(self.now);
        self.waiting.retain(|ticket| ticket.replica != replica);
    }
}
