//! Messages as they are written to event streams.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use dog::internal::StreamFormat;
use dog::{Close, Message};
use serde::Serialize;

/// One message in each format, encoded when a stream of that format first needs it.
pub(crate) struct Encoded<'a> {
    message: &'a Message,
    event: Option<Bytes>,
    line: Option<Bytes>,
    bytes: Option<Bytes>,
}

impl<'a> Encoded<'a> {
    pub(crate) fn new(message: &'a Message) -> Self {
        Self { message, event: None, line: None, bytes: None }
    }

    pub(crate) fn of(&mut self, format: StreamFormat) -> &Bytes {
        match format {
            StreamFormat::Events => self.event.get_or_insert_with(|| event(self.message)),
            StreamFormat::Lines | StreamFormat::QuietLines => self.line.get_or_insert_with(|| line(self.message)),
            StreamFormat::Bytes => self.bytes.get_or_insert_with(|| self.message.to_bytes()),
        }
    }
}

/// What is written when nothing else was for a while. Clients ignore it. Bytes have nothing that every client would ignore.
pub(super) fn keep_alive(format: StreamFormat) -> Option<Bytes> {
    match format {
        StreamFormat::Events => Some(Bytes::from_static(b":\n\n")),
        StreamFormat::Lines => Some(Bytes::from_static(b"\n")),
        StreamFormat::QuietLines | StreamFormat::Bytes => None,
    }
}

/// What is written last. In lines and bytes there is nothing that a client could tell from a message.
pub(super) fn last_words(close: &Close, format: StreamFormat) -> Option<Bytes> {
    #[derive(Serialize)]
    struct LastWords<'a> {
        code: u16,
        reason: &'a str,
    }
    if format != StreamFormat::Events {
        return None;
    }
    let words = Message::json(&LastWords { code: close.code().as_u16(), reason: close.reason() }).ok()?;
    let mut out = b"event: close\n".to_vec();
    data(&mut out, words.as_bytes());
    out.push(b'\n');
    Some(out.into())
}

fn event(message: &Message) -> Bytes {
    let mut out = Vec::with_capacity(message.len() + 16);
    match message.as_text() {
        Some(text) => lines(text).for_each(|line| data(&mut out, line.as_bytes())),
        None => {
            out.extend_from_slice(b"event: binary\n");
            data(&mut out, BASE64_STANDARD.encode(message.as_bytes()).as_bytes());
        }
    }
    out.push(b'\n');
    out.into()
}

fn data(out: &mut Vec<u8>, line: &[u8]) {
    out.extend_from_slice(b"data: ");
    out.extend_from_slice(line);
    out.push(b'\n');
}

fn line(message: &Message) -> Bytes {
    let mut out = match message.as_text() {
        Some(text) => text.replace(['\r', '\n'], " "),
        None => BASE64_STANDARD.encode(message.as_bytes()),
    };
    out.push('\n');
    out.into()
}

/// The lines of a text. Each of CR LF, CR and LF ends a line, as in server-sent events: a line that still contained one would
/// end early at the client.
fn lines(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest.take()?;
        let Some(at) = text.find(['\r', '\n']) else { return Some(text) };
        let length = if text[at..].starts_with("\r\n") { 2 } else { 1 };
        rest = Some(&text[at + length..]);
        Some(&text[..at])
    })
}

#[cfg(test)]
mod tests {
    use dog::CloseCode;

    use super::*;

    fn written(message: &Message, format: StreamFormat) -> String {
        String::from_utf8(Encoded::new(message).of(format).to_vec()).unwrap()
    }

    #[test]
    fn each_line_of_a_text_is_a_data_line_of_one_event() {
        for (text, event) in [
            ("hello", "data: hello\n\n"),
            ("", "data: \n\n"),
            (" two  spaces", "data:  two  spaces\n\n"),
            ("a\nb\r\nc\rd", "data: a\ndata: b\ndata: c\ndata: d\n\n"),
            ("ends\n", "data: ends\ndata: \n\n"),
            ("\r\n\r\n", "data: \ndata: \ndata: \n\n"),
            ("data: x\nevent: close", "data: data: x\ndata: event: close\n\n"),
        ] {
            assert_eq!(written(&Message::text(text), StreamFormat::Events), event, "{text:?}");
        }
    }

    #[test]
    fn a_line_is_one_line_whatever_the_text_contains() {
        for (text, line) in [("hello", "hello\n"), ("{\n \"a\": 1\r\n}", "{  \"a\": 1  }\n"), ("", "\n")] {
            assert_eq!(written(&Message::text(text), StreamFormat::Lines), line, "{text:?}");
        }
    }

    #[test]
    fn bytes_are_written_in_base64() {
        let message = Message::binary([0, 255, 10]);
        assert_eq!(written(&message, StreamFormat::Events), "event: binary\ndata: AP8K\n\n");
        assert_eq!(written(&message, StreamFormat::Lines), "AP8K\n");
    }

    #[test]
    fn a_stream_of_bytes_has_the_messages_and_nothing_else() {
        for message in [Message::binary([0, 255, 10]), Message::text("a\nb"), Message::text("")] {
            assert_eq!(Encoded::new(&message).of(StreamFormat::Bytes), message.as_bytes());
        }
        assert_eq!(keep_alive(StreamFormat::Bytes), None);
        assert_eq!(keep_alive(StreamFormat::QuietLines), None);
    }

    #[test]
    fn a_message_is_encoded_once_per_format() {
        let message = Message::text("hello");
        let mut encoded = Encoded::new(&message);
        let first = encoded.of(StreamFormat::Events).clone();
        assert_eq!(first.as_ptr(), encoded.of(StreamFormat::Events).as_ptr());
    }

    #[test]
    fn the_last_event_is_the_close() {
        let close = Close::new(CloseCode::new(4000).unwrap(), "over\n\"and out\"");
        let words = last_words(&close, StreamFormat::Events).unwrap();
        assert_eq!(words, "event: close\ndata: {\"code\":4000,\"reason\":\"over\\n\\\"and out\\\"\"}\n\n");
        assert_eq!(last_words(&close, StreamFormat::Lines), None);
        assert_eq!(last_words(&close, StreamFormat::Bytes), None);
    }
}
