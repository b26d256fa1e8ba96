//! The close, ping and pong frames that a server sends, and the payload of a client's close frame.

use bytes::Bytes;

use super::error::ProtocolError;
use super::header::LONGEST_CONTROL;
use super::server_frame::frame;

/// The first bytes of unfragmented control frames.
const CLOSE: u8 = 0x88;
const PING: u8 = 0x89;
const PONG: u8 = 0x8a;

/// The code and the reason in a close frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloseFrame {
    /// The code; [`is_close_code`] holds for it.
    pub code: u16,
    /// The reason, for people; at most 123 bytes, often empty.
    pub reason: String,
}

impl CloseFrame {
    /// Reads the unmasked payload of a client's close frame. Returns `None` if it is empty.
    pub(super) fn parse(payload: &[u8]) -> Result<Option<Self>, ProtocolError> {
        let (code, reason) = match payload {
            [] => return Ok(None),
            [_] => return Err(ProtocolError::HalfCloseCode),
            [high, low, reason @ ..] => (u16::from_be_bytes([*high, *low]), reason),
        };
        if !is_close_code(code) {
            return Err(ProtocolError::CloseCode(code));
        }
        let reason = std::str::from_utf8(reason).map_err(|_| ProtocolError::InvalidReason)?;
        Ok(Some(Self { code, reason: reason.to_owned() }))
    }
}

/// Returns whether a close frame may carry `code`: 1000 to 1014 except 1004, 1005 and 1006 (registered with IANA), and
/// 3000 to 4999 (libraries and applications).
///
/// The codes 1005, 1006 and 1015 are never sent in a frame. Programs use them to report that there was no close frame
/// or no code.
pub fn is_close_code(code: u16) -> bool {
    dog::CloseCode::new(code).is_some()
}

/// Builds the close frame for `code` and `reason`.
///
/// The reason is cut to 123 bytes, at the end of a character. A frame without a code cannot have a reason, so it is
/// left out then. The caller must make sure that the code [may be sent](is_close_code).
pub fn close_frame(code: Option<u16>, reason: &str) -> Bytes {
    let Some(code) = code else { return control_frame(CLOSE, &[]) };
    let [high, low] = code.to_be_bytes();
    let mut payload = [high, low].to_vec();
    payload.extend_from_slice(&reason.as_bytes()[..reason.floor_char_boundary(LONGEST_CONTROL - 2)]);
    control_frame(CLOSE, &payload)
}

/// Builds a ping frame with the first 125 bytes of `payload`.
pub fn ping_frame(payload: &[u8]) -> Bytes {
    control_frame(PING, payload)
}

/// Builds a pong frame with the first 125 bytes of `payload`. The payload of a client's ping is never longer than that.
pub fn pong_frame(payload: &[u8]) -> Bytes {
    control_frame(PONG, payload)
}

fn control_frame(first: u8, payload: &[u8]) -> Bytes {
    frame(first, &payload[..payload.len().min(LONGEST_CONTROL)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_frames_are_laid_out_as_rfc_6455_says() {
        assert_eq!(ping_frame(b"")[..], [0x89, 0]);
        assert_eq!(ping_frame(b"ab")[..], [0x89, 2, b'a', b'b']);
        assert_eq!(pong_frame(&[7; 125])[..3], [0x8a, 125, 7]);
        assert_eq!(close_frame(None, "left out")[..], [0x88, 0]);
        assert_eq!(close_frame(Some(1000), "")[..], [0x88, 2, 0x03, 0xe8]);
        assert_eq!(close_frame(Some(4001), "go")[..], [0x88, 4, 0x0f, 0xa1, b'g', b'o']);
    }

    #[test]
    fn a_payload_that_does_not_fit_is_cut() {
        assert_eq!(pong_frame(&[7; 200]).len(), 2 + 125);
        // 124 bytes of two-byte characters: the last one would end after byte 123.
        let frame = close_frame(Some(1000), &"é".repeat(62));
        assert_eq!(frame[..2], [0x88, 124]);
        assert_eq!(std::str::from_utf8(&frame[4..]), Ok("é".repeat(61).as_str()));
        assert_eq!(close_frame(Some(1000), &"e".repeat(123)).len(), 2 + 125);
    }

    #[test]
    fn close_codes_are_those_that_may_be_sent() {
        for code in [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999] {
            assert!(is_close_code(code), "{code}");
        }
        for code in [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535] {
            assert!(!is_close_code(code), "{code}");
        }
    }

    #[test]
    fn the_payload_of_a_close_frame_is_read() {
        let frame = |code, reason: &str| Ok(Some(CloseFrame { code, reason: reason.to_owned() }));
        let table: [(&[u8], _); 7] = [
            (b"", Ok(None)),
            (b"\x03", Err(ProtocolError::HalfCloseCode)),
            (b"\x03\xe8", frame(1000, "")),
            (b"\x0f\xa0gr\xc3\xbcezi", frame(4000, "grüezi")),
            (b"\x03\xed", Err(ProtocolError::CloseCode(1005))),
            (b"\x03\xe8\xff", Err(ProtocolError::InvalidReason)),
            (b"\x03\xe8\xc3", Err(ProtocolError::InvalidReason)),
        ];
        for (payload, parsed) in table {
            assert_eq!(CloseFrame::parse(payload), parsed, "{payload:x?}");
        }
    }
}
