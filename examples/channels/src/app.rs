//! The endpoints: [`ChannelsApp`].

use dog::http::{Method, StatusCode, header};
use dog::{App, Dog, Request, Response, Result, text_response};
use dog_channels::{ChannelGroup, ChannelServer, emulation, http_api};

use crate::cors;
use crate::rules::Rules;
use crate::settings::{HTTP_STREAM, SSE, WEBSOCKET};

/// All clients are in the Group with this name.
const SERVER: &str = "main";

type Channels<'a> = ChannelServer<'a, Rules, ChannelGroup<Rules>>;

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
        let settings = self.rules.settings();
        match request.uri().path() {
            path if path.starts_with("/api/") => http_api(&server, settings.api_key(), request).await,
            path if !settings.offers(path) => Ok(text_response(StatusCode::NOT_FOUND, "not found")),
            _ => match settings.check_origin(&request) {
                Ok(()) => self.connect(&server, request, dog).await,
                Err(denied) => Ok(denied.response()),
            },
        }
    }
}

impl ChannelsApp {
    /// Answers a client of a page that may connect.
    async fn connect(&self, server: &Channels<'_>, request: Request, dog: &Dog<Self>) -> Result<Response> {
        let origin = request.headers().get(header::ORIGIN).cloned();
        let path = request.uri().path().to_owned();
        if path == WEBSOCKET {
            // Before a Group is named: a request that can only fail should cost nothing.
            return match dog.refuse_websocket(&request) {
                Some(refusal) => Ok(refusal),
                None => server.connect(request).await,
            };
        }
        if request.method() == Method::OPTIONS {
            return Ok(cors::preflight(origin.as_ref()));
        }
        let answer = match path.as_str() {
            HTTP_STREAM => server.http_stream(request).await,
            SSE => server.event_stream(request).await,
            _ => emulation(server, request).await,
        };
        let mut response = answer?;
        cors::share(origin.as_ref(), response.headers_mut());
        Ok(response)
    }
}
