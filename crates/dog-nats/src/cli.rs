//! The flags of a node of a cluster, for programs that use `dog_native::cli`: [`ClusterArgs`]. This module needs the
//! feature `cli`, which is off by default.
//!
//! ```no_run
//! # struct Chat;
//! # impl dog::App for Chat {
//! #     type Groups = ();
//! #     async fn fetch(&self, _: dog::Request, _: &dog::Dog<Self>) -> dog::Result<dog::Response> {
//! #         Ok(dog::text_response(dog::http::StatusCode::OK, ""))
//! #     }
//! # }
//! use std::process::ExitCode;
//!
//! use clap::Parser;
//! use dog_native::{Server, cli::ServerArgs};
//! use dog_nats::cli::ClusterArgs;
//!
//! #[derive(Parser)]
//! struct Arguments {
//!     #[command(flatten)]
//!     server: ServerArgs,
//!     #[command(flatten)]
//!     cluster: ClusterArgs,
//! }
//!
//! #[tokio::main(flavor = "current_thread")]
//! async fn main() -> ExitCode {
//!     let Arguments { server, cluster } = Arguments::parse();
//!     server.run(cluster.apply(Server::new(Chat))).await
//! }
//! ```

use std::convert::Infallible;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use dog::App;
use dog_native::Server;

use crate::Nats;

/// The flags that make a server a node of a cluster. Without `--cluster` the server forms no cluster.
#[derive(Args, Clone, Debug)]
pub struct ClusterArgs {
    /// NATS to form a cluster over: nats://HOST:PORT, several separated by commas [default: no cluster]
    // Parsed at once, because `Nats` hides the password of an address when it is printed.
    #[arg(long, value_name = "URL", value_parser = |url: &str| Ok::<_, Infallible>(Nats::connect(url)))]
    cluster: Option<Nats>,
    /// Address where other nodes reach this one, as host:port [default: a free port of 127.0.0.1]
    #[arg(long, value_name = "ADDRESS", requires = "cluster")]
    advertise: Option<String>,
    /// Prefix of the cluster's names in NATS [default: dog]
    #[arg(long, value_name = "NAME", requires = "cluster")]
    cluster_prefix: Option<String>,
    /// File with the credentials for NATS
    #[arg(long, value_name = "FILE", requires = "cluster")]
    cluster_credentials: Option<PathBuf>,
    /// File of the authorities that sign for NATS, in PEM [default: those of the system]
    #[arg(long, value_name = "FILE", requires = "cluster")]
    cluster_tls_ca: Option<PathBuf>,
    /// File of the certificate that this node shows to NATS, in PEM [default: none]
    #[arg(long, value_name = "FILE", requires = "cluster", requires = "cluster_tls_key")]
    cluster_tls_cert: Option<PathBuf>,
    /// File of the private key of that certificate, in PEM
    #[arg(long, value_name = "FILE", requires = "cluster_tls_cert")]
    cluster_tls_key: Option<PathBuf>,
    /// File of the certificate that this node shows to other nodes, in PEM; loaded again when it changes and at SIGHUP
    /// [default: no TLS between nodes]
    #[arg(long, value_name = "FILE", requires = "cluster", requires = "node_tls_key", requires = "node_tls_ca")]
    node_tls_cert: Option<PathBuf>,
    /// File of the private key of that certificate, in PEM
    #[arg(long, value_name = "FILE", requires = "node_tls_cert")]
    node_tls_key: Option<PathBuf>,
    /// File of the authorities that sign for the nodes of this cluster, in PEM
    #[arg(long, value_name = "FILE", requires = "node_tls_cert")]
    node_tls_ca: Option<PathBuf>,
    /// Time without a sign of life after which a node is given up [default: 15]
    #[arg(long, value_name = "SECONDS", requires = "cluster")]
    cluster_lease: Option<u64>,
}

impl ClusterArgs {
    /// Configures `server` with these flags.
    pub fn apply<A: App + Send + Sync>(self, mut server: Server<A>) -> Server<A> {
        let Some(mut nats) = self.cluster else { return server };
        if let Some(prefix) = self.cluster_prefix {
            nats = nats.prefix(prefix);
        }
        if let Some(file) = self.cluster_credentials {
            nats = nats.credentials_file(file);
        }
        if let Some(file) = self.cluster_tls_ca {
            nats = nats.root_certificates(file).tls();
        }
        if let (Some(certificate), Some(key)) = (self.cluster_tls_cert, self.cluster_tls_key) {
            nats = nats.client_certificate(certificate, key);
        }
        if let (Some(certificate), Some(key), Some(authorities)) =
            (self.node_tls_cert, self.node_tls_key, self.node_tls_ca)
        {
            server = server.node_tls(certificate, key, authorities);
        }
        if let Some(seconds) = self.cluster_lease {
            nats = nats.lease(Duration::from_secs(seconds));
        }
        if let Some(address) = self.advertise {
            server = server.advertise(address);
        }
        server.cluster(nats)
    }
}
