//! How fast each socket may send: [`MessageRate`], [`OverRate`].

use std::time::Duration;

/// How fast the client of each socket may send, from [`Replica::message_rate`](crate::Replica::message_rate).
///
/// A socket has a token bucket for its messages and one for their bytes, as handlers get them. Both fill at the rate, up to what
/// fits into [`burst`](Self::burst). A message takes its share of both. One that is larger than the whole bucket passes when the
/// bucket is full, and the next ones wait longer.
///
/// ```
/// use std::time::Duration;
///
/// use dog::{MessageRate, OverRate};
///
/// // 20 messages and 16 KiB per second, and three times as much after a pause. Who sends more than that is disconnected.
/// const RATE: MessageRate =
///     MessageRate::per_second(20).bytes(16 * 1024).burst(Duration::from_secs(3)).over(OverRate::Close);
/// # let _ = RATE;
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MessageRate {
    messages: u32,
    bytes: u64,
    burst: Duration,
    over: OverRate,
}

/// What happens to a message that is over the [`MessageRate`] of its socket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum OverRate {
    /// It waits until its handler may run, and later messages wait behind it. When 64 KiB wait, the host stops reading the socket,
    /// so that the client has to wait too. A Worker cannot stop reading: there, a socket for which more than 64 KiB wait closes with
    /// 1008.
    #[default]
    Delay,
    /// It is dropped. No handler is called.
    Drop,
    /// The socket closes with 1008, and [`on_error`](crate::Replica::on_error) is called
    /// ([`is_too_fast`](crate::SocketError::is_too_fast)).
    Close,
}

impl MessageRate {
    /// This many messages per second, at least one, and any number of bytes. A burst of 1 s; those over the rate are
    /// [delayed](OverRate::Delay).
    pub const fn per_second(messages: u32) -> Self {
        let messages = if messages == 0 { 1 } else { messages };
        Self { messages, bytes: u64::MAX, burst: Duration::from_secs(1), over: OverRate::Delay }
    }

    /// Sets how many bytes per second, at least one.
    #[must_use]
    pub const fn bytes(mut self, bytes: u64) -> Self {
        self.bytes = if bytes == 0 { 1 } else { bytes };
        self
    }

    /// Sets how long a socket may save up what it does not send: so much may come at once.
    #[must_use]
    pub const fn burst(mut self, time: Duration) -> Self {
        self.burst = time;
        self
    }

    /// Sets what happens to messages over the rate.
    #[must_use]
    pub const fn over(mut self, over: OverRate) -> Self {
        self.over = over;
        self
    }

    /// What happens to messages over the rate.
    #[doc(hidden)]
    pub const fn policy(&self) -> OverRate {
        self.over
    }

    /// How far a socket may be ahead of its rate.
    #[doc(hidden)]
    pub const fn ahead(&self) -> Duration {
        self.burst
    }

    /// How long one message of this length takes at the rate: by number, and by bytes.
    #[doc(hidden)]
    pub fn costs(&self, length: usize) -> (Duration, Duration) {
        const SECOND: u64 = 1_000_000_000;
        let by_bytes = u128::from(SECOND) * length as u128 / u128::from(self.bytes);
        let by_bytes = u64::try_from(by_bytes).unwrap_or(u64::MAX);
        (Duration::from_nanos(SECOND / u64::from(self.messages)), Duration::from_nanos(by_bytes))
    }
}
