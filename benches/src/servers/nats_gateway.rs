//! nats-server as a server of WebSockets: [`start`].

use std::ffi::OsStr;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use anyhow::Result;

use super::process::ServerProcess;

/// Starts one whose files are in `folder`. Its code runs on one thread at a time, as that of all servers here.
///
/// # Errors
/// When it does not start within ten seconds.
pub fn start(bench: &Path, processors: &[usize], program: &Path, folder: &Path) -> Result<ServerProcess> {
    let configuration = folder.join("nats-gateway.conf");
    // The system chooses the ports; the log says which.
    fs::write(
        &configuration,
        "host: 127.0.0.1\nport: -1\nwebsocket { host: 127.0.0.1, port: -1, no_tls: true }\nlog_file: \"/dev/stdout\"\n",
    )?;
    let arguments = [OsStr::new("GOMAXPROCS=1"), program.as_os_str(), OsStr::new("-c"), configuration.as_os_str()];
    ServerProcess::start_and_find(bench, processors, Path::new("env"), &arguments, address)
}

fn address(line: &str) -> Option<SocketAddr> {
    line.split_once("websocket clients on ws://")?.1.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_is_found_in_the_log() {
        let line = "[7] 2026/11/24 15:34:01.240642 [INF] Listening for websocket clients on ws://127.0.0.1:36755";
        assert_eq!(address(line), Some(([127, 0, 0, 1], 36755).into()));
        let line = "[7] 2026/11/24 15:34:01.240642 [INF] Listening for client connections on 127.0.0.1:36756";
        assert_eq!(address(line), None);
    }
}
