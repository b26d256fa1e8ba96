//! [`Names`]: the subjects and streams of a cluster. All of them begin with the prefix of the cluster, so that several
//! clusters can share a NATS.
//!
//! | subject | holds | stream |
//! |---|---|---|
//! | `PREFIX.lease.NODE` | the lease of a node, or its deletion | `PREFIX_nodes` |
//! | `PREFIX.secret` | the secret that the nodes share | `PREFIX_nodes` |
//! | `PREFIX.object.NAME.owner` | the node that owns the object; each claim and each batch of writes replaces it | `PREFIX_objects` |
//! | `PREFIX.object.NAME.alarm` | when the object has to be woken for its earliest alarm | `PREFIX_objects` |
//! | `PREFIX.object.NAME.entry.SPACE.KEY` | an entry, its key in base64 | `PREFIX_objects` |
//! | `PREFIX.object.NAME.entry.log.TOPIC.REST` | a record of a log, its key in two parts, so that a topic can be listed | `PREFIX_objects` |
//! | `PREFIX.to.NODE` | bundles of node messages to a node | none |

use std::ops::Bound;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use dog_engine::address::{NodeId, Object};
use dog_engine::host::Space;
use dog_native::cluster::{object_name, object_of};

/// The subjects and streams of one cluster.
#[derive(Clone, Debug)]
pub(crate) struct Names {
    prefix: String,
}

impl Names {
    /// Returns `None` if the prefix cannot be part of a subject and of a stream's name.
    pub(crate) fn new(prefix: &str) -> Option<Self> {
        let is_allowed = |letter: char| letter.is_ascii_alphanumeric() || letter == '-' || letter == '_';
        let is_valid = (1..=32).contains(&prefix.len()) && prefix.chars().all(is_allowed);
        is_valid.then(|| Self { prefix: prefix.to_owned() })
    }

    /// Returns the name of the stream with the leases.
    pub(crate) fn nodes(&self) -> String {
        format!("{}_nodes", self.prefix)
    }

    /// Returns the name of the stream with the objects.
    pub(crate) fn objects(&self) -> String {
        format!("{}_objects", self.prefix)
    }

    pub(crate) fn secret(&self) -> String {
        format!("{}.secret", self.prefix)
    }

    pub(crate) fn lease(&self, node: NodeId) -> String {
        format!("{}.lease.{node}", self.prefix)
    }

    pub(crate) fn leases(&self) -> String {
        format!("{}.lease.*", self.prefix)
    }

    /// Returns the node of a lease's subject.
    pub(crate) fn node(&self, subject: &str) -> Option<NodeId> {
        let (_, node) = subject.rsplit_once('.')?;
        u64::from_str_radix(node, 16).ok().map(NodeId::from_raw)
    }

    /// Returns the subject on which a node receives bundles.
    pub(crate) fn messages(&self, node: NodeId) -> String {
        format!("{}.to.{node}", self.prefix)
    }

    pub(crate) fn all_objects(&self) -> String {
        format!("{}.object.>", self.prefix)
    }

    pub(crate) fn owner(&self, object: Object) -> String {
        format!("{}.object.{}.owner", self.prefix, object_name(object))
    }

    pub(crate) fn alarm(&self, object: Object) -> String {
        format!("{}.object.{}.alarm", self.prefix, object_name(object))
    }

    pub(crate) fn alarms(&self) -> String {
        format!("{}.object.*.alarm", self.prefix)
    }

    /// Returns the object of an alarm's subject.
    pub(crate) fn alarm_of(&self, subject: &str) -> Option<Object> {
        let name = subject.strip_prefix(&self.prefix)?.strip_prefix(".object.")?.strip_suffix(".alarm")?;
        object_of(name)
    }

    fn space(&self, object: Object, space: Space) -> String {
        let space = match space {
            Space::User => "user",
            Space::Members => "members",
            Space::Clients => "clients",
            Space::Alarms => "alarms",
            Space::Log => "log",
        };
        format!("{}.object.{}.entry.{space}.", self.prefix, object_name(object))
    }

    /// Returns the filter that matches all entries of a space.
    pub(crate) fn entries(&self, object: Object, space: Space) -> String {
        format!("{}>", self.space(object, space))
    }

    /// Returns a filter that matches the entries of a range of keys, and perhaps others.
    pub(crate) fn entries_within(
        &self,
        object: Object,
        space: Space,
        keys: &(Bound<Vec<u8>>, Bound<Vec<u8>>),
    ) -> String {
        let topic = |bound: &Bound<Vec<u8>>| match bound {
            Bound::Included(key) | Bound::Excluded(key) => Some(split(space, key)?.0.to_owned()),
            Bound::Unbounded => None,
        };
        match topic(&keys.0).filter(|first| topic(&keys.1).as_ref() == Some(first)) {
            Some(topic) => format!("{}{}.*", self.space(object, space), token(&topic)),
            None => self.entries(object, space),
        }
    }

    /// Returns the subject of an entry.
    pub(crate) fn entry(&self, object: Object, space: Space, key: &[u8]) -> String {
        let key = match split(space, key) {
            Some((topic, rest)) => format!("{}.{}", token(topic), token(rest)),
            None => token(key),
        };
        self.space(object, space) + &key
    }

    /// Returns the key of an entry's subject.
    pub(crate) fn key(&self, subject: &str) -> Option<Vec<u8>> {
        // The prefix, `object`, the name, `entry` and the space.
        let mut tokens = subject.split('.').skip(5).map(part);
        let mut key = tokens.next()??;
        for token in tokens {
            key.push(0);
            key.extend(token?);
        }
        Some(key)
    }
}

/// Returns a part of a key as a token of a subject. It may be empty, so the letter `k` precedes it.
fn token(part: &[u8]) -> String {
    format!("k{}", BASE64_URL_SAFE_NO_PAD.encode(part))
}

fn part(token: &str) -> Option<Vec<u8>> {
    BASE64_URL_SAFE_NO_PAD.decode(token.strip_prefix('k')?).ok()
}

/// Splits the key of a log's record at the zero byte behind its topic.
fn split(space: Space, key: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = key.iter().position(|byte| *byte == 0).filter(|_| space == Space::Log)?;
    Some((&key[..end], &key[end + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use dog::GroupId;
    use dog_engine::address::{ClassIndex, GroupAddress};

    #[test]
    fn names_are_read_back() {
        let names = Names::new("dog").unwrap();
        let object = Object::Group(GroupAddress { class: ClassIndex(0), group: GroupId::from_name("lobby", "a") });
        for key in [&b""[..], b"users", "größe".as_bytes(), &[0xff; 2048]] {
            let entry = names.entry(object, Space::User, key);
            assert_eq!(names.key(&entry).as_deref(), Some(key));
            assert!(entry.len() < 3000, "the subject is longer than a server accepts");
        }
        for key in [&b""[..], b"\0", b"topic", b"topic\0", b"\0\0\0\0\0\0\0\0\x07", b"t\0\0\xff\0"] {
            for space in [Space::Log, Space::User] {
                assert_eq!(names.key(&names.entry(object, space, key)).as_deref(), Some(key), "{space:?}");
            }
        }
        assert_eq!(names.alarm_of(&names.alarm(object)), Some(object));
        assert_eq!(names.alarm_of(&names.owner(object)), None);
        let node = NodeId::from_raw(0x12ab);
        assert_eq!(names.node(&names.lease(node)), Some(node));
    }

    #[test]
    fn a_range_within_a_topic_lists_nothing_else() {
        let names = Names::new("dog").unwrap();
        let object = Object::Group(GroupAddress { class: ClassIndex(0), group: GroupId::from_name("lobby", "a") });
        let filter = |space, from: &[u8], until: &[u8]| {
            names.entries_within(object, space, &(Bound::Included(from.to_vec()), Bound::Excluded(until.to_vec())))
        };
        let of_topic = filter(Space::Log, b"t\0", b"t\0\xff");
        let own = names.entry(object, Space::Log, b"t\0\0\0\0\0\0\0\0\x07");
        assert_eq!(of_topic.strip_suffix('*'), own.rfind('.').map(|end| &own[..=end]));
        for other in [&b"t"[..], b"tt\0a", b"\0a"] {
            assert!(!names.entry(object, Space::Log, other).starts_with(of_topic.trim_end_matches('*')));
        }
        let all = names.entries(object, Space::Log);
        assert!(all.ends_with(".entry.log.>"));
        assert!(filter(Space::Log, b"t\0", b"u\0") == all && filter(Space::Log, b"t", b"t\0") == all);
        assert_eq!(filter(Space::User, b"t\0", b"t\0\xff"), names.entries(object, Space::User));
    }

    #[test]
    fn a_prefix_is_one_token() {
        for wrong in ["", "a.b", "a b", "a*", ">", &"x".repeat(33)] {
            assert!(Names::new(wrong).is_none(), "{wrong}");
        }
    }
}
