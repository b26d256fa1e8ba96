//! The WebSocket codec: a client may send any bytes over an open WebSocket, in chunks of any size.
//!
//! Input: the number of a limit, the sizes of chunks, and the stream.
//!
//! Checked: nothing panics. The decoder uses no more bytes than it gets. The sizes of the chunks make no difference.
//! Memory is bounded by the limit and by the bytes that have arrived. If each event is encoded as a server would send
//! it and masked as a client would, the decoder returns the same event.
#![no_main]

use dog_fuzz::{chunks, cuts};
use dog_native::websocket::{
    CloseFrame, Decoder, Event, Limits, ProtocolError, close_frame, is_close_code, ping_frame, pong_frame,
};
use libfuzzer_sys::fuzz_target;
use peak_alloc::PeakAlloc;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// The possible message limits, in bytes. The edges of the frame length encodings are among them.
const LIMITS: [usize; 8] = [0, 1, 10, 125, 126, 1_000, 65_536, usize::MAX];

/// The bytes that a decoder may allocate for an announced payload before it arrives: the codec's own maximum, and 1 KiB
/// for the open message itself.
const CLAIM: usize = 64 * 1024 + 1024;

/// The result of reading a stream: the events, and how it ended.
type Read = (Vec<Event>, Result<(), ProtocolError>);

fuzz_target!(|input: &[u8]| {
    let Some((limits, sizes, stream)) = parts(input) else { return };
    let whole = read(stream, &[], &limits);
    assert_eq!(read(stream, sizes, &limits), whole, "cut into chunks of {sizes:?} bytes");
    check_memory(stream, sizes, &limits);
    let (events, _) = whole;
    events.iter().for_each(check_event);
    check_written(&events);
});

fn parts(input: &[u8]) -> Option<(Limits, &[u8], &[u8])> {
    let (&limit, rest) = input.split_first()?;
    let (sizes, stream) = cuts(rest)?;
    Some((Limits { message: LIMITS[usize::from(limit) % LIMITS.len()] }, sizes, stream))
}

/// Reads a stream as a connection does, up to a close, an error or its end.
fn read(stream: &[u8], sizes: &[u8], limits: &Limits) -> Read {
    let mut events = Vec::new();
    let ended = decode(stream, sizes, limits, |event| events.push(event));
    (events, ended)
}

fn decode(stream: &[u8], sizes: &[u8], limits: &Limits, mut take: impl FnMut(Event)) -> Result<(), ProtocolError> {
    let mut decoder = Decoder::new();
    for chunk in chunks(stream, sizes) {
        let mut chunk = chunk.to_vec();
        let mut input = &mut chunk[..];
        while !input.is_empty() {
            let (used, event) = decoder.decode(input, limits)?;
            assert!(used <= input.len(), "{used} bytes used of {}", input.len());
            assert!(event.is_some() || used == input.len(), "without an event, all input must be used");
            input = &mut input[used..];
            let is_last = matches!(event, Some(Event::Close(_)));
            event.into_iter().for_each(&mut take);
            if is_last {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// Checks the memory that a decoder uses. A growing buffer exists twice for a moment and has spare capacity. Four times
/// its content covers both.
fn check_memory(stream: &[u8], sizes: &[u8], limits: &Limits) {
    let before = MEMORY.current_usage();
    MEMORY.reset_peak_usage();
    let _ = decode(stream, sizes, limits, drop);
    let taken = MEMORY.peak_usage().saturating_sub(before);
    let kept = limits.message.max(125).min(stream.len());
    // The copy of the current chunk belongs to this target, not to the decoder.
    let chunk = stream.len();
    let bound = CLAIM + chunk + 4 * kept;
    assert!(taken <= bound, "{taken} bytes used for a stream of {}, and {bound} are allowed", stream.len());
    assert_eq!(MEMORY.current_usage(), before, "a dropped decoder must free all memory");
}

/// Checks what must hold for each single event.
fn check_event(event: &Event) {
    match event {
        Event::Message(message) => {
            let is_text = message.kind() == dog::MessageKind::Text;
            assert_eq!(message.as_text().is_some(), is_text, "a message is text if and only if it can be read as text");
            assert_eq!(message.len(), message.as_bytes().len());
        }
        Event::Ping(payload) | Event::Pong(payload) => assert!(payload.len() <= 125),
        Event::Close(None) => {}
        Event::Close(Some(CloseFrame { code, reason })) => {
            assert!(is_close_code(*code) && reason.len() <= 123, "{code} {reason:?}");
        }
    }
}

/// Checks the frames that a server sends: after masking, the decoder must return the same events.
fn check_written(events: &[Event]) {
    let frames = events.iter().map(|event| match event {
        Event::Message(message) => message.frame().clone(),
        Event::Ping(payload) => ping_frame(payload),
        Event::Pong(payload) => pong_frame(payload),
        Event::Close(None) => close_frame(None, ""),
        Event::Close(Some(close)) => close_frame(Some(close.code), &close.reason),
    });
    let stream: Vec<u8> = frames.flat_map(|frame| masked(&frame)).collect();
    let (read, ended) = read(&stream, &[], &Limits { message: usize::MAX });
    assert_eq!((read.as_slice(), ended), (events, Ok(())));
}

/// Returns a server's frame as a client would send it, with a mask that depends on its length.
fn masked(frame: &[u8]) -> Vec<u8> {
    let header = match frame[1] {
        126 => 4,
        127 => 10,
        _ => 2,
    };
    let mask = [0x5a, 0, 0xff, frame.len().to_le_bytes()[0]];
    let mut masked = frame[..header].to_vec();
    masked[1] |= 0x80;
    masked.extend(mask);
    masked.extend(frame[header..].iter().zip(mask.iter().cycle()).map(|(byte, key)| byte ^ key));
    masked
}
