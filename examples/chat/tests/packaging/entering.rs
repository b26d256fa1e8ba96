//! How a person gets a socket.

use std::net::SocketAddr;
use std::time::Duration;

use dog_test_support::client::handshake;
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use crate::within;

/// The answers after which a client tries again: the room may have no Replica that answers yet, or be on its way to another node.
const AGAIN: [u16; 2] = [503, 504];
/// How long somebody who was refused waits.
const PAUSE: Duration = Duration::from_millis(100);

/// An open socket.
pub(crate) type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// A socket, and how it was got.
pub(crate) struct Entered {
    pub(crate) socket: Socket,
    /// The cookie of the balancer.
    pub(crate) cookie: Option<String>,
    /// How often the handshake was refused.
    pub(crate) refusals: u32,
}

/// Enters the room. Any refusal but that for now is a failure.
pub(crate) async fn enter(entry: SocketAddr, name: &str, cookie: Option<&str>) -> Entered {
    let entering = async {
        for refusals in 0.. {
            let mut request = handshake(entry, &format!("/ws?u={name}"));
            if let Some(cookie) = cookie {
                request.headers_mut().insert("cookie", cookie.parse().unwrap());
            }
            match Box::pin(connect_async(request)).await {
                Ok((socket, response)) => {
                    let set = response.headers().get("set-cookie").map(|it| it.to_str().unwrap());
                    let cookie = set.and_then(|it| it.split(';').next()).or(cookie).map(str::to_owned);
                    return Entered { socket, cookie, refusals };
                }
                Err(Error::Http(response)) if AGAIN.contains(&response.status().as_u16()) => {}
                Err(error) => panic!("{name} cannot enter: {error}"),
            }
            tokio::time::sleep(PAUSE).await;
        }
        unreachable!("it tries until it is in")
    };
    within("a place in the room", entering).await
}

/// What somebody says.
pub(crate) fn said(text: impl std::fmt::Display) -> Message {
    Message::text(json!({ "type": "msg", "text": text.to_string() }).to_string())
}

/// Sends a message.
pub(crate) async fn say(socket: &mut Socket, text: &str) {
    within("sending", socket.send(said(text))).await.unwrap();
}

/// The text of the next message that somebody has said.
pub(crate) async fn heard(socket: &mut Socket) -> String {
    loop {
        let message = within("a message", socket.next()).await.unwrap().unwrap();
        let message: Value = serde_json::from_str(message.to_text().unwrap()).unwrap_or_default();
        // What was said while the room was being entered is in the history.
        let said = match message["type"].as_str() {
            Some("history") => message["messages"].as_array().and_then(|messages| messages.last()),
            Some("user:msg") => Some(&message),
            _ => None,
        };
        if let Some(said) = said {
            return said["text"].as_str().unwrap().to_owned();
        }
    }
}
