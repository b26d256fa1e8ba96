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
//!   this test are at least 125.
//!
//! tungstenite has no compression. So compressed messages are read only by this codec. The result must be what
//! tungstenite reads when the same messages are sent uncompressed.

mod agreement;
mod faults;
mod frames;
mod messages;
mod readers;

use std::env;

use dog_native::websocket::ProtocolError;
use flate2::{Compress, Compression, FlushCompress};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use crate::agreement::assert_agreement;
use crate::faults::{AMPLE, any_fault, any_mutation, any_short_items};
use crate::frames::{BINARY, CONTINUATION, ClientFrame, TEXT, written};
use crate::messages::{Item, any_close, any_items, chunk_sizes};
use crate::readers::{End, Seen, read_deflated, read_ours};

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

/// Short messages whose bytes were changed in up to two places.
fn any_garbled() -> impl Strategy<Value = Vec<u8>> {
    (any_short_items(), vec(any_mutation(), 0..3)).prop_map(|(items, mutations)| {
        let mut stream = written(&frames_of(&items));
        for mutation in &mutations {
            mutation.apply(&mut stream);
        }
        stream
    })
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
        stream in any_garbled(),
        limit in prop::sample::select(vec![125_usize, 300, 4_096, AMPLE]),
        sizes in chunk_sizes(),
    ) {
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
        stream in any_garbled(),
        limit in prop::sample::select(vec![125_usize, 300, 4_096, AMPLE]),
        sizes in chunk_sizes(),
    ) {
        assert_agreement(&stream, &sizes, limit);
    }

    #[test]
    fn noise_is_read_or_refused_alike(stream in vec(any::<u8>(), 0..80), opcode in 0..=15_u8, sizes in chunk_sizes()) {
        // Random bytes alone fail at the first byte. With two valid first bytes the decoder gets further.
        let start = [0x80 | opcode, 0x80 | stream.first().map_or(0, |byte| byte & 0x1f)];
        assert_agreement(&[&start, &stream[..]].concat(), &sizes, 4_096);
    }
}
