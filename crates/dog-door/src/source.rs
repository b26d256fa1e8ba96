//! Where in a request the token is: [`TokenSource`].

use dog::Request;
use dog::http::{HeaderMap, header};

use crate::denied::Denied;

/// Where in a request the token is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenSource {
    /// The header `Authorization: Bearer TOKEN`. Upper and lower case of `Bearer` are equal. For programs: a page cannot set
    /// headers of a WebSocket.
    Bearer,
    /// The cookie of this name. For pages of the same site. Check [`Origins`](crate::Origins) with it.
    Cookie(String),
    /// The WebSocket subprotocol that begins with this text; the token is what follows it. For pages:
    /// `new WebSocket(url, ["chat", "bearer." + token])` with `Subprotocol("bearer.".into())`.
    ///
    /// Browsers want one of the subprotocols to be chosen. Choose the other one, with
    /// [`Context::accept`](dog::Context::accept): the chosen one is in the response.
    Subprotocol(String),
    /// The parameter of this name in the query. Addresses end up in logs of proxies, so give such tokens a short life. The
    /// native server logs no queries.
    Query(String),
}

impl TokenSource {
    /// The token, if there is one here.
    ///
    /// # Errors
    /// There are several. Which of them the client means, or who added the other, cannot be known.
    pub(crate) fn find(&self, request: &Request) -> Result<Option<String>, Denied> {
        match self {
            Self::Bearer => only(bearer(request.headers()), "several Authorization headers with a token"),
            Self::Cookie(name) => only(cookies(request.headers(), name), "several cookies with a token"),
            Self::Subprotocol(prefix) => {
                let offered = dog::offered_subprotocols(request).filter_map(|name| name.strip_prefix(prefix.as_str()));
                only(offered.map(str::to_owned), "several subprotocols with a token")
            }
            Self::Query(name) => only(dog::query_params(request, name), "several query parameters with a token"),
        }
    }
}

fn only(mut found: impl Iterator<Item = String>, cause: &'static str) -> Result<Option<String>, Denied> {
    let first = found.next();
    match found.next() {
        None => Ok(first),
        Some(_) => Err(Denied::token("there is more than one token: send one", cause)),
    }
}

fn bearer(headers: &HeaderMap) -> impl Iterator<Item = String> {
    let values = headers.get_all(header::AUTHORIZATION).iter().filter_map(|value| value.to_str().ok());
    values.filter_map(|value| {
        let (scheme, token) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim_matches(' ').to_owned())
    })
}

fn cookies<'a>(headers: &'a HeaderMap, name: &'a str) -> impl Iterator<Item = String> + 'a {
    let lines = headers.get_all(header::COOKIE).iter().filter_map(|line| line.to_str().ok());
    let pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.filter(move |(key, _)| *key == name).map(|(_, value)| value.trim_matches('"').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use dog::Body;
    use dog::http::Request as HttpRequest;

    fn find(source: &TokenSource, path: &str, fields: &[(&str, &str)]) -> Result<Option<String>, Denied> {
        let request =
            fields.iter().fold(HttpRequest::get(path), |request, (name, value)| request.header(*name, *value));
        source.find(&request.body(Body::empty()).unwrap())
    }

    fn found(source: &TokenSource, path: &str, fields: &[(&str, &str)]) -> Option<String> {
        find(source, path, fields).unwrap()
    }

    #[test]
    fn a_token_is_found_where_it_is_and_nowhere_else() {
        let bearer = |value| found(&TokenSource::Bearer, "/ws", &[("authorization", value)]);
        for right in ["Bearer a.b.c", "bearer a.b.c", "BEARER  a.b.c "] {
            assert_eq!(bearer(right).as_deref(), Some("a.b.c"), "{right:?}");
        }
        for other in ["Basic a.b.c", "Bearera.b.c", "a.b.c", "Bearer"] {
            assert_eq!(bearer(other), None, "{other:?}");
        }

        let cookie = |line| found(&TokenSource::Cookie("t".into()), "/ws", &[("cookie", line)]);
        assert_eq!(cookie("x=1; t=a.b.c;y=2").as_deref(), Some("a.b.c"));
        for other in ["T=a.b.c", "xt=a.b.c", "t", "x=t=a.b.c"] {
            assert_eq!(cookie(other), None, "{other:?}: names of cookies are compared as they are");
        }

        let subprotocol = TokenSource::Subprotocol("bearer.".into());
        let offered = |line| found(&subprotocol, "/ws", &[("sec-websocket-protocol", line)]);
        assert_eq!(offered("chat, bearer.a.b.c").as_deref(), Some("a.b.c"));
        assert_eq!(offered("chat, Bearer.a.b.c"), None);

        let query = |path| found(&TokenSource::Query("token".into()), path, &[]);
        assert_eq!(query("/ws?x=1&token=a.b.c").as_deref(), Some("a.b.c"));
        assert_eq!(query("/ws?tokens=a.b.c"), None);
    }

    #[test]
    fn two_tokens_in_one_place_are_refused() {
        let cookie = TokenSource::Cookie("t".into());
        let subprotocol = TokenSource::Subprotocol("bearer.".into());
        let cases = [
            find(&cookie, "/ws", &[("cookie", "t=a; t=b")]),
            find(&cookie, "/ws", &[("cookie", "t=a"), ("cookie", "t=a")]),
            find(&TokenSource::Bearer, "/ws", &[("authorization", "Bearer a"), ("authorization", "Bearer b")]),
            find(&subprotocol, "/ws", &[("sec-websocket-protocol", "bearer.a, bearer.b")]),
            find(&TokenSource::Query("t".into()), "/ws?t=a&t=b", &[]),
        ];
        for case in cases {
            assert_eq!(case.unwrap_err().status(), 401);
        }
    }
}
