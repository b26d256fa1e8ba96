//! An alarm of an object, as its handler is given it: [`Alarm`].

#[cfg(feature = "alarms")]
pub(crate) mod methods;

use std::fmt;

use bytes::Bytes;
use serde::de::DeserializeOwned;

use crate::codec;
use crate::error::Error;
use crate::features::Alarms;
use crate::time::Timestamp;

/// Longest name of an alarm, in bytes.
pub const MAX_ALARM_NAME: usize = 256;

/// Largest payload of an alarm, in bytes when serialised.
pub const MAX_ALARM_PAYLOAD: usize = 16 * 1024;

/// The most alarms that one object can have set.
pub const MAX_ALARMS: usize = 10_000;

/// An alarm that is due: what [`Group::on_alarm`](crate::Group::on_alarm) and
/// [`Replica::on_alarm`](crate::Replica::on_alarm) are given.
///
/// Its handler is called at or after [`due`](Self::due), at least once: a crash while the handler runs makes it run again, so
/// what it does must be safe to repeat. The alarm stays stored until its handler has returned `Ok`.
///
/// ```
/// # use dog::{Alarm, GroupContext, Result};
/// # use std::time::Duration;
/// async fn on_alarm(cx: &GroupContext, alarm: Alarm) -> Result {
///     match alarm.name() {
///         "report" => {
///             cx.set_alarm("report", alarm.due() + Duration::from_secs(3600), &()).await?;
///         }
///         _ => {
///             let user: String = alarm.payload()?;
///             cx.storage().delete(&user).await?;
///         }
///     }
///     Ok(())
/// }
/// ```
#[derive(Clone)]
pub struct Alarm {
    name: String,
    due: Timestamp,
    attempt: u32,
    payload: Bytes,
}

impl Alarm {
    #[doc(hidden)]
    pub fn new(name: String, due: Timestamp, attempt: u32, payload: Bytes) -> Self {
        Self { name, due, attempt, payload }
    }

    /// The name under which it was set.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The time for which it was set. A later attempt has the same time.
    pub fn due(&self) -> Timestamp {
        self.due
    }

    /// The number of this attempt: 1 for the first, and one more after each attempt that has failed. An attempt that a crash
    /// has interrupted may not be counted.
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// The payload with which it was set.
    ///
    /// # Errors
    /// [`Error::is_encoding`]: the payload is not a `T`.
    pub fn payload<T: DeserializeOwned>(&self) -> Result<T, Error> {
        codec::decode(&self.payload)
    }
}

impl fmt::Debug for Alarm {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = formatter.debug_struct("Alarm");
        debug.field("name", &self.name).field("due", &self.due).field("attempt", &self.attempt);
        debug.field("payload", &format_args!("{} bytes", self.payload.len())).finish()
    }
}

/// An alarm that is to be set.
#[doc(hidden)]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewAlarm {
    pub at: Timestamp,
    pub payload: Bytes,
    pub feature: Alarms,
}
