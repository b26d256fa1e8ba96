//! The stored log of a topic, as an earlier life, another program or a broken disk may have left it.
//!
//! Input: what the log keeps, and records. Each is a place, and either any bytes or a segment that is described by a few.
//!
//! Checked: nothing panics, and nothing is read forever. A log that can be read answers without a gap, goes on, is purged and leaves
//! nothing. Otherwise the error says that the storage is damaged.
#![no_main]

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use dog::internal::{LogBounds, LogEpoch};
use dog::{Error, Message, Timestamp};
use dog_engine::host::Order;
use dog_engine::log::{
    AnswerBounds, Appended, Inquiry, InquiryStep, LogAnswer, LogEntries, LogRead, LogTopics, NewPublication, PageOrder,
    Question, Recorded, Restore, Segment, SegmentPlace, StoredLog, StoredPublication,
};
use libfuzzer_sys::fuzz_target;

const TOPIC: &str = "topic";

/// More reads or writes than any log of so few records needs.
const MANY: usize = 1_000;

/// The bytes that describe a record: its kind, its place, and what is in it.
const DESCRIBED: usize = 6;

/// The storage of a Group.
type Stored = BTreeMap<Vec<u8>, Bytes>;

fuzz_target!(|input: &[u8]| {
    let Some((&[publications, age], rest)) = input.split_first_chunk() else { return };
    let mut stored = records(rest);
    let mut names = LogTopics::default();
    while let Some(next) = names.next_read() {
        if let Err(error) = names.found(&read(&stored, &next)) {
            return check_error(&error);
        }
    }
    let bounds = LogBounds {
        publications: u32::from(publications) + 1,
        bytes: 4_000,
        age: Duration::from_secs(u64::from(age) + 1),
    };
    match use_log(&mut stored, bounds) {
        Ok(()) => assert!(of_topic(&stored).next().is_none(), "something is left of a log that was purged"),
        Err(error) => check_error(&error),
    }
});

fn check_error(error: &Error) {
    assert!(error.is_storage(), "{error}");
}

/// The records that the input describes.
fn records(mut rest: &[u8]) -> Stored {
    let mut stored = Stored::new();
    while let Some((&[kind, resets, first, epoch, count, size], more)) = rest.split_first_chunk::<DESCRIBED>() {
        let place = SegmentPlace { resets: number(resets), first: number(first) };
        rest = more;
        let record = if kind < 0x40 {
            let (record, more) = rest.split_at(usize::from(size).min(rest.len()));
            rest = more;
            Bytes::copy_from_slice(record)
        } else {
            segment(place, &[kind, epoch, count, size]).encode()
        };
        stored.insert(place.key(TOPIC), record);
        // A name, whole or damaged.
        if let Some(name) = [&b""[..], b"purged", b"?"].get(usize::from(kind % 8)) {
            let key = LogTopics::read_one(TOPIC).keys.0;
            if let std::ops::Bound::Included(key) = key {
                stored.insert(key, Bytes::copy_from_slice(name));
            }
        }
    }
    stored
}

/// A small number, or one at the end of its range.
fn number(byte: u8) -> u64 {
    match byte {
        0..0xf0 => u64::from(byte % 32),
        0xf0..0xf8 => (1 << 53) - u64::from(byte - 0xef),
        0xf8.. => u64::MAX - u64::from(0xff - byte),
    }
}

fn segment(place: SegmentPlace, &[kind, epoch, count, size]: &[u8; 4]) -> Segment {
    let publication = |index: u8| StoredPublication {
        publication: Recorded {
            offset: place.first.wrapping_add(u64::from(index)),
            at: Timestamp::from_millis(number(epoch / 4 + index)),
            message: Message::binary(vec![index; usize::from(size)]),
            metadata: Bytes::new(),
        },
        key: (kind % 3 == 0).then(|| vec![index % 5; 1].into()),
    };
    Segment {
        place,
        epoch: LogEpoch::from_random(u128::from(epoch % 4)),
        bytes_before: number(kind.wrapping_mul(7)),
        publications: (0..count % 12).map(publication).collect(),
    }
}

fn of_topic(stored: &Stored) -> impl Iterator<Item = &Vec<u8>> {
    stored.keys().filter(|key| key.starts_with(b"topic\0"))
}

fn read(stored: &Stored, read: &LogRead) -> Vec<(Bytes, Bytes)> {
    let range = stored.range::<Vec<u8>, _>(read.keys.clone());
    let found = range.map(|(key, record)| (Bytes::copy_from_slice(key), record.clone()));
    match read.order {
        Order::Ascending => found.take(read.limit).collect(),
        Order::Descending => found.rev().take(read.limit).collect(),
    }
}

fn write(stored: &mut Stored, log: &mut StoredLog, entries: LogEntries) {
    for (key, value) in entries {
        match value {
            Some(value) => drop(stored.insert(key, value)),
            None => drop(stored.remove(&key)),
        }
    }
    log.succeeded();
}

fn restore(stored: &Stored, bounds: LogBounds, now: Timestamp) -> Result<StoredLog, Error> {
    let memory = AnswerBounds { publications: 5, bytes: 600 };
    let mut restore = Restore::new(TOPIC, bounds, memory, LogEpoch::from_random(9));
    for _ in 0..MANY {
        let Some(next) = restore.next_read(now) else { return restore.finish() };
        restore.read(&read(stored, &next))?;
    }
    panic!("the log is read forever");
}

/// Reads the log, asks it, publishes, reads it again and purges it.
fn use_log(stored: &mut Stored, bounds: LogBounds) -> Result<(), Error> {
    let now = Timestamp::from_millis(2_000);
    let mut log = restore(stored, bounds, now)?;
    ask(stored, &mut log, now)?;
    let head = log.window().position();
    let publication = NewPublication { message: Message::text("next"), metadata: Bytes::new(), key: None };
    let Appended::New(offset) = log.append(publication, now) else { panic!("it takes no publication") };
    assert_eq!(offset, head.offset() + 1);
    let entries = log.begin_commit(now).expect("it has something to commit");
    write(stored, &mut log, entries);
    while log.next_visible().is_some() {}
    let again = restore(stored, bounds, now)?;
    assert_eq!(again.window().position(), log.window().position(), "after another life has read it");
    purge(stored, &mut log, now)
}

fn ask(stored: &Stored, log: &mut StoredLog, now: Timestamp) -> Result<(), Error> {
    let most = AnswerBounds { publications: 50, bytes: 2_000 };
    for question in [
        Question::Tail,
        Question::Page(None, PageOrder::OldestFirst),
        Question::Page(None, PageOrder::NewestFirst),
        Question::Page(Some(log.window().position()), PageOrder::OldestFirst),
    ] {
        let mut inquiry = Inquiry::new(question, most);
        let mut answer = None;
        for _ in 0..MANY {
            match inquiry.step(log, now)? {
                InquiryStep::LogAnswer(found) => {
                    answer = Some(found);
                    break;
                }
                InquiryStep::Read(next) => inquiry.read(log, &read(stored, &next), now)?,
            }
        }
        let publications = match answer.expect("an answer, after some reads") {
            LogAnswer::Page(page) => page.map(|page| page.publications).unwrap_or_default(),
            LogAnswer::Tail(tail) => tail.publications,
        };
        let has_no_gap = |two: &[Recorded]| two[0].offset.abs_diff(two[1].offset) == 1;
        assert!(publications.windows(2).all(has_no_gap), "an answer with a gap");
    }
    Ok(())
}

fn purge(stored: &mut Stored, log: &mut StoredLog, now: Timestamp) -> Result<(), Error> {
    let entries = log.begin_purge(LogEpoch::from_random(10)).expect("it can be purged");
    write(stored, log, entries);
    for _ in 0..MANY {
        if let Some(next) = log.trim_read() {
            log.trim_found(&read(stored, &next))?;
        }
        if let Some(entries) = log.begin_trim(now, 3) {
            write(stored, log, entries);
        }
        if !log.has_leftovers() {
            let entries = log.begin_removal().expect("nothing but the last record is left");
            write(stored, log, entries);
            return Ok(());
        }
    }
    panic!("it is purged forever");
}
