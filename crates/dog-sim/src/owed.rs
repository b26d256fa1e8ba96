//! A message that a socket must receive: [`Owed`].

use dog::{Epoch, Timestamp};

/// A message that a socket must receive.
#[derive(Clone, Debug)]
pub(crate) struct Owed {
    /// The life that sent it. If that life crashes, the message is no longer owed. A whisper has the default value
    /// here.
    pub(crate) sender: Epoch,
    /// A Group has to pass it on, and has not done so yet. If that Group loses what it has to do, the message is no longer owed.
    pub(crate) is_to_relay: bool,
    pub(crate) since: Timestamp,
    /// The socket's Replica was among those that the message was sent to.
    pub(crate) addressed: bool,
    /// The socket's Replica was asked to confirm it.
    pub(crate) asked: bool,
    /// All members had to know each other when it was sent.
    pub(crate) sure: bool,
    /// The number of cuts until it was sent. `None` if there was a cut at that moment.
    pub(crate) cuts_so_far: Option<u64>,
    /// The number of calls and answers that had been lost when it was sent.
    pub(crate) harmed: u64,
    pub(crate) whispered: bool,
    /// If only the subscribers of a topic hear it: the topic.
    pub(crate) topic: Option<String>,
}

impl Owed {
    /// The promise that is broken if it does not come.
    pub(crate) fn promise(&self) -> u8 {
        match (&self.topic, self.whispered || self.addressed) {
            (Some(_), _) => 20,
            (None, true) => 6,
            (None, false) => 4,
        }
    }
}
