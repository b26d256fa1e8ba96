//! The idempotency keys of one topic: [`Keys`].

use std::collections::{HashMap, VecDeque};

use bytes::Bytes;
use dog::Timestamp;

use super::{KEY_AGE, MAX_KEYS};

/// Which publication each key has named first, for [`KEY_AGE`] and the newest [`MAX_KEYS`].
#[derive(Clone, Debug, Default)]
pub(super) struct Keys {
    offsets: HashMap<Bytes, u64>,
    /// In the order of their times, which is that of their offsets.
    ages: VecDeque<(Timestamp, Bytes)>,
    memory: usize,
}

/// About how many bytes a key takes beside its own.
const OVERHEAD: usize = 128;

impl Keys {
    /// The offset of the publication that had this key.
    pub(super) fn get(&mut self, key: &[u8], now: Timestamp) -> Option<u64> {
        self.expire(now);
        self.offsets.get(key).copied()
    }

    /// The key names this publication from now on.
    pub(super) fn insert(&mut self, key: &[u8], offset: u64, at: Timestamp) {
        self.expire(at);
        if self.ages.len() >= MAX_KEYS {
            self.forget_oldest();
        }
        // A part of a message that has arrived would keep the whole message in memory.
        let key = Bytes::copy_from_slice(key);
        self.memory += key.len() + OVERHEAD;
        self.offsets.insert(key.clone(), offset);
        self.ages.push_back((at, key));
    }

    /// Forgets the keys of publications from this offset on: they were not stored.
    pub(super) fn forget_from(&mut self, offset: u64) {
        while let Some((_, key)) = self.ages.back()
            && self.offsets.get(key).is_some_and(|of_key| *of_key >= offset)
        {
            self.memory -= key.len() + OVERHEAD;
            self.offsets.remove(key);
            self.ages.pop_back();
        }
    }

    /// When the oldest key is forgotten.
    pub(super) fn next_expiry(&self) -> Option<Timestamp> {
        self.ages.front().map(|(at, _)| *at + KEY_AGE)
    }

    pub(super) fn expire(&mut self, now: Timestamp) {
        while self.ages.front().is_some_and(|(at, _)| now.since(*at) >= KEY_AGE) {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        if let Some((_, key)) = self.ages.pop_front() {
            self.memory -= key.len() + OVERHEAD;
            self.offsets.remove(&key);
        }
    }

    /// About how much memory they take.
    pub(super) fn memory(&self) -> usize {
        self.memory
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_millis(seconds * 1000)
    }

    #[test]
    fn a_key_is_known_for_five_minutes_and_may_then_name_another() {
        let mut keys = Keys::default();
        keys.insert(b"a", 1, at(0));
        assert_eq!(keys.get(b"a", at(299)), Some(1));
        assert_eq!(keys.get(b"a", at(300)), None);
        keys.insert(b"a", 2, at(301));
        assert_eq!(keys.get(b"a", at(302)), Some(2));
        assert_eq!(keys.ages.len(), 1);
    }

    #[test]
    fn the_newest_ten_thousand_are_known() {
        let mut keys = Keys::default();
        for number in 0..=MAX_KEYS as u64 {
            keys.insert(number.to_string().as_bytes(), number + 1, at(0));
        }
        assert_eq!(keys.get(b"0", at(0)), None);
        assert_eq!(keys.get(b"1", at(0)), Some(2));
        assert_eq!(keys.offsets.len(), MAX_KEYS);
        assert_eq!((keys.get(b"1", at(300)), keys.memory()), (None, 0));
    }

    #[test]
    fn keys_of_publications_that_were_not_stored_are_forgotten() {
        let mut keys = Keys::default();
        for (key, offset) in [("a", 1), ("b", 2), ("c", 4)] {
            keys.insert(key.as_bytes(), offset, at(0));
        }
        keys.forget_from(2);
        assert_eq!(["a", "b", "c"].map(|key| keys.get(key.as_bytes(), at(0))), [Some(1), None, None]);
        assert_eq!(keys.memory(), 1 + OVERHEAD);
    }
}
