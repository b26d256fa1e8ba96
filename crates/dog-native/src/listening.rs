//! Listening: from an address in a setting to sockets.

use std::io;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};

use crate::config::Config;
use crate::error::Error;

/// How often to try to find a port that is free at all addresses of a name.
const TRIES: usize = 20;

/// The listeners and their addresses.
pub(crate) struct Listening {
    pub(crate) addresses: Vec<SocketAddr>,
    /// The listeners of each worker.
    pub(crate) listeners: Vec<Vec<TcpListener>>,
}

/// Creates a listener at each address for each worker, all with the same port. The kernel distributes connections among
/// the workers.
pub(crate) fn listen_all(setting: &str, wanted: &[SocketAddr], workers: usize) -> Result<Listening, Error> {
    for address in wanted.iter().filter(|address| address.port() != 0) {
        // The listeners of the workers share their port, so they could share it with another server by mistake. A
        // listener that does not share its port detects that.
        match listen(*address, false) {
            Err(cause) if !is_missing(&cause) => return Err(cannot_listen(setting, *address, cause)),
            Ok(_) | Err(_) => {}
        }
    }
    let first = listen_each(setting, wanted, true)?;
    let addresses: Vec<SocketAddr> = first.iter().filter_map(|listener| listener.local_addr().ok()).collect();
    let mut listeners = vec![first];
    for _ in 1..workers {
        let listen =
            |address: &SocketAddr| listen(*address, true).map_err(|cause| cannot_listen(setting, *address, cause));
        listeners.push(addresses.iter().map(listen).collect::<Result<_, _>>()?);
    }
    Ok(Listening { addresses, listeners })
}

/// Creates a listener at each address that this machine has, all with the same port.
pub(crate) fn listen_each(setting: &str, wanted: &[SocketAddr], shared: bool) -> Result<Vec<TcpListener>, Error> {
    let mut tries = 0;
    loop {
        tries += 1;
        match try_each(wanted, shared) {
            // A port that is free at one address may be in use at the next.
            Err((_, cause)) if cause.kind() == io::ErrorKind::AddrInUse && wanted[0].port() == 0 && tries < TRIES => {}
            Err((address, cause)) => return Err(cannot_listen(setting, address, cause)),
            Ok(listeners) => return Ok(listeners),
        }
    }
}

fn try_each(wanted: &[SocketAddr], shared: bool) -> Result<Vec<TcpListener>, (SocketAddr, io::Error)> {
    let mut listeners: Vec<TcpListener> = Vec::new();
    let mut missing = None;
    for address in wanted {
        let mut address = *address;
        if let Some(first) = listeners.first().and_then(|listener| listener.local_addr().ok()) {
            address.set_port(first.port());
        }
        match listen(address, shared) {
            Ok(listener) => listeners.push(listener),
            // A name may have addresses that this machine does not have, such as those of IPv6 where it is disabled.
            Err(cause) if is_missing(&cause) => missing = Some((address, cause)),
            Err(cause) => return Err((address, cause)),
        }
    }
    match missing {
        Some(missing) if listeners.is_empty() => Err(missing),
        _ => Ok(listeners),
    }
}

/// Returns whether this machine does not have the address.
fn is_missing(cause: &io::Error) -> bool {
    // EAFNOSUPPORT has no kind of its own in the standard library.
    cause.kind() == io::ErrorKind::AddrNotAvailable || cause.raw_os_error() == Some(AF_UNSUPPORTED)
}

#[cfg(target_os = "linux")]
const AF_UNSUPPORTED: i32 = 97;
#[cfg(not(target_os = "linux"))]
const AF_UNSUPPORTED: i32 = 47;

pub(crate) fn listen(address: SocketAddr, shared: bool) -> io::Result<TcpListener> {
    let socket = socket2::Socket::new(socket2::Domain::for_address(address), socket2::Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(shared)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(4096)?;
    Ok(socket.into())
}

/// Returns the error for an address of `setting` that cannot be listened on.
pub(crate) fn cannot_listen(setting: &str, address: SocketAddr, cause: io::Error) -> Error {
    let text = match cause.kind() {
        io::ErrorKind::AddrInUse => format!("{setting}: {address} is in use by another program"),
        _ => format!("{setting}: cannot listen on {address}: {cause}"),
    };
    Error::bind(text, cause)
}

impl Config {
    /// Returns the addresses to listen on: all addresses of the name.
    pub(crate) fn addresses(&self) -> Result<Vec<SocketAddr>, Error> {
        resolve("bind", &self.bind, "127.0.0.1:8787")
    }

    /// Returns the address at which other nodes reach this one.
    pub(crate) fn advertised_address(&self) -> Result<SocketAddr, Error> {
        resolve("advertise", &self.advertise, "10.0.0.5:7422").map(|addresses| addresses[0])
    }

    /// Returns the addresses for operators, none without the setting.
    pub(crate) fn admin_addresses(&self) -> Result<Vec<SocketAddr>, Error> {
        self.admin.as_deref().map_or(Ok(Vec::new()), |address| resolve("admin", address, "127.0.0.1:9464"))
    }
}

/// Resolves a setting to at least one address, without duplicates.
fn resolve(setting: &str, address: &str, example: &str) -> Result<Vec<SocketAddr>, Error> {
    let mut addresses = Vec::new();
    for resolved in address.to_socket_addrs().into_iter().flatten() {
        if !addresses.contains(&resolved) {
            addresses.push(resolved);
        }
    }
    if addresses.is_empty() {
        let text = format!("{setting}: \"{address}\" is no address: give host:port, such as {example}");
        return Err(Error::configuration(text));
    }
    Ok(addresses)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn all_addresses_of_a_name_get_one_port() {
        // Both belong to this machine, with or without IPv6.
        let wanted = addresses(&["127.0.0.1:0", "127.0.0.2:0"]);
        let listening = listen_all("bind", &wanted, 3).unwrap();
        let port = listening.addresses[0].port();
        assert_ne!(port, 0);
        assert_eq!(listening.addresses, addresses(&[&format!("127.0.0.1:{port}"), &format!("127.0.0.2:{port}")]));
        assert!(listening.listeners.len() == 3 && listening.listeners.iter().all(|listeners| listeners.len() == 2));
    }

    #[test]
    fn an_address_that_the_machine_does_not_have_is_left_out_while_there_is_another() {
        // This address is reserved for documentation, so no machine has it.
        let wanted = addresses(&["192.0.2.1:0", "127.0.0.1:0"]);
        let listening = listen_all("bind", &wanted, 1).unwrap();
        assert_eq!(listening.addresses.len(), 1);
        let error = listen_all("bind", &wanted[..1], 1).err().unwrap();
        assert!(error.is_bind() && error.to_string().starts_with("bind: cannot listen on 192.0.2.1:0"), "{error}");
    }

    #[test]
    fn one_address_in_use_is_an_error_that_names_it() {
        let taken = TcpListener::bind("127.0.0.2:0").unwrap();
        let port = taken.local_addr().unwrap().port();
        let wanted = addresses(&[&format!("127.0.0.1:{port}"), &format!("127.0.0.2:{port}")]);
        let error = listen_all("bind", &wanted, 1).err().unwrap();
        assert_eq!(error.to_string(), format!("bind: 127.0.0.2:{port} is in use by another program"));
    }

    #[test]
    fn a_name_gives_each_of_its_addresses_once() {
        let resolved = resolve("bind", "localhost:80", "").unwrap();
        assert!(resolved.iter().all(|address| address.ip().is_loopback() && address.port() == 80), "{resolved:?}");
        assert_eq!(resolved.iter().filter(|address| **address == resolved[0]).count(), 1);
        assert!(resolve("bind", "nonsense", "x:1").unwrap_err().is_configuration());
    }
}
