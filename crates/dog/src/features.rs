//! The features of this crate as types, for the crates that run an App: they have no features of their own for what an App may
//! leave out. A type has a value only if its feature is on. What contains one cannot be made without the feature, and the
//! compiler leaves out the code that would handle it. So this is the only file that asks which features are on, beside the list
//! of modules. In a message the value comes first: without the feature nothing after it is decoded.

use serde::{Deserialize, Serialize};

/// It has no value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg(not(all(
    feature = "alarms",
    feature = "log",
    feature = "presence",
    feature = "storage",
    feature = "streams",
    feature = "topics"
)))]
enum Never {}

/// Makes the type of a feature.
macro_rules! feature {
    ($(#[$about:meta])* $name:ident, $feature:literal) => {
        $(#[$about])*
        /// It takes no bytes, in memory and in a message between objects.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub struct $name(#[cfg(not(feature = $feature))] Never);

        impl $name {
            /// Whether the feature is on. Functions that the compiler cannot see to be unused ask first: they are behind a port,
            /// or take nothing that only exists with the feature.
            pub const ON: bool = cfg!(feature = $feature);

            /// `None` if the feature is off.
            pub const fn get() -> Option<Self> {
                #[cfg(feature = $feature)]
                return Some(Self());
                #[cfg(not(feature = $feature))]
                None
            }
        }
    };
}

feature! {
    /// There are alarms: the feature `alarms` is on.
    Alarms, "alarms"
}

feature! {
    /// There are publications: the feature `log` is on.
    Logs, "log"
}

feature! {
    /// There is presence: the feature `presence` is on.
    Presences, "presence"
}

feature! {
    /// Objects store values: the feature `storage` is on.
    Storage, "storage"
}

feature! {
    /// There are event streams: the feature `streams` is on.
    Streams, "streams"
}

feature! {
    /// There are topics: the feature `topics` is on.
    Topics, "topics"
}
