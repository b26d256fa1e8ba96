//! Which address a request has come from, behind proxies: [`Network`] and [`TrustedProxies`].

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use dog::http::HeaderMap;

use crate::error::Error;

/// The header to which each proxy appends the address that it was reached from.
const FORWARDED_FOR: &str = "x-forwarded-for";

/// A network of IP addresses in CIDR notation, such as `10.0.0.0/8` or `2001:db8::/32`, or one address. See
/// [`Server::trusted_proxies`](crate::Server::trusted_proxies).
///
/// ```
/// let network: dog_native::Network = "10.0.0.0/8".parse()?;
/// assert!(network.contains([10, 1, 2, 3].into()));
/// assert!("10.0.0.1/8".parse::<dog_native::Network>().is_err(), "it names one address, and a network");
/// # Ok::<(), dog_native::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Network {
    address: IpAddr,
    /// How many bits of the address all addresses of the network share.
    prefix: u8,
}

impl Network {
    /// Returns whether the network contains an address. `::ffff:192.0.2.1` is `192.0.2.1`.
    pub fn contains(self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(own), IpAddr::V4(other)) => own == masked_v4(other, self.prefix),
            (IpAddr::V6(own), IpAddr::V6(other)) => own == masked_v6(other, self.prefix),
            _ => false,
        }
    }
}

fn masked_v4(address: Ipv4Addr, prefix: u8) -> Ipv4Addr {
    let mask = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
    Ipv4Addr::from_bits(address.to_bits() & mask)
}

fn masked_v6(address: Ipv6Addr, prefix: u8) -> Ipv6Addr {
    let mask = u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0);
    Ipv6Addr::from_bits(address.to_bits() & mask)
}

impl FromStr for Network {
    type Err = Error;

    /// # Errors
    /// If `text` is no network ([`Error::is_configuration`]). The text of the error says what would be one.
    fn from_str(text: &str) -> Result<Self, Error> {
        let invalid = || {
            let text = format!("trusted_proxies: {text:?} is no network: give an address, or one such as 10.0.0.0/8");
            Error::configuration(text)
        };
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let mut address: IpAddr = address.parse().map_err(|_| invalid())?;
        let longest = if address.is_ipv4() { 32 } else { 128 };
        let mut prefix = match prefix {
            Some(prefix) if prefix.bytes().all(|digit| digit.is_ascii_digit()) => {
                prefix.parse().ok().filter(|prefix| *prefix <= longest).ok_or_else(invalid)?
            }
            Some(_) => return Err(invalid()),
            None => longest,
        };
        if address.is_ipv6() && address.to_canonical().is_ipv4() && prefix >= 96 {
            (address, prefix) = (address.to_canonical(), prefix - 96);
        }
        let network = Self { address, prefix };
        if network.contains(address) {
            return Ok(network);
        }
        let first = match address {
            IpAddr::V4(address) => IpAddr::V4(masked_v4(address, prefix)),
            IpAddr::V6(address) => IpAddr::V6(masked_v6(address, prefix)),
        };
        let text = format!("trusted_proxies: {text:?} has bits after its prefix: give {first}/{prefix}, or {address}");
        Err(Error::configuration(text))
    }
}

impl fmt::Display for Network {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.address, self.prefix)
    }
}

/// The networks of the proxies whose `X-Forwarded-For` is believed.
#[derive(Clone, Debug, Default)]
pub(crate) struct TrustedProxies(Vec<Network>);

impl TrustedProxies {
    pub(crate) fn new(networks: impl IntoIterator<Item = Network>) -> Self {
        Self(networks.into_iter().collect())
    }

    pub(crate) fn contain(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(address))
    }

    /// Returns the address of the client whose request has come from `peer`: the right-most address of `X-Forwarded-For`
    /// that is no trusted proxy. What is left of it may be forged. If the header ends or cannot be read before, it is the
    /// address of the last proxy that was trusted.
    pub(crate) fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut last = peer.to_canonical();
        let lines = headers.get_all(FORWARDED_FOR).into_iter().rev();
        let mut hops = lines.flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b','));
        while self.contain(last) {
            let hop = hops.next().and_then(|hop| std::str::from_utf8(hop.trim_ascii()).ok()?.parse::<IpAddr>().ok());
            match hop {
                Some(hop) => last = hop.to_canonical(),
                None => break,
            }
        }
        last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(text: &str) -> Network {
        text.parse().unwrap()
    }

    #[test]
    fn a_network_contains_what_begins_with_its_prefix() {
        for (text, inside, outside) in [
            ("10.0.0.0/8", "10.255.0.1", "11.0.0.0"),
            ("192.0.2.7", "192.0.2.7", "192.0.2.8"),
            ("192.0.2.4/31", "192.0.2.5", "192.0.2.6"),
            ("2001:db8::/32", "2001:db8:ffff::1", "2001:db9::"),
            ("::1", "::1", "::2"),
            ("::/0", "2001:db8::1", "192.0.2.1"),
            ("0.0.0.0/0", "::ffff:192.0.2.1", "::1"),
            ("::ffff:10.0.0.0/104", "10.1.2.3", "11.0.0.0"),
        ] {
            assert!(network(text).contains(inside.parse().unwrap()), "{text} {inside}");
            assert!(!network(text).contains(outside.parse().unwrap()), "{text} {outside}");
        }
        assert_eq!(network("::ffff:10.0.0.0/104").to_string(), "10.0.0.0/8");
        assert_eq!(network("::1").to_string(), "::1/128");
    }

    #[test]
    fn what_is_no_network_is_refused_with_what_would_be_one() {
        for text in [
            "",
            "/8",
            "10.0.0.0/",
            "10.0.0.0/33",
            "10.0.0.0/+8",
            "10.0.0.0/8/8",
            "10.0.0/8",
            "::/129",
            " 10.0.0.1",
            "all",
        ] {
            let error = text.parse::<Network>().unwrap_err();
            assert!(error.is_configuration() && error.to_string().starts_with("trusted_proxies: "), "{error}");
        }
        let error = "10.0.0.1/8".parse::<Network>().unwrap_err().to_string();
        assert!(error.contains("give 10.0.0.0/8, or 10.0.0.1"), "{error}");
    }

    #[test]
    fn the_client_is_the_last_address_that_no_trusted_proxy_has() {
        let trusted = TrustedProxies::new(["10.0.0.0/8", "192.0.2.1"].map(network));
        let client = |peer: &str, lines: &[&str]| {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(FORWARDED_FOR, line.parse().unwrap());
            }
            trusted.client(peer.parse().unwrap(), &headers).to_string()
        };
        // Nobody else is believed.
        assert_eq!(client("198.51.100.9", &["203.0.113.5"]), "198.51.100.9");
        assert_eq!(client("10.0.0.1", &["203.0.113.5"]), "203.0.113.5");
        assert_eq!(client("::ffff:10.0.0.1", &["::ffff:203.0.113.5"]), "203.0.113.5");
        // Two proxies, and what the client itself has written.
        assert_eq!(client("10.0.0.1", &["203.0.113.66, 203.0.113.5,192.0.2.1 ,\t10.9.9.9"]), "203.0.113.5");
        assert_eq!(client("10.0.0.1", &["203.0.113.66", "203.0.113.5", "192.0.2.1"]), "203.0.113.5");
        assert_eq!(client("10.0.0.1", &["2001:db8::5"]), "2001:db8::5");
        // Nothing, or nothing that can be read: the last proxy that was trusted.
        assert_eq!(client("10.0.0.1", &[]), "10.0.0.1");
        assert_eq!(client("10.0.0.1", &["10.0.0.2"]), "10.0.0.2");
        for malformed in
            ["", "unknown", "203.0.113.5:80", "203.0.113.05", "[2001:db8::5]", "203.0.113.5,", "fe80::1%eth0"]
        {
            assert_eq!(client("10.0.0.1", &[malformed]), "10.0.0.1", "{malformed}");
            assert_eq!(client("10.0.0.1", &["203.0.113.5", malformed, "192.0.2.1"]), "192.0.2.1", "{malformed}");
        }
    }
}
