//! Where what objects send each other goes.
//!
//! A letter goes from object to object by the runtime's own calls of a method (JS RPC), which only code with a binding
//! can make: no request from outside is ever one, whatever its path, headers or body.

use dog::internal::Kind;
use dog::{Error, GroupId, ReplicaId};
use dog_engine::address::{ClassIndex, GroupAddress, Object, ReplicaAddress};

/// The name that an object has in its namespace: a Group's id, or that and a Replica's.
pub(crate) fn name(object: &Object) -> String {
    match object {
        Object::Group(address) => address.group.to_string(),
        Object::Replica(address) => format!("{}.{}", address.group.group, address.replica),
    }
}

/// The object of that name.
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
    Error::new(Kind::Unreachable, "the letter is for another kind of object")
}
