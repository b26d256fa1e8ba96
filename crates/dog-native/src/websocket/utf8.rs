//! Checks text while it arrives.

use super::error::ProtocolError;

/// How far a text that is still growing is known to be UTF-8.
///
/// It fails at the first byte that no continuation can mend, not at the end of the frame or the message: a client is not
/// to make a server hold megabytes that are refused in the end.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Utf8Check {
    /// Bytes from the front that are whole characters. What follows them, at most three bytes, begins a character that
    /// may yet be completed, and is read again when more has come: cheaper than carrying a state machine's state.
    whole: usize,
}

impl Utf8Check {
    /// Checks what was added to `text`, which is all of the text so far.
    ///
    /// # Errors
    /// [`ProtocolError::InvalidText`] when a byte cannot be part of UTF-8 where it stands, whatever comes after it.
    pub(super) fn advance(&mut self, text: &[u8]) -> Result<(), ProtocolError> {
        match std::str::from_utf8(&text[self.whole..]) {
            Ok(_) => self.whole = text.len(),
            // No `error_len`: the end came within a character, all bytes of which are right so far.
            Err(error) if error.error_len().is_none() => self.whole += error.valid_up_to(),
            Err(_) => return Err(ProtocolError::InvalidText),
        }
        Ok(())
    }

    /// Checks that `text`, all of which has been [advanced](Self::advance) over, does not end within a character.
    ///
    /// # Errors
    /// [`ProtocolError::InvalidText`] when it does.
    pub(super) fn finish(self, text: &[u8]) -> Result<(), ProtocolError> {
        if self.whole == text.len() { Ok(()) } else { Err(ProtocolError::InvalidText) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The byte (counted from 0) at which a text that comes byte by byte is refused; its length when only the end is.
    fn refused_at(text: &[u8]) -> Option<usize> {
        let mut check = Utf8Check::default();
        for end in 1..=text.len() {
            if check.advance(&text[..end]).is_err() {
                return Some(end - 1);
            }
        }
        check.finish(text).is_err().then_some(text.len())
    }

    #[test]
    fn text_is_refused_at_the_first_byte_that_cannot_be_right() {
        let table: [(&[u8], Option<usize>); 20] = [
            (b"", None),
            (b"plain", None),
            ("κόσμε".as_bytes(), None),
            ("\u{10ffff}\u{0}\u{7f}\u{80}\u{7ff}\u{800}\u{ffff}\u{10000}".as_bytes(), None),
            (b"\x80", Some(0)),
            (b"ab\xbf", Some(2)),
            (b"\xc0\xaf", Some(0)),
            (b"\xc1\xbf", Some(0)),
            (b"\xc2", Some(1)),
            (b"\xc2a", Some(1)),
            // Overlong forms fail at the second byte.
            (b"\xe0\x9f\xbf", Some(1)),
            (b"\xf0\x8f\xbf\xbf", Some(1)),
            // As does what is over U+10FFFF (Autobahn 6.4.1 to 6.4.4), and a surrogate.
            (b"\xce\xba\xf4\x90\x80\x80", Some(3)),
            (b"\xed\xa0\x80", Some(1)),
            (b"\xf5", Some(0)),
            (b"\xff", Some(0)),
            (b"\xe2\x82", Some(2)),
            (b"\xf0\x9f\x98", Some(3)),
            (b"\xf0\x9f\x98a", Some(3)),
            (b"\xef\xbf\xbf\xed\x9f\xbf\xee\x80\x80", None),
        ];
        for (text, refused) in table {
            assert_eq!(refused_at(text), refused, "{text:x?}");
        }
    }

    #[test]
    fn a_beginning_is_refused_exactly_when_no_character_begins_so() {
        // Every first two bytes of every character there is.
        let mut begins = std::collections::HashSet::new();
        for character in '\u{80}'..=char::MAX {
            let mut bytes = [0; 4];
            character.encode_utf8(&mut bytes);
            begins.insert([bytes[0], bytes[1]]);
        }
        for first in 0x80..=u8::MAX {
            for second in 0..=u8::MAX {
                let bytes = [first, second];
                assert_eq!(Utf8Check::default().advance(&bytes).is_ok(), begins.contains(&bytes), "{bytes:x?}");
            }
        }
    }

    #[test]
    fn any_cut_of_a_text_is_accepted() {
        let text = "aé€😀z".repeat(3);
        for first in 0..=text.len() {
            for second in first..=text.len() {
                let mut check = Utf8Check::default();
                for end in [first, second, text.len()] {
                    assert_eq!(check.advance(&text.as_bytes()[..end]), Ok(()));
                }
                assert_eq!(check.finish(text.as_bytes()), Ok(()));
            }
        }
    }
}
