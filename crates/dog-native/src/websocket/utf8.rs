//! Checks that text is UTF-8 while it arrives.

use super::error::ProtocolError;

/// How much of a growing text has been checked.
///
/// The check fails at the first invalid byte, not at the end of the frame or message. So a client cannot make a server
/// buffer megabytes that it will refuse in the end.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Utf8Check {
    /// The number of bytes at the front that are complete characters. At most three bytes follow them: the beginning of
    /// a character. They are read again when more has arrived, which is cheaper than keeping the state of a state
    /// machine.
    whole: usize,
}

impl Utf8Check {
    /// Checks the bytes that were appended to `text`, which is the whole text so far.
    ///
    /// # Errors
    /// [`ProtocolError::InvalidText`] if a byte cannot be part of UTF-8 at its position, whatever follows it.
    pub(super) fn advance(&mut self, text: &[u8]) -> Result<(), ProtocolError> {
        match std::str::from_utf8(&text[self.whole..]) {
            Ok(_) => self.whole = text.len(),
            // Without an `error_len`, the text ends within a character that is valid so far.
            Err(error) if error.error_len().is_none() => self.whole += error.valid_up_to(),
            Err(_) => return Err(ProtocolError::InvalidText),
        }
        Ok(())
    }

    /// Checks that `text` does not end within a character. [`advance`](Self::advance) must have seen all of it.
    ///
    /// # Errors
    /// [`ProtocolError::InvalidText`] if it does.
    pub(super) fn finish(self, text: &[u8]) -> Result<(), ProtocolError> {
        if self.whole == text.len() { Ok(()) } else { Err(ProtocolError::InvalidText) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the index of the byte at which a text that arrives byte by byte is refused, or its length if only
    /// `finish` refuses it.
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
            // So do code points above U+10FFFF (Autobahn 6.4.1 to 6.4.4) and surrogates.
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
        // The first two bytes of each character that is not ASCII.
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
