//! The endpoints: [`ChannelsApp`].

use dog::http::StatusCode;
use dog::{App, Dog, Request, Response, Result, text_response};
use dog_channels::{ChannelGroup, ChannelServer, http_api};

use crate::rules::Rules;

/// All clients are in the Group with this name.
const SERVER: &str = "main";

/// Answers every request.
pub struct ChannelsApp {
    rules: Rules,
}

impl ChannelsApp {
    /// The program with these rules. The same have to be in the [`Env`](dog::Env).
    pub fn new(rules: Rules) -> Self {
        Self { rules }
    }
}

impl App for ChannelsApp {
    type Groups = (ChannelGroup<Rules>,);

    async fn fetch(&self, request: Request, dog: &Dog<Self>) -> Result<Response> {
        let server = ChannelServer::new(&self.rules, dog.group::<ChannelGroup<Rules>>(SERVER));
        match request.uri().path() {
            "/connection/websocket" => {
                if let Err(denied) = self.rules.settings().check_origin(&request) {
                    return Ok(denied.response());
                }
                // Before a Group is named: a request that can only fail should cost nothing.
                match dog.refuse_websocket(&request) {
                    Some(refusal) => Ok(refusal),
                    None => server.connect(request).await,
                }
            }
            path if path.starts_with("/api/") => http_api(&server, self.rules.settings().api_key(), request).await,
            _ => Ok(text_response(StatusCode::NOT_FOUND, "not found")),
        }
    }
}
