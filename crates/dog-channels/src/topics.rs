//! The topics of a channel. The library sends a message as it is to all subscribers of a topic, so each way of writing messages has
//! a topic of its own. A letter before the name of the channel says which.

use std::fmt;

use crate::protocol::Codec;

/// Every way of writing messages.
pub(crate) const CODECS: [Codec; 2] = [Codec::Json, Codec::Protobuf];

/// The topic with the publications of a channel.
pub(crate) fn publications(codec: Codec, channel: &str) -> String {
    named(
        match codec {
            Codec::Json => 'j',
            Codec::Protobuf => 'p',
        },
        channel,
    )
}

/// The topic that says who comes and goes.
pub(crate) fn joins(codec: Codec, channel: &str) -> String {
    named(
        match codec {
            Codec::Json => 'J',
            Codec::Protobuf => 'P',
        },
        channel,
    )
}

fn named(letter: char, channel: impl fmt::Display) -> String {
    format!("{letter}{channel}")
}

/// The channel whose publications a topic has.
pub(crate) fn channel(topic: &str) -> Option<&str> {
    topic.strip_prefix(['j', 'p'])
}
