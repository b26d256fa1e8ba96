//! The Centrifuge protocol: a client may send any bytes in a frame.
//!
//! Input: the codec, and the frame.
//!
//! Checked: nothing panics. Memory is bounded by the frame and the bounds of the codec. What was read means the same when it is
//! written again. A client that reads the same bytes as replies does not panic either.
#![no_main]

use dog_channels::protocol::{ClientCommand, Codec, MAX_COMMANDS};
use libfuzzer_sys::fuzz_target;
use peak_alloc::PeakAlloc;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// The bytes that one byte of a frame may take: an entry of a map, in a node of a tree.
const PER_BYTE: usize = 2_048;

fuzz_target!(|input: &[u8]| {
    let Some((&first, frame)) = input.split_first() else { return };
    let codec = if first % 2 == 0 { Codec::Json } else { Codec::Protobuf };
    check_memory(codec, frame);
    if let Ok(commands) = codec.commands(frame) {
        assert!(!commands.is_empty() && commands.len() <= MAX_COMMANDS);
        let again = codec.write_commands(&commands).expect("payloads that were read are written");
        assert_eq!(codec.commands(&again).as_ref(), Ok(&commands));
    }
    if let Ok(replies) = codec.read_replies(frame) {
        // In Protobuf a payload need not be JSON.
        let _ = Codec::Json.replies(&replies);
    }
});

fn check_memory(codec: Codec, frame: &[u8]) {
    let before = MEMORY.current_usage();
    MEMORY.reset_peak_usage();
    drop(codec.commands(frame));
    let taken = MEMORY.peak_usage().saturating_sub(before);
    // A list that grows exists twice for a moment.
    let commands = 3 * size_of::<ClientCommand>() * MAX_COMMANDS.min(frame.len() + 4);
    let most = commands + PER_BYTE * frame.len() + 4_096;
    assert!(taken <= most, "{taken} bytes for a frame of {}", frame.len());
}
