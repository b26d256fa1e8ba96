//! Alarms: what an object does later, by name (feature `alarms`). Here are the methods that set, delete and list them, of
//! [`Transaction`] and, as a macro, of [`Context`](crate::Context) and [`GroupContext`](crate::GroupContext).

use serde::Serialize;

use crate::alarm::{MAX_ALARM_NAME, MAX_ALARM_PAYLOAD, NewAlarm};
use crate::codec;
use crate::error::{Error, Kind};
use crate::features::Alarms;
use crate::list::{List, TransactionRead};
use crate::storage::Storage;
use crate::time::Timestamp;
use crate::transaction::Transaction;
use crate::writes::StorageWrites;

/// The methods of an object, for an `impl` of a type with the method `storage`.
macro_rules! alarm_methods {
    () => {
        /// Sets the alarm of this name, and replaces an earlier one of the same name. `on_alarm` is called with `payload` at
        /// that time or soon after, at least once, even if the server restarts in between. When `Ok` is returned, the alarm
        /// survives a crash. To set it together with entries, use
        /// [`Transaction::set_alarm`](crate::Transaction::set_alarm).
        ///
        /// Alarms that are due start in the order of their times, as separate handlers that interleave, at most 64 at a time.
        /// An alarm whose handler fails is called again after 1 s, then after twice the last delay, up to 5 minutes, and
        /// holds up no other. Handlers of one name run one after the other: an alarm that is set by its own handler comes
        /// after it, and its success does not clear the new one. Alarms are not entries:
        /// [`Storage::delete_all`](crate::Storage::delete_all) leaves them.
        ///
        /// Not cancel safe: if the future is dropped, the alarm may be set or not.
        ///
        /// ```
        /// # async fn example(cx: &dog::GroupContext, user: &str) -> dog::Result {
        /// let in_an_hour = cx.now() + std::time::Duration::from_secs(3600);
        /// cx.set_alarm(&format!("remind/{user}"), in_an_hour, &"the meeting begins").await?;
        /// # Ok(())
        /// # }
        /// ```
        ///
        /// # Errors
        /// - [`Error::is_invalid_name`](crate::Error::is_invalid_name): the name has not 1 to 256 bytes.
        /// - [`Error::is_too_large`](crate::Error::is_too_large): the payload has more than 16 KiB when serialised.
        /// - [`Error::is_too_many`](crate::Error::is_too_many): the object has 10,000 alarms.
        /// - [`Error::is_encoding`](crate::Error::is_encoding): the payload cannot be serialised.
        /// - [`Error::is_closed`](crate::Error::is_closed) or [`Error::is_storage`](crate::Error::is_storage), as
        ///   [`Storage::put`](crate::Storage::put).
        pub async fn set_alarm<T: ::serde::Serialize + ?Sized>(
            &self,
            name: &str,
            at: $crate::Timestamp,
            payload: &T,
        ) -> ::std::result::Result<(), $crate::Error> {
            self.storage().set_alarm(name, at, payload).await
        }

        /// Removes the alarm of this name, if it is set. Its handler may run already; then it is not called again.
        ///
        /// Not cancel safe: if the future is dropped, the alarm may be removed or not.
        ///
        /// # Errors
        /// - [`Error::is_invalid_name`](crate::Error::is_invalid_name): the name has not 1 to 256 bytes.
        /// - [`Error::is_closed`](crate::Error::is_closed) or [`Error::is_storage`](crate::Error::is_storage), as
        ///   [`Storage::put`](crate::Storage::put).
        pub async fn delete_alarm(&self, name: &str) -> ::std::result::Result<(), $crate::Error> {
            self.storage().delete_alarm(name).await
        }

        /// The time for which the alarm of this name is set, or `None`. An alarm that has failed keeps its time. While its
        /// handler runs, this is the next alarm of that name, if it was set meanwhile.
        ///
        /// Cancel safe.
        ///
        /// # Errors
        /// - [`Error::is_invalid_name`](crate::Error::is_invalid_name): the name has not 1 to 256 bytes.
        /// - [`Error::is_closed`](crate::Error::is_closed) or [`Error::is_storage`](crate::Error::is_storage), as
        ///   [`Storage::get`](crate::Storage::get).
        pub async fn alarm(
            &self,
            name: &str,
        ) -> ::std::result::Result<::std::option::Option<$crate::Timestamp>, $crate::Error> {
            self.storage().alarm(name).await
        }

        /// The alarms that are set and whose names `list` selects, each with its time, in the order of their names: at most
        /// 10,000. Those whose handler runs are left out, as in [`alarm`](Self::alarm).
        ///
        /// Cancel safe.
        ///
        /// ```
        /// # async fn example(cx: &dog::GroupContext) -> dog::Result {
        /// for (name, due) in cx.alarms(&dog::List::prefix("remind/").limit(100)).await? {
        ///     println!("{name} is due at {due:?}");
        /// }
        /// # Ok(())
        /// # }
        /// ```
        ///
        /// # Errors
        /// [`Error::is_closed`](crate::Error::is_closed) or [`Error::is_storage`](crate::Error::is_storage), as
        /// [`Storage::get`](crate::Storage::get).
        pub async fn alarms(
            &self,
            list: &$crate::List,
        ) -> ::std::result::Result<::std::vec::Vec<(::std::string::String, $crate::Timestamp)>, $crate::Error> {
            self.storage().alarms(list).await
        }
    };
}

pub(crate) use alarm_methods;

impl Storage {
    /// See [`Context::set_alarm`](crate::Context::set_alarm).
    pub(crate) async fn set_alarm<T: Serialize + ?Sized>(
        &self,
        name: &str,
        at: Timestamp,
        payload: &T,
    ) -> Result<(), Error> {
        let mut writes = StorageWrites::default();
        writes.set_alarm(name, at, payload)?;
        self.write(writes).await
    }

    /// See [`Context::delete_alarm`](crate::Context::delete_alarm).
    pub(crate) async fn delete_alarm(&self, name: &str) -> Result<(), Error> {
        let mut writes = StorageWrites::default();
        writes.delete_alarm(name)?;
        self.write(writes).await
    }

    /// See [`Context::alarm`](crate::Context::alarm).
    pub(crate) async fn alarm(&self, name: &str) -> Result<Option<Timestamp>, Error> {
        check_alarm_name(name)?;
        if let Some(loading) = self.port().load_alarms() {
            loading.await?;
        }
        self.port().alarm(name)
    }

    /// See [`Context::alarms`](crate::Context::alarms).
    pub(crate) async fn alarms(&self, list: &List) -> Result<Vec<(String, Timestamp)>, Error> {
        if let Some(loading) = self.port().load_alarms() {
            loading.await?;
        }
        self.port().alarms(list)
    }
}

impl Transaction {
    /// Sets an alarm, as [`Context::set_alarm`](crate::Context::set_alarm), when the transaction is made.
    ///
    /// ```
    /// # async fn example(cx: &dog::GroupContext) -> dog::Result {
    /// let due = cx.now() + std::time::Duration::from_secs(60);
    /// cx.storage()
    ///     .transaction(async |entries| {
    ///         entries.put("order/7", &"open")?;
    ///         entries.set_alarm("order/7", due, &())?;
    ///         Ok(())
    ///     })
    ///     .await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// - [`Error::is_invalid_name`]: the name has not 1 to 256 bytes.
    /// - [`Error::is_too_large`]: the payload has more than 16 KiB when serialised.
    /// - [`Error::is_encoding`]: the payload cannot be serialised.
    pub fn set_alarm<T: Serialize + ?Sized>(&self, name: &str, at: Timestamp, payload: &T) -> Result<(), Error> {
        self.writes().borrow_mut().set_alarm(name, at, payload)
    }

    /// Deletes an alarm, as [`Context::delete_alarm`](crate::Context::delete_alarm), when the transaction is made.
    ///
    /// # Errors
    /// [`Error::is_invalid_name`]: the name has not 1 to 256 bytes.
    pub fn delete_alarm(&self, name: &str) -> Result<(), Error> {
        self.writes().borrow_mut().delete_alarm(name)
    }

    /// The time for which an alarm is set, as [`Context::alarm`](crate::Context::alarm), with the writes of this transaction.
    /// If another handler sets or deletes the alarm, or the alarm's own handler ends, the transaction runs again.
    ///
    /// # Errors
    /// As [`Context::alarm`](crate::Context::alarm).
    pub async fn alarm(&self, name: &str) -> Result<Option<Timestamp>, Error> {
        check_alarm_name(name)?;
        if let Some(written) = self.writes().borrow().alarms.get(name) {
            return Ok(written.as_ref().map(|alarm| alarm.at));
        }
        self.note_read(TransactionRead::Alarm(name.to_owned()));
        if let Some(loading) = self.port().load_alarms() {
            loading.await?;
        }
        self.port().alarm(name)
    }
}

impl StorageWrites {
    pub(crate) fn set_alarm<T: Serialize + ?Sized>(
        &mut self,
        name: &str,
        at: Timestamp,
        payload: &T,
    ) -> Result<(), Error> {
        check_alarm_name(name)?;
        self.alarms.insert(name.to_owned(), Some(NewAlarm::new(at, payload)?));
        Ok(())
    }

    pub(crate) fn delete_alarm(&mut self, name: &str) -> Result<(), Error> {
        check_alarm_name(name)?;
        self.alarms.insert(name.to_owned(), None);
        Ok(())
    }
}

impl NewAlarm {
    /// # Errors
    /// When the payload cannot be serialised or is too large.
    pub(crate) fn new<T: Serialize + ?Sized>(at: Timestamp, payload: &T) -> Result<Self, Error> {
        let payload = codec::encode(payload)?;
        if payload.len() > MAX_ALARM_PAYLOAD {
            let length = payload.len();
            let message = format!("the payload of the alarm is {length} bytes serialised, {MAX_ALARM_PAYLOAD} at most");
            return Err(Error::new(Kind::ValueTooLarge, message));
        }
        let feature = Alarms::get().ok_or_else(|| Error::new(Kind::InvalidName, "there are no alarms"))?;
        Ok(Self { at, payload, feature })
    }
}

/// # Errors
/// When this cannot be the name of an alarm.
pub(crate) fn check_alarm_name(name: &str) -> Result<(), Error> {
    match name.len() {
        1..=MAX_ALARM_NAME => Ok(()),
        length => {
            let message = format!("the name of an alarm has 1 to {MAX_ALARM_NAME} bytes, not {length}");
            Err(Error::new(Kind::InvalidName, message))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alarm::Alarm;

    #[test]
    fn names_and_payloads_have_limits() {
        let long = "x".repeat(MAX_ALARM_NAME);
        assert!(check_alarm_name("a").is_ok() && check_alarm_name(&long).is_ok());
        for wrong in ["", &format!("{long}x")] {
            assert!(check_alarm_name(wrong).unwrap_err().is_invalid_name());
        }
        let payload = |length: usize| NewAlarm::new(Timestamp::from_millis(0), &"x".repeat(length));
        // MessagePack puts three bytes before a text of this length.
        assert_eq!(payload(MAX_ALARM_PAYLOAD - 3).unwrap().payload.len(), MAX_ALARM_PAYLOAD);
        assert!(payload(MAX_ALARM_PAYLOAD - 2).unwrap_err().is_too_large());
    }

    #[test]
    fn a_payload_is_read_as_it_was_set() {
        let set = NewAlarm::new(Timestamp::from_millis(5), &("ann", 3)).unwrap();
        let alarm = Alarm::new("a".into(), set.at, 2, set.payload);
        assert_eq!(alarm.payload::<(String, u8)>().unwrap(), ("ann".to_owned(), 3));
        assert!(alarm.payload::<Vec<bool>>().unwrap_err().is_encoding());
        assert_eq!((alarm.name(), alarm.due().as_millis(), alarm.attempt()), ("a", 5, 2));
    }
}
