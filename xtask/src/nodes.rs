//! A cluster to look at: NATS servers and nodes of the chat room on this machine, until they are ended.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use dog_test_support::nats::{NatsServers, Settings};

use crate::cluster;
use crate::install;
use crate::server::Server;
use crate::step::Step;
use crate::workspace::Workspace;

/// The first node's port, where that is free: the others have the next ones.
const PORT: u16 = 8787;
/// NATS may have to choose a leader first.
const READY_LIMIT: Duration = Duration::from_mins(1);
/// How often it is looked at who has ended.
const LOOK: Duration = Duration::from_millis(200);

/// How much is started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Options {
    servers: usize,
    nodes: usize,
}

impl Options {
    /// Reads `--servers N` and `--nodes N`.
    pub(crate) fn parse(arguments: &[String]) -> Result<Self, String> {
        let mut options = Self { servers: 3, nodes: 3 };
        for pair in arguments.chunks(2) {
            let number = pair.get(1).and_then(|number| number.parse().ok()).filter(|number| (1..=9).contains(number));
            let number = number.ok_or_else(|| format!("{} needs a number from 1 to 9", pair[0]))?;
            match pair[0].as_str() {
                "--servers" => options.servers = number,
                "--nodes" => options.nodes = number,
                other => return Err(format!("there is no flag `{other}`; there are: --servers N, --nodes N")),
            }
        }
        Ok(options)
    }
}

/// Starts all, says where it is, and waits until the nodes have ended.
pub(crate) fn run(workspace: &Workspace, options: Options) -> Result<()> {
    let nats_server = cluster::server(workspace)?;
    workspace.cargo().args(["build", "--release", "-p", "chat"]).run()?;
    let folder = workspace.scratch("nodes");
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir_all(&folder)?;
    let settings = Settings { program: Some(Path::new(&nats_server)), folder: Some(&folder), ..Settings::default() };
    let servers = NatsServers::start(options.servers, settings);
    let chat = workspace.target.join("release/chat");
    let start = |number| start_node(&chat, number, &servers.url());
    let nodes = (0..options.nodes).map(start).collect::<Result<Vec<_>>>()?;
    println!(
        "\nThree things to do: talk from one page to the other; end a node with kill -9 and open its page at another"
    );
    println!("address; start it again with the command above. Ctrl-C ends all.\n");
    for node in &nodes {
        println!("  http://{}    kill -9 {}", node.authority(), node.id());
        open(node.authority());
    }
    wait(nodes);
    Ok(())
}

fn start_node(chat: &Path, number: usize, urls: &str) -> Result<Server> {
    let wanted = PORT + u16::try_from(number)?;
    let port = TcpListener::bind(("127.0.0.1", wanted)).map_or(0, |_| wanted);
    let step = Step::program(chat).args(["--listen", &format!("127.0.0.1:{port}"), "--limit", "2", "--cluster", urls]);
    Server::start(step, READY_LIMIT).context("a node does not start")
}

/// In a browser, where there is a desktop.
fn open(authority: &str) {
    let opener: Option<PathBuf> = ["xdg-open", "open"].iter().find_map(|name| install::find_program(name));
    let has_desktop =
        cfg!(target_os = "macos") || ["DISPLAY", "WAYLAND_DISPLAY"].iter().any(|name| std::env::var_os(name).is_some());
    if let Some(opener) = opener.filter(|_| has_desktop)
        && let Err(error) = Step::program(opener).args([format!("http://{authority}")]).run()
    {
        println!("note: no browser opens: {error:#}");
    }
}

fn wait(mut nodes: Vec<Server>) {
    while !nodes.is_empty() {
        nodes.retain_mut(|node| {
            let ended = node.check_alive().err();
            if let Some(reason) = &ended {
                println!("the node at http://{}: {reason}", node.authority());
            }
            ended.is_none()
        });
        std::thread::sleep(LOOK);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Options, String> {
        Options::parse(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn three_of_each_unless_it_is_said_otherwise() {
        assert_eq!(parse(""), Ok(Options { servers: 3, nodes: 3 }));
        assert_eq!(parse("--nodes 5 --servers 1"), Ok(Options { servers: 1, nodes: 5 }));
        for wrong in ["--nodes", "--nodes 0", "--nodes many", "--others 3"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
