//! The command `nodes`: a cluster of NATS servers and nodes of the chat room on this machine, until Ctrl-C.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use dog_test_support::nats::{NatsServers, Settings};

use crate::parts::nats_server;
use crate::provision::find_program;
use crate::server::Server;
use crate::step::Step;
use crate::workspace::Workspace;

/// The first node's port, if it is free. The other nodes have the next ports.
const PORT: u16 = 8787;
/// NATS may have to elect a leader first.
const READY_LIMIT: Duration = Duration::from_mins(1);
/// How often it is checked which nodes have ended.
const POLL: Duration = Duration::from_millis(200);

/// The arguments of the command.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct Arguments {
    /// How many NATS servers, from 1 to 9
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=9))]
    servers: u8,
    /// How many nodes, from 1 to 9
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=9))]
    nodes: u8,
}

/// Starts the servers and nodes, prints where they listen, and waits until the nodes have ended.
pub(crate) fn run(workspace: &Workspace, arguments: Arguments) -> Result<()> {
    let program = nats_server(workspace)?;
    workspace.cargo().args(["build", "--release", "-p", "chat"]).run()?;
    let folder = workspace.scratch("nodes");
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir_all(&folder)?;
    let settings = Settings { program: Some(Path::new(&program)), folder: Some(&folder), ..Settings::default() };
    let servers = NatsServers::start(usize::from(arguments.servers), settings);
    let chat = workspace.target.join("release/chat");
    let start = |number| start_node(&chat, number, &servers.url());
    let nodes = (0..arguments.nodes).map(start).collect::<Result<Vec<_>>>()?;
    println!(
        "\nTry three things: chat from one page to another; kill a node and open its page at another node's address;"
    );
    println!("start the node again with its command above. Ctrl-C ends everything.\n");
    for node in &nodes {
        println!("  http://{}    kill -9 {}", node.authority(), node.id());
        open(node.authority());
    }
    wait(nodes);
    Ok(())
}

fn start_node(chat: &Path, number: u8, urls: &str) -> Result<Server> {
    let wanted = PORT + u16::from(number);
    let port = TcpListener::bind(("127.0.0.1", wanted)).map_or(0, |_| wanted);
    let step = Step::program(chat).args([
        "--listen",
        &format!("127.0.0.1:{port}"),
        "--limit",
        "2",
        "--open",
        "--cluster",
        urls,
    ]);
    Server::start(step, READY_LIMIT).context("a node does not start")
}

/// Opens the page in a browser, if there is a desktop.
fn open(authority: &str) {
    let opener: Option<PathBuf> = ["xdg-open", "open"].iter().find_map(|name| find_program(name));
    let has_desktop =
        cfg!(target_os = "macos") || ["DISPLAY", "WAYLAND_DISPLAY"].iter().any(|name| std::env::var_os(name).is_some());
    if let Some(opener) = opener.filter(|_| has_desktop)
        && let Err(error) = Step::program(opener).args([format!("http://{authority}")]).run()
    {
        println!("note: the browser does not open: {error:#}");
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
        std::thread::sleep(POLL);
    }
}
