//! The header of requests between objects, and [`check`]: validates an HTTP/1 request (RFC 9112), for hosts that read requests
//! themselves. What an HTTP parser checks already, such as contradictory lengths and folded lines, is not checked again.

use std::net::Ipv6Addr;

use dog::Response;
use dog::http::header::{CONNECTION, HOST, HeaderMap, HeaderName, HeaderValue, TRANSFER_ENCODING};
use dog::http::uri::PathAndQuery;
use dog::http::{Request, StatusCode, Uri, Version};

/// The header in which hosts put what goes with a request from object to object, where they need one. They set it on every such
/// request and remove it on arrival, so a value from outside never counts.
pub const HEAD: HeaderName = HeaderName::from_static("dog-head");

/// Refuses a request that the standard says must be refused. Normalises every other: its target becomes the path and the
/// query, and its `Host` the host that it is for.
///
/// - `Host` must appear once (in HTTP/1.0: at most once) and be a valid host (section 3.2). Otherwise the answer is 400.
/// - If the target has a scheme and a host, that host replaces `Host` (section 3.2.2).
/// - `Transfer-Encoding` may be `chunked`, once (section 6.1). Another coding is answered with 501, a malformed header with
///   400.
///
/// # Errors
/// The response that refuses the request. It has `Connection: close`, because the end of the request may be unknown.
///
/// ```
/// use dog::http::Request;
///
/// let mut request = Request::get("http://chat.example/room?u=ann").header("host", "elsewhere").body(())?;
/// dog_engine::request::check(&mut request).expect("it is valid");
/// assert_eq!(request.uri(), "/room?u=ann");
/// assert_eq!(request.headers()["host"], "chat.example");
///
/// let refused = dog_engine::request::check(&mut Request::get("/room").body(())?).unwrap_err();
/// assert_eq!(refused.status(), 400);
/// # Ok::<(), dog::http::Error>(())
/// ```
pub fn check<B>(request: &mut Request<B>) -> Result<(), Box<Response>> {
    check_coding(request.headers())?;
    check_host(request)?;
    take_target(request)
}

fn refuse(status: StatusCode, text: &str) -> Box<Response> {
    let mut response = dog::text_response(status, text);
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    Box::new(response)
}

fn check_coding(headers: &HeaderMap) -> Result<(), Box<Response>> {
    if !headers.contains_key(TRANSFER_ENCODING) {
        return Ok(());
    }
    let values = headers.get_all(TRANSFER_ENCODING).iter().filter_map(|value| value.to_str().ok());
    let codings: Vec<&str> =
        values.flat_map(|value| value.split(',')).map(str::trim).filter(|v| !v.is_empty()).collect();
    let chunked = codings.iter().filter(|coding| coding.eq_ignore_ascii_case("chunked")).count();
    match codings.len() {
        1 if chunked == 1 => Ok(()),
        _ if chunked > 1 => Err(refuse(StatusCode::BAD_REQUEST, "Transfer-Encoding: chunked must appear once")),
        0 => Err(refuse(StatusCode::BAD_REQUEST, "the header Transfer-Encoding names no coding")),
        _ => Err(refuse(StatusCode::NOT_IMPLEMENTED, "the only supported Transfer-Encoding is chunked")),
    }
}

fn check_host<B>(request: &Request<B>) -> Result<(), Box<Response>> {
    let mut hosts = request.headers().get_all(HOST).iter();
    match (hosts.next(), hosts.next()) {
        (None, _) if request.version() < Version::HTTP_11 => Ok(()),
        (Some(host), None) if is_host(host.as_bytes()) => Ok(()),
        (Some(_), None) => Err(refuse(StatusCode::BAD_REQUEST, "the header Host is not a valid host")),
        _ => Err(refuse(StatusCode::BAD_REQUEST, "the header Host must appear once")),
    }
}

/// `uri-host [":" port]` of RFC 3986. It may be empty.
fn is_host(value: &[u8]) -> bool {
    let (host, port) = match value.strip_prefix(b"[") {
        Some(literal) => {
            let Some(end) = literal.iter().position(|byte| *byte == b']') else { return false };
            if !is_ip_literal(&literal[..end]) {
                return false;
            }
            (&b""[..], &literal[end + 1..])
        }
        None => value.split_at(value.iter().position(|byte| *byte == b':').unwrap_or(value.len())),
    };
    is_name(host) && (port.is_empty() || port[0] == b':' && port[1..].iter().all(u8::is_ascii_digit))
}

fn is_ip_literal(literal: &[u8]) -> bool {
    if let [b'v' | b'V', future @ ..] = literal {
        let Some(dot) = future.iter().position(|byte| *byte == b'.') else { return false };
        let (version, rest) = (&future[..dot], &future[dot + 1..]);
        let is_version = !version.is_empty() && version.iter().all(u8::is_ascii_hexdigit);
        return is_version && !rest.is_empty() && rest.iter().all(|byte| *byte == b':' || is_plain(*byte));
    }
    std::str::from_utf8(literal).is_ok_and(|literal| literal.parse::<Ipv6Addr>().is_ok())
}

fn is_name(name: &[u8]) -> bool {
    let mut rest = name;
    loop {
        rest = match rest {
            [] => return true,
            [b'%', high, low, rest @ ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => rest,
            [byte, rest @ ..] if is_plain(*byte) => rest,
            _ => return false,
        }
    }
}

/// Characters that a host may contain unescaped: unreserved characters and sub-delimiters.
fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=".contains(&byte)
}

fn take_target<B>(request: &mut Request<B>) -> Result<(), Box<Response>> {
    // The target of CONNECT is only a host. It has no path.
    let (Some(_), Some(authority)) = (request.uri().scheme(), request.uri().authority()) else { return Ok(()) };
    let host =
        HeaderValue::from_str(authority.as_str()).ok().filter(|host| !host.is_empty() && is_host(host.as_bytes()));
    let Some(host) = host else {
        return Err(refuse(StatusCode::BAD_REQUEST, "the target of the request names no host"));
    };
    let path = request.uri().path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
    *request.uri_mut() = Uri::from(path);
    request.headers_mut().insert(HOST, host);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use dog::http::request::Builder;

    fn answer(request: Builder) -> Result<Request<()>, u16> {
        let mut request = request.body(()).unwrap();
        match check(&mut request) {
            Ok(()) => Ok(request),
            Err(response) => {
                assert_eq!(response.headers()[CONNECTION], "close");
                Err(response.status().as_u16())
            }
        }
    }

    #[test]
    fn a_host_is_there_once_and_is_one() {
        let get = || Request::get("/");
        let long = "a".repeat(300);
        for host in [
            "",
            "localhost",
            "localhost:8787",
            "Chat.Example",
            "a_b.c",
            "127.0.0.1:80",
            "[::1]",
            "[::1]:8787",
            "host:",
            "[v1.fe:x]",
            "x%41",
            "a,b",
            &long,
        ] {
            assert!(answer(get().header(HOST, host)).is_ok(), "{host}");
        }
        for host in [
            "a b",
            "a/b",
            "a@b",
            "user@host",
            "http://a",
            "a:b",
            "a:80:80",
            "[::1",
            "::1",
            "[::1]x",
            "[::1]:x",
            "[]",
            "[1.2.3.4]",
            "[v.x]",
            "[vz.x]",
            "[v1.]",
            "a?b",
            "a#b",
            "a\\b",
            "<a>",
            "a%",
            "a%4",
            "a%zz",
            "\"a\"",
            "[fe80::1%eth0]",
            "a\tb",
        ] {
            assert_eq!(answer(get().header(HOST, host)).unwrap_err(), 400, "{host}");
        }
        let beyond_ascii = HeaderValue::from_bytes(b"caf\xe9").unwrap();
        assert_eq!(answer(get().header(HOST, beyond_ascii)).unwrap_err(), 400);
        assert_eq!(answer(get()).unwrap_err(), 400);
        assert_eq!(answer(get().header(HOST, "a").header(HOST, "a")).unwrap_err(), 400);
        // HTTP/1.0 has no Host. If it is sent, it must be valid.
        let old = || get().version(Version::HTTP_10);
        assert!(answer(old()).is_ok());
        assert_eq!(answer(old().header(HOST, "a").header(HOST, "b")).unwrap_err(), 400);
        assert_eq!(answer(old().header(HOST, "a b")).unwrap_err(), 400);
    }

    #[test]
    fn a_target_with_a_host_is_for_that_host() {
        let answered = answer(Request::get("http://a.example:81/x?y=z").header(HOST, "other")).unwrap();
        assert_eq!(
            (answered.uri().to_string().as_str(), answered.headers()[HOST].to_str().unwrap()),
            ("/x?y=z", "a.example:81")
        );
        assert_eq!(answer(Request::get("http://a.example").header(HOST, "a.example")).unwrap().uri(), "/");
        // The target decides, and the header must be there all the same.
        assert_eq!(answer(Request::get("http://a.example/")).unwrap_err(), 400);
        assert_eq!(answer(Request::get("http://user@a.example/").header(HOST, "a.example")).unwrap_err(), 400);
        assert_eq!(answer(Request::options("*").header(HOST, "a")).unwrap().uri(), "*");
    }

    #[test]
    fn chunked_is_the_only_coding_and_is_there_once() {
        let post = || Request::post("/").header(HOST, "a");
        let coded = |coding: &str| answer(post().header(TRANSFER_ENCODING, coding)).map(drop);
        assert_eq!(coded("chunked"), Ok(()));
        assert_eq!(coded("Chunked "), Ok(()));
        assert_eq!(coded("chunked, chunked"), Err(400));
        assert_eq!(coded(""), Err(400));
        assert_eq!(coded("gzip, chunked"), Err(501));
        assert_eq!(coded("chunked;x=y"), Err(501));
        let twice = post().header(TRANSFER_ENCODING, "chunked").header(TRANSFER_ENCODING, "chunked");
        assert_eq!(answer(twice).unwrap_err(), 400);
        let after = post().header(TRANSFER_ENCODING, "gzip").header(TRANSFER_ENCODING, "chunked");
        assert_eq!(answer(after).unwrap_err(), 501);
    }
}
