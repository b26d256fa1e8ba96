//! What a client writes: frames, valid or not.

/// Opcodes.
pub(crate) const CONTINUATION: u8 = 0x0;
pub(crate) const TEXT: u8 = 0x1;
pub(crate) const BINARY: u8 = 0x2;
pub(crate) const CLOSE: u8 = 0x8;
pub(crate) const PING: u8 = 0x9;
pub(crate) const PONG: u8 = 0xa;

/// One frame as a client writes it, valid or not.
#[derive(Clone, Debug)]
pub(crate) struct ClientFrame {
    pub(crate) last: bool,
    pub(crate) reserved: u8,
    pub(crate) opcode: u8,
    pub(crate) mask: Option<[u8; 4]>,
    pub(crate) form: LengthForm,
    pub(crate) payload: Vec<u8>,
}

/// How the length is written.
#[derive(Clone, Copy, Debug)]
pub(crate) enum LengthForm {
    Shortest,
    /// In eight bytes, even if fewer are enough.
    Eight,
    /// A false length in eight bytes.
    Claimed(u64),
}

impl ClientFrame {
    pub(crate) fn new(opcode: u8, payload: impl Into<Vec<u8>>) -> Self {
        let payload = payload.into();
        // Any mask is good. This one depends on the payload, so it differs between frames.
        let mask = [0x5a, payload.len().to_le_bytes()[0], 0x00, payload.first().copied().unwrap_or(0xff)];
        Self { last: true, reserved: 0, opcode, mask: Some(mask), form: LengthForm::Shortest, payload }
    }

    pub(crate) fn fragment(opcode: u8, payload: impl Into<Vec<u8>>, last: bool) -> Self {
        Self { last, ..Self::new(opcode, payload) }
    }

    fn write(&self, stream: &mut Vec<u8>) {
        stream.push(u8::from(self.last) << 7 | self.reserved << 4 | self.opcode);
        let masked = u8::from(self.mask.is_some()) << 7;
        let length = self.payload.len() as u64;
        match (self.form, length) {
            (LengthForm::Claimed(length), _) | (LengthForm::Eight, length) | (_, length @ 0x1_0000..) => {
                stream.push(masked | 127);
                stream.extend_from_slice(&length.to_be_bytes());
            }
            (_, 0..=125) => stream.push(masked | length.to_be_bytes()[7]),
            _ => {
                stream.push(masked | 126);
                stream.extend_from_slice(&length.to_be_bytes()[6..]);
            }
        }
        let mask = self.mask.unwrap_or_default();
        stream.extend(self.mask.iter().flatten());
        stream.extend(self.payload.iter().zip(mask.iter().cycle()).map(|(byte, key)| byte ^ key));
    }
}

pub(crate) fn written(frames: &[ClientFrame]) -> Vec<u8> {
    let mut stream = Vec::new();
    for frame in frames {
        frame.write(&mut stream);
    }
    stream
}
