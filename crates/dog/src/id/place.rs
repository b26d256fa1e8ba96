//! The part of the world where a Replica lives: [`Place`], which is part of its id.

use super::ReplicaId;

/// The place where a Replica lives, on hosts that run in many places, such as Cloudflare Workers. Other hosts ignore it.
///
/// [`Group::clusterize`](crate::Group::clusterize) chooses it with the id that it returns:
///
/// ```
/// use dog::{Jurisdiction, Place, ReplicaId};
/// # let unique = ReplicaId::from_name("room", "1");
/// // let unique = cx.unique_replica();
/// let replica = unique.in_place(Place::Within(Jurisdiction::EuropeanUnion));
/// assert_eq!(replica.place(), Some(Place::Within(Jurisdiction::EuropeanUnion)));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Place {
    /// Only there, storage included. A host that cannot guarantee it refuses to create the Replica.
    Within(Jurisdiction),
    /// There, or as near as possible.
    Near(Region),
}

/// A legal jurisdiction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Jurisdiction {
    /// The European Union.
    EuropeanUnion,
    /// The United States.
    UnitedStates,
    /// Data centres authorised under FedRAMP, a programme of the United States government.
    FedRamp,
}

/// A part of the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[expect(missing_docs, reason = "their names say it")]
pub enum Region {
    WesternNorthAmerica,
    EasternNorthAmerica,
    SouthAmerica,
    WesternEurope,
    EasternEurope,
    AsiaPacific,
    Oceania,
    Africa,
    MiddleEast,
}

/// Near the end of every id with a place; the last byte is the code of the place. A hash does not end like this by chance, and
/// the 20 bytes before it keep ids apart.
const MARK: &[u8; 11] = b"dog-placed:";

/// The offset of the mark.
const MARK_AT: usize = 20;

/// The places and their codes. They are part of ids, so they never change.
const PLACES: [(Place, u8); 12] = [
    (Place::Within(Jurisdiction::EuropeanUnion), 1),
    (Place::Within(Jurisdiction::UnitedStates), 2),
    (Place::Within(Jurisdiction::FedRamp), 3),
    (Place::Near(Region::WesternNorthAmerica), 16),
    (Place::Near(Region::EasternNorthAmerica), 17),
    (Place::Near(Region::SouthAmerica), 18),
    (Place::Near(Region::WesternEurope), 19),
    (Place::Near(Region::EasternEurope), 20),
    (Place::Near(Region::AsiaPacific), 21),
    (Place::Near(Region::Oceania), 22),
    (Place::Near(Region::Africa), 23),
    (Place::Near(Region::MiddleEast), 24),
];

impl ReplicaId {
    /// The id of a Replica that lives in `place`. It differs from the id without a place, and is unique if this id is unique.
    #[must_use]
    pub fn in_place(self, place: Place) -> Self {
        let mut bytes = *self.as_bytes();
        let code = PLACES.iter().find(|(known, _)| *known == place).map_or(0, |(_, code)| *code);
        bytes[MARK_AT..31].copy_from_slice(MARK);
        bytes[31] = code;
        Self::from_bytes(bytes)
    }

    /// The place, if the id has one.
    pub fn place(&self) -> Option<Place> {
        let bytes = self.as_bytes();
        let code = bytes[MARK_AT..].strip_prefix(MARK)?;
        PLACES.iter().find(|(_, known)| [*known] == code).map(|(place, _)| *place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_keeps_its_place_and_stays_apart_from_others() {
        let (one, other) = (ReplicaId::from_name("room", "1"), ReplicaId::from_name("room", "2"));
        assert_eq!(one.place(), None);
        let mut ids = vec![one, other];
        for (place, _) in PLACES {
            for id in [one, other] {
                let placed = id.in_place(place);
                assert_eq!(placed.place(), Some(place));
                assert_eq!(placed.to_string().parse::<ReplicaId>().unwrap().place(), Some(place));
                ids.push(placed);
            }
        }
        let count = ids.len();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), count);
        assert_eq!(one.in_place(PLACES[0].0).in_place(PLACES[5].0), one.in_place(PLACES[5].0), "the last one counts");
    }

    #[test]
    fn a_mark_of_a_later_release_is_no_place_yet() {
        let mut bytes = *ReplicaId::from_name("room", "1").in_place(PLACES[0].0).as_bytes();
        bytes[31] = 255;
        assert_eq!(ReplicaId::from_bytes(bytes).place(), None);
    }
}
