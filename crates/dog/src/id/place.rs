//! Where in the world a Replica is to live: [`Place`], which is part of its id.

use super::ReplicaId;

/// Where a Replica is to live, on hosts that are all over the world. Others leave it be.
///
/// [`Group::clusterize`](crate::Group::clusterize) decides it, by the id that it gives:
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
    /// There and nowhere else, its storage too: a host that cannot promise it does not make the Replica.
    Within(Jurisdiction),
    /// There, or as near as it can be.
    Near(Region),
}

/// Whose law holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Jurisdiction {
    /// The European Union.
    EuropeanUnion,
    /// The United States.
    UnitedStates,
    /// Data centres authorised by the programme of the United States' government of that name.
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

/// Stands near the end of an id that has a place; the last byte says which. No hash ends so by chance, and the bytes
/// before keep ids apart.
const MARK: &[u8; 11] = b"dog-placed:";

/// Where the mark begins.
const MARK_AT: usize = 20;

/// The places and their bytes. These are part of ids, and so never change.
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
    /// The id of a Replica that lives there: another one than without the place, and unique if this one is.
    #[must_use]
    pub fn in_place(self, place: Place) -> Self {
        let mut bytes = *self.as_bytes();
        let code = PLACES.iter().find(|(known, _)| *known == place).map_or(0, |(_, code)| *code);
        bytes[MARK_AT..31].copy_from_slice(MARK);
        bytes[31] = code;
        Self::from_bytes(bytes)
    }

    /// Where it is to live, if anybody has said so.
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
