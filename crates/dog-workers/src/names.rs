//! The names of objects in their namespaces.
//!
//! Objects call each other through methods of the runtime (JS RPC). Only code with a binding can do that, so no request from
//! outside is ever taken for such a call, whatever its path, headers or body.

use dog::internal::Kind;
use dog::{Error, GroupId, ReplicaId};
use dog_engine::address::{ClassIndex, GroupAddress, Object, ReplicaAddress};

/// The name of an object in its namespace: the id of its Group, and for a Replica also its own.
pub(crate) fn name(object: &Object) -> String {
    match object {
        Object::Group(address) => address.group.to_string(),
        Object::Replica(address) => format!("{}.{}", address.group.group, address.replica),
    }
}

/// The object with this name.
pub(crate) fn address(class: ClassIndex, name: &str) -> Result<Object, Error> {
    match name.split_once('.') {
        None => Ok(Object::Group(GroupAddress { class, group: name.parse::<GroupId>()? })),
        Some((group, replica)) => {
            let group = GroupAddress { class, group: group.parse::<GroupId>()? };
            Ok(Object::Replica(ReplicaAddress { group, replica: replica.parse::<ReplicaId>()? }))
        }
    }
}

pub(crate) fn wrong_object() -> Error {
    Error::new(Kind::Unreachable, "the message is for another kind of object")
}
