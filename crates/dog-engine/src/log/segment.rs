//! The stored form of publications: [`Segment`], and which of the stored ones are not needed any more: [`Segments`].

use std::collections::VecDeque;

use bytes::{Buf, BufMut, Bytes};
use dog::internal::{Kind, LogEpoch};
use dog::{Error, Message, MessageKind, Timestamp};

use super::{KEY_AGE, NewPublication, Recorded, StoredPublication};

/// The version of the format. A later release recognises the records of an earlier one by it.
const FORMAT: u8 = 1;

/// The largest offset: clients in JavaScript have no larger integer.
const MAX_OFFSET: u64 = (1 << 53) - 1;

/// What one commit has added to the log of a topic. One without publications says which epoch an empty log has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// The epoch of the log.
    pub epoch: LogEpoch,
    /// The offset of the first publication.
    pub first: u64,
    /// The publications, without a gap.
    pub publications: Vec<StoredPublication>,
}

impl Segment {
    /// The key of a stored segment: the topic, a byte that no topic contains, and the offset, in the order of the offsets.
    pub fn key(topic: &str, first: u64) -> Vec<u8> {
        let mut key = Self::keys(topic);
        key.put_u64(first);
        key
    }

    /// What the keys of all segments of a topic begin with, and no other.
    pub fn keys(topic: &str) -> Vec<u8> {
        let mut key = Vec::with_capacity(topic.len() + 1 + 8);
        key.extend_from_slice(topic.as_bytes());
        key.put_u8(0);
        key
    }

    /// The record.
    pub fn encode(&self) -> Bytes {
        let size =
            |stored: &StoredPublication| 32 + stored.publication.size() + stored.key.as_ref().map_or(0, Bytes::len);
        let mut bytes = Vec::with_capacity(64 + self.publications.iter().map(size).sum::<usize>());
        bytes.put_u8(FORMAT);
        put(&mut bytes, self.epoch.as_str().as_bytes());
        bytes.put_u64(self.first);
        for StoredPublication { publication, key } in &self.publications {
            bytes.put_u64(publication.at.as_millis());
            bytes.put_u8(u8::from(publication.message.kind() == MessageKind::Text));
            put(&mut bytes, publication.message.as_bytes());
            put(&mut bytes, &publication.metadata);
            put(&mut bytes, key.as_deref().unwrap_or_default());
        }
        bytes.into()
    }

    /// Reads a record.
    ///
    /// # Errors
    /// [`Error::is_storage`] if it is damaged, or was written by a later release.
    pub fn decode(record: &Bytes) -> Result<Self, Error> {
        let mut rest = record.clone();
        match rest.try_get_u8() {
            Ok(FORMAT) => {}
            Ok(_) => {
                return Err(Error::new(Kind::Storage, "a stored log was written by a later release: run that one"));
            }
            Err(_) => return Err(damaged()),
        }
        let epoch = take(&mut rest)?;
        let epoch = std::str::from_utf8(&epoch).ok().and_then(|epoch| LogEpoch::new(epoch).ok()).ok_or_else(damaged)?;
        let first = rest.try_get_u64().ok().filter(|first| (1..=MAX_OFFSET).contains(first)).ok_or_else(damaged)?;
        let mut publications = Vec::new();
        while !rest.is_empty() {
            let publication = decode_publication(first + publications.len() as u64, &mut rest)?;
            publications.push(publication);
        }
        Ok(Self { epoch, first, publications })
    }
}

fn decode_publication(offset: u64, rest: &mut Bytes) -> Result<StoredPublication, Error> {
    if offset > MAX_OFFSET {
        return Err(damaged());
    }
    let at = Timestamp::from_millis(rest.try_get_u64().map_err(|_| damaged())?);
    let kind = rest.try_get_u8().map_err(|_| damaged())?;
    let message = take(rest)?;
    let message = match kind {
        1 => Message::text(std::str::from_utf8(&message).map_err(|_| damaged())?),
        0 => Message::binary(message),
        _ => return Err(damaged()),
    };
    // A slice of the record would keep all of it in memory.
    let metadata = Bytes::copy_from_slice(&take(rest)?);
    let key = take(rest)?;
    let key = (!key.is_empty()).then(|| Bytes::copy_from_slice(&key));
    let new = NewPublication { message, metadata, key };
    new.check().map_err(|_| damaged())?;
    let NewPublication { message, metadata, key } = new;
    Ok(StoredPublication { publication: Recorded { offset, at, message, metadata }, key })
}

fn damaged() -> Error {
    Error::new(Kind::Storage, "a stored log is damaged")
}

fn put(bytes: &mut Vec<u8>, part: &[u8]) {
    // A publication has 256 KiB at most.
    bytes.put_u32(u32::try_from(part.len()).unwrap_or(u32::MAX));
    bytes.extend_from_slice(part);
}

fn take(rest: &mut Bytes) -> Result<Bytes, Error> {
    let length = rest.try_get_u32().ok().and_then(|length| usize::try_from(length).ok()).ok_or_else(damaged)?;
    if length > rest.len() {
        return Err(damaged());
    }
    Ok(rest.split_to(length))
}

/// The stored segments of one topic. A segment is deleted as a whole, with a later commit, when nothing in it is needed. The
/// newest one stays, because it says which offset is next.
#[derive(Clone, Debug, Default)]
pub struct Segments {
    stored: VecDeque<StoredSegment>,
}

#[derive(Clone, Copy, Debug)]
struct StoredSegment {
    first: u64,
    /// Until when its keys are needed.
    keys_until: Option<Timestamp>,
}

impl Segments {
    /// A segment is stored. They come in the order of their offsets.
    pub fn push(&mut self, segment: &Segment) {
        if self.stored.back().is_some_and(|last| last.first >= segment.first) {
            // It has replaced one without publications.
            self.stored.pop_back();
        }
        let newest_key = segment.publications.iter().rev().find(|stored| stored.key.is_some());
        let keys_until = newest_key.map(|stored| stored.publication.at + KEY_AGE);
        self.stored.push_back(StoredSegment { first: segment.first, keys_until });
    }

    /// How many are stored.
    pub fn len(&self) -> usize {
        self.stored.len()
    }

    /// Whether none is stored.
    pub fn is_empty(&self) -> bool {
        self.stored.is_empty()
    }

    /// The first offset of the oldest segment, if the next commit can delete it: the log keeps `kept_from` and later.
    pub fn next_expired(&self, kept_from: u64, now: Timestamp) -> Option<u64> {
        let (oldest, next) = (self.stored.front()?, self.stored.get(1)?);
        let is_needed = next.first > kept_from || oldest.keys_until.is_some_and(|until| now < until);
        (!is_needed).then_some(oldest.first)
    }

    /// The oldest segment is deleted.
    pub fn pop_oldest(&mut self) {
        self.stored.pop_front();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_millis(seconds * 1000)
    }

    fn segment(first: u64, keys: &[Option<&'static str>]) -> Segment {
        let stored = |(offset, key): (u64, &Option<&'static str>)| StoredPublication {
            publication: Recorded {
                offset,
                at: at(offset),
                message: if offset % 2 == 0 { Message::binary([255, 0]) } else { Message::text("häh") },
                metadata: Bytes::from(vec![b'm'; (offset % 3) as usize]),
            },
            key: key.map(Bytes::from),
        };
        Segment { epoch: LogEpoch::new("e").unwrap(), first, publications: (first..).zip(keys).map(stored).collect() }
    }

    #[test]
    fn records_read_what_they_write_and_refuse_the_rest() {
        for segment in [segment(1, &[]), segment(7, &[None, Some("key"), None])] {
            assert_eq!(Segment::decode(&segment.encode()).unwrap(), segment);
        }
        let record = segment(7, &[Some("key")]).encode();
        for length in 0..record.len() {
            // What ends behind the offset is a segment without publications.
            let whole = length == segment(7, &[]).encode().len();
            assert_eq!(Segment::decode(&record.slice(..length)).is_ok(), whole, "{length}");
        }
        let error = |bytes: &[u8]| Segment::decode(&Bytes::copy_from_slice(bytes)).unwrap_err();
        let later = error(&[&[FORMAT + 1], &record[1..]].concat());
        assert!(later.is_storage() && later.to_string().contains("later release"));
        assert!(error(&[&record[..], &[0]].concat()).to_string().contains("damaged"));
        let no_text: Vec<u8> = record.iter().map(|byte| if *byte == 0xc3 { 0xff } else { *byte }).collect();
        assert!(error(&no_text).to_string().contains("damaged"));
        let last = Segment { first: MAX_OFFSET, ..segment(1, &[None, None]) };
        assert!(Segment::decode(&last.encode()).is_err(), "there is no such offset");
        assert!(Segment::decode(&segment(0, &[]).encode()).is_err(), "offsets begin with 1");
    }

    #[test]
    fn keys_keep_topics_apart_and_offsets_in_order() {
        assert!(Segment::key("a", 255) < Segment::key("a", 256));
        assert!(
            Segment::key("a", u64::MAX) < Segment::key("aa", 1) && Segment::key("", u64::MAX) < Segment::key("a", 1)
        );
        assert!(
            !Segment::key("aa", 1).starts_with(&Segment::keys("a"))
                && Segment::key("a", 1).starts_with(&Segment::keys("a"))
        );
    }

    #[test]
    fn a_segment_is_deleted_when_none_of_its_publications_or_keys_is_needed_and_the_newest_stays() {
        let mut segments = Segments::default();
        assert!(segments.is_empty() && segments.next_expired(1, at(0)).is_none());
        for stored in [segment(1, &[]), segment(1, &[Some("k"), None]), segment(3, &[None]), segment(4, &[None])] {
            segments.push(&stored);
        }
        assert_eq!(segments.len(), 3);
        let keys_end = 1 + KEY_AGE.as_secs();
        assert_eq!(segments.next_expired(2, at(keys_end)), None, "it keeps 2");
        assert_eq!(segments.next_expired(3, at(keys_end - 1)), None, "its key is needed");
        assert_eq!(segments.next_expired(3, at(keys_end)), Some(1));
        segments.pop_oldest();
        assert_eq!((segments.next_expired(3, at(keys_end)), segments.next_expired(5, at(keys_end))), (None, Some(3)));
        segments.pop_oldest();
        assert_eq!(segments.next_expired(5, at(keys_end)), None, "it says which offset is next");
    }
}
