//! The stored form of an alarm: [`AlarmRecord`]. The key is the alarm's name.

use bytes::{Buf, BufMut, Bytes};
use dog::internal::Kind;
use dog::{Error, Timestamp};

/// The version of the format. A later release recognises the records of an earlier one by it.
const FORMAT: u8 = 1;
/// The bytes before the payload.
const HEAD: usize = 1 + 8 + 8 + 8 + 4;

/// One alarm in the storage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct AlarmRecord {
    /// The time for which the user has set it.
    pub(super) due: Timestamp,
    /// When its handler is called next: later than `due` if attempts have failed.
    pub(super) next: Timestamp,
    /// Tells it from earlier alarms of the same name.
    pub(super) number: u64,
    /// How many attempts have failed.
    pub(super) failed: u32,
    pub(super) payload: Bytes,
}

impl AlarmRecord {
    pub(super) fn encode(&self) -> Bytes {
        let mut bytes = Vec::with_capacity(HEAD + self.payload.len());
        bytes.put_u8(FORMAT);
        bytes.put_u64(self.due.as_millis());
        bytes.put_u64(self.next.as_millis());
        bytes.put_u64(self.number);
        bytes.put_u32(self.failed);
        bytes.extend_from_slice(&self.payload);
        bytes.into()
    }

    pub(super) fn decode(bytes: &Bytes) -> Result<Self, Error> {
        match bytes.first() {
            Some(&FORMAT) if bytes.len() >= HEAD => {}
            Some(&FORMAT) | None => return Err(Error::new(Kind::Storage, "a stored alarm is damaged")),
            Some(_) => {
                return Err(Error::new(Kind::Storage, "a stored alarm was written by a later release: run that one"));
            }
        }
        let mut head = &bytes[1..HEAD];
        let (due, next) = (Timestamp::from_millis(head.get_u64()), Timestamp::from_millis(head.get_u64()));
        Ok(Self { due, next, number: head.get_u64(), failed: head.get_u32(), payload: bytes.slice(HEAD..) })
    }
}

/// Decodes a stored alarm and encodes it again, for fuzzing: others can write to the disk that records are read from.
///
/// # Errors
/// When it is no alarm.
#[cfg(fuzzing)]
pub fn rewrite_alarm(bytes: &Bytes) -> Result<Bytes, Error> {
    AlarmRecord::decode(bytes).map(|record| record.encode())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_read_what_they_write_and_refuse_the_rest() {
        let at = Timestamp::from_millis;
        for payload in ["", "payload"] {
            let record = AlarmRecord { due: at(5), next: at(u64::MAX), number: 7, failed: 3, payload: payload.into() };
            assert_eq!(AlarmRecord::decode(&record.encode()).unwrap(), record);
        }
        let record = AlarmRecord { due: at(5), next: at(5), number: 7, failed: 0, payload: Bytes::new() }.encode();
        let error = |bytes: &[u8]| AlarmRecord::decode(&Bytes::copy_from_slice(bytes)).unwrap_err().to_string();
        for damaged in [&record[..0], &record[..1], &record[..HEAD - 1]] {
            assert!(error(damaged).contains("damaged"), "{damaged:?}");
        }
        assert!(error(&[&[FORMAT + 1], &record[1..]].concat()).contains("later release"));
    }
}
