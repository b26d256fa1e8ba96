//! What nodes send each other, as bytes.
//!
//! A bundle is one byte of version, eight bytes of who sends, and letters. The first nine bytes stay as they are in all
//! versions, so that one which is not known can be told apart from nonsense.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use bytes::Bytes;
use dog::internal::Kind;
use dog::{Error, GroupId, ReplicaId};
use dog_engine::address::{ClassIndex, GroupAddress, NodeId, Object, ReplicaAddress, Ticket};
use dog_engine::message::{GroupAnswer, ReplicaAnswer, ReplicaCall, ReplicaCast};
use dog_engine::wire::{self, ToGroup};
use serde::{Deserialize, Serialize};

/// Where an answer goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Back {
    pub(crate) node: NodeId,
    pub(crate) worker: u32,
    pub(crate) question: u64,
}

/// A Group, its class by name: two releases may number their classes differently.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct GroupName {
    pub(crate) class: String,
    group: [u8; 32],
}

impl GroupName {
    pub(crate) fn new(address: GroupAddress, classes: &[&'static str]) -> Self {
        let class = classes.get(usize::from(address.class.0)).copied().unwrap_or_default().to_owned();
        Self { class, group: *address.group.as_bytes() }
    }

    /// The Group, where a class of that name is known.
    pub(crate) fn address(&self, classes: &[&'static str]) -> Option<GroupAddress> {
        let class = classes.iter().position(|known| *known == self.class)?;
        let class = ClassIndex(u16::try_from(class).ok()?);
        Some(GroupAddress { class, group: GroupId::from_bytes(self.group) })
    }
}

/// One thing that a node says to another.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Letter {
    /// To a Group; a call says where its answer goes.
    Group { to: GroupName, what: ToGroup, back: Option<Back> },
    /// A question to a Replica.
    Replica { to: GroupName, replica: [u8; 32], call: ReplicaCall, back: Back },
    /// A statement to Replicas, one or many.
    Replicas { to: GroupName, replicas: Vec<[u8; 32]>, cast: ReplicaCast },
    /// An answer.
    Answer { back: Back, answer: Result<Told, Error> },
    /// The object does not live where a letter for it has come, but at that node.
    Lives { group: GroupName, replica: Option<[u8; 32]>, node: NodeId },
}

/// What was answered.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Told {
    Group(GroupAnswer),
    Replica(ReplicaAnswer),
}

/// What stands in a request that is passed on, besides itself: to whom, and by what right.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Head {
    pub(crate) group: GroupName,
    pub(crate) replica: Option<([u8; 32], Ticket)>,
    /// How often it was passed on.
    pub(crate) hops: u8,
}

/// What a bundle says.
pub(crate) fn bundle(from: NodeId, letters: &[Letter]) -> Result<Bytes, Error> {
    let written = wire::encode(&letters)?;
    let mut bundle = Vec::with_capacity(written.len() + 8);
    bundle.push(wire::VERSION);
    bundle.extend_from_slice(&from.as_u64().to_be_bytes());
    bundle.extend_from_slice(&written[1..]);
    Ok(bundle.into())
}

/// Who sends, and what.
///
/// # Errors
/// One of another version, which is named, or of no form at all.
pub(crate) fn unbundle(bytes: &[u8]) -> Result<(NodeId, Vec<Letter>), Error> {
    let head = bytes.split_first_chunk::<9>();
    let Some(([version, from @ ..], letters)) = head else {
        return Err(Error::new(Kind::Encoding, "a bundle of letters is too short"));
    };
    let from = NodeId::from_raw(u64::from_be_bytes(*from));
    if *version != wire::VERSION {
        let text = format!("node {from} speaks version {version} of the letters, and this one {}", wire::VERSION);
        return Err(Error::new(Kind::Unreachable, text));
    }
    Ok((from, wire::decode(&[&[wire::VERSION], letters].concat())?))
}

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
    use dog_engine::message::GroupCast;

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

    #[test]
    fn a_bundle_of_another_version_is_refused_by_name() {
        let classes = ["lobby"];
        let farewell =
            GroupCast::Farewell { replica: ReplicaId::from_name("room", "1"), epoch: dog::Epoch::from_raw(7) };
        let letter = Letter::Group { to: GroupName::new(group(), &classes), what: ToGroup::Cast(farewell), back: None };
        let bundle = bundle(NodeId::from_raw(5), &[letter]).unwrap();
        let (from, letters) = unbundle(&bundle).unwrap();
        assert_eq!(from, NodeId::from_raw(5));
        let [Letter::Group { to, .. }] = &letters[..] else { panic!("{letters:?}") };
        assert_eq!(to.address(&classes), Some(group()));
        assert_eq!(to.address(&["other"]), None);
        let mut later = bundle.to_vec();
        later[0] += 1;
        let error = unbundle(&later).unwrap_err();
        assert!(
            error.is_unreachable() && error.to_string().contains("node 0000000000000005 speaks version"),
            "{error}"
        );
        assert!(unbundle(&bundle[..8]).unwrap_err().is_encoding());
        assert!(unbundle(&bundle[..bundle.len() - 1]).unwrap_err().is_encoding());
    }
}
