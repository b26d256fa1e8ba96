//! What objects send each other, as bytes, and where to.
//!
//! A letter goes from object to object by the runtime's own calls of a method (JS RPC), which only code with a binding
//! can make: no request from outside is ever one, whatever its path, headers or body.

use dog::internal::Kind;
use dog::{Error, GroupId, ReplicaId};
use dog_engine::address::{ClassIndex, GroupAddress, Object, ReplicaAddress};
use dog_engine::message::{GroupCall, GroupCast, ReplicaCall, ReplicaCast};
use serde::{Deserialize, Serialize};

/// To a Group.
#[derive(Serialize, Deserialize)]
pub(crate) enum ToGroup {
    Call(GroupCall),
    Cast(GroupCast),
}

/// To a Replica.
#[derive(Serialize, Deserialize)]
pub(crate) enum ToReplica {
    Call(ReplicaCall),
    Cast(ReplicaCast),
}

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

/// Whether doing it twice does no harm: then a call that has not arrived, as the runtime says, is made once more.
pub(crate) fn may_repeat(call: &ReplicaCall) -> bool {
    match call {
        ReplicaCall::Join(_) | ReplicaCall::Meet(_) | ReplicaCall::Census(_) => true,
        ReplicaCall::Deliver(_) | ReplicaCall::Whisper { .. } | ReplicaCall::Gossip(_) => false,
    }
}

pub(crate) fn wrong_object() -> Error {
    Error::new(Kind::Unreachable, "the letter is for another kind of object")
}
