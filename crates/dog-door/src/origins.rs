//! Which pages may connect: [`Origins`].

use dog::Request;
use dog::http::uri::Authority;
use dog::http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::denied::Denied;
use crate::error::DoorError;

const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// Which pages may connect, by the header `Origin`, which every browser sends with a WebSocket and no page can change.
///
/// Without a check, any page on the web can open a socket in the name of a visitor, because the browser sends the visitor's
/// cookies with it. By default only pages of this server may connect: the host and port of `Origin` have to be those that the
/// client has asked for. Programs that are no browsers send no `Origin`, and may connect.
///
/// ```
/// use dog_door::Origins;
///
/// let origins = Origins::same().allow("https://app.example.com")?;
/// # let request = dog::http::Request::get("/ws").header("host", "chat.example.com").header("origin", "https://app.example.com");
/// # origins.check(&request.body(dog::Body::empty())?).unwrap();
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Origins {
    others: Vec<Origin>,
    is_required: bool,
    is_https_only: bool,
    is_forwarded: bool,
}

/// `scheme://host:port`, with a port that is always there.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Origin {
    is_https: bool,
    host: String,
    port: u16,
}

impl Origins {
    /// Pages of this server, and programs that are no browsers.
    pub fn same() -> Self {
        Self { others: Vec::new(), is_required: false, is_https_only: false, is_forwarded: false }
    }

    /// Also pages of `origin`, such as `https://app.example.com` or `http://localhost:8080`.
    ///
    /// # Errors
    /// `origin` is not the scheme `http` or `https`, a host, and perhaps a port.
    pub fn allow(mut self, origin: &str) -> Result<Self, DoorError> {
        let form = || DoorError::new(format!("{origin:?} is no origin: write it as https://host or https://host:port"));
        self.others.push(Origin::parse(origin).ok_or_else(form)?);
        Ok(self)
    }

    /// Refuses requests without `Origin`: only browsers may connect. It does not keep programs out that send one.
    pub fn required(mut self) -> Self {
        self.is_required = true;
        self
    }

    /// Refuses pages that came over plain HTTP. Use it where the server is reached by HTTPS: who controls a network can show a
    /// page of `http://` with your host name, and the browser sends it your cookies.
    pub fn https_only(mut self) -> Self {
        self.is_https_only = true;
        self
    }

    /// Compares with `X-Forwarded-Host` instead of `Host`, if it is there. Use it only behind a proxy that sets this header on
    /// every request and does not pass on the client's.
    pub fn forwarded_host(mut self) -> Self {
        self.is_forwarded = true;
        self
    }

    /// Whether the page that has sent `request` may connect.
    ///
    /// # Errors
    /// The refusal, with status 403.
    pub fn check(&self, request: &Request) -> Result<(), Denied> {
        let mut given = request.headers().get_all(header::ORIGIN).iter();
        let origin = match (given.next(), given.next()) {
            (None, _) if self.is_required => return Err(Denied::origin("the request has no Origin")),
            (None, _) => return Ok(()),
            (Some(origin), None) => origin,
            (Some(_), Some(_)) => return Err(Denied::origin("the request has more than one Origin")),
        };
        let Some(page) = origin.to_str().ok().and_then(Origin::parse) else {
            return Err(Denied::origin(format!("the Origin {origin:?} is no page of a server")));
        };
        if self.is_https_only && !page.is_https {
            return Err(Denied::origin(format!("the page {origin:?} did not come by HTTPS")));
        }
        if self.others.contains(&page) || self.is_own(&page, request) {
            return Ok(());
        }
        Err(Denied::origin(format!("the page {origin:?} is of another origin")))
    }

    /// Whether the page is of the host that the request is for. A proxy may end TLS, so the scheme of the server is not known:
    /// it is taken to be that of the page.
    fn is_own(&self, page: &Origin, request: &Request) -> bool {
        let forwarded = self.is_forwarded.then(|| only(request.headers(), &FORWARDED_HOST)).flatten();
        let host = forwarded.or_else(|| only(request.headers(), &header::HOST));
        // HTTP/2 has no `Host`, and Workers see the whole address.
        let host = host.or_else(|| request.uri().authority().map(Authority::as_str));
        let scheme = if page.is_https { "https" } else { "http" };
        host.and_then(|host| Origin::parse(&format!("{scheme}://{host}"))).is_some_and(|own| own == *page)
    }
}

impl Default for Origins {
    fn default() -> Self {
        Self::same()
    }
}

/// The value of a header that is there once.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter().map(HeaderValue::to_str);
    match (values.next(), values.next()) {
        (Some(Ok(value)), None) => Some(value),
        _ => None,
    }
}

impl Origin {
    fn parse(text: &str) -> Option<Self> {
        let (scheme, authority) = text.split_once("://")?;
        let is_https = scheme.eq_ignore_ascii_case("https");
        if !is_https && !scheme.eq_ignore_ascii_case("http") {
            return None;
        }
        // Nothing beside the host and the port: no user, no path.
        if authority.contains(['@', '/', '?', '#', '\\', ',', ' ']) {
            return None;
        }
        let authority: Authority = authority.parse().ok()?;
        let port = match authority.port() {
            Some(port) => port.as_str().parse().ok()?,
            // "host:" has an empty port, which is the default.
            None if is_https => 443,
            None => 80,
        };
        let host = authority.host().to_ascii_lowercase();
        (!host.is_empty()).then_some(Self { is_https, host, port })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dog::Body;
    use dog::http::Request as HttpRequest;

    /// Whether a page may connect to a host.
    fn admits(origins: &Origins, host: &str, origin: &[&str]) -> bool {
        let request = HttpRequest::get("/ws").header("host", host);
        let request = origin.iter().fold(request, |request, origin| request.header("origin", *origin));
        origins.check(&request.body(Body::empty()).unwrap()).is_ok()
    }

    #[test]
    fn pages_of_the_same_host_and_port_connect_and_others_do_not() {
        let same = Origins::same();
        for (host, origin) in [
            ("example.com", "https://example.com"),
            ("example.com", "http://example.com"),
            ("EXAMPLE.com:443", "https://example.COM"),
            ("example.com:80", "http://example.com:80"),
            ("localhost:8080", "http://localhost:8080"),
            ("[::1]:8080", "http://[::1]:8080"),
        ] {
            assert!(admits(&same, host, &[origin]), "{origin} to {host}");
        }
        for origin in [
            "https://evil.example",
            "https://example.com.evil.example",
            "https://evil-example.com",
            "https://sub.example.com",
            "https://example.com:8443",
            "https://example.com@evil.example",
            "https://evil.example/https://example.com",
            "https://example.com/",
            "ftp://example.com",
            "example.com",
            "null",
            "",
            "https://",
            "https://example.com, https://evil.example",
        ] {
            assert!(!admits(&same, "example.com", &[origin]), "{origin:?}");
        }
        assert!(!admits(&same, "example.com", &["https://example.com", "https://example.com"]), "twice");
        assert!(!admits(&same, "", &["https://example.com"]));
    }

    #[test]
    fn a_request_without_origin_is_admitted_unless_one_is_required() {
        assert!(admits(&Origins::same(), "example.com", &[]));
        let required = Origins::same().required();
        assert!(!admits(&required, "example.com", &[]) && admits(&required, "example.com", &["https://example.com"]));
    }

    #[test]
    fn others_are_admitted_by_their_whole_origin() {
        let origins = Origins::same().allow("https://app.example.com").unwrap();
        assert!(admits(&origins, "example.com", &["https://app.example.com:443"]));
        assert!(!admits(&origins, "example.com", &["http://app.example.com"]), "another scheme");
        assert!(!admits(&origins, "example.com", &["https://app.example.com:444"]), "another port");
        for wrong in ["app.example.com", "https://app.example.com/", "*", "https://*", "https://a b", "wss://a"] {
            let refused = Origins::same().allow(wrong);
            // A star is a character of a host name like any other: it admits nobody else.
            assert!(
                refused.is_err() || !admits(&refused.unwrap(), "example.com", &["https://evil.example"]),
                "{wrong}"
            );
        }
        let https = Origins::same().https_only();
        assert!(!admits(&https, "example.com", &["http://example.com"]));
        assert!(admits(&https, "example.com", &["https://example.com"]));
    }

    #[test]
    fn the_forwarded_host_counts_only_where_it_is_trusted() {
        let request = HttpRequest::get("/ws").header("host", "10.0.0.7:8080").header("x-forwarded-host", "example.com");
        let request = request.header("origin", "https://example.com").body(Body::empty()).unwrap();
        assert_eq!(Origins::same().check(&request).unwrap_err().status(), 403);
        assert!(Origins::same().forwarded_host().check(&request).is_ok());
        // A Worker sees the whole address.
        let request = HttpRequest::get("https://example.com/ws").header("origin", "https://example.com");
        assert!(Origins::same().check(&request.body(Body::empty()).unwrap()).is_ok());
    }
}
