//! Random messages and control frames that break no rule.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use crate::frames::{BINARY, CLOSE, CONTINUATION, ClientFrame, LengthForm, PING, PONG, TEXT};
use crate::readers::Seen;

/// A whole message or control frame, and the frames in which a client sends it.
#[derive(Clone, Debug)]
pub(crate) struct Item {
    pub(crate) frames: Vec<ClientFrame>,
    /// The events that it must cause, in order.
    pub(crate) seen: Vec<Seen>,
}

/// Lengths of payloads. A payload is made from a length and a seed, which is far faster to make and to shrink than
/// single bytes.
pub(crate) fn payload_length() -> impl Strategy<Value = usize> {
    prop_oneof![
        8 => 0..=40_usize,
        4 => 120..=130_usize,
        4 => 131..=2_000_usize,
        1 => 65_530..=65_540_usize,
        1 => 65_541..=70_000_usize,
    ]
}

pub(crate) fn random_bytes(mut seed: u64, length: usize) -> Vec<u8> {
    std::iter::repeat_with(|| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        seed.to_be_bytes()[0]
    })
    .take(length)
    .collect()
}

/// Returns text of about `length` bytes, with characters of one to four bytes, among them the first and last of each
/// range.
pub(crate) fn random_text(seed: u64, length: usize) -> String {
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

pub(crate) fn any_control() -> impl Strategy<Value = Item> {
    (any::<bool>(), vec(any::<u8>(), 0..=125)).prop_map(|(ping, payload)| Item {
        frames: vec![ClientFrame::new(if ping { PING } else { PONG }, payload.clone())],
        seen: vec![if ping { Seen::Ping(payload) } else { Seen::Pong(payload) }],
    })
}

/// A message in fragments, some of them empty, with control frames in between.
pub(crate) fn any_message() -> impl Strategy<Value = Item> {
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

pub(crate) fn any_close() -> impl Strategy<Value = Item> {
    let code = prop_oneof![1000..=1003_u16, 1007..=1014_u16, 3000..=4999_u16];
    prop::option::of((code, any::<u64>(), 0..=119_usize)).prop_map(|frame| {
        let frame = frame.map(|(code, seed, length)| (code, random_text(seed, length)));
        let payload = frame.as_ref().map_or_else(Vec::new, |frame| close_payload(frame.0, frame.1.as_bytes()));
        Item { frames: vec![ClientFrame::new(CLOSE, payload)], seen: vec![Seen::Close(frame)] }
    })
}

pub(crate) fn close_payload(code: u16, reason: &[u8]) -> Vec<u8> {
    [&code.to_be_bytes(), reason].concat()
}

/// Items that break no rule.
pub(crate) fn any_items() -> impl Strategy<Value = Vec<Item>> {
    vec(prop_oneof![3 => any_message(), 1 => any_control()], 0..6)
}

pub(crate) fn chunk_sizes() -> impl Strategy<Value = Vec<usize>> {
    prop_oneof![
        1 => Just(vec![usize::MAX]),
        1 => Just(vec![1]),
        4 => vec(prop_oneof![1..=10_usize, 1..=300_usize, 1_000..=30_000_usize], 1..6),
    ]
}
