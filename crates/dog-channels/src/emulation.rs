//! What the clients of streams say, in requests of their own: [`emulation`].

use bytes::Bytes;
use dog::http::{Method, StatusCode};
use dog::{Body, Message, Request, Response, text_response};
use prost::Message as _;
use serde::Deserialize;

use crate::channels::Channels;
use crate::messages::SpeaksChannels;
use crate::protocol::{Codec, MAX_FRAME};
use crate::server::ChannelServer;
use crate::streams::{body_codec, only};

/// A message is as long as a frame at most, and some more for the session. JSON may write each of its letters as two.
const MAX_EMULATED: usize = 2 * MAX_FRAME + 1024;

/// What a client says beside its stream.
#[derive(Clone, PartialEq, ::prost::Message, Deserialize)]
#[serde(default)]
struct Said {
    /// The server that the client has been told. Each takes everything, so nobody looks at it.
    #[prost(string, tag = "1")]
    node: String,
    #[prost(string, tag = "2")]
    session: String,
    #[prost(bytes = "bytes", tag = "3")]
    #[serde(deserialize_with = "text")]
    data: Bytes,
}

/// In JSON, the commands are a string with a JSON object per line.
fn text<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Bytes, D::Error> {
    String::deserialize(deserializer).map(Bytes::from)
}

/// Takes what the client of a stream says: `POST /emulation`, in JSON or Protobuf. Any server of a cluster takes it.
///
/// A request without a session that there is gets 404, one that is malformed 400, and one over the bound of a frame 413.
///
/// # Errors
/// The body could not be read, or the connection does not answer. The client may repeat it.
pub async fn emulation<C: Channels, G: SpeaksChannels>(
    server: &ChannelServer<'_, C, G>,
    request: Request,
) -> dog::Result<Response> {
    if request.method() != Method::POST {
        return Ok(only("POST"));
    }
    let codec = body_codec(&request);
    let body = request.into_body().bytes(MAX_EMULATED).await?;
    let said = match codec {
        Codec::Json => read_json(&body),
        Codec::Protobuf => Said::decode(body).ok(),
    };
    let Some(Said { session, data, .. }) = said else {
        return Ok(text_response(StatusCode::BAD_REQUEST, "the body is not a session and its commands"));
    };
    server.deliver(&session, Message::binary(data)).await?;
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    Ok(response)
}

fn read_json(body: &[u8]) -> Option<Said> {
    // As serde reads it, a list would do for an object.
    let is_object = body.trim_ascii_start().starts_with(b"{");
    serde_json::from_slice(body).ok().filter(|_| is_object)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_client_says_is_read_in_both_codecs() {
        let said = Said { node: "n".into(), session: "s".into(), data: Bytes::from_static(b"{\"id\":1}\n{}") };
        let json = r#"{"session":"s","node":"n","data":"{\"id\":1}\n{}"}"#;
        assert_eq!(read_json(json.as_bytes()), Some(said.clone()));
        assert_eq!(Said::decode(&said.encode_to_vec()[..]).unwrap(), said);
        for wrong in ["", "[]", "null", r#"{"session":1}"#, r#"{"data":{}}"#] {
            assert_eq!(read_json(wrong.as_bytes()), None, "{wrong}");
        }
    }
}
