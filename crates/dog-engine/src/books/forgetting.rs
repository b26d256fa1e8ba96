//! Parked members that need not be remembered: a new one is as good, unless they keep something.

use std::collections::HashSet;

use dog::ReplicaId;

use super::{Books, Standing};

impl Books {
    /// Those of these parked members that have never served anybody: a Replica that was made for a client who left before
    /// it came. Whoever asks looks whether they keep anything, and [forgets](Books::forget) those that do not.
    pub fn never_served(&mut self, parked: &[ReplicaId]) -> Vec<ReplicaId> {
        let members = &mut self.members;
        let never = parked.iter().filter(|replica| {
            let Some(member) = members.get_mut(replica).filter(|member| !member.served && !member.examined) else {
                return false;
            };
            member.examined = true;
            true
        });
        never.copied().collect()
    }

    /// All parked members that were not looked at since they were parked: for when nobody is here any more, or remembered.
    pub fn all_parked(&mut self) -> Vec<ReplicaId> {
        let members = &mut self.members;
        let unknown = self.parked.iter().filter(|replica| {
            members.get_mut(replica).is_some_and(|member| !std::mem::replace(&mut member.examined, true))
        });
        unknown.copied().collect()
    }

    /// These keep nothing, and are members no more if they are parked still. The view does not change: they are not in it.
    /// Returns those that have gone; should one of them be heard again, it is a stranger with seats.
    pub fn forget(&mut self, replicas: &[ReplicaId]) -> Vec<ReplicaId> {
        let unused =
            |replica: &&ReplicaId| self.standing(**replica) == Some(Standing::Parked) && self.seats(**replica) == 0;
        let gone: HashSet<ReplicaId> = replicas.iter().filter(unused).copied().collect();
        self.members.retain(|replica, _| !gone.contains(replica));
        self.parked.retain(|replica| !gone.contains(replica));
        self.asks.retain(|(_, replica)| !gone.contains(replica));
        replicas.iter().filter(|replica| gone.contains(replica)).copied().collect()
    }
}
