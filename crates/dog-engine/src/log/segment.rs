//! The stored form of publications: [`Segment`].

use std::ops::Bound;

use bytes::{Buf, BufMut, Bytes};
use dog::internal::{Kind, LogEpoch};
use dog::{Error, Message, MessageKind, Timestamp};

use super::{NewPublication, Recorded, StoredPublication};
use crate::host::Order;

/// The version of the format. A later release recognises the records of an earlier one by it.
const FORMAT: u8 = 1;

/// The largest offset: clients in JavaScript have no larger integer.
const MAX_OFFSET: u64 = (1 << 53) - 1;

/// What to read of a stored log: the keys in [`Space::Log`](crate::host::Space::Log), how many of them, and in which order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogRead {
    /// The keys.
    pub keys: (Bound<Vec<u8>>, Bound<Vec<u8>>),
    /// Most records.
    pub limit: usize,
    /// Their order.
    pub order: Order,
}

/// The most bytes that all publications of an epoch have had, and the most resets of a log: more than can be reached.
const MAX_BYTES: u64 = 1 << 62;
const MAX_RESETS: u64 = 1 << 62;

/// Where a segment is stored: how often the log was reset before, and the offset of the first publication. Segments with an
/// earlier number of resets are of a log that is gone, and wait to be deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SegmentPlace {
    /// How often the log was reset before.
    pub resets: u64,
    /// The offset of the first publication.
    pub first: u64,
}

impl SegmentPlace {
    const LOWEST: Self = Self { resets: 0, first: 0 };
    const HIGHEST: Self = Self { resets: u64::MAX, first: u64::MAX };

    /// The key: the topic, a byte that no topic contains, and the place, in the order of the places.
    pub fn key(self, topic: &str) -> Vec<u8> {
        let mut key = Vec::with_capacity(topic.len() + 1 + 16);
        key.extend_from_slice(topic.as_bytes());
        key.put_u8(0);
        key.put_u64(self.resets);
        key.put_u64(self.first);
        key
    }

    fn of_key(key: &[u8]) -> Result<Self, Error> {
        let at = key.iter().position(|byte| *byte == 0).ok_or_else(damaged)?;
        let place: [u8; 16] = key[at + 1..].try_into().map_err(|_| damaged())?;
        let mut place = &place[..];
        Ok(Self { resets: place.get_u64(), first: place.get_u64() })
    }

    /// Reads the segment at this place or the last one before it, and more before that.
    pub fn read_back(self, topic: &str, limit: usize) -> LogRead {
        let keys = (Bound::Included(Self::LOWEST.key(topic)), Bound::Included(self.key(topic)));
        LogRead { keys, limit, order: Order::Descending }
    }

    /// Reads the segments before this place, the last one first.
    pub fn read_before(self, topic: &str, limit: usize) -> LogRead {
        let keys = (Bound::Included(Self::LOWEST.key(topic)), Bound::Excluded(self.key(topic)));
        LogRead { keys, limit, order: Order::Descending }
    }

    /// Reads the segments of a topic, the newest first.
    pub fn read_newest(topic: &str, limit: usize) -> LogRead {
        Self::HIGHEST.read_back(topic, limit)
    }

    /// Reads the segments from this place on, the oldest first.
    pub fn read_on(self, topic: &str, limit: usize) -> LogRead {
        let keys = (Bound::Included(self.key(topic)), Bound::Included(Self::HIGHEST.key(topic)));
        LogRead { keys, limit, order: Order::Ascending }
    }

    /// Reads the segments after this place, or all, the oldest first.
    pub fn read_after(place: Option<Self>, topic: &str, limit: usize) -> LogRead {
        let mut read = place.unwrap_or(Self::LOWEST).read_on(topic, limit);
        if let Some(place) = place {
            read.keys.0 = Bound::Excluded(place.key(topic));
        }
        read
    }
}

/// What one commit has added to the log of a topic. One without publications says which epoch an empty log has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Where it is stored.
    pub place: SegmentPlace,
    /// The epoch of the log.
    pub epoch: LogEpoch,
    /// The bytes of all publications of the epoch that came before.
    pub bytes_before: u64,
    /// The publications, without a gap.
    pub publications: Vec<StoredPublication>,
}

impl Segment {
    /// The offset after the last publication.
    pub fn end(&self) -> u64 {
        self.place.first + self.publications.len() as u64
    }

    /// The bytes of its publications.
    pub fn bytes(&self) -> u64 {
        self.publications.iter().map(|stored| stored.publication.size() as u64).sum()
    }

    /// The record.
    pub fn encode(&self) -> Bytes {
        let size =
            |stored: &StoredPublication| 32 + stored.publication.size() + stored.key.as_ref().map_or(0, Bytes::len);
        let mut bytes = Vec::with_capacity(64 + self.publications.iter().map(size).sum::<usize>());
        bytes.put_u8(FORMAT);
        put(&mut bytes, self.epoch.as_str().as_bytes());
        bytes.put_u64(self.bytes_before);
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
    pub fn decode(key: &[u8], record: &Bytes) -> Result<Self, Error> {
        let place = SegmentPlace::of_key(key)?;
        if !(1..=MAX_OFFSET).contains(&place.first) || place.resets > MAX_RESETS {
            return Err(damaged());
        }
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
        let bytes_before = rest.try_get_u64().map_err(|_| damaged())?;
        if bytes_before > MAX_BYTES {
            return Err(damaged());
        }
        let mut publications = Vec::new();
        while !rest.is_empty() {
            let publication = decode_publication(place.first + publications.len() as u64, &mut rest)?;
            publications.push(publication);
        }
        Ok(Self { place, epoch, bytes_before, publications })
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

pub(super) fn damaged() -> Error {
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

#[cfg(test)]
mod tests {
    use dog::internal::{MAX_LOG_RECORD, MAX_METADATA, MAX_PUBLICATION, MAX_PUBLICATION_KEY};

    use super::*;

    fn segment(first: u64, keys: &[Option<&'static str>]) -> Segment {
        let stored = |(offset, key): (u64, &Option<&'static str>)| StoredPublication {
            publication: Recorded {
                offset,
                at: Timestamp::from_millis(offset * 1000),
                message: if offset % 2 == 0 { Message::binary([255, 0]) } else { Message::text("häh") },
                metadata: Bytes::from(vec![b'm'; (offset % 3) as usize]),
            },
            key: key.map(Bytes::from),
        };
        let publications = (first..).zip(keys).map(stored).collect();
        let place = SegmentPlace { resets: 3, first };
        Segment { place, epoch: LogEpoch::new("e").unwrap(), bytes_before: 70, publications }
    }

    fn read(place: SegmentPlace, record: &[u8]) -> Result<Segment, Error> {
        Segment::decode(&place.key("topic"), &Bytes::copy_from_slice(record))
    }

    #[test]
    fn records_read_what_they_write_and_refuse_the_rest() {
        for segment in [segment(1, &[]), segment(7, &[None, Some("key"), None])] {
            assert_eq!(read(segment.place, &segment.encode()).unwrap(), segment);
        }
        let written = segment(7, &[Some("key")]);
        let (place, record) = (written.place, written.encode());
        for length in 0..record.len() {
            // What ends behind the head is a segment without publications.
            let whole = length == segment(7, &[]).encode().len();
            assert_eq!(read(place, &record[..length]).is_ok(), whole, "{length}");
        }
        let error = |bytes: &[u8]| read(place, bytes).unwrap_err();
        let later = error(&[&[FORMAT + 1], &record[1..]].concat());
        assert!(later.is_storage() && later.to_string().contains("later release"));
        assert!(error(&[&record[..], &[0]].concat()).to_string().contains("damaged"));
        let no_text: Vec<u8> = record.iter().map(|byte| if *byte == 0xc3 { 0xff } else { *byte }).collect();
        assert!(error(&no_text).to_string().contains("damaged"));
        let last = SegmentPlace { first: MAX_OFFSET, ..place };
        assert!(read(last, &record).is_ok() && read(last, &segment(1, &[None, None]).encode()).is_err());
        assert!(read(SegmentPlace { first: 0, ..place }, &record).is_err(), "offsets begin with 1");
        assert!(
            read(SegmentPlace { resets: u64::MAX, ..place }, &record).is_err(),
            "there is no next number of resets"
        );
        let full = Segment { bytes_before: u64::MAX - 1, ..written };
        assert!(read(place, &full.encode()).is_err(), "the bytes cannot be counted");
        for key in [&b""[..], b"topic", b"topic\0", b"topic\0\0\0\0\0\0\0\0\x01", &[0; 18]] {
            assert!(Segment::decode(key, &record).is_err(), "{key:?}");
        }
    }

    #[test]
    fn keys_keep_topics_apart_and_places_in_order() {
        let key = |topic: &str, resets, first| SegmentPlace { resets, first }.key(topic);
        assert!(key("a", 0, 255) < key("a", 0, 256) && key("a", 1, 256) < key("a", 2, 1));
        let read = SegmentPlace::read_newest("a", 7);
        let holds = |key: &Vec<u8>| std::ops::RangeBounds::contains(&read.keys, key);
        assert!(holds(&key("a", 0, 0)) && holds(&key("a", u64::MAX, u64::MAX)));
        assert!([key("aa", 0, 1), key("", 9, 9), key("b", 0, 1)].iter().all(|other| !holds(other)));
    }

    #[test]
    fn the_largest_segment_of_a_commit_fits_into_a_record() {
        let stored = |size: usize, key: usize| StoredPublication {
            publication: Recorded {
                offset: 1,
                at: Timestamp::default(),
                message: Message::binary(vec![0; size - size.min(MAX_METADATA)]),
                metadata: vec![0; size.min(MAX_METADATA)].into(),
            },
            key: Some(vec![1; key].into()),
        };
        let of = |publications| Segment { publications, epoch: LogEpoch::from_random(1), ..segment(1, &[]) };
        let bounds = super::super::topic_log::COMMIT;
        let each = bounds.bytes as usize / bounds.publications as usize;
        let many = of(vec![stored(each, MAX_PUBLICATION_KEY); bounds.publications as usize]).encode();
        let one = of(vec![stored(MAX_PUBLICATION + MAX_METADATA, MAX_PUBLICATION_KEY)]).encode();
        assert!(one.len() < many.len() && many.len() <= MAX_LOG_RECORD, "{} bytes", many.len());
    }
}
