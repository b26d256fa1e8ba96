//! Unmasks a client's payload in place.

/// The four bytes that the client has XORed its payload with, rotated so that the first belongs to the next byte. So a
/// payload that arrives in pieces can be unmasked piece by piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mask([u8; 4]);

impl Mask {
    /// Creates the mask for the start of a payload, from the key in the frame's header.
    pub(super) fn new(key: [u8; 4]) -> Self {
        Self(key)
    }

    /// Unmasks the next piece of the payload.
    #[inline]
    pub(super) fn apply(&mut self, piece: &mut [u8]) {
        // The loop processes eight bytes at a time, and the compiler vectorizes it. Native byte order is right, because
        // it is used both ways.
        let word = u64::from(u32::from_ne_bytes(self.0));
        let word = word | word << 32;
        let (words, rest) = piece.as_chunks_mut::<8>();
        for bytes in words {
            *bytes = (u64::from_ne_bytes(*bytes) ^ word).to_ne_bytes();
        }
        for (byte, key) in rest.iter_mut().zip(self.0.iter().cycle()) {
            *byte ^= key;
        }
        // Only the rest rotates the mask: eight is a multiple of four.
        self.0.rotate_left(rest.len() % 4);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: [u8; 4] = [0x12, 0xa7, 0x00, 0xff];

    fn one_by_one(bytes: &[u8]) -> Vec<u8> {
        bytes.iter().enumerate().map(|(index, byte)| byte ^ KEY[index % 4]).collect()
    }

    #[test]
    fn every_length_is_unmasked_as_if_byte_by_byte() {
        for length in 0..100_u8 {
            let bytes: Vec<u8> = (0..length).collect();
            let mut unmasked = bytes.clone();
            Mask::new(KEY).apply(&mut unmasked);
            assert_eq!(unmasked, one_by_one(&bytes), "length {length}");
        }
    }

    #[test]
    fn pieces_are_unmasked_as_the_whole_would_be() {
        let bytes: Vec<u8> = (0..64).collect();
        for first in 0..=40 {
            for second in 0..=24 {
                let mut pieces = bytes.clone();
                let mut mask = Mask::new(KEY);
                mask.apply(&mut pieces[..first]);
                mask.apply(&mut pieces[first..first + second]);
                mask.apply(&mut pieces[first + second..]);
                assert_eq!(pieces, one_by_one(&bytes), "cut after {first} and {second} more");
            }
        }
    }
}
