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

/// What the record of a name says if the log was purged and not used since. Otherwise it is empty.
pub(super) const PURGED: &[u8] = b"purged";

/// The key of the record that says that a topic has a stored log. It is written with the first segment, and deleted with the
/// last one.
pub(super) fn name_key(topic: &str) -> Vec<u8> {
    [NAMES, topic.as_bytes()].concat()
}

/// The names of the topics that have a log, in memory or stored, so that there are not too many.
#[derive(Clone, Debug, Default)]
pub struct LogTopics {
    names: BTreeSet<String>,
    /// Those whose logs were purged and not used since. They do not count, and are removed when all who have followed them know.
    purged: BTreeSet<String>,
    /// Those among them that an earlier life has left.
    left: BTreeSet<String>,
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
        for (key, record) in records {
            let name = key.strip_prefix(NAMES).and_then(|name| std::str::from_utf8(name).ok()).ok_or_else(damaged)?;
            // This life may know better already.
            if is_purged(record)? && self.names.insert(name.to_owned()) {
                self.purged.insert(name.to_owned());
                self.left.insert(name.to_owned());
            }
            self.names.insert(name.to_owned());
            self.read_until = Some(name.to_owned());
        }
        self.is_loaded = records.len() < READ;
        Ok(())
    }

    /// A topic has a log from now on.
    ///
    /// # Errors
    /// [`Kind::TooMany`]: it has none yet, and 10,000 others have one; or as many are purged, and Replicas do not know it yet.
    pub fn begin(&mut self, topic: &str) -> Result<(), Error> {
        let (is_known, is_purged) = (self.names.contains(topic), self.purged.contains(topic));
        if is_known && !is_purged {
            return Ok(());
        }
        let used = self.names.len() - self.purged.len();
        if used >= MAX_LOG_TOPICS || (!is_known && self.names.len() >= 2 * MAX_LOG_TOPICS) {
            return Err(too_many());
        }
        self.purged.remove(topic);
        self.names.insert(topic.to_owned());
        Ok(())
    }

    /// The log of a topic was purged. Its place is free from now on, and it has to be [removed](Self::end).
    pub fn purge(&mut self, topic: &str) {
        self.names.insert(topic.to_owned());
        self.purged.insert(topic.to_owned());
    }

    /// A topic has no log any more.
    pub fn end(&mut self, topic: &str) {
        self.names.remove(topic);
        self.purged.remove(topic);
        self.left.remove(topic);
    }

    /// Those that an earlier life has purged, and not removed. Each is given once.
    pub fn take_left(&mut self) -> BTreeSet<String> {
        std::mem::take(&mut self.left)
    }

    /// Reads whether the log of one topic was purged: [`purged`](Self::purged).
    pub fn read_one(topic: &str) -> LogRead {
        let key = name_key(topic);
        LogRead { keys: (Bound::Included(key.clone()), Bound::Included(key)), limit: 1, order: Order::Ascending }
    }

    /// The record of one topic was read. Returns whether its log was purged and not used since.
    ///
    /// # Errors
    /// [`Error::is_storage`] if it is damaged.
    pub fn purged(&mut self, topic: &str, records: &[(Bytes, Bytes)]) -> Result<bool, Error> {
        let is_purged = records.first().map_or(Ok(false), |(_, record)| is_purged(record))?;
        if is_purged {
            self.purge(topic);
        } else {
            self.purged.remove(topic);
        }
        Ok(is_purged)
    }

    /// The names that are known, in the order of their bytes.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(String::as_str)
    }
}

fn is_purged(record: &[u8]) -> Result<bool, Error> {
    match record {
        [] => Ok(false),
        PURGED => Ok(true),
        _ => Err(damaged()),
    }
}

fn too_many() -> Error {
    let text = format!("{MAX_LOG_TOPICS} topics of the Group have a log: purge some that are not used any more");
    Error::new(Kind::TooMany, text)
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

    #[test]
    fn the_place_of_a_log_that_was_purged_is_free_and_as_many_may_wait_to_be_removed() {
        let stored = (1..=MAX_LOG_TOPICS).map(|number| (name_key(&number.to_string()), Bytes::new())).collect();
        let mut topics = load(&stored);
        topics.begin("new").unwrap_err();
        for number in 1..=MAX_LOG_TOPICS {
            topics.purge(&number.to_string());
            topics.begin(&format!("new {number}")).unwrap();
            assert!(topics.begin(&number.to_string()).unwrap_err().is_too_many(), "it has no place any more");
        }
        topics.purge("new 1");
        assert!(topics.begin("one more").unwrap_err().is_too_many(), "too many wait to be removed");
        topics.begin("1").unwrap();
        topics.end("2");
        topics.purge("new 2");
        topics.begin("one more").unwrap();
    }

    #[test]
    fn what_an_earlier_life_has_purged_is_given_once() {
        let mut stored: BTreeMap<_, _> = ["a", "b"].map(|topic| (name_key(topic), Bytes::new())).into();
        stored.insert(name_key("p"), Bytes::from_static(PURGED));
        let mut topics = load(&stored);
        assert_eq!(topics.take_left(), BTreeSet::from(["p".to_owned()]));
        assert!(topics.take_left().is_empty());
        let mut one = |topic: &str| {
            let found = stored.range::<Vec<u8>, _>(LogTopics::read_one(topic).keys);
            let found: Vec<_> = found.map(|(key, value)| (Bytes::copy_from_slice(key), value.clone())).collect();
            topics.purged(topic, &found).unwrap()
        };
        assert_eq!(["a", "p", "c"].map(&mut one), [false, true, false]);
        assert!(LogTopics::default().found(&[(name_key("q").into(), Bytes::from("?"))]).unwrap_err().is_storage());
    }
}
