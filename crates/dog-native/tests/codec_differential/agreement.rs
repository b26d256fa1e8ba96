//! Where the two codecs must agree.

use dog_native::websocket::{ProtocolError, is_close_code};

use crate::readers::{End, Seen, read_ours, read_theirs};

/// Reads a stream with both codecs. Fails where they differ in other points than those at the top of `main.rs`.
pub(crate) fn assert_agreement(stream: &[u8], sizes: &[usize], limit: usize) -> (Vec<Seen>, End<ProtocolError>) {
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
pub(crate) fn same_class(ours: ProtocolError, code: u16) -> bool {
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
