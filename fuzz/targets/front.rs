//! The public port: any bytes, in chunks of any size, pass through HTTP as the native host configures it, and then
//! through what an App does with a request.
//!
//! Input: the sizes of chunks, and the stream.
//!
//! Checked: nothing panics or hangs. The first response is complete and has the right status. A WebSocket is opened for
//! a valid handshake and for nothing else. All bytes after the handshake reach the WebSocket.
#![no_main]

use std::cell::RefCell;
use std::convert::Infallible;

use dog::http::{Method, StatusCode, Version};
use dog::{ClientId, Error, Request, Response};
use dog_engine::handshake;
use dog_fuzz::{chunks, cuts};
use dog_native::fuzzing::{http, take_upgrade};
use dog_native::websocket::{Decoder, Event, Limits};
use hyper::body::Incoming;
use hyper::header::HeaderValue;
use hyper::service::service_fn;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use libfuzzer_sys::fuzz_target;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::runtime::{Builder, Runtime};

/// The limit of a request's body, in bytes.
const LONGEST_BODY: usize = 1_000;

/// The statuses that hyper itself responds with.
const REFUSALS: [u16; 4] = [400, 414, 431, 505];

thread_local! {
    static RUNTIME: Runtime = Builder::new_current_thread().enable_time().build().expect("a runtime");
}

fuzz_target!(|input: &[u8]| {
    let Some((sizes, stream)) = cuts(input) else { return };
    let answers = RefCell::new(Answers::default());
    let output = RUNTIME.with(|runtime| runtime.block_on(converse(stream, sizes, &answers)));
    let answers = answers.into_inner();
    check_output(&output, &answers.statuses);
    if let Some(unread) = answers.unread {
        assert!(stream.ends_with(&unread), "the bytes after the handshake have changed");
        check_head(&stream[..stream.len() - unread.len()]);
        decode(unread);
    }
});

/// What the server has answered.
#[derive(Default)]
struct Answers {
    /// The status for each request that reached the App.
    statuses: Vec<StatusCode>,
    upgrade: Option<OnUpgrade>,
    /// All bytes after a handshake.
    unread: Option<Vec<u8>>,
}

/// Runs both ends of one connection. Returns all bytes that the server sends.
async fn converse(stream: &[u8], sizes: &[u8], answers: &RefCell<Answers>) -> Vec<u8> {
    let (client, server) = tokio::io::duplex(4096);
    let (mut from_server, mut to_server) = tokio::io::split(client);
    let write = async {
        for chunk in chunks(stream, sizes) {
            // The server may have closed the connection.
            if to_server.write_all(chunk).await.is_err() {
                return;
            }
            tokio::task::yield_now().await;
        }
        let _ = to_server.shutdown().await;
    };
    let mut output = Vec::new();
    let read = from_server.read_to_end(&mut output);
    let (_, (), read) = tokio::join!(serve(server, answers), write, read);
    read.expect("an in-memory pipe does not fail");
    output
}

async fn serve(server: DuplexStream, answers: &RefCell<Answers>) {
    let answer = |request| async { Ok::<_, Infallible>(answer(request, answers).await) };
    // The error of an invalid request does not matter here.
    let _ = http().serve_connection(TokioIo::new(server), service_fn(answer)).with_upgrades().await;
    let upgrade = answers.borrow_mut().upgrade.take();
    if let Some(upgrade) = upgrade
        && let Ok(upgraded) = upgrade.await
    {
        let mut unread = Vec::new();
        TokioIo::new(upgraded).read_to_end(&mut unread).await.expect("an in-memory pipe does not fail");
        answers.borrow_mut().unread = Some(unread);
    }
}

/// Answers a request as the native host does. Keeps the connection if it is upgraded.
async fn answer(request: hyper::Request<Incoming>, answers: &RefCell<Answers>) -> Response {
    let (request, upgrade) = take_upgrade(request);
    let response = app(request).await.unwrap_or_else(|error| dog::text_response(error.status(), error.to_string()));
    let mut answers = answers.borrow_mut();
    answers.statuses.push(response.status());
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        answers.upgrade = Some(upgrade.expect("hyper recognises each handshake that the App accepts"));
    }
    response
}

/// Acts as a typical App: `/ws` opens a WebSocket for a client. On other paths it reads the body of the request.
async fn app(request: Request) -> Result<Response, Error> {
    if request.uri().path() != "/ws" {
        let length = request.into_body().bytes(LONGEST_BODY).await?.len();
        assert!(length <= LONGEST_BODY, "{length} bytes of body");
        return Ok(dog::text_response(StatusCode::OK, format!("{length} bytes")));
    }
    let client = ClientId::new(dog::query_param(&request, "u").unwrap_or_default())?;
    assert!((1..=dog::MAX_CLIENT_ID).contains(&client.as_str().len()));
    let proper = is_proper(&request);
    match handshake::accept(&request) {
        Ok(response) => {
            assert!(proper, "{request:?} was accepted as a handshake");
            Ok(response)
        }
        Err(refusal) => {
            assert!(!proper, "{request:?} was refused: {refusal:?}");
            assert!([400, 405, 426].contains(&refusal.status().as_u16()), "{refusal:?}");
            Ok(*refusal)
        }
    }
}

/// Whether a request is a valid handshake by RFC 6455, section 4.2.1, in the simplest form.
fn is_proper(request: &Request) -> bool {
    let all = |name: &str| request.headers().get_all(name).iter().map(HeaderValue::as_bytes).collect::<Vec<_>>();
    let is = |value: &[u8], token: &str| value.trim_ascii().eq_ignore_ascii_case(token.as_bytes());
    // A header value that is not text is ignored.
    let is_text = |value: &&[u8]| value.iter().all(|byte| matches!(byte, b'\t' | b' '..=b'~'));
    let has = |name: &str, token: &str| {
        all(name)
            .into_iter()
            .filter(is_text)
            .flat_map(|value| value.split(|byte| *byte == b','))
            .any(|it| is(it, token))
    };
    // The key is 16 bytes in base64. The last four bits of the last digit may have any value.
    let is_digit = |digit: &u8| digit.is_ascii_alphanumeric() || b"+/".contains(digit);
    let is_key = |key: &[u8]| key.len() == 24 && key.ends_with(b"==") && key[..22].iter().all(is_digit);
    request.method() == Method::GET
        && all("transfer-encoding").is_empty()
        && all("content-length").iter().all(|length| !length.is_empty() && length.iter().all(|digit| *digit == b'0'))
        && request.version() == Version::HTTP_11
        && has("upgrade", "websocket")
        && has("connection", "upgrade")
        && all("sec-websocket-version") == [b"13"]
        && matches!(all("sec-websocket-key")[..], [key] if is_key(key))
}

/// Checks the first response. It must be complete, with the status from the App. If no request reached the App, it must
/// have one of hyper's refusals.
fn check_output(mut output: &[u8], statuses: &[StatusCode]) {
    loop {
        if output.is_empty() {
            return;
        }
        let mut headers = [httparse::EMPTY_HEADER; 64];
        let mut response = httparse::Response::new(&mut headers);
        let parsed = response.parse(output).expect("a response");
        let (httparse::Status::Complete(length), Some(code)) = (parsed, response.code) else {
            panic!("an incomplete response: {}", output.escape_ascii())
        };
        if code == 100 {
            output = &output[length..];
            continue;
        }
        match statuses.first() {
            Some(status) => assert_eq!(status.as_u16(), code),
            None => assert!(REFUSALS.contains(&code), "{code} although no request reached the App"),
        }
        return;
    }
}

/// Asserts that a handshake ends with an empty line.
fn check_head(head: &[u8]) {
    assert!(head.ends_with(b"\n\r\n") || head.ends_with(b"\n\n"), "{}", head.escape_ascii());
}

/// Decodes the rest of the connection as a WebSocket. It must not panic.
fn decode(mut unread: Vec<u8>) {
    let mut decoder = Decoder::new();
    let mut input = &mut unread[..];
    while !input.is_empty()
        && let Ok((used, event)) = decoder.decode(input, &Limits { message: 1_000 })
        && !matches!(event, Some(Event::Close(_)))
    {
        input = &mut input[used..];
    }
}
