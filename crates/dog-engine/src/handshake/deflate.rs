//! Negotiates compression in the opening handshake: permessage-deflate (RFC 7692).
//!
//! The answer always excludes context takeover in both directions. So every message is compressed by itself, one compressed
//! frame serves all receivers, and a socket needs no memory between its messages.

use dog::http::header::{HeaderMap, HeaderValue, SEC_WEBSOCKET_EXTENSIONS};

/// The extension's name.
const NAME: &str = "permessage-deflate";
/// The part of the answer that is always the same.
const ANSWER: &str = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
/// The base-2 logarithm of the smallest and of the largest window, in bytes.
const SMALLEST_WINDOW: u8 = 8;
const LARGEST_WINDOW: u8 = 15;

/// The negotiated parameters. A host that offers compression finds them in the extensions of the response.
///
/// ```
/// use dog::http::HeaderMap;
/// use dog_engine::handshake::Deflate;
///
/// let mut headers = HeaderMap::new();
/// // What Chromium sends.
/// headers.insert("sec-websocket-extensions", "permessage-deflate; client_max_window_bits".parse()?);
/// let agreed = Deflate::negotiate(&headers).expect("an offer that can be met");
/// assert_eq!(agreed.answer(), "permessage-deflate; server_no_context_takeover; client_no_context_takeover");
/// assert_eq!(agreed.window(), 32 * 1024);
/// # Ok::<(), dog::http::header::InvalidHeaderValue>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deflate {
    /// The client's limit for the window of the server's messages, as a base-2 logarithm.
    window: Option<u8>,
}

impl Deflate {
    /// Accepts the first offer of the client that can be met. Offers that RFC 7692 says to decline, and malformed ones, are
    /// skipped. `None` if no offer is left: then messages are not compressed.
    pub fn negotiate(headers: &HeaderMap) -> Option<Self> {
        let values = headers.get_all(SEC_WEBSOCKET_EXTENSIONS).iter().filter_map(|value| value.to_str().ok());
        // A quoted value contains no comma or semicolon, because it must be a token.
        values.flat_map(|value| value.split(',')).find_map(Self::accept)
    }

    fn accept(offer: &str) -> Option<Self> {
        let mut parts = offer.split(';').map(str::trim);
        if parts.next() != Some(NAME) {
            return None;
        }
        let mut seen = Vec::new();
        let mut window = None;
        for part in parts {
            let (name, value) = parameter(part)?;
            match (name, value) {
                ("server_no_context_takeover" | "client_no_context_takeover" | "client_max_window_bits", None) => {}
                // Only an answer that limits the client's window may use this hint.
                ("client_max_window_bits", Some(bits)) => {
                    window_bits(bits)?;
                }
                ("server_max_window_bits", Some(bits)) => window = Some(window_bits(bits)?),
                _ => return None,
            }
            if seen.contains(&name) {
                return None;
            }
            seen.push(name);
        }
        Some(Self { window })
    }

    /// The header `Sec-WebSocket-Extensions` of the response.
    pub fn answer(self) -> HeaderValue {
        let plain = HeaderValue::from_static(ANSWER);
        match self.window {
            None => plain,
            Some(bits) => HeaderValue::try_from(format!("{ANSWER}; server_max_window_bits={bits}")).unwrap_or(plain),
        }
    }

    /// The window of the server's messages in bytes, 256 to 32,768. A message that is not longer than the window can be
    /// compressed with any window.
    pub fn window(self) -> usize {
        1 << self.window.unwrap_or(LARGEST_WINDOW)
    }
}

/// A parameter and its value, without quotes.
fn parameter(text: &str) -> Option<(&str, Option<&str>)> {
    let Some((name, value)) = text.split_once('=') else { return Some((text, None)) };
    let (name, value) = (name.trim_end(), value.trim_start());
    let value = match value.strip_prefix('"') {
        Some(quoted) => quoted.strip_suffix('"')?,
        None => value,
    };
    Some((name, Some(value)))
}

/// A decimal number without sign and leading zeros.
fn window_bits(text: &str) -> Option<u8> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0');
    let bits = text.parse().ok().filter(|_| is_plain)?;
    (SMALLEST_WINDOW..=LARGEST_WINDOW).contains(&bits).then_some(bits)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The answer to headers with these values.
    fn answered(values: &[&'static str]) -> Option<String> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(SEC_WEBSOCKET_EXTENSIONS, HeaderValue::from_static(value));
        }
        Deflate::negotiate(&headers).map(|agreed| agreed.answer().to_str().unwrap().to_owned())
    }

    #[test]
    fn offers_that_can_be_met() {
        let plain = ANSWER.to_owned();
        let narrow = |bits: u8| format!("{ANSWER}; server_max_window_bits={bits}");
        let table: [(&[&str], String); 15] = [
            // From Firefox, from Chromium, and the examples of the standard.
            (&["permessage-deflate"], plain.clone()),
            (&["permessage-deflate; client_max_window_bits"], plain.clone()),
            (&["permessage-deflate; client_max_window_bits=10"], plain.clone()),
            (&["permessage-deflate;server_no_context_takeover;client_no_context_takeover"], plain.clone()),
            (&["permessage-deflate; server_max_window_bits=10"], narrow(10)),
            (&["permessage-deflate; client_max_window_bits; server_max_window_bits=8"], narrow(8)),
            (&["permessage-deflate; server_max_window_bits=15"], narrow(15)),
            (&["permessage-deflate ; server_max_window_bits = \"12\" "], narrow(12)),
            // The first offer that can be met, because the client prefers it.
            (&["permessage-deflate; server_max_window_bits=10, permessage-deflate"], narrow(10)),
            (&["permessage-deflate, permessage-deflate; server_max_window_bits=10"], plain.clone()),
            (&["permessage-deflate; server_max_window_bits=16, permessage-deflate"], plain.clone()),
            (&["x-webkit-deflate-frame, , permessage-deflate"], plain.clone()),
            (&["something; with=\"a value\", permessage-deflate; server_max_window_bits=9"], narrow(9)),
            (&["foo", "permessage-deflate; bar", "permessage-deflate"], plain.clone()),
            (&["foo; =, \"", "permessage-deflate"], plain),
        ];
        for (values, answer) in table {
            assert_eq!(answered(values), Some(answer), "{values:?}");
        }
    }

    #[test]
    fn offers_that_are_declined() {
        for value in [
            "",
            ",",
            "permessage-bzip2",
            "permessage-deflated",
            "Permessage-Deflate x",
            "permessage-deflate permessage-deflate",
            "permessage-deflate;",
            "permessage-deflate; ;",
            "permessage-deflate; unknown",
            "permessage-deflate; unknown=1",
            "permessage-deflate; =",
            "permessage-deflate; server_no_context_takeover=1",
            "permessage-deflate; client_no_context_takeover=",
            "permessage-deflate; server_no_context_takeover; server_no_context_takeover",
            "permessage-deflate; client_max_window_bits; client_max_window_bits=10",
            "permessage-deflate; server_max_window_bits",
            "permessage-deflate; server_max_window_bits=",
            "permessage-deflate; server_max_window_bits=7",
            "permessage-deflate; server_max_window_bits=16",
            "permessage-deflate; server_max_window_bits=08",
            "permessage-deflate; server_max_window_bits=+9",
            "permessage-deflate; server_max_window_bits=-9",
            "permessage-deflate; server_max_window_bits=9.",
            "permessage-deflate; server_max_window_bits=\"9",
            "permessage-deflate; server_max_window_bits=9\"",
            "permessage-deflate; server_max_window_bits=266",
            "permessage-deflate; client_max_window_bits=7",
            "permessage-deflate; client_max_window_bits=\"\"",
        ] {
            assert_eq!(answered(&[value]), None, "{value:?}");
        }
        assert_eq!(answered(&[]), None);
    }

    #[test]
    fn the_window_is_what_the_client_asked_for() {
        for bits in 8..=15 {
            assert_eq!(Deflate { window: Some(bits) }.window(), 1 << bits);
        }
        assert_eq!(Deflate { window: None }.window(), 32 * 1024);
    }
}
