//! Compares the codec with `tungstenite`. Both read the same bytes of a client, cut in the same way. They must see the
//! same messages, and must agree on what is refused.
//!
//! Each property runs 1,000 cases by default. `PROPTEST_CASES` sets another number.
//!
//! The two differ in the following points. Both are right, because RFC 6455 leaves the point open or requires less than
//! tungstenite does:
//! - **Time of refusal.** This codec refuses a frame as soon as its header, or the wrong byte of its text, has arrived.
//!   tungstenite refuses it when the whole frame has arrived. So after a refusal here, tungstenite gets as many zero
//!   bytes as the frame may lack.
//! - **Close codes.** This codec refuses a code that must not be sent, with 1002. tungstenite reports a close with the
//!   code 1002 and the reason "Protocol violation" instead of the client's close. The client sees the same.
//! - **Code 1014** (bad gateway, registered with IANA after the RFC). This codec accepts it. tungstenite treats it as a
//!   bad code.
//! - **Several faults in one frame.** tungstenite checks the length first, and this codec checks the header's other
//!   rules first: what is 1009 there may be 1002 here. A length whose top bit is set is 1002 here, because it is not a
//!   valid length; there it is only too long. In a close frame this codec checks the code before the reason, and
//!   tungstenite checks the reason first.
//! - **Long form of a short length.** In a data frame both accept it. This codec refuses a control frame with it at the
//!   second byte, which announces a length over 125; the RFC forbids such a length, and it forbids the long form.
//!   tungstenite reads the frame.
//! - **Limits.** tungstenite's limit for frames counts control frames, and this codec's limit does not. All limits in
//!   this file are at least 125.
//!
//! tungstenite has no compression. So compressed messages are read only by this codec. The result must be what
//! tungstenite reads when the same messages are sent uncompressed.

use std::env;
use std::io::{self, Read, Write};

use dog_native::websocket::{Decoder, Event, Inflater, Limits, ProtocolError, is_close_code};
use flate2::{Compress, Compression, FlushCompress};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use tungstenite::protocol::{Message, Role, WebSocket, WebSocketConfig};

/// Opcodes.
const CONTINUATION: u8 = 0x0;
const TEXT: u8 = 0x1;
const BINARY: u8 = 0x2;
const CLOSE: u8 = 0x8;
const PING: u8 = 0x9;
const PONG: u8 = 0xa;

/// The limit in bytes where nothing is meant to exceed it.
const AMPLE: usize = 1 << 20;

// ------------------------------------------------------------------------------------------------ what a client writes

/// One frame as a client writes it, valid or not.
#[derive(Clone, Debug)]
struct ClientFrame {
    last: bool,
    reserved: u8,
    opcode: u8,
    mask: Option<[u8; 4]>,
    form: LengthForm,
    payload: Vec<u8>,
}

/// How the length is written.
#[derive(Clone, Copy, Debug)]
enum LengthForm {
    Shortest,
    /// In eight bytes, even if fewer are enough.
    Eight,
    /// A false length in eight bytes.
    Claimed(u64),
}

impl ClientFrame {
    fn new(opcode: u8, payload: impl Into<Vec<u8>>) -> Self {
        let payload = payload.into();
        // Any mask is good. This one depends on the payload, so it differs between frames.
        let mask = [0x5a, payload.len().to_le_bytes()[0], 0x00, payload.first().copied().unwrap_or(0xff)];
        Self { last: true, reserved: 0, opcode, mask: Some(mask), form: LengthForm::Shortest, payload }
    }

    fn fragment(opcode: u8, payload: impl Into<Vec<u8>>, last: bool) -> Self {
        Self { last, ..Self::new(opcode, payload) }
    }

    fn write(&self, stream: &mut Vec<u8>) {
        stream.push(u8::from(self.last) << 7 | self.reserved << 4 | self.opcode);
        let masked = u8::from(self.mask.is_some()) << 7;
        let length = self.payload.len() as u64;
        match (self.form, length) {
            (LengthForm::Claimed(length), _) | (LengthForm::Eight, length) | (_, length @ 0x1_0000..) => {
                stream.push(masked | 127);
                stream.extend_from_slice(&length.to_be_bytes());
            }
            (_, 0..=125) => stream.push(masked | length.to_be_bytes()[7]),
            _ => {
                stream.push(masked | 126);
                stream.extend_from_slice(&length.to_be_bytes()[6..]);
            }
        }
        let mask = self.mask.unwrap_or_default();
        stream.extend(self.mask.iter().flatten());
        stream.extend(self.payload.iter().zip(mask.iter().cycle()).map(|(byte, key)| byte ^ key));
    }
}

fn written(frames: &[ClientFrame]) -> Vec<u8> {
    let mut stream = Vec::new();
    for frame in frames {
        frame.write(&mut stream);
    }
    stream
}

// -------------------------------------------------------------------------------------------------- what a server reads

/// An event in a form to which the events of both codecs are converted.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Seen {
    Text(String),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<(u16, String)>),
}

impl Seen {
    fn is_control(&self) -> bool {
        matches!(self, Self::Ping(_) | Self::Pong(_) | Self::Close(_))
    }
}

/// How the reading of a stream ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum End<E> {
    /// The stream ended before a close or a refusal.
    Open,
    /// The client sent a close frame.
    Closed,
    Refused(E),
}

/// Cuts a stream into chunks. The sizes are used in turn, again and again.
fn chunks<'a>(mut stream: &'a [u8], sizes: &'a [usize]) -> impl Iterator<Item = &'a [u8]> {
    sizes.iter().cycle().map_while(move |&size| {
        let (chunk, rest) = stream.split_at(size.min(stream.len()));
        stream = rest;
        (!chunk.is_empty()).then_some(chunk)
    })
}

fn read_ours(stream: &[u8], sizes: &[usize], limit: usize) -> (Vec<Seen>, End<ProtocolError>) {
    read_with(stream, sizes, limit, Decoder::decode)
}

/// The same for a connection with compression.
fn read_deflated(stream: &[u8], sizes: &[usize], limit: usize) -> (Vec<Seen>, End<ProtocolError>) {
    let mut inflater = Inflater::new();
    read_with(stream, sizes, limit, |decoder, input, limits| decoder.decode_deflated(input, limits, &mut inflater))
}

fn read_with(
    stream: &[u8],
    sizes: &[usize],
    limit: usize,
    mut decode: impl FnMut(&mut Decoder, &mut [u8], &Limits) -> Result<(usize, Option<Event>), ProtocolError>,
) -> (Vec<Seen>, End<ProtocolError>) {
    let limits = Limits { message: limit };
    let mut decoder = Decoder::new();
    let mut seen = Vec::new();
    for chunk in chunks(stream, sizes) {
        let mut chunk = chunk.to_vec();
        let mut input = &mut chunk[..];
        while !input.is_empty() {
            match decode(&mut decoder, input, &limits) {
                Ok((used, Some(event))) => {
                    assert!(used > 0);
                    seen.push(seen_ours(event));
                    if let Some(Seen::Close(_)) = seen.last() {
                        return (seen, End::Closed);
                    }
                    input = &mut input[used..];
                }
                Ok((used, None)) => {
                    assert_eq!(used, input.len(), "without an event all input is used");
                    break;
                }
                Err(error) => return (seen, End::Refused(error)),
            }
        }
    }
    (seen, End::Open)
}

fn seen_ours(event: Event) -> Seen {
    match event {
        Event::Message(message) => match message.as_text() {
            Some(text) => Seen::Text(text.to_owned()),
            None => Seen::Binary(message.as_bytes().to_vec()),
        },
        Event::Ping(payload) => Seen::Ping(payload.to_vec()),
        Event::Pong(payload) => Seen::Pong(payload.to_vec()),
        Event::Close(frame) => Seen::Close(frame.map(|frame| (frame.code, frame.reason))),
    }
}

/// A stream for tungstenite. A read returns one chunk, or as much of it as fits. What is written is discarded.
struct Chunked<'a, I> {
    chunk: &'a [u8],
    chunks: I,
}

impl<'a, I: Iterator<Item = &'a [u8]>> Read for Chunked<'a, I> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.chunk.is_empty() {
            self.chunk = self.chunks.next().unwrap_or_default();
        }
        self.chunk.read(buffer)
    }
}

impl<I> Write for Chunked<'_, I> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Returns what tungstenite sees, and the close code of its refusal.
fn read_theirs(stream: &[u8], sizes: &[usize], limit: usize) -> (Vec<Seen>, End<u16>) {
    let config = WebSocketConfig::default()
        .max_message_size(Some(limit))
        .max_frame_size(Some(limit))
        // tungstenite fills this buffer with zeros on every read, so a small one is faster here.
        .read_buffer_size(4096);
    let stream = Chunked { chunk: &[], chunks: chunks(stream, sizes) };
    let mut socket = WebSocket::from_raw_socket(stream, Role::Server, Some(config));
    let mut seen = Vec::new();
    loop {
        let event = match socket.read() {
            Ok(Message::Text(text)) => Seen::Text(text.as_str().to_owned()),
            Ok(Message::Binary(bytes)) => Seen::Binary(bytes.into()),
            Ok(Message::Ping(payload)) => Seen::Ping(payload.into()),
            Ok(Message::Pong(payload)) => Seen::Pong(payload.into()),
            Ok(Message::Close(frame)) => {
                seen.push(Seen::Close(frame.map(|frame| (frame.code.into(), frame.reason.as_str().to_owned()))));
                return (seen, End::Closed);
            }
            Ok(Message::Frame(frame)) => panic!("tungstenite never reads a raw frame: {frame}"),
            Err(error) => return (seen, end_theirs(&error)),
        };
        seen.push(event);
    }
}

fn end_theirs(error: &tungstenite::Error) -> End<u16> {
    use tungstenite::Error;
    match error {
        // The stream ended without a close frame.
        Error::Protocol(tungstenite::error::ProtocolError::ResetWithoutClosingHandshake) => End::Open,
        Error::Protocol(_) => End::Refused(1002),
        Error::Utf8(_) => End::Refused(1007),
        Error::Capacity(_) => End::Refused(1009),
        other => panic!("tungstenite failed in a way that the client's bytes do not explain: {other}"),
    }
}

// -------------------------------------------------------------------------------------------------------- the agreement

/// Reads a stream with both codecs. Fails where they differ in other points than those at the top of this file.
fn assert_agreement(stream: &[u8], sizes: &[usize], limit: usize) -> (Vec<Seen>, End<ProtocolError>) {
    let (ours, our_end) = read_ours(stream, sizes, limit);
    let mut longer = stream.to_vec();
    if let End::Refused(_) = our_end {
        // Time of refusal: no frame within the limit lacks more bytes than this, its header included.
        longer.resize(stream.len() + limit + 14, 0);
    }
    let (mut theirs, their_end) = read_theirs(&longer, sizes, limit);
    let violation = Seen::Close(Some((1002, "Protocol violation".to_owned())));
    match (our_end, their_end) {
        (End::Refused(ProtocolError::CloseCode(code)), End::Closed) => {
            assert!(!is_close_code(code), "{code} was refused");
            assert_eq!(theirs.pop(), Some(violation));
        }
        (End::Closed, End::Closed) => {
            if let Some(Seen::Close(Some((1014, _)))) = ours.last() {
                assert_eq!(theirs.pop(), Some(violation));
                theirs.extend(ours.last().cloned());
            }
        }
        (End::Open, End::Open) => {}
        // Long form of a short length: tungstenite saw that control frame next, and this codec read no further.
        (End::Refused(ProtocolError::LongControl), _) if theirs.get(ours.len()).is_some_and(Seen::is_control) => {
            theirs.truncate(ours.len());
        }
        (End::Refused(error), End::Refused(code)) => {
            assert!(same_class(error, code), "refused with {error:?}, and by tungstenite with {code}");
        }
        _ => panic!("read to {our_end:?}, and by tungstenite to {their_end:?}"),
    }
    assert_eq!(ours, theirs);
    (ours, our_end)
}

/// Whether tungstenite's refusal with `code` agrees with this codec's refusal.
fn same_class(ours: ProtocolError, code: u16) -> bool {
    // Several faults in one frame.
    let before_length = matches!(
        ours,
        ProtocolError::ReservedBits
            | ProtocolError::Unmasked
            | ProtocolError::FragmentedControl
            | ProtocolError::LongControl
            | ProtocolError::LengthOverflow
            | ProtocolError::NothingToContinue
            | ProtocolError::Interrupted
    );
    let before_reason = matches!(ours, ProtocolError::CloseCode(_) | ProtocolError::LongControl);
    ours.close_code() == code || (before_length && code == 1009) || (before_reason && code == 1007)
}

// --------------------------------------------------------------------------------------------------------- random input

/// A whole message or control frame, and the frames in which a client sends it.
#[derive(Clone, Debug)]
struct Item {
    frames: Vec<ClientFrame>,
    /// The events that it must cause, in order.
    seen: Vec<Seen>,
}

/// Lengths of payloads. A payload is made from a length and a seed, which is far faster to make and to shrink than
/// single bytes.
fn payload_length() -> impl Strategy<Value = usize> {
    prop_oneof![
        8 => 0..=40_usize,
        4 => 120..=130_usize,
        4 => 131..=2_000_usize,
        1 => 65_530..=65_540_usize,
        1 => 65_541..=70_000_usize,
    ]
}

fn random_bytes(mut seed: u64, length: usize) -> Vec<u8> {
    std::iter::repeat_with(|| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        seed.to_be_bytes()[0]
    })
    .take(length)
    .collect()
}

/// Returns text of about `length` bytes, with characters of one to four bytes, among them the first and last of each
/// range.
fn random_text(seed: u64, length: usize) -> String {
    const CHARACTERS: [char; 16] = [
        'a',
        ' ',
        '\0',
        '\u{7f}',
        '\u{80}',
        'é',
        'ß',
        '\u{7ff}',
        '\u{800}',
        '€',
        '\u{d7ff}',
        '\u{e000}',
        '\u{ffff}',
        '\u{10000}',
        '😀',
        '\u{10ffff}',
    ];
    let mut text = String::with_capacity(length + 4);
    for byte in random_bytes(seed, length) {
        if text.len() >= length {
            break;
        }
        text.push(CHARACTERS[usize::from(byte % 16)]);
    }
    text
}

fn any_control() -> impl Strategy<Value = Item> {
    (any::<bool>(), vec(any::<u8>(), 0..=125)).prop_map(|(ping, payload)| Item {
        frames: vec![ClientFrame::new(if ping { PING } else { PONG }, payload.clone())],
        seen: vec![if ping { Seen::Ping(payload) } else { Seen::Pong(payload) }],
    })
}

/// A message in fragments, some of them empty, with control frames in between.
fn any_message() -> impl Strategy<Value = Item> {
    let cuts = vec((any::<Index>(), prop::option::weighted(0.3, any_control())), 0..5);
    (any::<bool>(), payload_length(), any::<u64>(), any::<bool>(), cuts).prop_map(
        |(is_text, length, seed, long_form, mut cuts)| {
            let text = is_text.then(|| random_text(seed, length));
            let payload = text.as_ref().map_or_else(|| random_bytes(seed, length), |text| text.clone().into_bytes());
            cuts.sort_by_key(|(cut, _)| cut.index(payload.len() + 1));
            let mut item = Item { frames: Vec::new(), seen: Vec::new() };
            let mut opcode = if is_text { TEXT } else { BINARY };
            let mut start = 0;
            for (cut, control) in cuts {
                let end = cut.index(payload.len() + 1);
                item.frames.push(ClientFrame::fragment(opcode, &payload[start..end], false));
                (opcode, start) = (CONTINUATION, end);
                if let Some(control) = control {
                    item.frames.extend(control.frames);
                    item.seen.extend(control.seen);
                }
            }
            let mut last = ClientFrame::new(opcode, &payload[start..]);
            if long_form {
                last.form = LengthForm::Eight;
            }
            item.frames.push(last);
            item.seen.push(text.map_or(Seen::Binary(payload), Seen::Text));
            item
        },
    )
}

fn any_close() -> impl Strategy<Value = Item> {
    let code = prop_oneof![1000..=1003_u16, 1007..=1014_u16, 3000..=4999_u16];
    prop::option::of((code, any::<u64>(), 0..=119_usize)).prop_map(|frame| {
        let frame = frame.map(|(code, seed, length)| (code, random_text(seed, length)));
        let payload = frame.as_ref().map_or_else(Vec::new, |frame| close_payload(frame.0, frame.1.as_bytes()));
        Item { frames: vec![ClientFrame::new(CLOSE, payload)], seen: vec![Seen::Close(frame)] }
    })
}

fn close_payload(code: u16, reason: &[u8]) -> Vec<u8> {
    [&code.to_be_bytes(), reason].concat()
}

/// Items that break no rule.
fn any_items() -> impl Strategy<Value = Vec<Item>> {
    vec(prop_oneof![3 => any_message(), 1 => any_control()], 0..6)
}

fn chunk_sizes() -> impl Strategy<Value = Vec<usize>> {
    prop_oneof![
        1 => Just(vec![usize::MAX]),
        1 => Just(vec![1]),
        4 => vec(prop_oneof![1..=10_usize, 1..=300_usize, 1_000..=30_000_usize], 1..6),
    ]
}

// --------------------------------------------------------------------------------------------------------------- faults

/// Frames of which the last breaks a rule, and the close code of the refusal.
#[derive(Clone, Debug)]
struct Fault {
    frames: Vec<ClientFrame>,
    code: u16,
}

impl Fault {
    fn new(code: u16, frames: impl Into<Vec<ClientFrame>>) -> Self {
        Self { frames: frames.into(), code }
    }
}

fn header_fault() -> impl Strategy<Value = Fault> {
    let opcode = prop::sample::select(vec![TEXT, BINARY, PING, PONG, CLOSE]);
    let unknown = prop_oneof![0x3..=0x7_u8, 0xb..=0xf_u8];
    let control = prop::sample::select(vec![PING, PONG, CLOSE]);
    prop_oneof![
        (opcode.clone(), 1..=7_u8)
            .prop_map(|(opcode, reserved)| ClientFrame { reserved, ..ClientFrame::new(opcode, "") }),
        opcode.prop_map(|opcode| ClientFrame { mask: None, ..ClientFrame::new(opcode, "") }),
        unknown.prop_map(|opcode| ClientFrame::new(opcode, "?")),
        control.clone().prop_map(|opcode| ClientFrame::fragment(opcode, "", false)),
        (control, 126..=70_000_usize).prop_map(|(opcode, length)| ClientFrame::new(opcode, vec![b'.'; length])),
        any::<bool>().prop_map(|last| ClientFrame::fragment(CONTINUATION, "?", last)),
        (1 << 63..=u64::MAX)
            .prop_map(|length| ClientFrame { form: LengthForm::Claimed(length), ..ClientFrame::new(BINARY, "") }),
    ]
    .prop_map(|frame| Fault::new(1002, [frame]))
}

fn message_fault() -> impl Strategy<Value = Fault> {
    prop_oneof![
        (any::<bool>(), any::<bool>()).prop_map(|(text, last)| {
            let interrupting = ClientFrame::fragment(if text { TEXT } else { BINARY }, "", last);
            Fault::new(1002, [ClientFrame::fragment(TEXT, "open", false), interrupting])
        }),
        (AMPLE as u64 + 1..1 << 63).prop_map(|length| {
            Fault::new(1009, [ClientFrame { form: LengthForm::Claimed(length), ..ClientFrame::new(BINARY, "") }])
        }),
        (1..=70_000_usize).prop_map(|length| {
            let form = LengthForm::Claimed((AMPLE - length + 1) as u64);
            let rest = ClientFrame { form, ..ClientFrame::new(CONTINUATION, "") };
            Fault::new(1009, [ClientFrame::fragment(BINARY, vec![7; length], false), rest])
        }),
    ]
}

fn text_fault() -> impl Strategy<Value = Fault> {
    let bad: Vec<&[u8]> = vec![
        b"\x80",
        b"\xbf",
        b"\xc0\x80",
        b"\xc1\xbf",
        b"\xc2",
        b"\xe0\x9f\xbf",
        b"\xe2\x82",
        b"\xed\xa0\x80",
        b"\xf0\x8f\xbf\xbf",
        b"\xf0\x9f\x98",
        b"\xf4\x90\x80\x80",
        b"\xf5\x80\x80\x80",
        b"\xff",
    ];
    (any::<u64>(), payload_length(), prop::sample::select(bad), any::<bool>(), prop::option::of(any::<Index>()))
        .prop_map(|(seed, length, bad, ends_there, cut)| {
            // None of these bytes can be followed by an "a", and none can be the end of a text.
            let mut payload = [random_text(seed, length).as_bytes(), bad].concat();
            if !ends_there {
                payload.push(b'a');
            }
            let Some(cut) = cut else { return Fault::new(1007, [ClientFrame::new(TEXT, payload)]) };
            let (first, second) = payload.split_at(cut.index(payload.len() + 1));
            Fault::new(
                1007,
                [ClientFrame::fragment(TEXT, first, false), ClientFrame::fragment(CONTINUATION, second, true)],
            )
        })
}

fn close_fault() -> impl Strategy<Value = Fault> {
    let code = any::<u16>().prop_filter("a code that must not be sent", |code| !is_close_code(*code));
    let listed = prop::sample::select(vec![0_u16, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, u16::MAX]);
    prop_oneof![
        any::<u8>().prop_map(|byte| (1002, vec![byte])),
        prop_oneof![code, listed].prop_map(|code| (1002, close_payload(code, b"why"))),
        (0..=100_usize).prop_map(|length| (1007, close_payload(1000, &[vec![b'.'; length], vec![0xc3]].concat()))),
    ]
    .prop_map(|(code, payload)| Fault::new(code, [ClientFrame::new(CLOSE, payload)]))
}

fn any_fault() -> impl Strategy<Value = Fault> {
    prop_oneof![3 => header_fault(), 2 => message_fault(), 2 => text_fault(), 1 => close_fault()]
}

/// A change of a written stream.
#[derive(Clone, Debug)]
enum Mutation {
    Flip(Index, u8),
    Set(Index, u8),
    Insert(Index, Vec<u8>),
    Remove(Index, usize),
    Repeat(Index, usize),
    CutOff(Index),
}

impl Mutation {
    fn apply(&self, stream: &mut Vec<u8>) {
        if stream.is_empty() {
            return;
        }
        let length = stream.len();
        let range = |at: &Index, count: usize| at.index(length)..(at.index(length) + count).min(length);
        match self {
            Self::Flip(at, bit) => stream[at.index(length)] ^= 1 << bit,
            Self::Set(at, byte) => stream[at.index(length)] = *byte,
            Self::Insert(at, bytes) => drop(stream.splice(range(at, 0), bytes.iter().copied())),
            Self::Remove(at, count) => drop(stream.drain(range(at, *count))),
            Self::Repeat(at, count) => {
                let again = stream[range(at, *count)].to_vec();
                drop(stream.splice(range(at, 0), again));
            }
            Self::CutOff(at) => stream.truncate(at.index(length)),
        }
    }
}

fn any_mutation() -> impl Strategy<Value = Mutation> {
    prop_oneof![
        4 => (any::<Index>(), 0..8_u8).prop_map(|(at, bit)| Mutation::Flip(at, bit)),
        2 => (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Mutation::Set(at, byte)),
        1 => (any::<Index>(), vec(any::<u8>(), 1..20)).prop_map(|(at, bytes)| Mutation::Insert(at, bytes)),
        1 => (any::<Index>(), 1..20_usize).prop_map(|(at, count)| Mutation::Remove(at, count)),
        1 => (any::<Index>(), 1..20_usize).prop_map(|(at, count)| Mutation::Repeat(at, count)),
        1 => any::<Index>().prop_map(Mutation::CutOff),
    ]
}

/// Short frames, so that mutations hit headers often.
fn any_short_items() -> impl Strategy<Value = Vec<Item>> {
    let short =
        (any::<bool>(), 0..=12_usize, any::<u64>(), any::<bool>()).prop_map(|(is_text, length, seed, whole)| {
            let payload = random_text(seed, length).into_bytes();
            let opcode = if is_text { TEXT } else { BINARY };
            let (first, second) = payload.split_at(payload.len() / 2);
            let frames = if whole {
                vec![ClientFrame::new(opcode, payload)]
            } else {
                vec![ClientFrame::fragment(opcode, first, false), ClientFrame::new(CONTINUATION, second)]
            };
            // It is not known what the mutations leave of it.
            Item { frames, seen: Vec::new() }
        });
    vec(prop_oneof![6 => short, 2 => any_control(), 1 => any_close(), 1 => any_message()], 1..8)
}

// ----------------------------------------------------------------------------------------------------------- properties

fn config() -> ProptestConfig {
    let mut config = ProptestConfig { failure_persistence: None, ..ProptestConfig::default() };
    if env::var_os("PROPTEST_CASES").is_none() {
        config.cases = 1_000;
    }
    config
}

fn frames_of(items: &[Item]) -> Vec<ClientFrame> {
    items.iter().flat_map(|item| item.frames.clone()).collect()
}

fn seen_of(items: &[Item]) -> Vec<Seen> {
    items.iter().flat_map(|item| item.seen.clone()).collect()
}

/// Returns the frames of the same item from a client that compresses each message on its own. There are as many frames
/// as before, with other cuts.
fn compressed(item: &Item, level: u32, cut: &Index) -> Vec<ClientFrame> {
    let is_data = |frame: &ClientFrame| [CONTINUATION, TEXT, BINARY].contains(&frame.opcode);
    let payload: Vec<u8> =
        item.frames.iter().filter(|frame| is_data(frame)).flat_map(|frame| frame.payload.clone()).collect();
    let mut deflated = deflated(&payload, level);
    let mut frames = item.frames.clone();
    for frame in frames.iter_mut().filter(|frame| is_data(frame)) {
        frame.reserved = if frame.opcode == CONTINUATION { 0 } else { 4 };
        let length = if frame.last { deflated.len() } else { cut.index(deflated.len() + 1) };
        frame.payload = deflated.drain(..length).collect();
    }
    frames
}

fn deflated(bytes: &[u8], level: u32) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len() * 2 + 100);
    Compress::new(Compression::new(level), false)
        .compress_vec(bytes, &mut out, FlushCompress::Sync)
        .expect("there is room");
    out.truncate(out.len() - 4);
    out
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn what_comes_compressed_is_read_as_the_same_sent_plain(
        items in any_short_items(),
        levels in vec(prop::option::weighted(0.7, 0..=9_u32), 1..8),
        cut in any::<Index>(),
        sizes in chunk_sizes(),
    ) {
        let frames = items.iter().zip(levels.iter().cycle()).flat_map(|(item, level)| match level {
            Some(level) => compressed(item, *level, &cut),
            None => item.frames.clone(),
        });
        let stream = written(&frames.collect::<Vec<_>>());
        let plain = assert_agreement(&written(&frames_of(&items)), &sizes, AMPLE);
        prop_assert_eq!(read_deflated(&stream, &sizes, AMPLE), plain);
    }

    /// A decoder of a connection with compression reads uncompressed messages like any other decoder.
    #[test]
    fn what_comes_plain_is_read_alike_whatever_was_agreed_on(
        items in any_short_items(),
        mutations in vec(any_mutation(), 0..3),
        limit in prop::sample::select(vec![125_usize, 300, 4_096, AMPLE]),
        sizes in chunk_sizes(),
    ) {
        let mut stream = written(&frames_of(&items));
        for mutation in &mutations {
            mutation.apply(&mut stream);
        }
        let (plain, deflated) = (read_ours(&stream, &sizes, limit), read_deflated(&stream, &sizes, limit));
        // A mutation may set the bit that marks a message as compressed. Then only the decoder without compression
        // refuses it.
        if plain.1 != End::Refused(ProtocolError::ReservedBits) {
            prop_assert_eq!(deflated, plain);
        }
    }

    #[test]
    fn what_breaks_no_rule_is_read_as_it_was_written(
        items in any_items(),
        close in prop::option::of(any_close()),
        sizes in chunk_sizes(),
    ) {
        let end = if close.is_some() { End::Closed } else { End::Open };
        let items: Vec<Item> = items.into_iter().chain(close).collect();
        let read = assert_agreement(&written(&frames_of(&items)), &sizes, AMPLE);
        prop_assert_eq!(read, (seen_of(&items), end));
    }

    #[test]
    fn a_fault_is_refused_with_its_code_and_after_all_that_came_before(
        items in any_items(),
        fault in any_fault(),
        junk in vec(any::<u8>(), 0..40),
        sizes in chunk_sizes(),
    ) {
        let mut stream = written(&frames_of(&items));
        stream.extend(written(&fault.frames));
        stream.extend(junk);
        let (seen, end) = assert_agreement(&stream, &sizes, AMPLE);
        prop_assert_eq!(seen, seen_of(&items));
        let End::Refused(error) = end else { panic!("{fault:?} was let through") };
        prop_assert_eq!(error.close_code(), fault.code, "{}", error);
    }

    #[test]
    fn what_is_garbled_is_read_or_refused_alike(
        items in any_short_items(),
        mutations in vec(any_mutation(), 0..3),
        limit in prop::sample::select(vec![125_usize, 300, 4_096, AMPLE]),
        sizes in chunk_sizes(),
    ) {
        let mut stream = written(&frames_of(&items));
        for mutation in &mutations {
            mutation.apply(&mut stream);
        }
        assert_agreement(&stream, &sizes, limit);
    }

    #[test]
    fn noise_is_read_or_refused_alike(stream in vec(any::<u8>(), 0..80), opcode in 0..=15_u8, sizes in chunk_sizes()) {
        // Random bytes alone fail at the first byte. With two valid first bytes the decoder gets further.
        let start = [0x80 | opcode, 0x80 | stream.first().map_or(0, |byte| byte & 0x1f)];
        assert_agreement(&[&start, &stream[..]].concat(), &sizes, 4_096);
    }
}
