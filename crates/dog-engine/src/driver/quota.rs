//! What an object may have in progress, bounded by number and by bytes: [`Quota`].

use std::cell::Cell;
use std::rc::Rc;

/// How many of one kind may be in progress in an object, and how many bytes of them.
#[derive(Debug)]
pub(super) struct Quota {
    most: usize,
    most_bytes: usize,
    count: Cell<usize>,
    bytes: Cell<usize>,
}

/// One that is in progress. Dropped when it has ended.
#[derive(Debug)]
pub(super) struct InProgress {
    quota: Rc<Quota>,
    bytes: usize,
}

impl Quota {
    pub(super) fn new(most: usize, most_bytes: usize) -> Rc<Self> {
        Rc::new(Self { most, most_bytes, count: Cell::new(0), bytes: Cell::new(0) })
    }

    /// Admits one more with this many bytes. `None`: there would be too many.
    pub(super) fn admit(self: &Rc<Self>, bytes: usize) -> Option<InProgress> {
        let (count, total) = (self.count.get() + 1, self.bytes.get() + bytes);
        if count > self.most || total > self.most_bytes {
            return None;
        }
        self.count.set(count);
        self.bytes.set(total);
        Some(InProgress { quota: Rc::clone(self), bytes })
    }
}

impl Drop for InProgress {
    fn drop(&mut self) {
        self.quota.count.update(|count| count - 1);
        self.quota.bytes.update(|bytes| bytes - self.bytes);
    }
}
