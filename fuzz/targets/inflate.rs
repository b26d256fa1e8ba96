//! Compressed WebSocket messages: any bytes as the payload of a message, in one frame or in two.
//!
//! Input: the number of a limit, the length of the first frame, and the payload.
//!
//! Checked: nothing panics. One frame or two make no difference. No more bytes are inflated than the limit allows, and
//! memory is bounded by the limit and the bytes that have arrived. Another inflater returns the same message. If the
//! message is compressed again, it is read as the same. After an error, the inflater still reads the next message.
#![no_main]

use dog_native::websocket::{Decoder, Deflater, Event, Inflater, Limits, ProtocolError};
use libfuzzer_sys::fuzz_target;
use miniz_oxide::inflate::core::{DecompressorOxide, decompress, inflate_flags};
use peak_alloc::PeakAlloc;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// The possible message limits, in bytes.
const LIMITS: [usize; 4] = [0, 100, 5_000, 100_000];

/// The bytes that an inflater may use in addition to its output: its state, its window and one chunk of buffer.
const OWN: usize = 128 * 1024;

fuzz_target!(|input: &[u8]| {
    let [limit, cut, payload @ ..] = input else { return };
    let limit = LIMITS[usize::from(*limit) % LIMITS.len()];
    let whole = read(&[(0xc2, payload)], limit);
    let (head, tail) = payload.split_at(usize::from(*cut).min(payload.len()));
    let cut = read(&[(0x42, head), (0x80, tail)], limit);
    // The length that `TooLong` reports may depend on the cut, so only the close codes are compared.
    let told = |read: &Result<dog::Message, ProtocolError>| read.clone().map_err(|error| error.close_code());
    assert_eq!(told(&cut), told(&whole), "cut after {} bytes", head.len());
    check_memory(payload, limit);
    match whole {
        Ok(message) => {
            assert!(message.len() <= limit);
            check_reference(payload, message.as_bytes());
            check_again(&message);
        }
        Err(ProtocolError::Corrupt | ProtocolError::TooLong { .. }) => {}
        Err(error) => panic!("{error}"),
    }
});

/// Reads one message in these frames. Then checks that the same inflater reads another message.
fn read(frames: &[(u8, &[u8])], limit: usize) -> Result<dog::Message, ProtocolError> {
    let mut inflater = Inflater::new();
    let message = read_with(&mut inflater, frames, limit);
    // "Hello", compressed as in the example of RFC 7692.
    let hello = read_with(&mut inflater, &[(0xc2, &[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00])], 5);
    assert_eq!(hello, Ok(dog::Message::binary("Hello")));
    message
}

fn read_with(inflater: &mut Inflater, frames: &[(u8, &[u8])], limit: usize) -> Result<dog::Message, ProtocolError> {
    let mut stream = Vec::new();
    for (first, payload) in frames {
        let length = u16::try_from(payload.len()).expect("inputs are short");
        stream.extend([*first, 0x80 | 126]);
        stream.extend(length.to_be_bytes());
        stream.extend([0; 4]);
        stream.extend_from_slice(payload);
    }
    let length = stream.len();
    match Decoder::new().decode_deflated(&mut stream, &Limits { message: limit }, inflater)? {
        (used, Some(Event::Message(message))) if used == length => Ok(message),
        other => panic!("one message was sent, and {other:?} was read"),
    }
}

fn check_memory(payload: &[u8], limit: usize) {
    let mut inflater = Inflater::new();
    let before = MEMORY.current_usage();
    MEMORY.reset_peak_usage();
    let _ = read_with(&mut inflater, &[(0xc2, payload)], limit);
    let taken = MEMORY.peak_usage().saturating_sub(before);
    // The buffer and one chunk exist twice for a moment, when the buffer grows or becomes the message. The payload is
    // added.
    let bound = OWN + 2 * limit + 4 * payload.len();
    assert!(taken <= bound, "{taken} bytes used, and {bound} are allowed");
}

/// If the payload is exactly one deflate stream, another inflater must return the same message.
fn check_reference(payload: &[u8], message: &[u8]) {
    let whole = [payload, &[0x00, 0x00, 0xff, 0xff, 0x01, 0x00, 0x00, 0xff, 0xff]].concat();
    let mut theirs = vec![0; message.len() + 1];
    let flags = inflate_flags::TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF;
    let (_, used, written) = decompress(&mut DecompressorOxide::new(), &whole, &mut theirs, 0, flags);
    if used == whole.len() {
        assert_eq!(&theirs[..written], message);
    }
}

fn check_again(message: &dog::Message) {
    let Some(frame) = Deflater::new(6).deflate(message.frame()) else { return };
    assert!(frame.len() < message.frame().len() && frame[0] == 0xc2);
    let header = if frame[1] == 126 { 4 } else { 2 };
    assert_eq!(read(&[(frame[0], &frame[header..])], message.len()).as_ref(), Ok(message));
}
