//! Handshakes that are none, clients without a name, and bytes that are no frames.

use dog::http::{Request, StatusCode, header};

use super::seats::{Beside, SEATS};
use super::{Scenario, scenario};
use crate::app::protocol::Echo;
use crate::check::{Outcome, ensure, same};
use crate::client;
use crate::harness::Capability;
use crate::stage::Stage;

pub(super) fn scenarios() -> Vec<Scenario> {
    vec![
        scenario("bad_handshakes_are_refused", &[], handshakes).needing(&[Capability::Handshakes]),
        scenario("bad_handshakes_keep_no_seat", &[8], keep_no_seat).needing(&[Capability::Handshakes]),
        scenario("handshakes_of_every_proper_form_are_taken", &[], proper_handshakes)
            .needing(&[Capability::Handshakes]),
        scenario("client_without_a_proper_name_is_told_so", &[], names),
        scenario("unknown_route_is_404", &[], unknown_route),
        scenario("bad_text_closes_with_1007", &[], bad_text).needing(&[Capability::Frames]),
    ]
}

/// A breach of protocol: its name, its bytes after the handshake, the code of the close that answers it. Frames from
/// clients are masked; here by zeros.
pub(super) type Breach = (&'static str, &'static [u8], u16);

/// What `closing::breach` sends, too.
pub(super) const BREACHES: [Breach; 14] = [
    ("unmasked text", &[0x81, 0x01, b'x'], 1002),
    ("unmasked close", &[0x88, 0x00], 1002),
    ("first reserved bit", &[0xc1, 0x81, 0, 0, 0, 0, b'x'], 1002),
    ("second reserved bit", &[0xa1, 0x81, 0, 0, 0, 0, b'x'], 1002),
    ("third reserved bit", &[0x91, 0x81, 0, 0, 0, 0, b'x'], 1002),
    ("reserved opcode", &[0x83, 0x80, 0, 0, 0, 0], 1002),
    ("reserved control opcode", &[0x8b, 0x80, 0, 0, 0, 0], 1002),
    ("ping in fragments", &[0x09, 0x80, 0, 0, 0, 0], 1002),
    ("ping too long", &[0x89, 0xfe, 0, 126, 0, 0, 0, 0], 1002),
    ("continuation of nothing", &[0x80, 0x81, 0, 0, 0, 0, b'x'], 1002),
    ("text within fragments", &[0x01, 0x81, 0, 0, 0, 0, b'x', 0x81, 0x81, 0, 0, 0, 0, b'x'], 1002),
    ("close of one byte", &[0x88, 0x81, 0, 0, 0, 0, 3], 1002),
    ("close code that is never sent", &[0x88, 0x82, 0, 0, 0, 0, 0x03, 0xed], 1002),
    ("bad text", &[0x81, 0x82, 0, 0, 0, 0, 0xc3, 0x28], 1007),
];

const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

/// A handshake that is wrong in one thing: method, the headers with their values (one of several lines is there as
/// often), the status of the answer, and a header that the answer has.
type Bad = (&'static str, [Option<&'static str>; 4], u16, Option<(header::HeaderName, &'static str)>);

/// The values of `Upgrade`, `Connection`, `Sec-WebSocket-Key`, `Sec-WebSocket-Version`, in this order.
const NAMES: [header::HeaderName; 4] =
    [header::UPGRADE, header::CONNECTION, header::SEC_WEBSOCKET_KEY, header::SEC_WEBSOCKET_VERSION];

fn bad_handshakes() -> Vec<Bad> {
    let (upgrade, connection, key, version) = (Some("websocket"), Some("Upgrade"), Some(KEY), Some("13"));
    let allow = Some((header::ALLOW, "GET"));
    let please_upgrade = Some((header::UPGRADE, "websocket"));
    let thirteen = Some((header::SEC_WEBSOCKET_VERSION, "13"));
    vec![
        ("POST", [upgrade, connection, key, version], 405, allow.clone()),
        ("PUT", [upgrade, connection, key, version], 405, allow.clone()),
        ("DELETE", [None, None, None, None], 405, allow),
        ("GET", [None, None, None, None], 426, please_upgrade.clone()),
        ("GET", [None, connection, key, version], 426, please_upgrade.clone()),
        ("GET", [upgrade, None, key, version], 400, None),
        ("GET", [Some("h2c"), connection, key, version], 426, please_upgrade),
        ("GET", [upgrade, connection, None, version], 400, None),
        ("GET", [upgrade, connection, Some("short"), version], 400, None),
        ("GET", [upgrade, connection, Some("dGhlIHNhbXBsZSBub25jZSBpcw=="), version], 400, None),
        ("GET", [upgrade, connection, key, None], 426, thirteen.clone()),
        ("GET", [upgrade, connection, key, Some("8")], 426, thirteen.clone()),
        ("GET", [upgrade, connection, key, Some("thirteen")], 426, thirteen),
        ("GET", [upgrade, connection, key, Some("13\n13")], 400, None),
        ("GET", [upgrade, connection, Some("dGhlIHNhbXBsZSBub25jZQ==\ndGhlIHNhbXBsZSBub25jZQ=="), version], 400, None),
    ]
}

fn request(path: &str, (method, values, ..): &Bad) -> Outcome<Request<bytes::Bytes>> {
    let mut request = Request::builder().method(*method).uri(path).header(header::HOST, "conformance");
    for (name, value) in NAMES.into_iter().zip(values) {
        for value in value.iter().flat_map(|value| value.split('\n')) {
            request = request.header(&name, value);
        }
    }
    Ok(request.body(bytes::Bytes::new())?)
}

/// Each is answered with the status and the header that say what would have been right, and with words.
async fn handshakes(stage: Stage) -> Outcome {
    let place = stage.pinned("hall", "handshakes");
    for bad in bad_handshakes() {
        let response = client::send(place.entry(), request(&place.path("ws", "client"), &bad)?).await?;
        same(response.status().as_u16(), bad.2, &format!("the answer to {bad:?}"))?;
        if let Some((name, value)) = &bad.3 {
            let got = response.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
            ensure(got.eq_ignore_ascii_case(value), format!("the answer to {bad:?} has {name}: {got}"))?;
        }
        ensure(!response.body().is_empty(), format!("no words in the answer to {bad:?}"))?;
    }
    let mut client = place.join("client").await?;
    same(client.report().await?.open, vec![client.id().clone()], "who is there")
}

/// As RFC 6455 and RFC 9110 allow them; the first key is the former's own example, with bits set that mean nothing.
async fn proper_handshakes(stage: Stage) -> Outcome {
    let place = stage.pinned("hall", "proper-handshakes");
    for values in [
        ["websocket", "Upgrade", "AQIDBAUGBwgJCgsMDQ4PEC==", "13"],
        ["WebSocket", "keep-alive, UPGRADE", KEY, "13"],
        ["h2c\nwebsocket", "keep-alive\nupgrade", KEY, "13"],
    ] {
        let proper = ("GET", values.map(Some), 101, None);
        let response = client::send(place.entry(), request(&place.path("ws", "client"), &proper)?).await?;
        same(response.status(), StatusCode::SWITCHING_PROTOCOLS, &format!("the answer to {values:?}"))?;
    }
    Ok(())
}

/// They were identified, and are not there: the seats are free at once.
async fn keep_no_seat(stage: Stage) -> Outcome {
    let place = stage.pinned("octet", "handshakes");
    let beside = Beside::new(&place).await?;
    let replica = place.identify("bad0").await?.replica;
    for (number, bad) in bad_handshakes().iter().take(SEATS - 1).enumerate() {
        client::send(place.entry(), request(&place.path("ws", &format!("bad{number}")), bad)?).await?;
    }
    beside.all_free(&place, replica).await
}

/// 1 to 256 bytes; else 400, with a text that says so.
async fn names(stage: Stage) -> Outcome {
    let place = stage.pinned("hall", "names");
    let longest = "n".repeat(dog::MAX_CLIENT_ID);
    for (name, says) in [(String::new(), "empty"), (format!("{longest}n"), "257 bytes")] {
        for action in ["ws", "http", "identify"] {
            let refused = place.request("GET", &place.path(action, &name), "").await?;
            same(refused.status(), StatusCode::BAD_REQUEST, "a client without a proper name")?;
            let body = String::from_utf8_lossy(refused.body()).into_owned();
            ensure(body.contains(says) && body.contains("client identifier"), format!("it says: {body}"))?;
        }
    }
    let mut longest = place.join(&longest).await?;
    same(longest.report().await?.open, vec![longest.id().clone()], "who is there")
}

/// What the App does not know, it says.
async fn unknown_route(stage: Stage) -> Outcome {
    let place = stage.pinned("hall", "unknown");
    for path in ["/", "/nowhere", "/hall", "/nosuchclass/group/ws?u=x", "/%00", "/hall/group/nosuchaction"] {
        let response = place.request("GET", path, "").await?;
        same(response.status(), StatusCode::NOT_FOUND, path)?;
        let echo: Echo = serde_json::from_slice(response.body())?;
        same(echo.seen_by, "app", "who saw it")?;
    }
    Ok(())
}

/// Text that is no UTF-8, cut where only the whole shows it; the socket beside goes on.
async fn bad_text(stage: Stage) -> Outcome {
    let place = stage.pinned("hall", "text");
    let mut other = place.join("other").await?;
    let cases: [(&str, &[u8]); 4] = [
        ("incomplete at the end", &[0x81, 0x81, 0, 0, 0, 0, 0xc3]),
        ("surrogate", &[0x81, 0x83, 0, 0, 0, 0, 0xed, 0xa0, 0x80]),
        ("bad across fragments", &[0x01, 0x81, 0, 0, 0, 0, 0xc3, 0x80, 0x81, 0, 0, 0, 0, 0x28]),
        ("in a close reason", &[0x88, 0x83, 0, 0, 0, 0, 0x03, 0xe8, 0xff]),
    ];
    for (name, bytes) in cases {
        let mut client = place.join("client").await?;
        client.write(bytes).await?;
        same(client.ended().await?.code, 1007, name)?;
    }
    same(other.report().await?.open, vec![other.id().clone()], "who is left")
}
