//! The messages between objects, which another node may have sent: calls, casts and answers, those about topics, publications and
//! presence among them.
//!
//! Input: the kind of message, and its bytes.
//!
//! Checked: nothing panics. Memory is bounded by the bytes. What was read is written, and read again, as the same.
#![no_main]

use dog_engine::message::{GroupAnswer, ReplicaAnswer};
use dog_engine::wire::{ToGroup, ToReplica, append, length, read};
use libfuzzer_sys::fuzz_target;
use peak_alloc::PeakAlloc;
use serde::Serialize;
use serde::de::DeserializeOwned;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// What lists may take for entries that are only announced: 1 MiB for each of the lists in each other.
const ANNOUNCED: usize = 4 * 1024 * 1024;

/// The bytes that one byte of a message may take: an entry of a list, which exists twice while the list grows.
const PER_BYTE: usize = 2_048;

fuzz_target!(|input: &[u8]| {
    let Some((kind, bytes)) = input.split_first() else { return };
    match kind % 4 {
        0 => check::<ToGroup>(bytes),
        1 => check::<ToReplica>(bytes),
        2 => check::<GroupAnswer>(bytes),
        _ => check::<ReplicaAnswer>(bytes),
    }
});

fn check<T: Serialize + DeserializeOwned>(bytes: &[u8]) {
    let before = MEMORY.current_usage();
    MEMORY.reset_peak_usage();
    let message = read::<T>(bytes);
    let taken = MEMORY.peak_usage().saturating_sub(before);
    assert!(taken <= ANNOUNCED + PER_BYTE * bytes.len(), "{taken} bytes for a message of {}", bytes.len());
    let message = match message {
        Ok(message) => message,
        Err(error) => return assert!(error.is_encoding(), "{error}"),
    };
    // A number may be written in more bytes than it needs.
    let written = append(&message, Vec::new()).expect("what was read can be written");
    assert_eq!(length(&message).expect("it has a length"), written.len() + 1);
    let again: T = read(&written).expect("what was written can be read");
    assert_eq!(append(&again, Vec::new()).expect("and written"), written);
}
