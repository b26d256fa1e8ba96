//! The threads of a server: how they start and end.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Duration;

use dog::internal::LocalFuture;
use dog::{App, Response};
use dog_engine::{Front, classes};
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::{Mutex, oneshot};
use tokio::time::Instant;

use crate::addresses::Addresses;
use crate::admin::Admin;
use crate::backend::Backend;
use crate::cluster::serve;
use crate::config::Config;
use crate::descriptors::Descriptors;
use crate::error::Error;
use crate::front::accept;
use crate::listening::listen_each;
use crate::mail::{Mail, StopMode};
use crate::post::{Mailbox, Post};
use crate::shared::Shared;
use crate::standing_in::{StandIns, stand_in};
use crate::storage::port::SetAlarm;
use crate::worker::{Worker, longest_drain, run};

/// How long releasing the lease may take. The lease also expires without that.
const LEAVING: Duration = Duration::from_secs(2);

/// How long an immediate end may take.
const AT_ONCE: Duration = Duration::from_secs(1);

/// The threads of a server.
pub(crate) struct Workers {
    shared: Arc<Shared>,
    admin_address: Option<SocketAddr>,
    threads: Mutex<Threads>,
}

#[derive(Default)]
struct Threads {
    workers: Vec<Thread>,
    admin: Option<Admin>,
}

struct Thread {
    index: usize,
    has_ended: oneshot::Receiver<()>,
    handle: JoinHandle<()>,
}

impl Workers {
    pub(crate) fn start<A: App + Send + Sync>(
        app: A,
        config: Config,
        listeners: Vec<Vec<std::net::TcpListener>>,
        backend: Backend,
    ) -> Result<Self, Error> {
        let admin = match &config.admin_addresses()?[..] {
            [] => Vec::new(),
            wanted => listen_each("admin", wanted, false)?,
        };
        let admin_address = admin.first().and_then(|listener| listener.local_addr().ok());
        let _ = Descriptors::of_process();
        let Backend { post, mailboxes, storage, alarms, node, listeners: peers } = backend;
        let class_names = classes::<A, Worker>().iter().map(|class| class.name).collect();
        let shared = Arc::new(Shared::new(config, post, storage, node, class_names));
        let app = Arc::new(app);
        let addresses = Arc::new(Addresses::default());
        let stand_ins = StandIns::new(&listeners);
        let stand_ins = stand_ins.map_err(|cause| Error::system("workers: cannot duplicate the listeners", cause))?;
        let stand_ins = Arc::new(stand_ins);
        let mut workers = Self { shared: Arc::clone(&shared), admin_address, threads: Mutex::default() };
        let threads = workers.threads.get_mut();
        let given = mailboxes.into_iter().zip(listeners).zip(peers);
        for (index, ((mailbox, listeners), peers)) in given.enumerate() {
            threads.workers.push(Thread::start(WorkerInit {
                alarms: Arc::clone(&alarms),
                index,
                shared: Arc::clone(&shared),
                app: Arc::clone(&app),
                mailbox,
                listeners,
                peers,
                addresses: Arc::clone(&addresses),
                stand_ins: Arc::clone(&stand_ins),
            })?);
        }
        threads.admin = Some(Admin::start(shared, admin)?);
        Ok(workers)
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.shared
    }

    pub(crate) fn post(&self) -> &Post {
        &self.shared.post
    }

    pub(crate) fn admin_addr(&self) -> Option<SocketAddr> {
        self.admin_address
    }

    fn tell_to_stop(&self, mode: StopMode) {
        self.shared.draining.store(true, Ordering::Relaxed);
        self.post().send_to_all(|| Mail::Stop(mode));
    }

    /// Shuts the workers down gracefully.
    pub(crate) async fn stop(&self) {
        self.tell_to_stop(StopMode::Graceful);
        let by = Instant::now() + longest_drain(&self.shared.config);
        self.wait(by).await;
        self.settle_storage(by).await;
    }

    /// Ends the workers without waiting for clients.
    pub(crate) async fn stop_at_once(&self) {
        self.tell_to_stop(StopMode::AtOnce);
        self.wait(Instant::now() + AT_ONCE).await;
    }

    /// Lets the storage do work that makes the next start faster. It runs on a thread of its own, because it blocks,
    /// and a second signal must be noticed in the meantime.
    async fn settle_storage(&self, by: Instant) {
        let (storage, (done, is_done)) = (Arc::clone(&self.shared.storage), oneshot::channel());
        let settle = move || {
            storage.settle(by.into_std());
            // The task that waits may hold the last reference. Dropping that closes the storage.
            drop(storage);
            let _ = done.send(());
        };
        match std::thread::Builder::new().name("dog-settle".into()).spawn(settle) {
            // The thread ends when it has settled the storage.
            Ok(_) => drop(is_done.await),
            Err(error) => tracing::debug!("cannot start a thread to settle the storage: {error}"),
        }
    }

    /// Waits for all threads, but no longer than `by`: a thread that a handler blocks is left running. It may be called
    /// concurrently, and again after it was cancelled.
    async fn wait(&self, by: Instant) {
        let mut threads = self.threads.lock().await;
        while let Some(thread) = threads.workers.last_mut() {
            let ended = tokio::time::timeout_at(by, &mut thread.has_ended).await;
            let Some(thread) = threads.workers.pop() else { return };
            match ended {
                // The thread has reported its end, so this does not block.
                Ok(_) => drop(thread.handle.join()),
                Err(_) => tracing::error!(worker = thread.index, "a worker does not end: a handler blocks its thread"),
            }
        }
        if let Some(admin) = threads.admin.take() {
            admin.end();
            // All writes are done, so other nodes need not wait until the lease expires.
            if let Some(node) = &self.shared.node {
                let _ = tokio::time::timeout(LEAVING, node.ports.directory.leave()).await;
            }
        }
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.tell_to_stop(StopMode::Graceful);
    }
}

impl Thread {
    fn start<A: App + Send + Sync>(init: WorkerInit<A>) -> Result<Self, Error> {
        let index = init.index;
        let (ended, has_ended) = oneshot::channel();
        let handle = std::thread::Builder::new().name(format!("dog-worker-{index}")).spawn(move || {
            if let Err(error) = init.run() {
                tracing::error!(worker = index, "a worker ended: {error}");
            }
            // The receiver may be gone.
            let _ = ended.send(());
        });
        let handle = handle.map_err(|cause| Error::system("workers: cannot start a thread", cause))?;
        Ok(Self { index, has_ended, handle })
    }
}

/// What a worker thread starts with. It creates its objects itself, because they never leave the thread.
struct WorkerInit<A> {
    alarms: Arc<[SetAlarm]>,
    index: usize,
    shared: Arc<Shared>,
    app: Arc<A>,
    mailbox: Mailbox,
    listeners: Vec<std::net::TcpListener>,
    /// The listeners for other nodes.
    peers: Vec<std::net::TcpListener>,
    addresses: Arc<Addresses>,
    stand_ins: Arc<StandIns>,
}

impl<A: App + Send + Sync> WorkerInit<A> {
    fn run(self) -> std::io::Result<()> {
        let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default())?;
        let poll = mio::Poll::new()?;
        let registry = poll.registry().try_clone()?;
        let worker = Worker::new(self.index, self.shared, classes::<A, Worker>(), registry);
        worker.set_alarms(&self.alarms);
        let front = Rc::new(Front::new(self.app, Rc::clone(&worker)));
        worker.requests().set_app(Rc::new(move |request| {
            let front = Rc::clone(&front);
            Box::pin(async move { front.fetch(request).await }) as LocalFuture<Response>
        }));
        runtime.block_on(async move {
            if worker.shared().post.workers() > 1 && !self.listeners.is_empty() {
                let stands_in = stand_in(Rc::clone(&worker), self.stand_ins, Arc::clone(&self.addresses));
                tokio::task::spawn_local(stands_in);
            }
            for listener in self.listeners {
                let listener = tokio::net::TcpListener::from_std(listener)?;
                tokio::task::spawn_local(accept(Rc::clone(&worker), listener, Arc::clone(&self.addresses)));
            }
            for listener in self.peers {
                let listener = tokio::net::TcpListener::from_std(listener)?;
                tokio::task::spawn_local(serve::accept(Rc::clone(&worker), listener));
            }
            run(worker, poll, self.mailbox).await
        })
    }
}
