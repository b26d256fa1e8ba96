//! nginx with nchan as a node: [`start`].

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use anyhow::Result;

use super::broker::free_address;
use super::process::ServerProcess;

/// The address of Redis, and the files of a certificate and its key, each if there is one.
type Settings<'a> = (Option<&'a str>, Option<(&'a str, &'a str)>);

/// Starts a node whose files are in `folder`. `programs` are nginx and the module. Without Redis it is a server of its own.
///
/// # Errors
/// When it does not start within ten seconds.
pub fn start(
    bench: &Path,
    (nginx, module): (&Path, &Path),
    settings: Settings<'_>,
    folder: &Path,
) -> Result<ServerProcess> {
    let address = free_address()?;
    fs::create_dir_all(folder)?;
    let file = folder.join("nginx.conf");
    fs::write(&file, configuration(module, settings, address))?;
    let arguments = [Path::new("-e"), Path::new("/dev/stdout"), Path::new("-p"), folder, Path::new("-c"), &file];
    // It listens before it prints this line.
    let ready = if settings.0.is_some() { "Redis upstream redis: ready" } else { "getrlimit(RLIMIT_NOFILE)" };
    let find = |line: &str| line.contains(ready).then_some(address);
    ServerProcess::start_and_find(bench, &[], nginx, &arguments, find)
}

/// One process that stores no messages, as ours stores none.
fn configuration(module: &Path, (redis, tls): Settings<'_>, address: SocketAddr) -> String {
    let module = module.display();
    let (upstream, storage) = match redis {
        Some(redis) => (
            format!("upstream redis {{ nchan_redis_server {redis}; nchan_redis_storage_mode nostore; }}"),
            "nchan_redis_pass redis;",
        ),
        None => (String::new(), "nchan_store_messages off;"),
    };
    let (ssl, certificate) = match tls {
        Some((certificate, key)) => {
            ("ssl", format!("ssl_protocols TLSv1.3; ssl_certificate {certificate}; ssl_certificate_key {key};"))
        }
        None => ("", String::new()),
    };
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
  {upstream}
  server {{
    listen {address} {ssl} backlog=4096;
    {certificate}
    location = /ws {{
      nchan_pubsub websocket;
      nchan_channel_id $arg_room;
      nchan_subscriber_first_message newest;
      {storage}
    }}
  }}
}}
"
    )
}
