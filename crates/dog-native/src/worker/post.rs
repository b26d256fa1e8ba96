//! How mail crosses from one thread to another: in batches, one wake a batch, and so much at most.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::sync::mpsc;

use super::Mail;

/// So much may wait for a worker, in bytes as [`Mail::weight`] counts them, before those who send it more are not read.
pub(crate) const FULL: usize = 1024 * 1024;

/// Beyond this calls are refused and messages dropped. A worker has so much to do when a handler keeps its thread.
pub(crate) const OVERFULL: usize = 64 * 1024 * 1024;

/// The letter boxes of all workers.
#[derive(Clone, Debug)]
pub(crate) struct Post {
    boxes: Arc<[LetterBox]>,
}

#[derive(Debug)]
struct LetterBox {
    sender: mpsc::UnboundedSender<Batch>,
    /// What it holds, as [`Mail::weight`] counts.
    backlog: AtomicUsize,
    /// Whether somebody waits for it to become less.
    is_awaited: AtomicBool,
    /// How often something was taken out.
    taken: AtomicUsize,
}

/// What was sent together.
#[derive(Debug)]
struct Batch {
    mail: Vec<Mail>,
    weight: usize,
}

impl Post {
    /// One box for each of `workers`, with what it is emptied by.
    pub(crate) fn new(workers: usize) -> (Self, Vec<Mailbox>) {
        let (senders, receivers): (Vec<_>, Vec<_>) = (0..workers).map(|_| mpsc::unbounded_channel()).unzip();
        let letter_box = |sender| LetterBox {
            sender,
            backlog: AtomicUsize::new(0),
            is_awaited: AtomicBool::new(false),
            taken: AtomicUsize::new(0),
        };
        let post = Self { boxes: senders.into_iter().map(letter_box).collect() };
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

    /// Where an object lives: decided by its id alone, so that nobody has to be asked.
    pub(crate) fn worker_of(&self, id: &[u8; 32]) -> usize {
        let number = id[..8].iter().fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
        usize::try_from(number % self.boxes.len() as u64).unwrap_or(0)
    }

    /// Sends a batch. Where far too much waits, only what must arrive is sent. A worker that has ended needs nothing any more.
    pub(crate) fn send(&self, worker: usize, mail: Vec<Mail>) {
        self.send_counted(worker, mail);
    }

    /// The same; what waits for that worker then.
    pub(crate) fn send_counted(&self, worker: usize, mut mail: Vec<Mail>) -> usize {
        let letter_box = &self.boxes[worker];
        if letter_box.backlog.load(Ordering::Relaxed) > OVERFULL {
            mail.retain(|mail| !mail.may_be_turned_down());
        }
        let weight = mail.iter().map(Mail::weight).sum();
        let before = letter_box.backlog.fetch_add(weight, Ordering::SeqCst);
        let _ = letter_box.sender.send(Batch { mail, weight });
        before + weight
    }

    /// What waits for a worker.
    pub(crate) fn backlog(&self, worker: usize) -> usize {
        self.boxes[worker].backlog.load(Ordering::Relaxed)
    }

    /// A number that changes whenever the worker takes something out.
    pub(crate) fn taken(&self, worker: usize) -> usize {
        self.boxes[worker].taken.load(Ordering::Relaxed)
    }

    /// Has a worker tell when it has less to do. Not if it has already.
    pub(crate) fn will_tell(&self, worker: usize) -> bool {
        let letter_box = &self.boxes[worker];
        letter_box.is_awaited.store(true, Ordering::SeqCst);
        letter_box.backlog.load(Ordering::SeqCst) > FULL / 2
    }

    fn has_taken(&self, worker: usize, weight: usize) {
        if weight == 0 {
            return;
        }
        let letter_box = &self.boxes[worker];
        letter_box.taken.fetch_add(1, Ordering::Relaxed);
        let left = letter_box.backlog.fetch_sub(weight, Ordering::SeqCst) - weight;
        if left <= FULL / 2 && letter_box.is_awaited.swap(false, Ordering::SeqCst) {
            for other in (0..self.workers()).filter(|other| *other != worker) {
                self.send(other, vec![Mail::Eased { worker }]);
            }
        }
    }
}

/// One worker's box, as that worker sees it.
#[derive(Debug)]
pub(crate) struct Mailbox {
    receiver: mpsc::UnboundedReceiver<Batch>,
    post: Post,
    worker: usize,
    /// What has been taken out and not been opened yet.
    batch: std::vec::IntoIter<Mail>,
    weight: usize,
}

impl Mailbox {
    /// Waits until there is something in it. Cancelled, nothing is lost.
    pub(crate) async fn has_mail(&mut self) {
        if self.batch.len() > 0 {
            return;
        }
        match self.receiver.recv().await {
            Some(batch) => self.open(batch),
            // Nobody is left who could send anything.
            None => std::future::pending().await,
        }
    }

    /// Whether there is, as far as has been taken out.
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
