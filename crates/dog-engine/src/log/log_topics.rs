//! Which topics of a Group have a log: [`LogTopics`].

use std::collections::BTreeSet;
use std::ops::Bound;

use bytes::Bytes;
use dog::Error;
use dog::internal::Kind;

use super::segment::{LogRead, damaged};
use crate::host::Order;

/// How many topics of a Group have a log at most.
pub const MAX_LOG_TOPICS: usize = 10_000;

/// How many names are read at once.
const READ: usize = 1000;

/// What the keys of the names begin with: no topic contains a control character.
const NAMES: &[u8] = b"\x01\0";

/// The key of the record that says that a topic has a stored log. It is written with the first segment, and deleted with the
/// last one.
pub(super) fn name_key(topic: &str) -> Vec<u8> {
    [NAMES, topic.as_bytes()].concat()
}

/// The names of the topics that have a log, in memory or stored, so that there are not too many.
#[derive(Clone, Debug, Default)]
pub struct LogTopics {
    names: BTreeSet<String>,
    /// The last name that was read.
    read_until: Option<String>,
    is_loaded: bool,
}

impl LogTopics {
    /// What has to be read before a topic may begin a log. `None`: all names are known.
    pub fn next_read(&self) -> Option<LogRead> {
        let from = match &self.read_until {
            Some(name) => Bound::Excluded(name_key(name)),
            None => Bound::Included(NAMES.to_vec()),
        };
        // Names are text, which has no such byte.
        let end = Bound::Excluded([NAMES, &[0xff]].concat());
        (!self.is_loaded).then_some(LogRead { keys: (from, end), limit: READ, order: Order::Ascending })
    }

    /// These records were read.
    ///
    /// # Errors
    /// [`Error::is_storage`] if one is damaged.
    pub fn found(&mut self, records: &[(Bytes, Bytes)]) -> Result<(), Error> {
        for (key, _) in records {
            let name = key.strip_prefix(NAMES).and_then(|name| std::str::from_utf8(name).ok()).ok_or_else(damaged)?;
            self.names.insert(name.to_owned());
            self.read_until = Some(name.to_owned());
        }
        self.is_loaded = records.len() < READ;
        Ok(())
    }

    /// A topic has a log from now on.
    ///
    /// # Errors
    /// [`Kind::TooMany`]: it has none yet, and 10,000 others have one.
    pub fn begin(&mut self, topic: &str) -> Result<(), Error> {
        if self.names.contains(topic) {
            return Ok(());
        }
        if self.names.len() >= MAX_LOG_TOPICS {
            let text =
                format!("{MAX_LOG_TOPICS} topics of the Group have a log: purge some that are not used any more");
            return Err(Error::new(Kind::TooMany, text));
        }
        self.names.insert(topic.to_owned());
        Ok(())
    }

    /// A topic has no log any more: it was purged, or was in memory and has expired.
    pub fn end(&mut self, topic: &str) {
        self.names.remove(topic);
    }

    /// The names that are known, in the order of their bytes.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn load(stored: &BTreeMap<Vec<u8>, Bytes>) -> LogTopics {
        let mut topics = LogTopics::default();
        while let Some(read) = topics.next_read() {
            assert_eq!(read.order, Order::Ascending);
            let found = stored.range::<Vec<u8>, _>(read.keys).take(read.limit);
            let found: Vec<_> = found.map(|(key, value)| (Bytes::copy_from_slice(key), value.clone())).collect();
            topics.found(&found).unwrap();
        }
        topics
    }

    #[test]
    fn names_are_read_from_between_the_segments() {
        let mut stored: BTreeMap<_, _> = ["", "a", "größe"].map(|topic| (name_key(topic), Bytes::new())).into();
        for topic in ["", "a", "\u{10ffff}"] {
            stored.insert(super::super::SegmentPlace { resets: 0, first: 1 }.key(topic), Bytes::from("a segment"));
        }
        assert_eq!(load(&stored).names().collect::<Vec<_>>(), ["", "a", "größe"]);
        assert!(load(&BTreeMap::new()).names().next().is_none());
        stored.insert([NAMES, &[0xc3]].concat(), Bytes::new());
        assert!(
            LogTopics::default().found(&[([NAMES, &[0xc3]].concat().into(), Bytes::new())]).unwrap_err().is_storage()
        );
    }

    #[test]
    fn one_topic_too_many_is_refused_until_another_has_ended() {
        let stored = (1..MAX_LOG_TOPICS).map(|number| (name_key(&number.to_string()), Bytes::new())).collect();
        let mut topics = load(&stored);
        topics.begin("one more").unwrap();
        topics.begin("7").unwrap();
        let error = topics.begin("too many").unwrap_err();
        assert!(error.kind() == Kind::TooMany && error.to_string().contains("10000 topics"), "{error}");
        topics.end("7");
        topics.begin("too many").unwrap();
        assert_eq!(topics.names().count(), MAX_LOG_TOPICS);
    }
}
