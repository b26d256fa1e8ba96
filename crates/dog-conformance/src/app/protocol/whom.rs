//! Who receives what is sent: [`Whom`].

use serde::{Deserialize, Serialize};

/// A serialisable [`dog::To`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Whom {
    /// All but the sender's client.
    Others,
    /// All but the sender's socket.
    OtherSockets,
    /// All.
    Everyone,
}

impl From<Whom> for dog::To {
    fn from(whom: Whom) -> Self {
        match whom {
            Whom::Others => Self::Others,
            Whom::OtherSockets => Self::OtherSockets,
            Whom::Everyone => Self::Everyone,
        }
    }
}
