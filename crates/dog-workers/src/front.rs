//! The entry of a Worker: one request from outside, answered by the App.

use std::net::IpAddr;
use std::sync::Arc;

use dog::App;
use dog::http::{HeaderMap, StatusCode};
use dog_engine::Front;
use js_sys::Promise;
use wasm_bindgen::JsValue;

use crate::host::{WorkerDefinition, WorkersHost};
use crate::http;
use crate::platform::ExecutionContext;
use crate::spawn::promise;

/// The address of the client, in the header that Cloudflare sets on every request. It replaces what a client has sent.
const CONNECTING_IP: &str = "cf-connecting-ip";

fn peer(headers: &HeaderMap) -> Option<IpAddr> {
    headers.get(CONNECTING_IP)?.to_str().ok()?.parse().ok()
}

/// Answers a request from outside.
pub fn answer<A: App>(
    worker: &'static WorkerDefinition,
    app: Arc<A>,
    request: web_sys::Request,
    bindings: JsValue,
    context: ExecutionContext,
) -> Promise {
    let host = WorkersHost::new(worker, bindings, Some(context));
    promise(async move {
        let response = match http::request_from_platform(&request) {
            Ok(mut request) => {
                if let Some(peer) = peer(request.headers()) {
                    dog::set_peer_address(&mut request, peer);
                }
                Front::new(app, host).fetch(request).await
            }
            Err(error) => dog::text_response(StatusCode::BAD_REQUEST, error.to_string()),
        };
        let response = http::answer_to_platform(response).or_else(|error| {
            tracing::error!("a response could not be sent: {error}");
            http::response_to_platform(dog::text_response(StatusCode::INTERNAL_SERVER_ERROR, "internal error"), None)
        });
        response.map(JsValue::from).map_err(|error| js_sys::Error::new(&error.to_string()).into())
    })
}
