//! What was said to everyone, as sockets get it: each message with its position, and the newest ones together.

use std::cell::RefCell;

use dog::{
    Context, Error, HistoryOrder, HistoryPage, LogEpoch, Message, Position, Publication, ROOM, Replica, Timestamp,
};

/// How many messages a socket begins with, and how many bytes they have at most, together.
const MOST: usize = 50;
const MOST_BYTES: usize = 256 * 1024;

/// A message that was said to everyone, with its position.
pub(crate) fn with_position(epoch: &LogEpoch, publication: &Publication) -> Message {
    let text = publication.message.as_text().unwrap_or_default();
    match text.strip_suffix('}') {
        // An epoch has no characters that mean something in JSON.
        Some(fields) => Message::text(format!(r#"{fields},"epoch":"{epoch}","offset":{}}}"#, publication.offset)),
        None => publication.message.clone(),
    }
}

/// The newest messages, as one that sockets begin with. Sockets that open one after another share it.
#[derive(Default)]
pub(crate) struct History(RefCell<Option<Shown>>);

struct Shown {
    head: Position,
    /// How many messages it has.
    count: usize,
    message: Message,
}

impl History {
    /// The newest messages, and where they end.
    pub(crate) async fn read<R: Replica>(&self, cx: &Context<R>) -> Result<(Message, Position), Error> {
        let page = cx.history(ROOM, None, HistoryOrder::NewestFirst, MOST).await?;
        let count = page.publications.len();
        let mut shown = self.0.borrow_mut();
        let known = shown.as_ref().filter(|shown| shown.head == page.head && shown.count == count);
        if let Some(known) = known {
            return Ok((known.message.clone(), page.head));
        }
        let message = history(&page, cx.now());
        *shown = Some(Shown { head: page.head.clone(), count, message: message.clone() });
        Ok((message, page.head))
    }
}

fn history(page: &HistoryPage, now: Timestamp) -> Message {
    let (epoch, offset, time) = (page.head.epoch(), page.head.offset(), now.as_millis());
    let begin = format!(r#"{{"type":"history","time":{time},"epoch":"{epoch}","offset":{offset},"messages":["#);
    let mut bytes = begin.len() + "]}".len();
    let messages = page.publications.iter().map(|publication| with_position(epoch, publication));
    let mut newest: Vec<Message> = messages
        .take_while(|message| {
            bytes += message.len() + ",".len();
            bytes <= MOST_BYTES
        })
        .collect();
    newest.reverse();
    let messages: Vec<&str> = newest.iter().filter_map(Message::as_text).collect();
    Message::text(format!("{begin}{}]}}", messages.join(",")))
}

#[cfg(test)]
mod tests {
    use dog::NewPublication;
    use serde_json::{Value, json};

    use super::*;
    use crate::protocol::Output;

    fn publication(offset: u64, text: &str) -> Publication {
        let said = Output::Said { from: "ann", text, meta: None, to: None, topic: None };
        let message = said.at(Timestamp::from_millis(7)).unwrap();
        let NewPublication { message, metadata, .. } = NewPublication::new(message);
        Publication { offset, at: Timestamp::from_millis(7), message, metadata }
    }

    fn page(texts: &[String]) -> HistoryPage {
        let epoch = LogEpoch::new("e_-1").unwrap();
        let mut publications: Vec<_> = (1..).zip(texts).map(|(offset, text)| publication(offset, text)).collect();
        publications.reverse();
        HistoryPage { head: Position::new(epoch, texts.len() as u64), publications, more: false }
    }

    fn shown(texts: &[String]) -> Value {
        history(&page(texts), Timestamp::from_millis(8)).to_json().unwrap()
    }

    #[test]
    fn the_history_has_whole_messages_with_their_positions_the_oldest_first() {
        assert_eq!(
            shown(&["}\"".into(), "b".into()]),
            json!({ "type": "history", "time": 8, "epoch": "e_-1", "offset": 2, "messages": [
                { "type": "user:msg", "from": "ann", "text": "}\"", "time": 7, "epoch": "e_-1", "offset": 1 },
                { "type": "user:msg", "from": "ann", "text": "b", "time": 7, "epoch": "e_-1", "offset": 2 },
            ] })
        );
        let empty = shown(&[]);
        assert_eq!((&empty["offset"], &empty["messages"]), (&json!(0), &json!([])));
    }

    #[test]
    fn a_history_of_long_messages_has_the_newest_that_fit() {
        let texts: Vec<_> = (0..50).map(|_| "x".repeat(16 * 1024)).collect();
        let message = history(&page(&texts), Timestamp::from_millis(8));
        let shown: Value = message.to_json().unwrap();
        let offsets: Vec<_> =
            shown["messages"].as_array().unwrap().iter().map(|each| each["offset"].as_u64()).collect();
        assert_eq!(offsets, (36..=50).map(Some).collect::<Vec<_>>());
        assert!(message.len() <= MOST_BYTES && message.len() + 17 * 1024 > MOST_BYTES);
    }
}
