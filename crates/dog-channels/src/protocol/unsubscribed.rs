//! Why the server ends a subscription: [`Unsubscribed`].

use std::borrow::Cow;

use super::push::UnsubscribePush;

/// Why the server ends a subscription. The code says whether the client subscribes again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsubscribed {
    code: u32,
    reason: Cow<'static, str>,
}

impl Unsubscribed {
    /// 2000: the server wants it. The client does not subscribe again.
    pub const SERVER: Self = Self::of_protocol(2000, "server unsubscribe");
    /// 2500: the client has missed publications. It subscribes again and recovers them.
    pub const INSUFFICIENT_STATE: Self = Self::of_protocol(2500, "insufficient state");
    /// 2501: the token of the subscription has expired. The client gets another one and subscribes again.
    pub const EXPIRED: Self = Self::of_protocol(2501, "subscription expired");

    const fn of_protocol(code: u32, reason: &'static str) -> Self {
        Self { code, reason: Cow::Borrowed(reason) }
    }

    /// A reason of the application: 2100 to 2499, after which the client does not subscribe again, or 2600 to 2999, after which
    /// it does. `None`: the code is another one.
    pub fn new(code: u32, reason: impl Into<Cow<'static, str>>) -> Option<Self> {
        matches!(code, 2100..=2499 | 2600..=2999).then(|| Self { code, reason: reason.into() })
    }

    /// The number.
    pub const fn code(&self) -> u32 {
        self.code
    }

    /// Whether the client subscribes again.
    pub const fn comes_back(&self) -> bool {
        self.code >= 2500
    }
}

impl From<Unsubscribed> for UnsubscribePush {
    fn from(unsubscribed: Unsubscribed) -> Self {
        Self { code: unsubscribed.code, reason: unsubscribed.reason.into_owned() }
    }
}
