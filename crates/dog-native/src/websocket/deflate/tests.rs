//! Compressed messages: their layout is that of the standards, the library's decompressor reads them, and they are
//! never larger.

use dog::Message;
use flate2::{Decompress, FlushDecompress};
use proptest::prelude::*;

use super::*;

/// Reads a frame as a client would: returns the first byte and the payload.
fn read(frame: &[u8]) -> (u8, Vec<u8>) {
    let (length, header) = match frame[1] {
        126 => (usize::from(u16::from_be_bytes([frame[2], frame[3]])), 4),
        127 => (usize::try_from(u64::from_be_bytes(frame[2..10].try_into().unwrap())).unwrap(), 10),
        short => (usize::from(short), 2),
    };
    assert_eq!(frame.len(), header + length);
    let mut whole = frame[header..].to_vec();
    whole.extend(TAIL);
    let mut payload = Vec::with_capacity(4 << 20);
    Decompress::new(false).decompress_vec(&whole, &mut payload, FlushDecompress::Sync).unwrap();
    (frame[0], payload)
}

#[test]
fn a_message_goes_out_as_its_kind_whatever_its_length() {
    let mut deflater = Deflater::new(3);
    // Compressed, they include lengths at or near 125, 126, 65,535 and 65,536 bytes.
    for length in [8, 100, 20_000, 65_536, 3 << 20] {
        for message in [Message::text("a".repeat(length)), Message::binary(vec![0; length])] {
            let frame = message.frame();
            let packed = deflater.deflate(frame).unwrap();
            assert!(packed.len() < frame.len());
            assert_eq!(read(&packed), (frame[0] | 0x40, message.as_bytes().to_vec()));
        }
    }
    for length in [0, 1, 125, 126, 65_535, 65_536] {
        let frame = server_frame::frame(0xc1, &vec![7; length]);
        let plain = Message::binary(vec![7; length]);
        assert_eq!(frame[1..], plain.frame()[1..]);
    }
}

#[test]
fn what_would_be_no_smaller_stays_as_it_is() {
    let mut deflater = Deflater::new(6);
    let mut state = 1_u64;
    let noise: Vec<u8> = std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state.to_be_bytes()[0]
    })
    .take(200_000)
    .collect();
    for length in [0, 1, 2, 20, 1_000, 200_000] {
        assert_eq!(deflater.deflate(Message::binary(&noise[..length]).frame()), None, "{length} bytes");
    }
    assert!(deflater.deflated.capacity() <= KEPT, "no large buffer is kept");
    // The compressor works as before.
    assert!(deflater.deflate(Message::text("a".repeat(50)).frame()).is_some());
}

#[test]
fn only_whole_messages_are_compressed() {
    let text = "a".repeat(100);
    for first in [0x01, 0x80, 0x88, 0x89, 0x8a, 0xc1] {
        let frame = [&[first, 100], text.as_bytes()].concat();
        assert_eq!(Deflater::new(3).deflate(&frame), None, "{first:#x}");
    }
    assert_eq!(Deflater::new(3).deflate(&[]), None);
}

proptest! {
    #[test]
    fn whatever_goes_out_comes_back(
        payloads in proptest::collection::vec(proptest::collection::vec(0..20_u8, 0..3_000), 1..5),
        level in 1..=9_u32,
    ) {
        let mut deflater = Deflater::new(level);
        for payload in payloads {
            let message = Message::binary(&payload);
            if let Some(packed) = deflater.deflate(message.frame()) {
                prop_assert_eq!(read(&packed), (0xc2, payload));
            }
        }
    }
}
