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
//! | `PREFIX.to.NODE` | bundles of node messages to a node | none |

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
        };
        format!("{}.object.{}.entry.{space}.", self.prefix, object_name(object))
    }

    /// Returns the filter that matches all entries of a space.
    pub(crate) fn entries(&self, object: Object, space: Space) -> String {
        format!("{}*", self.space(object, space))
    }

    /// Returns the subject of an entry. The key may be empty, so the letter `k` precedes it.
    pub(crate) fn entry(&self, object: Object, space: Space, key: &[u8]) -> String {
        format!("{}k{}", self.space(object, space), BASE64_URL_SAFE_NO_PAD.encode(key))
    }

    /// Returns the key of an entry's subject.
    pub(crate) fn key(&self, subject: &str) -> Option<Vec<u8>> {
        let (_, key) = subject.rsplit_once('.')?;
        BASE64_URL_SAFE_NO_PAD.decode(key.strip_prefix('k')?).ok()
    }
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
        assert_eq!(names.alarm_of(&names.alarm(object)), Some(object));
        assert_eq!(names.alarm_of(&names.owner(object)), None);
        let node = NodeId::from_raw(0x12ab);
        assert_eq!(names.node(&names.lease(node)), Some(node));
    }

    #[test]
    fn a_prefix_is_one_token() {
        for wrong in ["", "a.b", "a b", "a*", ">", &"x".repeat(33)] {
            assert!(Names::new(wrong).is_none(), "{wrong}");
        }
    }
}
