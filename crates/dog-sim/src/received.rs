//! What one socket has received from one life: [`Received`].

use std::collections::BTreeSet;

/// What one socket has received from one life.
#[derive(Default)]
pub(crate) struct Received {
    /// The number of the last message that was delivered in the order of sending.
    pub(crate) last: u64,
    /// The number of the latest whisper. Messages that were sent before it began may not come after it.
    pub(crate) whispered: u64,
    pub(crate) names: BTreeSet<u64>,
}
