//! Where a server's objects live and where they are stored: on this machine alone, or in a cluster.

use std::sync::Arc;

use dog::App;
use dog_engine::classes;

use crate::cluster::inbox::Inbox;
use crate::cluster::node::{Identity, Node};
use crate::cluster::ports::Joining;
use crate::cluster::receive::Receiver;
use crate::config::Config;
use crate::error::Error;
use crate::listening::{Listening, listen_all};
use crate::post::{Mailbox, Post};
use crate::storage::port::{SetAlarm, Storage};
use crate::storage::{Embedded, Folder};
use crate::worker::Worker;

/// What the workers need in order to start.
pub(crate) struct Backend {
    pub(crate) post: Post,
    pub(crate) mailboxes: Vec<Mailbox>,
    pub(crate) storage: Arc<dyn Storage>,
    /// Alarms that an earlier process has set. Those of a cluster arrive through its inbox.
    pub(crate) alarms: Arc<[SetAlarm]>,
    pub(crate) node: Option<Arc<Node>>,
    /// The listeners for other nodes, for each worker.
    pub(crate) listeners: Vec<Vec<std::net::TcpListener>>,
}

impl Backend {
    /// Opens the backend that the configuration selects.
    pub(crate) async fn open<A: App>(config: &Config) -> Result<Self, Error> {
        if config.cluster.is_some() { Self::join::<A>(config).await } else { Self::local(config) }
    }

    /// Opens the data folder of this machine.
    pub(crate) fn local(config: &Config) -> Result<Self, Error> {
        let folder = Folder::open(config.data.as_deref())?;
        if folder.is_temporary() {
            tracing::warn!(folder = %folder.path().display(), "data: stored in a temporary folder, which is deleted when the server ends");
        }
        let storage = Arc::new(Embedded::open(folder)?);
        // Read here, so that a server with damaged alarms does not start.
        let alarms = storage.alarms().map_err(|cause| Error::data(format!("data: {cause}: restore a backup")))?;
        let (post, mailboxes) = Post::new(config.workers);
        let listeners = (0..config.workers).map(|_| Vec::new()).collect();
        Ok(Self { post, mailboxes, storage, alarms: alarms.into(), node: None, listeners })
    }

    async fn join<A: App>(config: &Config) -> Result<Self, Error> {
        let Some(cluster) = config.cluster.clone() else { return Self::local(config) };
        if config.data.is_some() {
            let text = "data: a node of a cluster keeps nothing on its own disk: leave out the folder or the cluster";
            return Err(Error::configuration(text));
        }
        if let Some(certificates) = &config.node_tls {
            certificates.load()?;
        }
        let wanted = config.advertised_address()?;
        let Listening { addresses, listeners } = listen_all("advertise", &[wanted], config.workers)?;
        let address = addresses[0];
        let (post, mailboxes) = Post::new(config.workers);
        let classes: Vec<_> = classes::<A, Worker>().iter().map(|class| class.name).collect();
        let versions = config.node_versions;
        let identity = Identity::new(classes.clone(), versions);
        let inbox = Inbox::new(Receiver::new(post.clone(), Arc::clone(&identity)));
        let joining = Joining { address, versions, longest_message: config.max_message, classes, inbox };
        let ports = cluster.join(joining).await.map_err(|what| Error::cluster(format!("cluster: {what}")))?;
        tracing::info!(node = %ports.node, %address, "joined the cluster");
        let storage = Arc::clone(&ports.storage);
        let node = Some(Arc::new(Node::new(ports, identity, config.node_tls.clone())));
        Ok(Self { post, mailboxes, storage, alarms: Arc::new([]), node, listeners })
    }
}
