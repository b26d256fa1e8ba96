//! A network of hosts for one test. Each host is a Linux network namespace with one address. A bridge connects the
//! hosts, and the test itself has an address on that bridge. A cut drops packets silently: no host sees an error.

use std::net::Ipv4Addr;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

/// The first two bytes of the addresses that RFC 2544 reserves for network tests.
const NETWORKS: [u8; 2] = [198, 18];
/// The hardware address to which packets for an unreachable host are sent. No device has this address.
const NOWHERE: &str = "02:00:00:00:00:01";

/// The number of networks that this process has created.
static MADE: AtomicU32 = AtomicU32::new(0);

/// A host of a [`Network`].
#[derive(Clone, Debug)]
pub(crate) struct Host {
    /// The name of its network namespace. The bridge's end of its virtual cable has the same name.
    name: String,
    pub(crate) address: Ipv4Addr,
}

impl Host {
    /// Returns a command that runs a program on this host.
    pub(crate) fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name]).arg(program);
        command
    }

    fn run(&self, what: &str) {
        ip(&format!("-n {} {what}", self.name));
    }
}

/// The hosts and the bridge between them. Dropping this deletes them. All processes on the hosts must have ended
/// before.
pub(crate) struct Network {
    bridge: String,
    hosts: Vec<Host>,
}

impl Network {
    pub(crate) fn of(hosts: u8) -> Self {
        let bridge = format!("d{}n{}", std::process::id(), MADE.fetch_add(1, Ordering::Relaxed));
        let mut network = Self { bridge, hosts: Vec::new() };
        if let Err(error) = ask_ip(&format!("link add {} type bridge", network.bridge)) {
            panic!(
                "this test needs network namespaces: run it as root, or with CAP_NET_ADMIN and CAP_SYS_ADMIN, with \
                 iproute2 installed: {error}"
            );
        }
        let third = network.free();
        let address = |host: u8| Ipv4Addr::new(NETWORKS[0], NETWORKS[1], third, host);
        ip(&format!("link set {} up", network.bridge));
        for number in 0..hosts {
            let host = Host { name: format!("{}h{number}", network.bridge), address: address(10 + number) };
            network.connect(&host);
        }
        network
    }

    /// Gives the bridge an address in a network that no other test uses. Returns the third byte of that network's
    /// addresses.
    fn free(&self) -> u8 {
        let first = std::process::id();
        for number in first..first + 256 {
            let third = number.to_le_bytes()[0];
            let mine = format!("{}.{}.{third}", NETWORKS[0], NETWORKS[1]);
            let taken = ask_ip("-o -4 address show").expect("addresses").contains(&format!(" {mine}.1/"));
            if !taken && ask_ip(&format!("address add {mine}.1/24 dev {}", self.bridge)).is_ok() {
                return third;
            }
        }
        panic!("all test networks are in use: stop other tests, or delete their leftover bridges with ip link delete");
    }

    fn connect(&mut self, host: &Host) {
        let Host { name, address } = host;
        ip(&format!("netns add {name}"));
        self.hosts.push(host.clone());
        ip(&format!("link add {name} type veth peer name eth0 netns {name}"));
        ip(&format!("link set {name} master {} up", self.bridge));
        host.run("link set lo up");
        host.run(&format!("address add {address}/24 dev eth0"));
        host.run("link set eth0 up");
    }

    pub(crate) fn host(&self, number: usize) -> &Host {
        &self.hosts[number]
    }

    /// Drops all packets between the hosts of the first list and those of the second, in both directions.
    pub(crate) fn cut(&self, these: &[usize], those: &[usize]) {
        self.pairs(these, those, |host, other| {
            host.run(&format!("neighbour replace {other} lladdr {NOWHERE} dev eth0 nud permanent"));
        });
    }

    /// Ends a cut that [`cut`](Self::cut) began with the same lists.
    pub(crate) fn heal(&self, these: &[usize], those: &[usize]) {
        self.pairs(these, those, |host, other| host.run(&format!("neighbour delete {other} dev eth0")));
    }

    fn pairs(&self, these: &[usize], those: &[usize], act: impl Fn(&Host, Ipv4Addr)) {
        for (one, other) in these.iter().flat_map(|one| those.iter().map(move |other| (*one, *other))) {
            act(&self.hosts[one], self.hosts[other].address);
            act(&self.hosts[other], self.hosts[one].address);
        }
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        // Each deletion is tried even if an earlier one fails: some devices may not exist any more.
        for host in &self.hosts {
            let _ = ask_ip(&format!("link delete {}", host.name));
            let _ = ask_ip(&format!("netns delete {}", host.name));
        }
        let _ = ask_ip(&format!("link delete {}", self.bridge));
    }
}

fn ask_ip(what: &str) -> Result<String, String> {
    let output = Command::new("ip").args(what.split(' ')).output().map_err(|error| format!("ip: {error}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(format!("ip {what}: {}", String::from_utf8_lossy(&output.stderr).trim()))
}

fn ip(what: &str) {
    ask_ip(what).unwrap_or_else(|error| panic!("{error}"));
}
