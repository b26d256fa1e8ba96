//! What `fuzz/` tests of the storage: how entries are named and read, without a disk.

use std::ops::Bound;

use dog::{Error, Timestamp};
use dog_engine::address::Object;
use dog_engine::host::Space;

use super::{alarm, embedded, key};

/// Returns the name of an object as bytes.
pub fn object_name(object: Object) -> Vec<u8> {
    key::name(object)
}

/// Returns the object with that name.
pub fn named_object(name: &[u8]) -> Option<Object> {
    key::object(name)
}

/// Returns the whole key of an entry.
pub fn entry_key(object: Object, space: Space, key: &[u8]) -> Vec<u8> {
    key::entry(object, space, key)
}

/// Returns the bounds of a range as whole keys; `None` if the range ends before it begins.
pub fn entry_bounds(
    object: Object,
    space: Space,
    keys: (Bound<Vec<u8>>, Bound<Vec<u8>>),
) -> Option<(Bound<Vec<u8>>, Bound<Vec<u8>>)> {
    Some(key::bounds(object, space, keys)).filter(|bounds| !embedded::is_empty(bounds))
}

/// Returns the stored form of an alarm.
pub fn write_alarm(at: Timestamp, class: &str) -> bytes::Bytes {
    alarm::write_alarm(at, class)
}

/// Returns the time of a stored alarm and the class of its object.
///
/// # Errors
/// If the value is damaged.
pub fn read_alarm(value: &[u8]) -> Result<(Timestamp, String), Error> {
    alarm::read_alarm(value)
}
