//! What a Replica's code has to be told of the presence of its Group: [`News`]. Pure.

use std::collections::VecDeque;

use dog::internal::PresenceNews;

/// How much waits for the user's code. If there is more, it is told to read everything.
const MOST_NEWS: usize = 64;

/// What the user's code has to be told.
#[derive(Default)]
pub(super) struct News {
    waiting: VecDeque<PresenceNews>,
    /// Whether a task tells it.
    is_told: bool,
    /// Whether the current activation has been told anything.
    has_begun: bool,
}

impl News {
    pub(super) fn push(&mut self, news: PresenceNews) {
        let version = news.version();
        if matches!(news, PresenceNews::Reset(_)) || !self.has_begun || self.waiting.len() >= MOST_NEWS {
            self.waiting.clear();
            self.waiting.push_back(PresenceNews::Reset(version));
            self.has_begun = true;
        } else {
            self.waiting.push_back(news);
        }
    }

    /// Whether the current activation has been told anything.
    pub(super) fn has_begun(&self) -> bool {
        self.has_begun
    }

    /// Returns whether a task has to be started that tells it.
    pub(super) fn begin(&mut self) -> bool {
        !self.waiting.is_empty() && !std::mem::replace(&mut self.is_told, true)
    }

    /// The Replica does not follow any more, or begins again.
    pub(super) fn clear(&mut self) {
        self.waiting.clear();
        self.has_begun = false;
    }

    /// The next one. `None`: the task ends.
    pub(super) fn next(&mut self) -> Option<PresenceNews> {
        let next = self.waiting.pop_front();
        self.is_told = next.is_some();
        next
    }

    /// The user's value has left memory: the next one knows nothing.
    pub(super) fn value_is_gone(&mut self) {
        self.has_begun = false;
        if let Some(version) = self.waiting.back().map(PresenceNews::version) {
            self.push(PresenceNews::Reset(version));
        }
    }
}

#[cfg(test)]
mod tests {
    use dog::Epoch;
    use dog::internal::PresenceVersion;

    use super::*;

    fn version(number: u64) -> PresenceVersion {
        PresenceVersion { life: Epoch::from_raw(1), number, epoch: Epoch::from_raw(1) }
    }

    fn changed(number: u64) -> PresenceNews {
        PresenceNews::Changed { version: version(number), changes: Vec::new(), in_topics: Vec::new() }
    }

    #[test]
    fn the_first_news_of_an_activation_is_a_reset() {
        let mut news = News::default();
        news.push(changed(3));
        news.push(changed(4));
        assert_eq!(news.next(), Some(PresenceNews::Reset(version(3))));
        news.value_is_gone();
        assert_eq!(news.next(), Some(PresenceNews::Reset(version(4))));
        assert_eq!(news.next(), None);
        news.value_is_gone();
        news.push(changed(5));
        assert_eq!(news.next(), Some(PresenceNews::Reset(version(5))));
        news.push(changed(6));
        assert_eq!(news.next(), Some(changed(6)));
    }

    #[test]
    fn a_reset_takes_the_place_of_too_much_news() {
        let mut news = News::default();
        let most = u64::try_from(MOST_NEWS).unwrap();
        (0..=most).for_each(|number| news.push(changed(number)));
        assert_eq!((news.waiting.len(), news.next()), (1, Some(PresenceNews::Reset(version(most)))));
    }
}
