//! What a request says beside its head and body: the peer's address, the identity from the App, and the subprotocols that the
//! client offers.

use std::net::IpAddr;

use bytes::Bytes;
use http::header::SEC_WEBSOCKET_PROTOCOL;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::body::Request;
use crate::codec;
use crate::error::{Error, Kind};

/// Largest identity of a request, in bytes when serialised.
pub const MAX_IDENTITY: usize = 4 * 1024;

/// For hosts: the address of the client, among the extensions of a request. It has no form that a client could send.
#[doc(hidden)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerAddress(pub IpAddr);

/// For hosts: the identity that the App has given with a request, among the extensions of the request.
#[doc(hidden)]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity(pub Bytes);

/// The address of the client that has sent this request, in the App, in [`Group::receive`](crate::Group::receive) and in
/// [`Replica::receive`](crate::Replica::receive). An IPv4 address is always an IPv4 address, also where it arrived as
/// `::ffff:192.0.2.1`.
///
/// - On a native server it is the address at the other end of the connection. If that is a trusted proxy
///   (`Server::trusted_proxies`), it is the right-most address in `X-Forwarded-For` that is not a trusted proxy. In a cluster
///   the node that the client has reached decides, and the address travels with the request.
/// - On Workers it is `CF-Connecting-IP`, which Cloudflare sets.
/// - In the test kit, and behind a `dog_native::Service`, it is what [`set_peer_address`] has set.
///
/// `None` if the host does not know it, for example because a test has made the request. No client can set it: it does not
/// come from a header, except from the headers of a trusted proxy.
///
/// ```
/// # use dog::{Request, Response, http::StatusCode};
/// fn refuse(request: &Request, banned: std::net::IpAddr) -> Option<Response> {
///     let is_banned = dog::peer_address(request) == Some(banned);
///     is_banned.then(|| dog::text_response(StatusCode::FORBIDDEN, "go away"))
/// }
/// ```
pub fn peer_address(request: &Request) -> Option<IpAddr> {
    request.extensions().get::<PeerAddress>().map(|peer| peer.0)
}

/// Sets what [`peer_address`] returns for a request: for programs that receive requests with another server and hand them to a
/// `dog_native::Service`, and for tests with the test kit. A native server and a Worker set it themselves.
///
/// ```
/// let mut request = dog::http::Request::new(dog::Body::empty());
/// dog::set_peer_address(&mut request, [192, 0, 2, 1].into());
/// assert_eq!(dog::peer_address(&request), Some([192, 0, 2, 1].into()));
/// ```
pub fn set_peer_address<B>(request: &mut http::Request<B>, address: IpAddr) {
    request.extensions_mut().insert(PeerAddress(address.to_canonical()));
}

/// The identity that the App has given with this request: see [`ReplicaHandle::fetch_as`](crate::ReplicaHandle::fetch_as).
/// `None` if it used [`fetch`](crate::ReplicaHandle::fetch). A client cannot set it.
///
/// A socket that opens from the request keeps it: [`Socket::identity`](crate::Socket::identity).
///
/// # Errors
/// [`Error::is_encoding`]: the identity is not a `T`.
pub fn identity<T: DeserializeOwned>(request: &Request) -> Result<Option<T>, Error> {
    request.extensions().get::<Identity>().map(|identity| codec::decode(&identity.0)).transpose()
}

/// The subprotocols that the client offers in `Sec-WebSocket-Protocol`, in the order in which it prefers them.
/// [`Context::accept`](crate::Context::accept) chooses one of them.
///
/// ```
/// let request = dog::http::Request::get("/").header("sec-websocket-protocol", "chat.v2, chat.v1").body(dog::Body::empty())?;
/// assert_eq!(dog::offered_subprotocols(&request).collect::<Vec<_>>(), ["chat.v2", "chat.v1"]);
/// # Ok::<(), dog::http::Error>(())
/// ```
pub fn offered_subprotocols(request: &Request) -> impl Iterator<Item = &str> {
    let values = request.headers().get_all(SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(|name| name.trim_matches([' ', '\t'])).filter(|name| !name.is_empty())
}

/// The bytes of an identity.
pub(crate) fn encode_identity<T: Serialize + ?Sized>(identity: &T) -> Result<Bytes, Error> {
    let bytes = codec::encode(identity)?;
    if bytes.len() > MAX_IDENTITY {
        let length = bytes.len();
        let message = format!("the identity is {length} bytes serialised, {MAX_IDENTITY} at most");
        return Err(Error::new(Kind::ValueTooLarge, message));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::body::Body;

    #[test]
    fn an_identity_has_at_most_4_kib() {
        let longest = "x".repeat(MAX_IDENTITY - 3);
        assert_eq!(encode_identity(&longest).unwrap().len(), MAX_IDENTITY);
        let error = encode_identity(&(longest + "x")).unwrap_err();
        assert!(error.is_too_large() && error.to_string().contains("4097 bytes"), "{error}");
        assert!(error.status().is_server_error(), "it is the App's, not the client's");
    }

    #[test]
    fn an_identity_is_read_as_it_was_given() {
        let mut request = Request::new(Body::empty());
        assert_eq!(identity::<String>(&request).unwrap(), None);
        request.extensions_mut().insert(Identity(encode_identity("ann").unwrap()));
        assert_eq!(identity::<String>(&request).unwrap().as_deref(), Some("ann"));
        assert!(identity::<u32>(&request).unwrap_err().is_encoding());
    }

    #[test]
    fn an_address_of_ipv4_is_one() {
        let mut request = Request::new(Body::empty());
        assert_eq!(peer_address(&request), None);
        set_peer_address(&mut request, "::ffff:192.0.2.1".parse().unwrap());
        assert_eq!(peer_address(&request), Some("192.0.2.1".parse().unwrap()));
    }

    #[test]
    fn subprotocols_come_from_all_lines_of_the_header() {
        let request = http::Request::get("/")
            .header("sec-websocket-protocol", "b,\ta ")
            .header("sec-websocket-protocol", ", c")
            .body(Body::empty())
            .unwrap();
        assert_eq!(offered_subprotocols(&request).collect::<Vec<_>>(), ["b", "a", "c"]);
        assert_eq!(offered_subprotocols(&Request::default()).count(), 0);
    }
}
