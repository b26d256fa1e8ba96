//! Random frames that break a rule, and random changes of a stream.

use dog_native::websocket::is_close_code;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use crate::frames::{BINARY, CLOSE, CONTINUATION, ClientFrame, LengthForm, PING, PONG, TEXT};
use crate::messages::{Item, any_close, any_control, any_message, close_payload, payload_length, random_text};

/// The limit in bytes where nothing is meant to exceed it.
pub(crate) const AMPLE: usize = 1 << 20;

/// Frames of which the last breaks a rule, and the close code of the refusal.
#[derive(Clone, Debug)]
pub(crate) struct Fault {
    pub(crate) frames: Vec<ClientFrame>,
    pub(crate) code: u16,
}

impl Fault {
    pub(crate) fn new(code: u16, frames: impl Into<Vec<ClientFrame>>) -> Self {
        Self { frames: frames.into(), code }
    }
}

pub(crate) fn header_fault() -> impl Strategy<Value = Fault> {
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

pub(crate) fn message_fault() -> impl Strategy<Value = Fault> {
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

pub(crate) fn text_fault() -> impl Strategy<Value = Fault> {
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

pub(crate) fn close_fault() -> impl Strategy<Value = Fault> {
    let code = any::<u16>().prop_filter("a code that must not be sent", |code| !is_close_code(*code));
    let listed = prop::sample::select(vec![0_u16, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, u16::MAX]);
    prop_oneof![
        any::<u8>().prop_map(|byte| (1002, vec![byte])),
        prop_oneof![code, listed].prop_map(|code| (1002, close_payload(code, b"why"))),
        (0..=100_usize).prop_map(|length| (1007, close_payload(1000, &[vec![b'.'; length], vec![0xc3]].concat()))),
    ]
    .prop_map(|(code, payload)| Fault::new(code, [ClientFrame::new(CLOSE, payload)]))
}

pub(crate) fn any_fault() -> impl Strategy<Value = Fault> {
    prop_oneof![3 => header_fault(), 2 => message_fault(), 2 => text_fault(), 1 => close_fault()]
}

/// A change of a written stream.
#[derive(Clone, Debug)]
pub(crate) enum Mutation {
    Flip(Index, u8),
    Set(Index, u8),
    Insert(Index, Vec<u8>),
    Remove(Index, usize),
    Repeat(Index, usize),
    CutOff(Index),
}

impl Mutation {
    pub(crate) fn apply(&self, stream: &mut Vec<u8>) {
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

pub(crate) fn any_mutation() -> impl Strategy<Value = Mutation> {
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
pub(crate) fn any_short_items() -> impl Strategy<Value = Vec<Item>> {
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
