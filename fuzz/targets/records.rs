//! Data that another program may have written or damaged: stored records, keys, alarms and publications, ids and client
//! ids as text, and users' values in MessagePack. Gossip, attachments and stored values all use that encoding.
//!
//! Input: the kind of data, and its bytes.
//!
//! Checked: nothing panics. Accepted data is written back unchanged, or in its canonical form.
#![no_main]

use std::collections::BTreeMap;
use std::ops::Bound;

use dog::internal;
use dog::{ClientId, CloseCode, GroupId, Message, ReplicaId, Timestamp};
use dog_engine::address::{ClassIndex, GroupAddress, Object, ReplicaAddress};
use dog_engine::driver::{rewrite_alarm, rewrite_clients, rewrite_record};
use dog_engine::host::Space;
use dog_engine::log::Segment;
use dog_native::fuzzing::{entry_bounds, entry_key, named_object, object_name, read_alarm, write_alarm};
use libfuzzer_sys::fuzz_target;
use serde::{Deserialize, Serialize};

fuzz_target!(|input: &[u8]| {
    let Some((what, bytes)) = input.split_first() else { return };
    match *what {
        u8::MAX => return named_alarm(bytes),
        254 => return segment(bytes),
        _ => {}
    }
    match what % 7 {
        0 => member(bytes),
        1 => name(bytes),
        2 => alarm(bytes),
        3 => text(bytes),
        4 => value(bytes),
        6 => clients(bytes),
        _ => range(bytes),
    }
});

/// Checks a Group's record of a member. The first 32 bytes are its key.
fn member(bytes: &[u8]) {
    let (key, value) = bytes.split_at(bytes.len().min(32));
    if let Ok((rewritten, written)) = rewrite_record(key, value) {
        assert_eq!((rewritten.as_slice(), written.as_deref()), (key, Some(value)));
    }
    // A key of another length is damaged, even with a valid value.
    assert!(bytes.is_empty() || rewrite_record(&bytes[1..], &[1, 0]).is_ok() == (bytes.len() == 33));
}

/// Checks a Group's record of its clients' last Replicas. An accepted record is written in its canonical form, which is
/// stable.
fn clients(bytes: &[u8]) {
    let Ok(written) = rewrite_clients(bytes) else { return };
    assert_eq!(rewrite_clients(&written).expect("what was written can be read"), written);
}

/// Checks the name of an object in stored keys.
fn name(bytes: &[u8]) {
    if let Some(object) = named_object(bytes) {
        assert_eq!(object_name(object), bytes);
    }
}

/// Checks a stored alarm with its payload. An accepted one is written back unchanged.
fn named_alarm(bytes: &[u8]) {
    match rewrite_alarm(&bytes.to_vec().into()) {
        Ok(written) => assert_eq!(written, bytes),
        Err(error) => assert!(error.is_storage(), "{error}"),
    }
}

/// Checks stored publications. The first byte is the length of their key. An accepted record is written back unchanged.
fn segment(bytes: &[u8]) {
    let Some((&length, bytes)) = bytes.split_first() else { return };
    let (key, record) = bytes.split_at(bytes.len().min(usize::from(length)));
    match Segment::decode(key, &record.to_vec().into()) {
        Ok(segment) => assert_eq!(segment.encode(), record),
        Err(error) => assert!(error.is_storage(), "{error}"),
    }
}

/// Checks the stored time of an object's earliest alarm.
fn alarm(bytes: &[u8]) {
    match read_alarm(bytes) {
        Ok((at, class)) => {
            assert_eq!(write_alarm(at, &class), bytes);
            // Arithmetic with the time must not overflow.
            let _ = at + std::time::Duration::MAX;
            let _ = Timestamp::from_millis(0).max(at);
        }
        Err(error) => assert!(error.is_storage(), "{error}"),
    }
}

/// Checks ids, client ids and close codes.
fn text(bytes: &[u8]) {
    if let Ok(id) = ClientId::new(String::from_utf8_lossy(bytes)) {
        assert_eq!(internal::decode::<ClientId>(&internal::encode(&id).expect("a text")).expect("the same"), id);
    }
    if let Some(code) = bytes.first_chunk() {
        let code = u16::from_be_bytes(*code);
        assert!(CloseCode::new(code).is_none_or(|known| known.as_u16() == code));
    }
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let is_id = text.len() == 64 && text.bytes().all(|digit| digit.is_ascii_hexdigit());
    assert_eq!(text.parse::<GroupId>().is_ok(), is_id);
    match text.parse::<ReplicaId>() {
        Ok(id) => assert_eq!(id.to_string(), text.to_ascii_lowercase()),
        Err(error) => assert!(!is_id && error.is_invalid_id(), "{error}"),
    }
    // `Value` uses all kinds of serde's data model. Parsing must not panic.
    let _ = Message::text(text).to_json::<Value>();
}

/// A user's value with all kinds of serde's data model and this project's own types. It is recursive, so it can be
/// deep.
#[derive(Serialize, Deserialize)]
enum Value {
    Nothing,
    Truth(bool),
    Number(i64),
    Large(i128),
    Real(f64),
    Letter(char),
    Text(String),
    Maybe(Option<Box<Value>>),
    Several(Vec<Value>),
    Map(BTreeMap<String, Value>),
    Pair(u8, u64),
    Who { client: ClientId, group: Option<GroupId>, replica: ReplicaId, at: Timestamp },
    Post(Post),
}

#[derive(Serialize, Deserialize)]
struct Post {
    from: ClientId,
    #[serde(default)]
    seen: Vec<u32>,
    #[serde(flatten)]
    more: BTreeMap<String, i64>,
}

/// Checks the encoding of a value. A value may have several encodings, but it is always written in the same one.
fn value(bytes: &[u8]) {
    let Ok(value) = internal::decode::<Value>(bytes) else { return };
    let written = internal::encode(&value).expect("what was read can be written");
    let again: Value = internal::decode(&written).expect("what was written can be read");
    assert_eq!(internal::encode(&again).expect("and written"), written);
}

/// Checks the key ranges of objects' entries. Two bytes select the ids, the bounds and the lengths of keys. Then follow
/// the two keys of the bounds, and a third key to look for.
fn range(bytes: &[u8]) {
    let Some((&[which, lengths], keys)) = bytes.split_first_chunk() else { return };
    let (first, keys) = keys.split_at(keys.len().min(usize::from(lengths % 16)));
    let (second, key) = keys.split_at(keys.len().min(usize::from(lengths / 16)));
    let bound = |kind: u8, key: &[u8]| match kind % 3 {
        0 => Bound::Unbounded,
        1 => Bound::Included(key.to_vec()),
        _ => Bound::Excluded(key.to_vec()),
    };
    let wanted = (bound(which, first), bound(which / 3, second));
    let group = GroupAddress { class: ClassIndex(0), group: GroupId::from_bytes([which; 32]) };
    let replica = ReplicaAddress { group, replica: ReplicaId::from_bytes([lengths; 32]) };
    let objects = [Object::Group(group), Object::Replica(replica)];
    for object in objects {
        for space in Space::ALL {
            let bounds = entry_bounds(object, space, wanted.clone());
            let finds = |object| {
                let all = BTreeMap::from([(entry_key(object, space, key), ())]);
                // Like the database, a map panics if the bounds are reversed, unless it is empty.
                bounds.as_ref().is_some_and(|bounds| all.range::<Vec<u8>, _>(bounds.clone()).count() == 1)
            };
            assert_eq!(finds(object), within(key, &wanted), "{object:?} {wanted:?} {key:?}");
            let others = objects.iter().filter(|other| **other != object);
            others.for_each(|other| assert!(!finds(*other), "{other:?} in {object:?}"));
        }
    }
}

/// Whether a key is within the bounds. Compares it with each of them.
fn within(key: &[u8], (start, end): &(Bound<Vec<u8>>, Bound<Vec<u8>>)) -> bool {
    let after = match start {
        Bound::Unbounded => true,
        Bound::Included(start) => key >= start.as_slice(),
        Bound::Excluded(start) => key > start.as_slice(),
    };
    let before = match end {
        Bound::Unbounded => true,
        Bound::Included(end) => key <= end.as_slice(),
        Bound::Excluded(end) => key < end.as_slice(),
    };
    after && before
}
