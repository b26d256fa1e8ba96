//! The stored form of the time of an object's earliest alarm: the time in eight bytes, then the name of the object's class.

use bytes::Bytes;
use dog::internal::Kind;
use dog::{Error, Timestamp};

pub(super) fn damaged_alarm() -> Error {
    Error::new(Kind::Storage, "a stored alarm is damaged")
}

pub(super) fn write_alarm(at: Timestamp, class: &str) -> Bytes {
    [&at.as_millis().to_be_bytes()[..], class.as_bytes()].concat().into()
}

pub(super) fn read_alarm(value: &[u8]) -> Result<(Timestamp, String), Error> {
    let (at, class) = value.split_first_chunk::<8>().ok_or_else(damaged_alarm)?;
    let class = std::str::from_utf8(class).map_err(|_| damaged_alarm())?;
    Ok((Timestamp::from_millis(u64::from_be_bytes(*at)), class.to_owned()))
}
