//! How pushes become messages of sockets, and publications are found in them again.

use dog::{Message, Publication};

use crate::messages::NewChannelPublication;
use crate::protocol::{ChannelPublication, Codec, NotJson, Push, ServerReply};

/// A frame for one socket or many.
pub(crate) fn message(codec: Codec, reply: ServerReply) -> Result<Message, NotJson> {
    let frame = codec.replies(&[reply])?;
    match codec {
        Codec::Json => std::str::from_utf8(&frame).map(Message::text).map_err(|_| NotJson),
        Codec::Protobuf => Ok(Message::binary(frame)),
    }
}

/// A push.
pub(crate) fn push(codec: Codec, push: Push) -> Result<Message, NotJson> {
    message(codec, ServerReply { push: Some(Box::new(push)), ..ServerReply::default() })
}

/// A publication with its place in the history. 0: it has none.
pub(crate) fn publication(codec: Codec, new: &NewChannelPublication, offset: u64) -> Result<Message, NotJson> {
    let publication = ChannelPublication {
        data: new.data.clone(),
        info: new.info(),
        tags: new.tags.clone(),
        offset,
        ..ChannelPublication::default()
    };
    push(codec, Push { channel: new.channel.clone(), publication: Some(publication), ..Push::default() })
}

/// What subscribers were told of a publication in a log.
pub(crate) fn read(codec: Codec, kept: &Publication) -> Option<ChannelPublication> {
    let reply = codec.read_replies(kept.message.as_bytes()).ok()?.pop()?;
    reply.push?.publication
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::ClientInfo;
    use crate::topics::CODECS;

    #[test]
    fn what_was_published_is_found_again() {
        let who = ClientInfo { user: "ann".into(), client: "1".into(), ..ClientInfo::default() };
        let new = NewChannelPublication::new("news", "{\"a\":1}").by(&who);
        for codec in CODECS {
            let message = publication(codec, &new, 7).unwrap();
            let kept =
                Publication { offset: 7, at: dog::Timestamp::from_millis(0), message, metadata: bytes::Bytes::new() };
            let found = read(codec, &kept).unwrap();
            assert_eq!((found.offset, &found.data[..]), (7, &b"{\"a\":1}"[..]));
            assert_eq!(found.info, Some(who.clone()));
        }
    }
}
