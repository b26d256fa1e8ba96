//! A network of hosts for one test. Each host is a network namespace of the kernel with an address. A bridge, on which
//! the test itself has an address, connects them. A cut loses packets without an error.

use std::net::Ipv4Addr;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

/// The addresses that are reserved for tests of networks (RFC 2544) begin with these two bytes.
const NETWORKS: [u8; 2] = [198, 18];
/// The hardware address for packets to a host that is cut off. No device has it.
const NOWHERE: &str = "02:00:00:00:00:01";

/// The number of networks that this process has made.
static MADE: AtomicU32 = AtomicU32::new(0);

/// A host of a [`Network`].
#[derive(Clone, Debug)]
pub(crate) struct Host {
    /// The name of its namespace, and of the bridge's end of its cable.
    name: String,
    pub(crate) address: Ipv4Addr,
}

impl Host {
    /// A command that runs a program on this host.
    pub(crate) fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name]).arg(program);
        command
    }

    fn run(&self, what: &str) {
        ip(&format!("-n {} {what}", self.name));
    }
}

/// The hosts. They are deleted when this is dropped; what runs on them must end before.
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
                "network namespaces are needed here: run this as root, or with CAP_NET_ADMIN and CAP_SYS_ADMIN, with \
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

    /// Gives the bridge an address of a network that no other test uses, and returns the number of that network.
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
        panic!("all networks for tests are taken: end other tests, or delete what they have left with ip link delete");
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

    /// Cuts every connection between a host of the first list and one of the second, in both directions.
    pub(crate) fn cut(&self, these: &[usize], those: &[usize]) {
        self.pairs(these, those, |host, other| {
            host.run(&format!("neighbour replace {other} lladdr {NOWHERE} dev eth0 nud permanent"));
        });
    }

    /// Ends a cut.
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
        // Everything is tried, whatever is gone already.
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
