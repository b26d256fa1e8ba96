//! Objects as text, for the services that connect nodes.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use dog::{GroupId, ReplicaId};
use dog_engine::address::{ClassIndex, GroupAddress, Object, ReplicaAddress};

/// See [`object_name`](super::object_name).
pub(crate) fn object_name(object: Object) -> String {
    let encode = |bytes: &[u8; 32]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
    match object {
        Object::Group(address) => format!("g{}", encode(address.group.as_bytes())),
        Object::Replica(address) => {
            format!("r{}{}", encode(address.group.group.as_bytes()), encode(address.replica.as_bytes()))
        }
    }
}

/// See [`object_of`](super::object_of).
pub(crate) fn object_of(name: &str) -> Option<Object> {
    const LENGTH: usize = 43;
    let decode = |text: &str| <[u8; 32]>::try_from(BASE64_URL_SAFE_NO_PAD.decode(text).ok()?).ok();
    let (kind, ids) = name.split_at_checked(1)?;
    let (group, replica) = ids.split_at_checked(LENGTH)?;
    let group = GroupAddress { class: ClassIndex(0), group: GroupId::from_bytes(decode(group)?) };
    match kind {
        "g" if replica.is_empty() => Some(Object::Group(group)),
        "r" => Some(Object::Replica(ReplicaAddress { group, replica: ReplicaId::from_bytes(decode(replica)?) })),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group() -> GroupAddress {
        GroupAddress { class: ClassIndex(0), group: GroupId::from_name("lobby", "a") }
    }

    #[test]
    fn objects_are_named_and_found_by_their_names() {
        let replica = ReplicaAddress { group: group(), replica: ReplicaId::from_name("room", "1") };
        for object in [Object::Group(group()), Object::Replica(replica)] {
            assert_eq!(object_of(&object_name(object)), Some(object));
        }
        for nonsense in ["", "g", "x", "ä", "gAAAA", &format!("{}A", object_name(Object::Group(group())))] {
            assert_eq!(object_of(nonsense), None, "{nonsense}");
        }
    }
}
