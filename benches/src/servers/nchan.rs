//! nginx with nchan as a node: [`start`].

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use anyhow::Result;

use super::broker::free_address;
use super::process::ServerProcess;

/// Starts a node whose files are in `folder`. `programs` are nginx and the module.
///
/// # Errors
/// When it does not start within ten seconds.
pub fn start(bench: &Path, (nginx, module): (&Path, &Path), redis: &str, folder: &Path) -> Result<ServerProcess> {
    let address = free_address()?;
    fs::create_dir_all(folder)?;
    let file = folder.join("nginx.conf");
    fs::write(&file, configuration(module, redis, address))?;
    let arguments = [Path::new("-e"), Path::new("/dev/stdout"), Path::new("-p"), folder, Path::new("-c"), &file];
    // It listens before it prints this line.
    let find = |line: &str| line.contains("Redis upstream redis: ready").then_some(address);
    ServerProcess::start_and_find(bench, &[], nginx, &arguments, find)
}

/// One process that stores no messages, as ours stores none.
fn configuration(module: &Path, redis: &str, address: SocketAddr) -> String {
    let module = module.display();
    format!(
        "load_module {module};
daemon off;
master_process off;
pid nginx.pid;
error_log /dev/stdout notice;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  tcp_nodelay on;
  client_body_temp_path temporary;
  proxy_temp_path temporary;
  fastcgi_temp_path temporary;
  uwsgi_temp_path temporary;
  scgi_temp_path temporary;
  upstream redis {{
    nchan_redis_server {redis};
    nchan_redis_storage_mode nostore;
  }}
  server {{
    listen {address} backlog=4096;
    location = /ws {{
      nchan_pubsub websocket;
      nchan_channel_id $arg_room;
      nchan_subscriber_first_message newest;
      nchan_redis_pass redis;
    }}
  }}
}}
"
    )
}
