//! What the codec costs: `cargo bench -p durable-object-groups-native`. The test command runs each bench once. Decoding
//! always removes the mask, and also checks text. The difference between binary and text is the cost of that check.

#![allow(clippy::unwrap_used, reason = "a bench that cannot go on may panic")]

use std::hint::black_box;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput};
use dog::Message;
use dog_native::websocket::{Decoder, Limits, ping_frame};

const SIZES: [usize; 4] = [16, 128, 4 * 1024, 64 * 1024];

const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// Makes a payload of this many bytes, with the first byte of its frame.
type Content = fn(usize) -> (u8, Vec<u8>);

const CONTENTS: [(&str, Content); 3] = [
    ("binary", |bytes| (0x82, vec![0xA5; bytes])),
    ("text, ASCII", |bytes| (0x81, vec![b'a'; bytes])),
    ("text, two bytes a letter", |bytes| (0x81, "ä".repeat(bytes / 2).into_bytes())),
];

/// Returns a frame as a client sends it.
fn client_frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match (u8::try_from(payload.len()), u16::try_from(payload.len())) {
        (Ok(length @ 0..=125), _) => frame.push(0x80 | length),
        (_, Ok(length)) => {
            frame.push(0x80 | 126);
            frame.extend_from_slice(&length.to_be_bytes());
        }
        _ => {
            frame.push(0x80 | 127);
            frame.extend_from_slice(&(payload.len() as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(&MASK);
    frame.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}

fn decode(criterion: &mut Criterion) {
    let limits = Limits { message: 1024 * 1024 };
    for (what, content) in CONTENTS {
        let mut group = criterion.benchmark_group(format!("decode, {what}"));
        for bytes in SIZES {
            let (first, payload) = content(bytes);
            let frame = client_frame(first, &payload);
            group.throughput(Throughput::Bytes(bytes as u64));
            group.bench_function(BenchmarkId::from_parameter(bytes), |bencher| {
                // Decoding removes the mask in place, so each run needs a frame of its own.
                let decode = |frame: &mut Vec<u8>| {
                    let (used, event) = Decoder::new().decode(frame, &limits).unwrap();
                    assert!(used == frame.len() && event.is_some());
                    event
                };
                bencher.iter_batched_ref(|| frame.clone(), decode, BatchSize::SmallInput);
            });
        }
        group.finish();
    }
}

fn encode(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("encode");
    for bytes in SIZES {
        let payload = vec![0xA5; bytes];
        group.throughput(Throughput::Bytes(bytes as u64));
        group.bench_function(BenchmarkId::from_parameter(bytes), |bencher| {
            bencher.iter(|| Message::binary(black_box(&payload)).frame().len());
        });
    }
    group.finish();
    criterion.bench_function("encode a ping", |bencher| bencher.iter(|| ping_frame(black_box(b"here?"))));
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    decode(&mut criterion);
    encode(&mut criterion);
    criterion.final_summary();
}
