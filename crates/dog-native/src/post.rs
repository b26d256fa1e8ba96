//! [`Post`]: the mailboxes of all workers. Mail is sent between threads in batches, with one wake-up per batch. The
//! amount of mail is limited.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use dog_engine::host::SeatGuard;
use tokio::sync::mpsc;

use crate::mail::Mail;

/// Above this many queued bytes (as [`Mail::weight`] counts them), sockets whose clients cause more mail for the worker
/// are not read: 1 MiB.
pub(crate) const FULL: usize = 1024 * 1024;

/// Above this many queued bytes, calls are refused and messages dropped: 64 MiB. A worker gets so far behind only if a
/// handler blocks its thread.
pub(crate) const OVERFULL: usize = 64 * 1024 * 1024;

/// The sending side of all mailboxes.
#[derive(Clone, Debug)]
pub(crate) struct Post {
    boxes: Arc<[Sender]>,
}

#[derive(Debug)]
struct Sender {
    batches: mpsc::UnboundedSender<Batch>,
    /// The weight of the mail in the mailbox.
    backlog: AtomicUsize,
    /// Whether another worker waits for the backlog to shrink.
    is_awaited: AtomicBool,
    /// How often mail was taken out.
    taken: AtomicUsize,
}

/// Mail that was sent together.
#[derive(Debug)]
struct Batch {
    mail: Vec<Mail>,
    weight: usize,
}

impl Post {
    /// Creates a mailbox for each of `workers`.
    pub(crate) fn new(workers: usize) -> (Self, Vec<Mailbox>) {
        let (senders, receivers): (Vec<_>, Vec<_>) = (0..workers).map(|_| mpsc::unbounded_channel()).unzip();
        let sender = |batches| Sender {
            batches,
            backlog: AtomicUsize::new(0),
            is_awaited: AtomicBool::new(false),
            taken: AtomicUsize::new(0),
        };
        let post = Self { boxes: senders.into_iter().map(sender).collect() };
        let mailbox = |(worker, receiver)| Mailbox {
            receiver,
            post: post.clone(),
            worker,
            batch: Vec::new().into_iter(),
            weight: 0,
        };
        let mailboxes = receivers.into_iter().enumerate().map(mailbox).collect();
        (post, mailboxes)
    }

    pub(crate) fn workers(&self) -> usize {
        self.boxes.len()
    }

    /// Returns the home worker of an object. It depends on the id alone, so no lookup is necessary.
    pub(crate) fn worker_of(&self, id: &[u8; 32]) -> usize {
        let number = id[..8].iter().fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
        usize::try_from(number % self.boxes.len() as u64).unwrap_or(0)
    }

    /// Sends a batch. If the mailbox is overfull, only mail that must not be refused is sent. Mail to a worker that has
    /// ended is dropped.
    pub(crate) fn send(&self, worker: usize, mail: Vec<Mail>) {
        self.send_counted(worker, mail);
    }

    /// Does the same as [`send`](Self::send), and returns the backlog of the worker.
    pub(crate) fn send_counted(&self, worker: usize, mut mail: Vec<Mail>) -> usize {
        let sender = &self.boxes[worker];
        if sender.backlog.load(Ordering::Relaxed) > OVERFULL {
            mail.retain(|mail| !mail.may_be_refused());
        }
        let weight = mail.iter().map(Mail::weight).sum();
        let before = sender.backlog.fetch_add(weight, Ordering::SeqCst);
        let _ = sender.batches.send(Batch { mail, weight });
        before + weight
    }

    /// Sends the same mail to every worker.
    pub(crate) fn send_to_all(&self, mail: impl Fn() -> Mail) {
        (0..self.workers()).for_each(|worker| self.send(worker, vec![mail()]));
    }

    /// Returns the weight of the mail queued for a worker.
    pub(crate) fn backlog(&self, worker: usize) -> usize {
        self.boxes[worker].backlog.load(Ordering::Relaxed)
    }

    /// Returns a number that changes whenever the worker takes mail out of its mailbox.
    pub(crate) fn taken(&self, worker: usize) -> usize {
        self.boxes[worker].taken.load(Ordering::Relaxed)
    }

    /// Makes a worker send [`Mail::HasRoom`] when its backlog has shrunk. Returns `false` if it is small already.
    pub(crate) fn await_room(&self, worker: usize) -> bool {
        let sender = &self.boxes[worker];
        sender.is_awaited.store(true, Ordering::SeqCst);
        sender.backlog.load(Ordering::SeqCst) > FULL / 2
    }

    fn has_taken(&self, worker: usize, weight: usize) {
        if weight == 0 {
            return;
        }
        let sender = &self.boxes[worker];
        sender.taken.fetch_add(1, Ordering::Relaxed);
        let left = sender.backlog.fetch_sub(weight, Ordering::SeqCst) - weight;
        if left <= FULL / 2 && sender.is_awaited.swap(false, Ordering::SeqCst) {
            for other in (0..self.workers()).filter(|other| *other != worker) {
                self.send(other, vec![Mail::HasRoom { worker }]);
            }
        }
    }
}

/// The receiving side of one worker's mailbox.
#[derive(Debug)]
pub(crate) struct Mailbox {
    receiver: mpsc::UnboundedReceiver<Batch>,
    post: Post,
    worker: usize,
    /// The rest of the batch that was taken out last.
    batch: std::vec::IntoIter<Mail>,
    weight: usize,
}

impl Mailbox {
    /// Waits until there is mail. Cancel safe.
    pub(crate) async fn has_mail(&mut self) {
        if self.batch.len() > 0 {
            return;
        }
        match self.receiver.recv().await {
            Some(batch) => self.open(batch),
            // All senders are gone.
            None => std::future::pending().await,
        }
    }

    /// Returns whether some of the batch that was taken out last is left.
    pub(crate) fn is_open(&self) -> bool {
        self.batch.len() > 0
    }

    pub(crate) fn next(&mut self) -> Option<Mail> {
        loop {
            if let Some(mail) = self.batch.next() {
                return Some(mail);
            }
            self.post.has_taken(self.worker, std::mem::take(&mut self.weight));
            let batch = self.receiver.try_recv().ok()?;
            self.open(batch);
        }
    }

    fn open(&mut self, batch: Batch) {
        self.post.has_taken(self.worker, std::mem::replace(&mut self.weight, batch.weight));
        self.batch = batch.mail.into_iter();
    }
}

/// Sends a piece of mail when it is dropped, on any thread. It releases a seat or a socket.
pub(crate) struct MailGuard {
    post: Post,
    worker: usize,
    mail: Mutex<Option<Mail>>,
}

impl MailGuard {
    pub(crate) fn new(post: Post, worker: usize, mail: Mail) -> Self {
        Self { post, worker, mail: Mutex::new(Some(mail)) }
    }
}

impl SeatGuard for MailGuard {
    fn disarm(&self) {
        self.mail.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

impl Drop for MailGuard {
    fn drop(&mut self) {
        let mail = self.mail.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(mail) = mail {
            self.post.send(self.worker, vec![mail]);
        }
    }
}
