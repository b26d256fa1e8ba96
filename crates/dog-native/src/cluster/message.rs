//! Node messages: what nodes send each other, and its encoding.
//!
//! A bundle consists of one byte for the version, eight bytes for the sender's id, and node messages. The first nine
//! bytes are the same in all versions, so that an unknown version can be told from invalid data.
//!
//! Two nodes use the newest version that both know:
//! - 7: all messages except the two of version 8
//! - 8: [`NodeMessage::Casts`], so that what a Replica broadcasts in a turn is sent with one list of addresses, and
//!   [`NodeMessage::Calls`], so that a call to many Replicas is sent once
//!
//! Versions before 7 were never part of a release.
//!
//! A release that needs another encoding adds it and keeps the old one. The old one is removed two releases later, so
//! that nodes can be replaced one by one.

use std::net::IpAddr;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use dog::internal::Kind;
use dog::{Error, GroupId, Timestamp};
use dog_engine::address::{ClassIndex, GroupAddress, NodeId, Ticket};
use dog_engine::message::{GroupAnswer, ReplicaAnswer, ReplicaCall, ReplicaCast};
use dog_engine::wire::{self, ToGroup};
use serde::{Deserialize, Serialize};

use super::ports::Versions;

/// The versions that this release speaks.
pub(crate) const VERSIONS: Versions = Versions { oldest: 7, newest: 8 };
/// The first version in which several casts share a list of addresses, and several Replicas share a call.
const HAS_LISTS: u8 = 8;

/// Where the answer to a call must be sent: the encoded form of [`ReturnAddress`](crate::mail::ReturnAddress).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ReplyTo {
    pub(crate) node: NodeId,
    pub(crate) worker: u32,
    pub(crate) call: u64,
}

/// A Group, with its class by name, because two releases may number their classes differently.
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

    /// Returns whether this is the name of `address`.
    pub(crate) fn names(&self, address: GroupAddress, classes: &[&'static str]) -> bool {
        self.group == *address.group.as_bytes() && self.address(classes) == Some(address)
    }

    /// Returns the Group, if its class is known.
    pub(crate) fn address(&self, classes: &[&'static str]) -> Option<GroupAddress> {
        let class = classes.iter().position(|known| *known == self.class)?;
        let class = ClassIndex(u16::try_from(class).ok()?);
        Some(GroupAddress { class, group: GroupId::from_bytes(self.group) })
    }
}

/// One message from a node to another.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum NodeMessage {
    /// A call or cast to a Group. `back` is set for a call.
    Group { to: GroupName, what: ToGroup, back: Option<ReplyTo> },
    /// A call to a Replica.
    Replica { to: GroupName, replica: [u8; 32], call: ReplicaCall, back: ReplyTo },
    /// A cast to one or more Replicas.
    Cast { to: GroupName, replicas: Vec<[u8; 32]>, cast: ReplicaCast },
    /// The answer to a call.
    Answer { back: ReplyTo, answer: Result<RemoteAnswer, Error> },
    /// The object does not live where a message for it was sent, but on `node`.
    Lives { group: GroupName, replica: Option<[u8; 32]>, node: NodeId },
    /// Several casts to the same Replicas, in their order.
    Casts { to: GroupName, replicas: Vec<[u8; 32]>, casts: Vec<ReplicaCast> },
    /// One call to several Replicas, each of which answers for itself.
    Calls { to: GroupName, asked: Vec<([u8; 32], ReplyTo)>, call: ReplicaCall },
}

/// The answer of an object on another node.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum RemoteAnswer {
    Group(GroupAnswer),
    Replica(ReplicaAnswer),
}

/// What is sent with a forwarded request: the object that it is for, the ticket for a Replica, and what the request has
/// beside its head and body.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct RequestHead {
    pub(crate) group: GroupName,
    pub(crate) replica: Option<([u8; 32], Ticket)>,
    /// What the App has said about the client, for the Replica.
    pub(crate) identity: Option<Bytes>,
    /// The address of the client, as the node that it has reached knows it.
    pub(crate) peer: Option<IpAddr>,
    /// How many nodes have forwarded it.
    pub(crate) hops: u8,
}

impl RequestHead {
    /// Returns the value of the header in which it is sent.
    pub(super) fn to_header(&self) -> Result<String, Error> {
        Ok(BASE64_STANDARD.encode(wire::encode(self)?))
    }
}

/// Returns a ticket in the form in which it is sent: with the remaining time instead of the time of its expiry, because
/// each node has its own clock.
pub(crate) fn ticket_to_send(ticket: Ticket, now: Timestamp) -> Ticket {
    let left = u64::try_from(ticket.expires.since(now).as_millis()).unwrap_or(u64::MAX);
    Ticket { expires: Timestamp::from_millis(left), ..ticket }
}

/// Returns a received ticket, with the time of its expiry by the clock of this node.
pub(crate) fn received_ticket(ticket: Ticket, now: Timestamp) -> Ticket {
    Ticket { expires: now + Duration::from_millis(ticket.expires.as_millis()), ..ticket }
}

/// A message to be encoded. For a node that speaks an older version, some messages become several.
#[derive(Serialize)]
#[serde(untagged)]
enum Encoded<'a> {
    Same(&'a NodeMessage),
    Split(Box<NodeMessage>),
}

fn encoded(message: &NodeMessage, version: u8) -> Vec<Encoded<'_>> {
    match message {
        NodeMessage::Casts { to, replicas, casts } if version < HAS_LISTS => {
            let one = |cast: &ReplicaCast| NodeMessage::Cast {
                to: to.clone(),
                replicas: replicas.clone(),
                cast: cast.clone(),
            };
            casts.iter().map(|cast| Encoded::Split(Box::new(one(cast)))).collect()
        }
        NodeMessage::Calls { to, asked, call } if version < HAS_LISTS => {
            let one = |(replica, back): &([u8; 32], ReplyTo)| NodeMessage::Replica {
                to: to.clone(),
                replica: *replica,
                call: call.clone(),
                back: *back,
            };
            asked.iter().map(|asked| Encoded::Split(Box::new(one(asked)))).collect()
        }
        message => vec![Encoded::Same(message)],
    }
}

/// Encodes a bundle in a version that both nodes speak.
pub(crate) fn bundle(from: NodeId, messages: &[NodeMessage], version: u8) -> Result<Bytes, Error> {
    let messages: Vec<Encoded<'_>> = messages.iter().flat_map(|message| encoded(message, version)).collect();
    let mut head = Vec::with_capacity(256);
    head.push(version);
    head.extend_from_slice(&from.as_u64().to_be_bytes());
    wire::append(&messages, head)
}

/// See [`sender`](super::sender).
pub(crate) fn sender(bundle: &[u8]) -> Option<NodeId> {
    let [_, from @ ..] = bundle.first_chunk::<9>()?;
    Some(NodeId::from_raw(u64::from_be_bytes(*from)))
}

/// Decodes a bundle. Returns its sender and its messages.
///
/// # Errors
/// If the version is none of `versions`, or if the bundle is invalid. The error names the version.
pub(crate) fn unbundle(bytes: &[u8], versions: Versions) -> Result<(NodeId, Vec<NodeMessage>), Error> {
    let head = bytes.split_first_chunk::<9>();
    let Some(([version, from @ ..], messages)) = head else {
        return Err(Error::new(Kind::Encoding, "a bundle of node messages is too short"));
    };
    let from = NodeId::from_raw(u64::from_be_bytes(*from));
    if !versions.include(*version) {
        let text = format!("node {from} speaks version {version} of the node protocol, and this one {versions}");
        return Err(Error::new(Kind::Unreachable, text));
    }
    Ok((from, wire::read(messages)?))
}

#[cfg(test)]
mod tests {
    use super::super::headers::{ADDED_BYTES, HEAD};
    use super::*;
    use dog::{ClientId, Epoch, Message, ReplicaId};
    use dog_engine::address::TicketId;
    use dog_engine::message::{Delivery, GroupCast};

    fn group() -> GroupAddress {
        GroupAddress { class: ClassIndex(0), group: GroupId::from_name("lobby", "a") }
    }

    #[test]
    fn a_ticket_lasts_as_long_by_every_clock() {
        let at = Timestamp::from_millis;
        let replica = ReplicaId::from_name("room", "1");
        let id = TicketId { epoch: Epoch::from_raw(1), number: 1 };
        let ticket = Ticket { id, replica, client: ClientId::new("ann").unwrap(), expires: at(10_500), newcomer: true };
        let sent = ticket_to_send(ticket.clone(), at(500));
        assert_eq!(received_ticket(sent.clone(), at(90_000)).expires, at(100_000), "the other clock is ahead");
        assert_eq!(received_ticket(sent, at(0)).expires, at(10_000), "the other clock is behind");
        assert_eq!(
            received_ticket(ticket_to_send(ticket, at(20_000)), at(7)).expires,
            at(7),
            "an expired ticket stays expired"
        );
    }

    #[test]
    fn the_largest_request_head_fits_beside_the_largest_headers_of_a_client() {
        let replica = ReplicaId::from_bytes([0xFF; 32]);
        let ticket = Ticket {
            id: TicketId { epoch: Epoch::from_raw(u64::MAX), number: u64::MAX },
            replica,
            client: ClientId::new("c".repeat(dog::MAX_CLIENT_ID)).unwrap(),
            expires: Timestamp::from_millis(u64::MAX),
            newcomer: true,
        };
        let class: &'static str = "a class with a name of ordinary length, or rather more than that";
        let head = RequestHead {
            group: GroupName::new(group(), &[class]),
            replica: Some((*replica.as_bytes(), ticket)),
            identity: Some(vec![0xFF; dog::MAX_IDENTITY].into()),
            peer: Some("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff".parse().unwrap()),
            hops: u8::MAX,
        };
        let header = HEAD.as_str().len() + ": ".len() + head.to_header().unwrap().len() + "\r\n".len();
        // A node adds `Host: dog` where it is missing, and writes a space after each of 100 colons.
        assert!(header + "host: dog\r\n".len() + 100 <= ADDED_BYTES, "{header} bytes");
        assert!(header > ADDED_BYTES / 2, "an identity of this size is what the room is for");
    }

    const CLASSES: [&str; 1] = ["lobby"];

    fn casts(texts: &[&str]) -> NodeMessage {
        let deliver = |text: &&str| ReplicaCast::Deliver(Delivery { message: Message::text(*text), except: None });
        let casts = texts.iter().map(deliver).collect();
        NodeMessage::Casts { to: GroupName::new(group(), &CLASSES), replicas: vec![[1; 32], [2; 32]], casts }
    }

    #[test]
    fn a_bundle_of_another_version_is_refused_by_name() {
        let farewell =
            GroupCast::Farewell { replica: ReplicaId::from_name("room", "1"), epoch: dog::Epoch::from_raw(7) };
        let message =
            NodeMessage::Group { to: GroupName::new(group(), &CLASSES), what: ToGroup::Cast(farewell), back: None };
        let bundle = bundle(NodeId::from_raw(5), &[message], VERSIONS.newest).unwrap();
        let (from, messages) = unbundle(&bundle, VERSIONS).unwrap();
        assert_eq!(from, NodeId::from_raw(5));
        let [NodeMessage::Group { to, .. }] = &messages[..] else { panic!("{messages:?}") };
        assert_eq!(to.address(&CLASSES), Some(group()));
        assert_eq!(to.address(&["other"]), None);
        for version in [VERSIONS.oldest - 1, VERSIONS.newest + 1] {
            let mut other = bundle.to_vec();
            other[0] = version;
            let error = unbundle(&other, VERSIONS).unwrap_err();
            let named = format!(
                "node 0000000000000005 speaks version {version} of the node protocol, and this one {} to {}",
                VERSIONS.oldest, VERSIONS.newest
            );
            assert!(error.is_unreachable() && error.to_string().contains(&named), "{error}");
        }
        assert!(unbundle(&bundle[..8], VERSIONS).unwrap_err().is_encoding());
        assert!(unbundle(&bundle[..bundle.len() - 1], VERSIONS).unwrap_err().is_encoding());
    }

    #[test]
    fn an_older_node_gets_the_same_questions_each_with_its_own_address() {
        let back = |call| ReplyTo { node: NodeId::from_raw(5), worker: 1, call };
        let call = ReplicaCall::Gossip(Bytes::from_static(b"who?"));
        let asked = vec![([1; 32], back(7)), ([2; 32], back(8))];
        let sent =
            NodeMessage::Calls { to: GroupName::new(group(), &CLASSES), asked: asked.clone(), call: call.clone() };
        let told =
            |version| unbundle(&bundle(NodeId::from_raw(5), std::slice::from_ref(&sent), version).unwrap(), VERSIONS);
        let [NodeMessage::Calls { asked: new, call: newer, .. }] = &told(8).unwrap().1[..] else {
            panic!("one message")
        };
        assert_eq!((new, newer), (&asked, &call));
        let old = told(7).unwrap().1.into_iter().map(|message| match message {
            NodeMessage::Replica { replica, call: old, back, .. } if old == call => (replica, back),
            other => panic!("{other:?}"),
        });
        assert_eq!(old.collect::<Vec<_>>(), asked);
    }

    #[test]
    fn an_older_node_gets_the_same_statements_in_the_same_order() {
        let text = |cast: &ReplicaCast| match cast {
            ReplicaCast::Deliver(Delivery { message, .. }) => message.as_text().unwrap().to_owned(),
            other => panic!("{other:?} was not sent"),
        };
        let sent = [casts(&["one", "two"]), casts(&["three"])];
        for (version, expected) in
            [(7, vec![vec!["one"], vec!["two"], vec!["three"]]), (8, vec![vec!["one", "two"], vec!["three"]])]
        {
            let bundle = bundle(NodeId::from_raw(5), &sent, version).unwrap();
            assert_eq!(bundle[0], version);
            let told = unbundle(&bundle, VERSIONS).unwrap().1.into_iter().map(|message| match message {
                NodeMessage::Cast { replicas, cast, .. } => (replicas, vec![text(&cast)]),
                NodeMessage::Casts { replicas, casts, .. } => (replicas, casts.iter().map(text).collect()),
                other => panic!("{other:?}"),
            });
            let (replicas, texts): (Vec<_>, Vec<Vec<String>>) = told.unzip();
            assert!(replicas.iter().all(|replicas| replicas == &[[1; 32], [2; 32]]));
            assert_eq!(texts, expected);
        }
    }
}
