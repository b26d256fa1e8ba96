//! What one address may do per second or minute on this node: [`AddressLimits`].

use std::net::IpAddr;
use std::time::Duration;

use dog::http::{HeaderValue, StatusCode, header};
use dog::{Request, Response};

use crate::config::Config;
use crate::rates::{AddressRates, Rate};

tokio::task_local! {
    /// The address whose request this task answers. It is set only if somebody asks for it.
    static ASKING: IpAddr;
}

/// The limits that are set. Each that is not costs nothing.
pub(crate) struct AddressLimits {
    connections: Option<AddressRates>,
    requests: Option<AddressRates>,
    groups: Option<AddressRates>,
}

impl AddressLimits {
    pub(crate) fn new(config: &Config) -> Self {
        let rates = |rate: Option<Rate>| rate.map(AddressRates::new);
        Self {
            connections: rates(config.connections_per_address),
            requests: rates(config.requests_per_address),
            groups: rates(config.groups_per_address),
        }
    }

    /// Whether one more connection may come from `address` now.
    pub(crate) fn allows_connection(&self, address: IpAddr, now: impl FnOnce() -> Duration) -> bool {
        self.connections.as_ref().is_none_or(|rates| rates.take(address, now()).is_ok())
    }

    /// Counts a request. Returns the response to one that is too many. A request whose address is not known is not limited.
    pub(crate) fn refuses(&self, request: &Request, now: impl FnOnce() -> Duration) -> Option<Response> {
        let wait = self.requests.as_ref()?.take(dog::peer_address(request)?, now()).err()?;
        Some(too_fast(wait))
    }

    /// Runs `answer`, which answers a request of `address`. Groups that it activates count for the address.
    pub(crate) async fn on_behalf_of<T>(&self, address: Option<IpAddr>, answer: impl Future<Output = T>) -> T {
        match address.filter(|_| self.groups.is_some()) {
            Some(address) => ASKING.scope(address, answer).await,
            None => answer.await,
        }
    }

    /// Whether `address` may activate one more Group now.
    pub(crate) fn allows_group(&self, address: Option<IpAddr>, now: impl FnOnce() -> Duration) -> bool {
        let (Some(rates), Some(address)) = (&self.groups, address) else { return true };
        rates.take(address, now()).is_ok()
    }
}

/// The address whose request the current task answers, if Groups are limited.
pub(crate) fn asking() -> Option<IpAddr> {
    ASKING.try_with(|address| *address).ok()
}

fn too_fast(wait: Duration) -> Response {
    let mut response = dog::text_response(StatusCode::TOO_MANY_REQUESTS, "too many requests of one address");
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(milliseconds: u64) -> String {
        let response = too_fast(Duration::from_millis(milliseconds));
        assert_eq!(response.status(), 429);
        response.headers()[header::RETRY_AFTER].to_str().unwrap().to_owned()
    }

    #[test]
    fn a_client_is_told_whole_seconds_and_never_too_few() {
        assert_eq!([1, 1000, 1001].map(seconds), ["1", "1", "2"]);
    }

    #[tokio::test]
    async fn without_limits_nothing_is_counted_and_nobody_asks() {
        let limits = AddressLimits::new(&Config::default());
        let address = IpAddr::from([192, 0, 2, 1]);
        assert!(limits.on_behalf_of(Some(address), async { asking() }).await.is_none());
        assert!((0..10_000).all(|_| limits.allows_connection(address, || Duration::ZERO)));
        assert!((0..10_000).all(|_| limits.allows_group(Some(address), || Duration::ZERO)));
    }

    #[tokio::test]
    async fn groups_count_for_the_address_whose_request_is_answered() {
        let config = Config { groups_per_address: Some(Rate::per_minute(2)), ..Config::default() };
        let limits = AddressLimits::new(&config);
        let [one, other] = [1, 2].map(|host| IpAddr::from([192, 0, 2, host]));
        let asked = limits.on_behalf_of(Some(one), async { asking() }).await;
        assert_eq!(asked, Some(one));
        let allowed = |address| (0..5).filter(|_| limits.allows_group(address, || Duration::from_secs(1))).count();
        assert_eq!([Some(one), Some(other), None].map(allowed), [2, 2, 5]);
    }
}
