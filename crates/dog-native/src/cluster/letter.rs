//! What nodes send each other, as bytes.
//!
//! A bundle is one byte of version, eight bytes of who sends, and letters. The first nine bytes stay as they are in all
//! versions, so that one which is not known can be told apart from nonsense.
//!
//! Two nodes speak the newest version that both know. What a version has brought:
//! - 3: letters as they are below, without the two that follow
//! - 4: [`Letter::Casts`]: what one Replica broadcasts in a turn goes under one list of addresses; [`Letter::Calls`]: what
//!   is asked of many goes once
//! - 5: [`GroupCall::Parked`]
//!
//! Those before 3 were never part of a release.
//!
//! A release that needs another form adds it beside the old one, which goes two releases later: so that nodes can be
//! replaced one by one.

use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use bytes::Bytes;
use dog::internal::Kind;
use dog::{Error, GroupId, ReplicaId, Timestamp};
use dog_engine::address::{ClassIndex, GroupAddress, NodeId, Object, ReplicaAddress, Ticket};
use dog_engine::message::{GroupAnswer, GroupCall, ReplicaAnswer, ReplicaCall, ReplicaCast};
use dog_engine::wire::{self, ToGroup};
use serde::{Deserialize, Serialize};

use super::Versions;

/// What this release speaks.
pub(crate) const VERSIONS: Versions = Versions { oldest: 3, newest: 5 };
/// The first in which several statements share a list of addresses, and several Replicas a question.
const SHARES_LISTS: u8 = 4;

/// The first in which a Group is asked who is parked.
const ASKS_WHO_IS_PARKED: u8 = 5;

/// Whether a Group at a node that speaks this version can be asked that.
pub(crate) fn can_be_asked(call: &GroupCall, version: u8) -> bool {
    match call {
        GroupCall::Identify { .. } | GroupCall::Locate { .. } | GroupCall::Enroll(_) => true,
        GroupCall::Parked => version >= ASKS_WHO_IS_PARKED,
    }
}

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

    /// Whether it is the name of this Group.
    pub(crate) fn names(&self, address: GroupAddress, classes: &[&'static str]) -> bool {
        self.group == *address.group.as_bytes() && self.address(classes) == Some(address)
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
    Cast { to: GroupName, replicas: Vec<[u8; 32]>, cast: ReplicaCast },
    /// An answer.
    Answer { back: Back, answer: Result<Told, Error> },
    /// The object does not live where a letter for it has come, but at that node.
    Lives { group: GroupName, replica: Option<[u8; 32]>, node: NodeId },
    /// Several statements to the same Replicas, in their order.
    Casts { to: GroupName, replicas: Vec<[u8; 32]>, casts: Vec<ReplicaCast> },
    /// One question to several Replicas, each of which answers for itself.
    Calls { to: GroupName, asked: Vec<([u8; 32], Back)>, call: ReplicaCall },
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

/// A ticket as it is sent: instead of when it expires, how long that takes, for each node has a clock of its own.
pub(crate) fn leaving(ticket: Ticket, now: Timestamp) -> Ticket {
    let left = u64::try_from(ticket.expires.since(now).as_millis()).unwrap_or(u64::MAX);
    Ticket { expires: Timestamp::from_millis(left), ..ticket }
}

/// A ticket that was sent so, by the clock of this node.
pub(crate) fn arrived(ticket: Ticket, now: Timestamp) -> Ticket {
    Ticket { expires: now + Duration::from_millis(ticket.expires.as_millis()), ..ticket }
}

/// A letter as it is written: some stand for several to a node that speaks an older version.
#[derive(Serialize)]
#[serde(untagged)]
enum Written<'a> {
    Same(&'a Letter),
    Split(Letter),
}

fn written(letter: &Letter, version: u8) -> Vec<Written<'_>> {
    match letter {
        Letter::Casts { to, replicas, casts } if version < SHARES_LISTS => {
            let one =
                |cast: &ReplicaCast| Letter::Cast { to: to.clone(), replicas: replicas.clone(), cast: cast.clone() };
            casts.iter().map(|cast| Written::Split(one(cast))).collect()
        }
        Letter::Calls { to, asked, call } if version < SHARES_LISTS => {
            let one = |(replica, back): &([u8; 32], Back)| Letter::Replica {
                to: to.clone(),
                replica: *replica,
                call: call.clone(),
                back: *back,
            };
            asked.iter().map(|asked| Written::Split(one(asked))).collect()
        }
        letter => vec![Written::Same(letter)],
    }
}

/// What a bundle says, in a version that both sides speak.
pub(crate) fn bundle(from: NodeId, letters: &[Letter], version: u8) -> Result<Bytes, Error> {
    let letters: Vec<Written<'_>> = letters.iter().flat_map(|letter| written(letter, version)).collect();
    let mut head = Vec::with_capacity(256);
    head.push(version);
    head.extend_from_slice(&from.as_u64().to_be_bytes());
    wire::append(&letters, head)
}

/// See [`sender`](super::sender).
pub(crate) fn sender(bundle: &[u8]) -> Option<NodeId> {
    let [_, from @ ..] = bundle.first_chunk::<9>()?;
    Some(NodeId::from_raw(u64::from_be_bytes(*from)))
}

/// Who sends, and what.
///
/// # Errors
/// One of a version that this node does not speak, which is named, or of no form at all.
pub(crate) fn unbundle(bytes: &[u8], versions: Versions) -> Result<(NodeId, Vec<Letter>), Error> {
    let head = bytes.split_first_chunk::<9>();
    let Some(([version, from @ ..], letters)) = head else {
        return Err(Error::new(Kind::Encoding, "a bundle of letters is too short"));
    };
    let from = NodeId::from_raw(u64::from_be_bytes(*from));
    if !versions.include(*version) {
        let text = format!("node {from} speaks version {version} of the letters, and this one {versions}");
        return Err(Error::new(Kind::Unreachable, text));
    }
    Ok((from, wire::read(letters)?))
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
    use dog::{ClientId, Epoch, Message};
    use dog_engine::address::TicketId;
    use dog_engine::message::{Delivery, GroupCast};

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
    fn a_ticket_lasts_as_long_by_every_clock() {
        let at = Timestamp::from_millis;
        let replica = ReplicaId::from_name("room", "1");
        let id = TicketId { epoch: Epoch::from_raw(1), number: 1 };
        let ticket = Ticket { id, replica, client: ClientId::new("ann").unwrap(), expires: at(10_500) };
        let sent = leaving(ticket.clone(), at(500));
        assert_eq!(arrived(sent.clone(), at(90_000)).expires, at(100_000), "of a clock that is late");
        assert_eq!(arrived(sent, at(0)).expires, at(10_000), "or early");
        assert_eq!(arrived(leaving(ticket, at(20_000)), at(7)).expires, at(7), "one that is over stays over");
    }

    const CLASSES: [&str; 1] = ["lobby"];

    fn casts(texts: &[&str]) -> Letter {
        let deliver = |text: &&str| ReplicaCast::Deliver(Delivery { message: Message::text(*text), except: None });
        let casts = texts.iter().map(deliver).collect();
        Letter::Casts { to: GroupName::new(group(), &CLASSES), replicas: vec![[1; 32], [2; 32]], casts }
    }

    #[test]
    fn a_bundle_of_another_version_is_refused_by_name() {
        let farewell =
            GroupCast::Farewell { replica: ReplicaId::from_name("room", "1"), epoch: dog::Epoch::from_raw(7) };
        let letter = Letter::Group { to: GroupName::new(group(), &CLASSES), what: ToGroup::Cast(farewell), back: None };
        let bundle = bundle(NodeId::from_raw(5), &[letter], VERSIONS.newest).unwrap();
        let (from, letters) = unbundle(&bundle, VERSIONS).unwrap();
        assert_eq!(from, NodeId::from_raw(5));
        let [Letter::Group { to, .. }] = &letters[..] else { panic!("{letters:?}") };
        assert_eq!(to.address(&CLASSES), Some(group()));
        assert_eq!(to.address(&["other"]), None);
        for version in [VERSIONS.oldest - 1, VERSIONS.newest + 1] {
            let mut other = bundle.to_vec();
            other[0] = version;
            let error = unbundle(&other, VERSIONS).unwrap_err();
            let named = format!("node 0000000000000005 speaks version {version} of the letters, and this one 3 to 5");
            assert!(error.is_unreachable() && error.to_string().contains(&named), "{error}");
        }
        assert!(unbundle(&bundle[..8], VERSIONS).unwrap_err().is_encoding());
        assert!(unbundle(&bundle[..bundle.len() - 1], VERSIONS).unwrap_err().is_encoding());
    }

    #[test]
    fn an_older_node_is_not_asked_what_it_would_not_understand() {
        for version in 3..=4 {
            assert!(can_be_asked(&GroupCall::Locate { client: ClientId::new("ann").unwrap() }, version));
            assert!(!can_be_asked(&GroupCall::Parked, version));
        }
        assert!(can_be_asked(&GroupCall::Parked, VERSIONS.newest));
    }

    #[test]
    fn an_older_node_gets_the_same_questions_each_with_its_own_address() {
        let back = |question| Back { node: NodeId::from_raw(5), worker: 1, question };
        let call = ReplicaCall::Gossip(Bytes::from_static(b"who?"));
        let asked = vec![([1; 32], back(7)), ([2; 32], back(8))];
        let sent = Letter::Calls { to: GroupName::new(group(), &CLASSES), asked: asked.clone(), call: call.clone() };
        let told =
            |version| unbundle(&bundle(NodeId::from_raw(5), std::slice::from_ref(&sent), version).unwrap(), VERSIONS);
        let [Letter::Calls { asked: new, call: newer, .. }] = &told(4).unwrap().1[..] else { panic!("one letter") };
        assert_eq!((new, newer), (&asked, &call));
        let old = told(3).unwrap().1.into_iter().map(|letter| match letter {
            Letter::Replica { replica, call: old, back, .. } if old == call => (replica, back),
            other => panic!("{other:?}"),
        });
        assert_eq!(old.collect::<Vec<_>>(), asked);
    }

    #[test]
    fn an_older_node_gets_the_same_statements_in_the_same_order() {
        let text = |cast: &ReplicaCast| match cast {
            ReplicaCast::Deliver(Delivery { message, .. }) => message.as_text().unwrap().to_owned(),
            ReplicaCast::Acknowledge { .. } => panic!("none was sent"),
        };
        let sent = [casts(&["one", "two"]), casts(&["three"])];
        for (version, expected) in
            [(3, vec![vec!["one"], vec!["two"], vec!["three"]]), (4, vec![vec!["one", "two"], vec!["three"]])]
        {
            let bundle = bundle(NodeId::from_raw(5), &sent, version).unwrap();
            assert_eq!(bundle[0], version);
            let told = unbundle(&bundle, VERSIONS).unwrap().1.into_iter().map(|letter| match letter {
                Letter::Cast { replicas, cast, .. } => (replicas, vec![text(&cast)]),
                Letter::Casts { replicas, casts, .. } => (replicas, casts.iter().map(text).collect()),
                other => panic!("{other:?}"),
            });
            let (replicas, texts): (Vec<_>, Vec<Vec<String>>) = told.unzip();
            assert!(replicas.iter().all(|replicas| replicas == &[[1; 32], [2; 32]]));
            assert_eq!(texts, expected);
        }
    }
}
