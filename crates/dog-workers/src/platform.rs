//! Bindings to the functions of the platform that this crate uses. Every call that can throw returns a `Result`.

use js_sys::{Array, Function, Map, Object, Promise, Uint8Array};
use wasm_bindgen::prelude::*;
use web_sys::{Request, Response};

#[wasm_bindgen(module = "/src/platform.js")]
extern "C" {
    /// Makes the methods of the exported classes callable for other objects.
    fn adopt();
    #[wasm_bindgen(js_name = hideQueueMicrotask)]
    fn hide_queue_microtask() -> JsValue;
    #[wasm_bindgen(js_name = showQueueMicrotask)]
    fn show_queue_microtask(hidden: &JsValue);
    /// Sends one message to the `sockets` with these numbers. Returns how many accepted it.
    #[wasm_bindgen(js_name = sendToAll)]
    pub(crate) fn send_to_all(sockets: &Map, numbers: &[f64], message: &JsValue) -> u32;
    /// The method and the URL of a request, a line each; then for each header a line with its name and one with its value.
    #[wasm_bindgen(catch, js_name = requestToLines)]
    pub(crate) fn request_to_lines(request: &Request) -> Result<String, JsValue>;
    /// For each header of a response, a line feed, its name, a line feed and its value.
    #[wasm_bindgen(catch, js_name = responseToLines)]
    pub(crate) fn response_to_lines(response: &Response) -> Result<String, JsValue>;
    /// A request; headers as [`response_to_lines`] has them.
    #[wasm_bindgen(catch, js_name = requestFromLines)]
    pub(crate) fn request_from_lines(method: &str, url: &str, lines: &str, body: &JsValue) -> Result<Request, JsValue>;
    /// A response; headers as [`response_to_lines`] has them.
    #[wasm_bindgen(catch, js_name = responseFromLines)]
    pub(crate) fn response_from_lines(
        status: u16,
        lines: &str,
        body: &JsValue,
        socket: Option<&WebSocket>,
    ) -> Result<Response, JsValue>;
}

#[wasm_bindgen]
extern "C" {
    /// `DurableObjectState`
    #[derive(Clone, Debug)]
    pub type ObjectState;
    #[wasm_bindgen(method, getter)]
    pub(crate) fn id(this: &ObjectState) -> ObjectId;
    #[wasm_bindgen(method, getter)]
    pub(crate) fn storage(this: &ObjectState) -> PlatformStorage;
    #[wasm_bindgen(method, catch, js_name = acceptWebSocket)]
    pub(crate) fn accept_web_socket(this: &ObjectState, socket: &WebSocket, tags: &Array) -> Result<(), JsValue>;
    #[wasm_bindgen(method, js_name = waitUntil)]
    pub(crate) fn wait_until(this: &ObjectState, promise: &Promise);
    #[wasm_bindgen(method, js_name = getWebSockets)]
    pub(crate) fn get_web_sockets(this: &ObjectState) -> Array;

    #[wasm_bindgen(method, catch, js_name = setWebSocketAutoResponse)]
    pub(crate) fn set_web_socket_auto_response(this: &ObjectState, pair: &AutoResponsePair) -> Result<(), JsValue>;

    /// `WebSocketRequestResponsePair`
    #[wasm_bindgen(js_name = WebSocketRequestResponsePair)]
    pub(crate) type AutoResponsePair;
    #[wasm_bindgen(constructor, catch, js_class = WebSocketRequestResponsePair)]
    pub(crate) fn new(request: &str, response: &str) -> Result<AutoResponsePair, JsValue>;

    /// `DurableObjectId`
    #[derive(Clone, Debug)]
    pub(crate) type ObjectId;
    #[wasm_bindgen(method, getter)]
    pub(crate) fn name(this: &ObjectId) -> Option<String>;

    /// `DurableObjectStorage`
    #[derive(Clone, Debug)]
    pub(crate) type PlatformStorage;
    #[wasm_bindgen(method, getter)]
    pub(crate) fn sql(this: &PlatformStorage) -> Sql;
    #[wasm_bindgen(method, catch, js_name = transactionSync)]
    pub(crate) fn transaction_sync(this: &PlatformStorage, body: &Function) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(method, catch, js_name = setAlarm)]
    pub(crate) fn set_alarm(this: &PlatformStorage, at: f64) -> Result<Promise, JsValue>;
    #[wasm_bindgen(method, catch, js_name = deleteAlarm)]
    pub(crate) fn delete_alarm(this: &PlatformStorage) -> Result<Promise, JsValue>;

    /// `SqlStorage`
    #[derive(Clone, Debug)]
    pub(crate) type Sql;
    #[wasm_bindgen(method, catch, variadic)]
    pub(crate) fn exec(this: &Sql, query: &str, values: &Array) -> Result<Cursor, JsValue>;
    /// `SqlStorageCursor`
    pub(crate) type Cursor;
    #[wasm_bindgen(method, catch)]
    pub(crate) fn raw(this: &Cursor) -> Result<Rows, JsValue>;
    /// The rows of a cursor as arrays.
    pub(crate) type Rows;
    #[wasm_bindgen(method, catch, js_name = toArray)]
    pub(crate) fn to_array(this: &Rows) -> Result<Array, JsValue>;

    /// `WebSocket`
    #[derive(Clone, Debug)]
    pub type WebSocket;
    #[wasm_bindgen(method, getter, js_name = readyState)]
    pub(crate) fn ready_state(this: &WebSocket) -> u16;
    #[wasm_bindgen(method, catch)]
    pub(crate) fn accept(this: &WebSocket) -> Result<(), JsValue>;
    #[wasm_bindgen(method, catch)]
    pub(crate) fn close(this: &WebSocket, code: u16, reason: &str) -> Result<(), JsValue>;
    #[wasm_bindgen(method, catch, js_name = close)]
    pub(crate) fn close_without_code(this: &WebSocket) -> Result<(), JsValue>;
    #[wasm_bindgen(method, catch, js_name = serializeAttachment)]
    pub(crate) fn serialize_attachment(this: &WebSocket, value: &JsValue) -> Result<(), JsValue>;
    #[wasm_bindgen(method, catch, js_name = deserializeAttachment)]
    pub(crate) fn deserialize_attachment(this: &WebSocket) -> Result<JsValue, JsValue>;

    /// `WebSocketPair`
    pub(crate) type WebSocketPair;
    #[wasm_bindgen(constructor, catch)]
    pub(crate) fn new() -> Result<WebSocketPair, JsValue>;
    #[wasm_bindgen(method, structural, indexing_getter)]
    pub(crate) fn get(this: &WebSocketPair, which: u32) -> WebSocket;

    /// `DurableObjectNamespace`
    #[derive(Clone, Debug)]
    pub(crate) type Namespace;
    #[wasm_bindgen(method, catch, js_name = idFromName)]
    pub(crate) fn id_from_name(this: &Namespace, name: &str) -> Result<ObjectId, JsValue>;
    #[wasm_bindgen(method, catch, js_name = get)]
    pub(crate) fn object(this: &Namespace, id: &ObjectId) -> Result<Stub, JsValue>;
    #[wasm_bindgen(method, catch, js_name = get)]
    pub(crate) fn object_near(this: &Namespace, id: &ObjectId, options: &Object) -> Result<Stub, JsValue>;
    #[wasm_bindgen(method, catch)]
    pub(crate) fn jurisdiction(this: &Namespace, name: &str) -> Result<Namespace, JsValue>;

    /// `DurableObjectStub`
    #[derive(Clone, Debug)]
    pub(crate) type Stub;
    #[wasm_bindgen(method, catch)]
    pub(crate) fn fetch(this: &Stub, request: &Request) -> Result<Promise, JsValue>;
    #[wasm_bindgen(method, catch, js_name = dogCall)]
    pub(crate) fn dog_call(this: &Stub, bundle: &JsValue) -> Result<JsValue, JsValue>;

    /// `ExecutionContext`
    #[derive(Clone, Debug)]
    pub type ExecutionContext;
    #[wasm_bindgen(method, catch, js_name = waitUntil)]
    pub(crate) fn wait_until(this: &ExecutionContext, promise: &Promise) -> Result<(), JsValue>;

    #[wasm_bindgen(js_name = setTimeout)]
    pub(crate) fn set_timeout(callback: &Function, milliseconds: f64) -> JsValue;
    #[wasm_bindgen(js_name = clearTimeout)]
    pub(crate) fn clear_timeout(timeout: &JsValue);
    #[wasm_bindgen(js_namespace = crypto, js_name = getRandomValues)]
    pub(crate) fn random_values(into: &Uint8Array);

    /// The error that the runtime throws when a call to an object fails.
    pub(crate) type CallError;
    #[wasm_bindgen(method, getter)]
    pub(crate) fn retryable(this: &CallError) -> Option<bool>;
    #[wasm_bindgen(method, getter)]
    pub(crate) fn overloaded(this: &CallError) -> Option<bool>;
}

/// The [`WebSocket::ready_state`] of an open socket.
pub(crate) const OPEN: u16 = 1;

/// Called once, when a Worker starts.
pub(crate) fn start() {
    adopt();
    let hidden = hide_queue_microtask();
    crate::spawn::spawn(async {});
    show_queue_microtask(&hidden);
}

/// The text of a thrown value, for the log.
pub(crate) fn error_text(thrown: &JsValue) -> String {
    match thrown.dyn_ref::<js_sys::Error>() {
        Some(error) => String::from(error.message()),
        None => thrown.as_string().unwrap_or_else(|| String::from(Object::from(thrown.clone()).to_string())),
    }
}
