//! The number of connections per remote address.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};

/// Counts the connections of each remote address. It is used when a connection opens or closes, never per message.
#[derive(Default)]
pub(crate) struct Addresses {
    counts: Mutex<HashMap<IpAddr, usize>>,
}

impl Addresses {
    /// Permits one more connection from `address`. Returns `None` if it already has `limit` connections.
    pub(crate) fn permit(self: &Arc<Self>, address: IpAddr, limit: usize) -> Option<AddressPermit> {
        let address = client_of(address);
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(address).or_default();
        if *count >= limit {
            return None;
        }
        *count += 1;
        Some(AddressPermit { addresses: Arc::clone(self), address })
    }
}

/// Returns the address that a client is counted under: an IPv4 address however it is written, or the /64 network of an
/// IPv6 address. A host or household usually gets at least such a network, and may use any address in it.
pub(crate) fn client_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
        address @ IpAddr::V4(_) => address,
    }
}

/// Counts as one connection of its address until it is dropped.
pub(crate) struct AddressPermit {
    addresses: Arc<Addresses>,
    address: IpAddr,
}

impl Drop for AddressPermit {
    fn drop(&mut self) {
        let mut counts = self.addresses.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_of_ipv6_is_one_client_and_so_is_an_address_of_ipv4() {
        let client = |text: &str| client_of(text.parse().unwrap());
        assert_eq!(client("2001:db8:1:2::1"), client("2001:db8:1:2:ffff:ffff:ffff:ffff"));
        assert_ne!(client("2001:db8:1:2::1"), client("2001:db8:1:3::1"));
        assert_eq!(client("::ffff:192.0.2.1"), client("192.0.2.1"));
        assert_ne!(client("::ffff:192.0.2.1"), client("::ffff:192.0.2.2"));
        assert_ne!(client("192.0.2.1"), client("192.0.2.2"));
    }

    #[test]
    fn all_addresses_of_a_network_share_one_number() {
        let addresses = Arc::<Addresses>::default();
        let held: Vec<_> = (1..=3).map(|host| addresses.permit(Ipv6Addr::from_bits(host).into(), 3).unwrap()).collect();
        assert!(addresses.permit(Ipv6Addr::from_bits(1 << 60).into(), 3).is_none());
        assert!(addresses.permit(Ipv6Addr::from_bits(1 << 64).into(), 3).is_some(), "another network");
        drop(held);
        assert!(addresses.counts.lock().unwrap().is_empty(), "nothing is kept of those that have gone");
    }
}
