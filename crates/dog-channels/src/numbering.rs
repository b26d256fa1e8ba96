//! How publications get their offsets into what subscribers are told: [`Numbering`].
//!
//! The library sends a publication as it was given, and numbers it when it is made. Subscribers need the number within the message.
//! So the Group, which alone publishes to the logs of channels, knows the next number of each, publishes one at a time per channel,
//! and compares. If they ever differ, the log begins again: clients are told that something was lost, and nobody goes on from a
//! wrong position.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use dog::{GroupContext, HistoryOrder, NewPublication, Position};
use futures_util::lock::Mutex;

use crate::messages::{NewChannelPublication, Published};
use crate::protocol::ErrorCode;
use crate::render;
use crate::topics::{self, CODECS};

/// How many channels are remembered. The heads of the others are read again.
const REMEMBERED: usize = 5_000;

/// The newest position in the log of each codec. `None`: it has to be read.
type Heads = [Option<Position>; CODECS.len()];

/// What is known of the logs.
#[derive(Default)]
pub(crate) struct Numbering {
    channels: RefCell<BTreeMap<String, Rc<Mutex<Heads>>>>,
}

impl Numbering {
    /// Publishes in the log of each codec. The position is that for JSON.
    pub(crate) async fn publish(&self, cx: &GroupContext, new: &NewChannelPublication) -> Result<Published, ErrorCode> {
        let channel = self.channel(&new.channel);
        let mut heads = channel.lock().await;
        let mut published = Published::default();
        for (codec, head) in CODECS.into_iter().zip(heads.iter_mut()) {
            let topic = topics::publications(codec, &new.channel);
            let known = match head.take() {
                Some(known) => known,
                None => newest(cx, &topic).await?,
            };
            let Ok(message) = render::publication(codec, new, known.offset() + 1) else {
                published.is_not_json = true;
                *head = Some(known);
                continue;
            };
            let mut publication = NewPublication::new(message);
            if !new.key.is_empty() {
                publication = publication.key(new.key.clone());
            }
            let position = cx.publish(&topic, publication).await?;
            *head = Some(follows(cx, &topic, known, &position).await?);
            published.position.get_or_insert(position);
        }
        Ok(published)
    }

    /// Has the history of a channel begin again.
    pub(crate) async fn reset(&self, cx: &GroupContext, name: &str) -> Result<(), ErrorCode> {
        let channel = self.channel(name);
        let mut heads = channel.lock().await;
        *heads = Heads::default();
        for codec in CODECS {
            cx.reset_log(&topics::publications(codec, name)).await?;
        }
        Ok(())
    }

    fn channel(&self, name: &str) -> Rc<Mutex<Heads>> {
        let mut channels = self.channels.borrow_mut();
        if let Some(channel) = channels.get(name) {
            return Rc::clone(channel);
        }
        if channels.len() >= REMEMBERED {
            channels.retain(|_, channel| Rc::strong_count(channel) > 1);
        }
        Rc::clone(channels.entry(name.to_owned()).or_default())
    }
}

/// The newest position in a log.
async fn newest(cx: &GroupContext, topic: &str) -> Result<Position, ErrorCode> {
    Ok(cx.history(topic, None, HistoryOrder::NewestFirst, 1).await?.head)
}

/// The newest position after a publication was given one.
async fn follows(cx: &GroupContext, topic: &str, known: Position, given: &Position) -> Result<Position, ErrorCode> {
    if given.epoch() == known.epoch() && given.offset() <= known.offset() {
        // Its key names an earlier one.
        return Ok(known);
    }
    if given.epoch() == known.epoch() && given.offset() == known.offset() + 1 {
        return Ok(given.clone());
    }
    // Somebody else has published there.
    cx.reset_log(topic).await?;
    Err(ErrorCode::INTERNAL)
}
