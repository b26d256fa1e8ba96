//! Names of messages, and moments of a run: [`Moment`].

use std::collections::BTreeMap;

/// The name of a message: the Replica's life that sent it, and the number of the message within that life.
pub(crate) type MessageName = (u64, u64);

/// A moment, as the numbers of messages that each life had sent. So it says of each message whether it was sent later.
#[derive(Clone, Debug, Default)]
pub(crate) struct Moment(BTreeMap<u64, u64>);

impl Moment {
    pub(crate) fn new(sent: &BTreeMap<u64, u64>) -> Self {
        Self(sent.clone())
    }

    /// Whether this message was sent after the moment.
    pub(crate) fn is_before(&self, (life, number): MessageName) -> bool {
        number > self.0.get(&life).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_before_the_messages_that_were_sent_later() {
        let moment = Moment::new(&BTreeMap::from([(7, 2)]));
        assert!(!moment.is_before((7, 2)));
        assert!(moment.is_before((7, 3)));
        assert!(moment.is_before((8, 1)));
    }
}
