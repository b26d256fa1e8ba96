//! Decompression: the examples of RFC 7692, incomplete and invalid payloads, decompression bombs.

use flate2::{Compress, Compression, FlushCompress};
use proptest::prelude::*;

use super::*;

const LIMIT: usize = 100_000;

fn inflate(payload: &[u8]) -> Result<Message, ProtocolError> {
    Inflater::new().inflate(MessageKind::Binary, payload, LIMIT)
}

/// Compresses with the library's compressor, and flushes as a sender does.
fn deflated(bytes: &[u8], level: u32) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len() + bytes.len() / 8 + 100);
    Compress::new(Compression::new(level), false).compress_vec(bytes, &mut out, FlushCompress::Sync).unwrap();
    out.strip_suffix(&[0, 0, 0xff, 0xff]).unwrap().to_vec()
}

#[test]
fn the_examples_of_the_standard() {
    let table: [(&[u8], &str); 6] = [
        // Sections 7.2.3.1, 7.2.3.3, 7.2.3.4, 7.2.3.5 and 7.2.3.6.
        (&[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00], "Hello"),
        (&[0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00], "Hello"),
        (&[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00], "Hello"),
        (&[0xf2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xff, 0xff, 0xca, 0xc9, 0xc9, 0x07, 0x00], "Hello"),
        (&[0x00], ""),
        (&[0x02, 0x00], ""),
    ];
    let mut inflater = Inflater::new();
    for (payload, text) in table {
        assert_eq!(inflater.inflate(MessageKind::Text, payload, LIMIT), Ok(Message::text(text)), "{payload:x?}");
        assert_eq!(inflater.inflate(MessageKind::Binary, payload, LIMIT), Ok(Message::binary(text)));
    }
    assert_eq!(inflate(&[]), Ok(Message::binary("")));
}

#[test]
fn what_is_not_whole_or_not_right_is_refused() {
    let whole = deflated(&b"some text, and some text that goes on".repeat(9), 6);
    for end in 1..whole.len() {
        assert_eq!(inflate(&whole[..end]), Err(ProtocolError::Corrupt), "{end} bytes of {}", whole.len());
    }
    let table: [&[u8]; 6] = [
        // An unknown block type; a length that does not match its complement; a reference to before the beginning; a
        // reference into the message before; a message that is incomplete; text that is not DEFLATE.
        &[0x06],
        &[0x00, 0x05, 0x00, 0x05, 0x00],
        &[0x4a, 0x04, 0x13, 0x00],
        &[0xf2, 0x00, 0x11, 0x00, 0x00],
        &[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00],
        b"plain text",
    ];
    let mut inflater = Inflater::new();
    for payload in table {
        assert!(inflater.inflate(MessageKind::Binary, &deflated(b"Hello", 6), LIMIT).is_ok());
        assert_eq!(inflater.inflate(MessageKind::Binary, payload, LIMIT), Err(ProtocolError::Corrupt), "{payload:x?}");
    }
}

#[test]
fn text_is_checked_when_it_is_inflated() {
    let mut inflater = Inflater::new();
    for bytes in [b"\xff".as_slice(), b"ab\xe2\x82", b"\xed\xa0\x80"] {
        let payload = deflated(bytes, 6);
        assert_eq!(inflater.inflate(MessageKind::Text, &payload, LIMIT), Err(ProtocolError::InvalidText));
        assert_eq!(inflater.inflate(MessageKind::Binary, &payload, LIMIT), Ok(Message::binary(bytes)));
    }
}

#[test]
fn the_limit_is_of_what_is_inflated_and_a_bomb_takes_no_more_than_it() {
    let mut inflater = Inflater::new();
    for limit in [0, 1, 100, 65_536, LIMIT] {
        let just = deflated(&vec![0; limit], 9);
        let more = deflated(&vec![0; limit + 1], 9);
        let error = ProtocolError::TooLong { length: limit as u64 + 1, limit };
        assert_eq!(inflater.inflate(MessageKind::Binary, &just, limit), Ok(Message::binary(vec![0; limit])));
        assert_eq!(inflater.inflate(MessageKind::Binary, &more, limit), Err(error));
    }
    let bomb = deflated(&vec![0; 20 << 20], 9);
    let mut inflater = Inflater::new();
    assert!(matches!(inflater.fill(&bomb, LIMIT), Err(ProtocolError::TooLong { .. })));
    assert!(inflater.inflated.capacity() <= LIMIT + CHUNK, "{}", inflater.inflated.capacity());
    assert!(inflater.inflate(MessageKind::Binary, &bomb, LIMIT).is_err());
    assert!(inflater.inflated.capacity() <= KEPT, "no large buffer is kept");
}

#[test]
fn ends_without_end_are_refused() {
    let hello = [0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
    let twice = [&hello[..], &hello, &[0x00]].concat();
    assert_eq!(inflate(&twice), Ok(Message::binary("HelloHello")));
    let empty = [0x03, 0x00];
    assert_eq!(inflate(&[&empty.repeat(ENDS), &[0x00][..]].concat()), Ok(Message::binary("")));
    assert_eq!(inflate(&[&empty.repeat(ENDS + 1), &[0x00][..]].concat()), Err(ProtocolError::Corrupt));
}

proptest! {
    /// One inflater reads all payloads, so it must be independent of earlier ones.
    #[test]
    fn what_a_sender_compresses_is_read(
        payloads in proptest::collection::vec((proptest::collection::vec(0..20_u8, 0..40_000), 0..=9_u32), 1..5),
    ) {
        let mut inflater = Inflater::new();
        for (payload, level) in payloads {
            let read = inflater.inflate(MessageKind::Binary, &deflated(&payload, level), LIMIT);
            prop_assert_eq!(read, Ok(Message::binary(&payload)));
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        if let Ok(message) = inflate(&bytes) {
            prop_assert!(message.len() <= LIMIT);
        }
    }
}
