//! Tables of streams, each decoded whole and in small pieces. Random streams are tested in
//! `tests/codec_differential`.

use super::super::testing::{client_frame, client_header};
use super::*;

const LIMITS: Limits = Limits { message: 100_000 };

type Read = (Vec<Event>, Result<(), ProtocolError>);

/// Reads a stream that arrives in chunks of `size` bytes, with `limits`.
fn read_chunks(stream: &[u8], size: usize, limits: &Limits) -> Read {
    let mut decoder = Decoder::new();
    let mut events = Vec::new();
    for chunk in stream.chunks(size) {
        let mut chunk = chunk.to_vec();
        let mut input = &mut chunk[..];
        while !input.is_empty() {
            match decoder.decode(input, limits) {
                Ok((used, Some(event))) => {
                    events.push(event);
                    input = &mut input[used..];
                }
                Ok((used, None)) => {
                    assert_eq!(used, input.len(), "without an event all input is used");
                    break;
                }
                Err(error) => return (events, Err(error)),
            }
        }
    }
    (events, Ok(()))
}

/// Decodes a stream whole and in pieces of several sizes. The results must be equal.
fn read(frames: &[Vec<u8>]) -> Read {
    let stream = frames.concat();
    let whole = read_chunks(&stream, stream.len(), &LIMITS);
    for size in [1, 2, 3, 5, 7, 11, 64] {
        assert_eq!(read_chunks(&stream, size, &LIMITS), whole, "in pieces of {size} bytes");
    }
    whole
}

fn text(text: &str) -> Event {
    Event::Message(Message::text(text))
}

fn ping(payload: &'static [u8]) -> Event {
    Event::Ping(Bytes::from_static(payload))
}

#[test]
fn a_decoder_at_rest_is_a_word_and_owns_nothing() {
    // The design allows 32 bytes.
    assert!(size_of::<Decoder>() <= size_of::<usize>());
    let mut decoder = Decoder::new();
    assert!(decoder.is_at_rest());
    let messages = [
        vec![client_frame(0x81, b"whole")],
        vec![client_frame(0x01, b"frag"), client_frame(0x89, b"?"), client_frame(0x80, b"ments")],
        vec![client_frame(0x02, b""), client_frame(0x80, b"")],
        vec![client_frame(0x8a, b"control")],
        vec![client_frame(0x82, &[7; 70_000])],
    ];
    for frames in messages {
        let stream = frames.concat();
        for (index, byte) in stream.iter().enumerate() {
            decoder.decode(&mut [*byte], &LIMITS).unwrap();
            assert_eq!(decoder.is_at_rest(), index + 1 == stream.len(), "after byte {index}");
        }
    }
}

#[test]
fn a_whole_frame_leaves_nothing_behind_and_the_rest_of_the_input_alone() {
    let mut input = [client_frame(0x81, b"one"), client_frame(0x82, b"two")].concat();
    let (one, all) = (input.len() / 2, input.clone());
    let mut decoder = Decoder::new();
    assert_eq!(decoder.decode(&mut input, &LIMITS), Ok((one, Some(text("one")))));
    assert_eq!(input[one..], all[one..]);
    assert!(decoder.is_at_rest());
    assert_eq!(decoder.decode(&mut [], &LIMITS), Ok((0, None)));
    assert!(decoder.is_at_rest());
}

#[test]
fn messages_are_put_together() {
    let long = "grüezi ".repeat(9_000);
    let (first, second) = long.as_bytes().split_at(30_003);
    let table = [
        (vec![client_frame(0x81, b"")], vec![text("")]),
        (vec![client_frame(0x82, b"\xff")], vec![Event::Message(Message::binary(b"\xff"))]),
        (vec![client_frame(0x81, long.as_bytes())], vec![text(&long)]),
        (vec![client_frame(0x01, first), client_frame(0x80, second)], vec![text(&long)]),
        // A character is split between fragments, with control frames and an empty fragment between them.
        (
            vec![
                client_frame(0x01, b"\xc3"),
                client_frame(0x89, b"a"),
                client_frame(0x00, b""),
                client_frame(0x89, b""),
                client_frame(0x80, b"\xbc"),
                client_frame(0x81, b"next"),
            ],
            vec![ping(b"a"), ping(b""), text("ü"), text("next")],
        ),
        (
            vec![client_frame(0x8a, &[7; 125]), client_frame(0x88, b"\x03\xe8bye")],
            vec![Event::Pong(vec![7; 125].into()), Event::Close(Some(CloseFrame { code: 1000, reason: "bye".into() }))],
        ),
        (vec![client_frame(0x88, b"")], vec![Event::Close(None)]),
    ];
    for (frames, events) in table {
        assert_eq!(read(&frames), (events, Ok(())));
    }
}

#[test]
fn what_breaks_a_rule_is_refused() {
    let table = [
        (vec![client_frame(0x80, b"a")], ProtocolError::NothingToContinue),
        (vec![client_frame(0x8a, b"a"), client_frame(0x80, b"a")], ProtocolError::NothingToContinue),
        (vec![client_frame(0x00, b"a")], ProtocolError::NothingToContinue),
        (vec![client_frame(0x01, b"a"), client_frame(0x81, b"b")], ProtocolError::Interrupted),
        (vec![client_frame(0x02, b"a"), client_frame(0x01, b"b")], ProtocolError::Interrupted),
        (vec![client_frame(0x81, b"ab\xff")], ProtocolError::InvalidText),
        (vec![client_frame(0x81, b"ab\xe2\x82")], ProtocolError::InvalidText),
        (vec![client_frame(0x01, b"\xe2\x82"), client_frame(0x80, b"")], ProtocolError::InvalidText),
        (vec![client_frame(0x01, b"\xe2\x82"), client_frame(0x00, b"a")], ProtocolError::InvalidText),
        (vec![client_frame(0x88, b"\x03")], ProtocolError::HalfCloseCode),
        (vec![client_frame(0x88, b"\x03\xee")], ProtocolError::CloseCode(1006)),
        (vec![client_frame(0x88, b"\x03\xe8\xff")], ProtocolError::InvalidReason),
        (vec![client_frame(0x82, &[0; 100_001])], ProtocolError::TooLong { length: 100_001, limit: 100_000 }),
        (
            vec![client_frame(0x02, &[0; 60_000]), client_frame(0x00, &[0; 40_001])],
            ProtocolError::TooLong { length: 100_001, limit: 100_000 },
        ),
    ];
    for (frames, error) in table {
        assert_eq!(read(&frames).1, Err(error));
    }
}

#[test]
fn a_length_over_the_limit_is_refused_before_any_payload() {
    for length in [11, 126, 65_536, 1 << 60, (1 << 63) - 1] {
        let error = ProtocolError::TooLong { length, limit: 10 };
        let mut header = client_header(0x82, length);
        assert_eq!(Decoder::new().decode(&mut header, &Limits { message: 10 }), Err(error));
    }
    // Even with the largest possible limit, the sum of a message's lengths does not overflow, and no more memory is
    // reserved than `CLAIM`.
    let limits = Limits { message: usize::MAX };
    let mut decoder = Decoder::new();
    assert_eq!(decoder.decode(&mut client_frame(0x02, b"a"), &limits), Ok((7, None)));
    let mut header = client_header(0x80, (1 << 63) - 1);
    assert_eq!(decoder.decode(&mut header, &limits), Ok((14, None)));
}

#[test]
fn a_limit_leaves_control_frames_alone() {
    let limits = Limits { message: 0 };
    let mut input = client_frame(0x89, &[7; 125]);
    assert_eq!(Decoder::new().decode(&mut input, &limits), Ok((131, Some(Event::Ping(vec![7; 125].into())))));
    assert!(Decoder::new().decode(&mut client_frame(0x81, b""), &limits).is_ok());
    assert!(Decoder::new().decode(&mut client_frame(0x81, b"a"), &limits).is_err());
}

#[test]
fn bad_text_is_refused_before_its_frame_has_ended() {
    let frame = client_frame(0x81, &[b"fine \xf4\x90".as_slice(), &[b'.'; 1_000]].concat());
    let bad = 8 + 6;
    let mut decoder = Decoder::new();
    assert_eq!(decoder.decode(&mut frame[..bad].to_vec(), &LIMITS), Ok((bad, None)));
    assert_eq!(decoder.decode(&mut [frame[bad]], &LIMITS), Err(ProtocolError::InvalidText));
}

#[test]
fn what_is_logged_of_a_decoder_has_no_content() {
    let mut decoder = Decoder::new();
    assert_eq!(format!("{decoder:?}"), "Decoder(at rest)");
    let fragment = client_frame(0x01, b"secret");
    for (bytes, place) in
        [(&fragment[..1], "in a header"), (&fragment[1..8], "in a payload"), (&fragment[8..], "between fragments")]
    {
        decoder.decode(&mut bytes.to_vec(), &LIMITS).unwrap();
        assert_eq!(format!("{decoder:?}"), format!("Decoder({place})"));
    }
}
