//! Invalid handshakes, clients without a name, and bytes that are not frames.

use dog::http::{Request, StatusCode, header};

use super::scenario::{Scenario, scenario};
use super::seats::{Beside, SEATS};
use crate::app::protocol::Echo;
use crate::check::{Outcome, ensure, same};
use crate::client;
use crate::harness::Capability;
use crate::stage::Stage;

pub(super) fn scenarios() -> Vec<Scenario> {
    vec![
        scenario("bad_handshakes_are_refused", &[], handshakes).needing(&[Capability::Handshakes]),
        scenario("bad_handshakes_keep_no_seat", &[8], keep_no_seat).needing(&[Capability::Handshakes]),
        scenario("handshakes_of_every_valid_form_are_accepted", &[], proper_handshakes)
            .needing(&[Capability::Handshakes]),
        scenario("client_without_a_valid_name_gets_an_error", &[], names),
        scenario("unknown_route_is_404", &[], unknown_route),
        scenario("bad_text_closes_with_1007", &[], bad_text).needing(&[Capability::Frames]),
    ]
}

/// A protocol error: its name, the bytes after the handshake, and the expected close code. Frames from clients are masked, here
/// with zeros.
pub(super) type Breach = (&'static str, &'static [u8], u16);

/// `closing::breach` sends these too.
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

/// Each is answered with a status and a header that say what would be right, and with a text.
async fn handshakes(stage: Stage) -> Outcome {
    let group = stage.pinned("hall", "handshakes");
    for bad in bad_handshakes() {
        let response = client::send(group.entry(), request(&group.path("ws", "client"), &bad)?).await?;
        same(response.status().as_u16(), bad.2, &format!("the answer to {bad:?}"))?;
        if let Some((name, value)) = &bad.3 {
            let got = response.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
            ensure(got.eq_ignore_ascii_case(value), format!("the answer to {bad:?} has {name}: {got}"))?;
        }
        ensure(!response.body().is_empty(), format!("no words in the answer to {bad:?}"))?;
    }
    let mut client = group.join("client").await?;
    same(client.report().await?.open, vec![client.id().clone()], "who is there")
}

/// The forms that RFC 6455 and RFC 9110 allow. The first key is the example of RFC 6455, with unused bits set.
async fn proper_handshakes(stage: Stage) -> Outcome {
    let group = stage.pinned("hall", "proper-handshakes");
    for values in [
        ["websocket", "Upgrade", "AQIDBAUGBwgJCgsMDQ4PEC==", "13"],
        ["WebSocket", "keep-alive, UPGRADE", KEY, "13"],
        ["h2c\nwebsocket", "keep-alive\nupgrade", KEY, "13"],
    ] {
        let proper = ("GET", values.map(Some), 101, None);
        let response = client::send(group.entry(), request(&group.path("ws", "client"), &proper)?).await?;
        same(response.status(), StatusCode::SWITCHING_PROTOCOLS, &format!("the answer to {values:?}"))?;
    }
    Ok(())
}

/// The clients were identified, but do not come: their seats are free at once.
async fn keep_no_seat(stage: Stage) -> Outcome {
    let group = stage.pinned("octet", "handshakes");
    let beside = Beside::new(&group).await?;
    let replica = group.identify("bad0").await?.replica;
    for (number, bad) in bad_handshakes().iter().take(SEATS - 1).enumerate() {
        client::send(group.entry(), request(&group.path("ws", &format!("bad{number}")), bad)?).await?;
    }
    beside.all_free(&group, replica).await
}

/// A client id has 1 to 256 bytes. Others are answered with 400 and a text.
async fn names(stage: Stage) -> Outcome {
    let group = stage.pinned("hall", "names");
    let longest = "n".repeat(dog::MAX_CLIENT_ID);
    for (name, says) in [(String::new(), "empty"), (format!("{longest}n"), "257 bytes")] {
        for action in ["ws", "http", "identify"] {
            let refused = group.request("GET", &group.path(action, &name), "").await?;
            same(refused.status(), StatusCode::BAD_REQUEST, "a client without a proper name")?;
            let body = String::from_utf8_lossy(refused.body()).into_owned();
            ensure(body.contains(says) && body.contains("client identifier"), format!("it says: {body}"))?;
        }
    }
    let mut longest = group.join(&longest).await?;
    same(longest.report().await?.open, vec![longest.id().clone()], "who is there")
}

/// The App answers 404.
async fn unknown_route(stage: Stage) -> Outcome {
    let group = stage.pinned("hall", "unknown");
    for path in ["/", "/nowhere", "/hall", "/nosuchclass/group/ws?u=x", "/%00", "/hall/group/nosuchaction"] {
        let response = group.request("GET", path, "").await?;
        same(response.status(), StatusCode::NOT_FOUND, path)?;
        let echo: Echo = serde_json::from_slice(response.body())?;
        same(echo.seen_by, "app", "who saw it")?;
    }
    Ok(())
}

/// Text that is not UTF-8, in fragments that do not show it alone. The other socket goes on.
async fn bad_text(stage: Stage) -> Outcome {
    let group = stage.pinned("hall", "text");
    let mut other = group.join("other").await?;
    let cases: [(&str, &[u8]); 4] = [
        ("incomplete at the end", &[0x81, 0x81, 0, 0, 0, 0, 0xc3]),
        ("surrogate", &[0x81, 0x83, 0, 0, 0, 0, 0xed, 0xa0, 0x80]),
        ("bad across fragments", &[0x01, 0x81, 0, 0, 0, 0, 0xc3, 0x80, 0x81, 0, 0, 0, 0, 0x28]),
        ("in a close reason", &[0x88, 0x83, 0, 0, 0, 0, 0x03, 0xe8, 0xff]),
    ];
    for (name, bytes) in cases {
        let mut client = group.join("client").await?;
        client.write(bytes).await?;
        same(client.ended().await?.code, 1007, name)?;
    }
    same(other.report().await?.open, vec![other.id().clone()], "who is left")
}
