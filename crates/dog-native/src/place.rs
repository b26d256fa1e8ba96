//! Where a server's objects live and what they keep: on this machine alone, or in a cluster.

use std::sync::Arc;

use dog::App;
use dog_engine::classes;

use crate::cluster::{Inbox, Joined, Joining, State};
use crate::config::Config;
use crate::error::Error;
use crate::listening::{Listening, listen_all};
use crate::storage::{Embedded, Folder, SetAlarm, Storage};
use crate::worker::{Mailbox, Post, Worker};

/// What the workers begin with.
pub(crate) struct Place {
    pub(crate) post: Post,
    pub(crate) mailboxes: Vec<Mailbox>,
    pub(crate) storage: Arc<dyn Storage>,
    /// Alarms that were set before; those of a cluster come by mail.
    pub(crate) alarms: Arc<[SetAlarm]>,
    pub(crate) cluster: Option<Arc<Joined>>,
    /// For other nodes.
    pub(crate) listeners: Vec<Vec<std::net::TcpListener>>,
}

impl Place {
    /// Takes it as it is configured.
    pub(crate) async fn take<A: App>(config: &Config) -> Result<Self, Error> {
        if config.cluster.is_some() { Self::join::<A>(config).await } else { Self::alone(config) }
    }

    /// This machine, and its data folder.
    pub(crate) fn alone(config: &Config) -> Result<Self, Error> {
        let folder = Folder::open(config.data.as_deref())?;
        if folder.is_temporary() {
            tracing::warn!(folder = %folder.path().display(), "data: kept in a temporary folder, gone at the end");
        }
        let storage = Arc::new(Embedded::open(folder)?);
        // Here, so that a server whose alarms cannot be read does not start; a worker could only end.
        let alarms = storage.alarms().map_err(|cause| Error::data(format!("data: {cause}: restore a backup")))?;
        let (post, mailboxes) = Post::new(config.workers);
        let listeners = (0..config.workers).map(|_| Vec::new()).collect();
        Ok(Self { post, mailboxes, storage, alarms: alarms.into(), cluster: None, listeners })
    }

    async fn join<A: App>(config: &Config) -> Result<Self, Error> {
        let Some(cluster) = config.cluster.clone() else { return Self::alone(config) };
        if config.data.is_some() {
            let text = "data: a node of a cluster keeps nothing on its own disk: leave out the folder or the cluster";
            return Err(Error::configuration(text));
        }
        let wanted = config.advertised_address()?;
        let Listening { addresses, listeners } = listen_all("advertise", &[wanted], config.workers)?;
        let address = addresses[0];
        let (post, mailboxes) = Post::new(config.workers);
        let classes: Vec<_> = classes::<A, Worker>().iter().map(|class| class.name).collect();
        let versions = config.letters;
        let state = State::new(classes.clone(), versions);
        let inbox = Inbox::new(post.clone(), Arc::clone(&state));
        let joining = Joining { address, versions, longest_message: config.max_message, classes, inbox };
        let ports = cluster.join(joining).await.map_err(|what| Error::cluster(format!("cluster: {what}")))?;
        tracing::info!(node = %ports.node, %address, "joined the cluster");
        let storage = Arc::clone(&ports.storage);
        let cluster = Some(Arc::new(Joined::new(ports, state)));
        Ok(Self { post, mailboxes, storage, alarms: Arc::new([]), cluster, listeners })
    }
}
