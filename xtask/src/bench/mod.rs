//! The command `bench`: each measurement installs what it needs and runs the program of `benches/`.

mod cluster;
mod peers;
mod program;
mod workers;

use anyhow::{Context, Result};

use crate::provision::{apt, find_program};
use crate::workspace::Workspace;

/// The program that counts instructions, and its Debian package.
const VALGRIND: (&str, &str) = ("valgrind", "valgrind");

/// One measurement.
struct Bench {
    name: &'static str,
    /// What it measures, in one line.
    about: &'static str,
    /// Runs it with the arguments after its name.
    run: fn(&Workspace, &[String]) -> Result<()>,
}

/// All measurements. The first one runs if none is named.
const BENCHES: &[Bench] = &[
    Bench { name: "all", about: "the relay beside its peers, in every scenario (--list)", run: peers::run },
    Bench { name: "relay", about: "fan-out of the relay beside a bare epoll and send loop", run: relay },
    Bench { name: "instructions", about: "the instructions of a delivery, counted by valgrind", run: instructions },
    Bench { name: "cluster", about: "nodes over NATS beside nodes of others over Redis", run: cluster::run },
    Bench { name: "log", about: "publications beside broadcasts, sockets that resume, presence", run: cluster::log },
    Bench { name: "nats", about: "what NATS costs by itself", run: cluster::nats },
    Bench { name: "tls", about: "TLS beside no TLS, of the relay and of nginx", run: cluster::tls },
    Bench { name: "workers", about: "the relay on workerd beside the same on npm's dog", run: workers::run },
];

/// Runs the measurement that the first argument names with the arguments after it. Arguments without a name are those of the
/// first measurement.
pub(crate) fn run_named(workspace: &Workspace, arguments: &[String]) -> Result<()> {
    let (bench, rest) = choose(arguments)?;
    if bench.name == BENCHES[0].name && rest.iter().any(|argument| argument == "--help" || argument == "-h") {
        println!("Measurements:");
        BENCHES.iter().for_each(|bench| println!("  {:<12} {}", bench.name, bench.about));
        println!("`cargo xtask bench NAME --help` lists a measurement's arguments. Those of `all`:\n");
    }
    (bench.run)(workspace, rest)
}

fn choose(arguments: &[String]) -> Result<(&'static Bench, &[String])> {
    let Some((name, rest)) = arguments.split_first().filter(|(name, _)| !name.starts_with('-')) else {
        return Ok((&BENCHES[0], arguments));
    };
    let known = || BENCHES.iter().map(|bench| bench.name).collect::<Vec<_>>().join(", ");
    let bench = BENCHES.iter().find(|bench| bench.name == name);
    Ok((bench.with_context(|| format!("there is no measurement `{name}`; there are: {}", known()))?, rest))
}

/// The fan-out of the relay beside its floor.
fn relay(workspace: &Workspace, arguments: &[String]) -> Result<()> {
    program::run(workspace, "relay", arguments, || Ok(Vec::new()), None)
}

/// The relay under valgrind.
fn instructions(workspace: &Workspace, arguments: &[String]) -> Result<()> {
    let install = || {
        apt::programs(&[VALGRIND])?;
        Ok(vec![("--valgrind", find_program(VALGRIND.0).context("there is no valgrind")?)])
    };
    program::run(workspace, "instructions", arguments, install, None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(line: &str) -> Result<(&'static str, Vec<String>)> {
        let arguments: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        choose(&arguments).map(|(bench, rest)| (bench.name, rest.to_vec()))
    }

    #[test]
    fn without_a_name_all_is_measured() {
        assert_eq!(chosen("").unwrap(), ("all", vec![]));
        let only = ["--only".to_owned(), "one".to_owned()];
        assert_eq!(chosen("--only one").unwrap(), ("all", only.to_vec()));
        assert_eq!(chosen("relay --only one").unwrap(), ("relay", only.to_vec()));
        assert!(chosen("nothing").unwrap_err().to_string().contains("relay"));
    }
}
