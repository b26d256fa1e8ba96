//! The sleep of a task that can be ended early: [`Sleep`].

use std::cell::RefCell;

use dog::Timestamp;
use futures_channel::oneshot;

/// Until when a task of a Group sleeps, and how it is woken.
#[derive(Debug, Default)]
pub(super) struct Sleep(RefCell<Option<(Timestamp, oneshot::Sender<()>)>>);

impl Sleep {
    /// The task sleeps until then, or until what is returned completes.
    pub(super) fn begin(&self, until: Timestamp) -> oneshot::Receiver<()> {
        let (wake, woken) = oneshot::channel();
        self.0.replace(Some((until, wake)));
        woken
    }

    /// Wakes the task if it would sleep for longer: it has something to do then.
    pub(super) fn end_by(&self, at: Timestamp) {
        if let Some((_, wake)) = self.0.borrow_mut().take_if(|(until, _)| *until > at) {
            // The task may have ended.
            let _ = wake.send(());
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn only_what_is_due_earlier_ends_a_sleep() {
        let (sleep, at) = (Sleep::default(), Timestamp::from_millis);
        sleep.end_by(at(1));
        let mut woken = sleep.begin(at(100));
        sleep.end_by(at(100));
        assert!((&mut woken).now_or_never().is_none());
        sleep.end_by(at(99));
        assert_eq!(woken.now_or_never(), Some(Ok(())));
    }
}
