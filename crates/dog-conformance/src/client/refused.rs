//! A handshake that is accepted and closed at once: [`TurnedAway`].

use std::net::SocketAddr;

use futures_util::StreamExt;
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::{HeaderValue, header};

use super::Ending;
use crate::check::{Outcome, ScenarioFailure, within};

/// A client that was let in only to be told to go. It stays connected until it is dropped.
pub(crate) struct TurnedAway {
    subprotocol: Option<String>,
    ending: Ending,
    stream: WebSocketStream<TcpStream>,
}

impl TurnedAway {
    /// Opens a WebSocket that offers `subprotocols`, and reads the close.
    ///
    /// # Errors
    /// If the handshake fails, or something comes before the close, or the close does not come in time.
    pub(crate) async fn hear(entry: SocketAddr, path: &str, subprotocols: &str) -> Outcome<Self> {
        let mut request = format!("ws://{entry}{path}").into_client_request()?;
        if !subprotocols.is_empty() {
            let offered = HeaderValue::from_str(subprotocols)?;
            request.headers_mut().insert(header::SEC_WEBSOCKET_PROTOCOL, offered);
        }
        within("a refusal after the upgrade", async {
            let stream = TcpStream::connect(entry).await?;
            let (mut stream, response) = tokio_tungstenite::client_async(request, stream).await?;
            let chosen = response.headers().get(header::SEC_WEBSOCKET_PROTOCOL);
            let subprotocol = chosen.and_then(|name| name.to_str().ok()).map(str::to_owned);
            match stream.next().await {
                Some(Ok(Message::Close(frame))) => {
                    let ending = frame.map_or_else(Ending::bare, Ending::from);
                    Ok(Self { subprotocol, ending, stream })
                }
                other => Err(ScenarioFailure::new(format!("{other:?} instead of a close"))),
            }
        })
        .await
    }

    /// The subprotocol that the server has chosen.
    pub(crate) fn subprotocol(&self) -> Option<&str> {
        self.subprotocol.as_deref()
    }

    /// The close.
    pub(crate) fn ending(&self) -> &Ending {
        &self.ending
    }

    /// Answers the close, and waits until the server ends the connection.
    ///
    /// # Errors
    /// If the server sends anything, or does not end the connection in time.
    pub(crate) async fn leave(mut self) -> Outcome {
        within("the end of a connection that was refused", async {
            match self.stream.next().await {
                None => Ok(()),
                Some(other) => Err(ScenarioFailure::new(format!("{other:?} after the close"))),
            }
        })
        .await
    }
}
