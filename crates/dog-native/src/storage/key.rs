//! The layout of keys. The entries of all objects share one ordered key space, with keys of this form:
//! `space · kind · group (32) · [replica (32)] · key`.
//!
//! The entries of one object and space are contiguous, in the order of their keys.

use std::ops::Bound;

use dog::{GroupId, ReplicaId};
use dog_engine::address::{ClassIndex, GroupAddress, Object, ReplicaAddress};
use dog_engine::host::Space;

/// Returns the prefix of all keys of an object in a space.
pub(super) fn prefix(object: Object, space: Space) -> Vec<u8> {
    let mut prefix = Vec::with_capacity(66 + 32);
    prefix.push(match space {
        Space::User => b'u',
        Space::Members => b'm',
        Space::Clients => b'c',
        Space::Alarms => b'a',
        Space::Log => b'l',
    });
    prefix.extend_from_slice(&name(object));
    prefix
}

/// Returns the whole key of an entry.
pub(super) fn entry(object: Object, space: Space, key: &[u8]) -> Vec<u8> {
    let mut entry = prefix(object, space);
    entry.extend_from_slice(key);
    entry
}

/// Returns the bounds of a range as whole keys.
pub(super) fn bounds(
    object: Object,
    space: Space,
    (start, end): (Bound<Vec<u8>>, Bound<Vec<u8>>),
) -> (Bound<Vec<u8>>, Bound<Vec<u8>>) {
    let prefix = prefix(object, space);
    let within = |key: Vec<u8>| [prefix.as_slice(), &key].concat();
    let start = match start {
        Bound::Included(key) => Bound::Included(within(key)),
        Bound::Excluded(key) => Bound::Excluded(within(key)),
        Bound::Unbounded => Bound::Included(prefix.clone()),
    };
    let end = match end {
        Bound::Included(key) => Bound::Included(within(key)),
        Bound::Excluded(key) => Bound::Excluded(within(key)),
        Bound::Unbounded => Bound::Excluded(after(&prefix)),
    };
    (start, end)
}

/// Returns the first key that does not begin with `prefix`. There is one, because a prefix begins with a letter.
fn after(prefix: &[u8]) -> Vec<u8> {
    let mut after = prefix.to_vec();
    while let Some(last) = after.pop() {
        if last < u8::MAX {
            after.push(last + 1);
            break;
        }
    }
    after
}

/// Returns the name of an object as bytes. Its class is not part of it.
pub(super) fn name(object: Object) -> Vec<u8> {
    match object {
        Object::Group(address) => [&b"g"[..], address.group.as_bytes()].concat(),
        Object::Replica(address) => [&b"r"[..], address.group.group.as_bytes(), address.replica.as_bytes()].concat(),
    }
}

/// Returns the object with this name. The caller sets its class.
pub(super) fn object(name: &[u8]) -> Option<Object> {
    let id = |bytes: &[u8]| <[u8; 32]>::try_from(bytes).ok();
    let (kind, ids) = name.split_first()?;
    let group = GroupAddress { class: ClassIndex(0), group: GroupId::from_bytes(id(ids.get(..32)?)?) };
    match (kind, &ids[32..]) {
        (b'g', []) => Some(Object::Group(group)),
        (b'r', replica) => {
            Some(Object::Replica(ReplicaAddress { group, replica: ReplicaId::from_bytes(id(replica)?) }))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back_and_nothing_else_is() {
        let group = GroupAddress { class: ClassIndex(0), group: GroupId::from_name("lobby", "a") };
        let replica = ReplicaAddress { group, replica: ReplicaId::from_name("room", "1") };
        for kept in [Object::Group(group), Object::Replica(replica)] {
            assert_eq!(object(&name(kept)), Some(kept));
        }
        for bad in [&b""[..], b"g", b"x", &[b'g'; 34], &[b'r'; 33], &[b'r'; 66]] {
            assert_eq!(object(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn an_objects_entries_are_within_its_bounds_and_others_are_not() {
        let group = |last| GroupAddress {
            class: ClassIndex(0),
            group: GroupId::from_bytes([[0xff; 31].as_slice(), &[last]].concat().try_into().unwrap()),
        };
        let (here, next) = (Object::Group(group(0xfe)), Object::Group(group(0xff)));
        let (start, end) = bounds(here, Space::User, (Bound::Unbounded, Bound::Unbounded));
        let within = |key: Vec<u8>| match (&start, &end) {
            (Bound::Included(start), Bound::Excluded(end)) => key >= *start && key < *end,
            _ => false,
        };
        assert!(within(entry(here, Space::User, b"")) && within(entry(here, Space::User, &[0xff; 9])));
        assert!(!within(entry(next, Space::User, b"")) && !within(entry(here, Space::Members, b"")));
    }
}
