//! Builds frames as a client sends them, for tests.

/// Builds a masked frame. `first` is the first byte: flags and opcode.
pub(super) fn client_frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = client_header(first, payload.len() as u64);
    frame.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, key)| byte ^ key));
    frame
}

/// Builds the header of a masked frame that claims `length` bytes of payload.
pub(super) fn client_header(first: u8, length: u64) -> Vec<u8> {
    let mut header = vec![first];
    match length {
        0..=125 => header.push(0x80 | length.to_be_bytes()[7]),
        126..=0xffff => {
            header.push(0x80 | 126);
            header.extend_from_slice(&length.to_be_bytes()[6..]);
        }
        _ => {
            header.push(0x80 | 127);
            header.extend_from_slice(&length.to_be_bytes());
        }
    }
    header.extend_from_slice(&MASK);
    header
}

const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
