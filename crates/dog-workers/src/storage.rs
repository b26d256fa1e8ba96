//! The storage of an object: tables in its SQLite database.
//!
//! Each batch is one synchronous transaction. The runtime lets neither a response nor a frame leave the object before all
//! earlier writes are on disk. So when anyone learns of a write, it is durable.

use std::cell::Cell;
use std::ops::Bound;

use bytes::Bytes;
use dog::internal::Kind;
use dog::{Epoch, Error, SocketId, Timestamp};
use dog_engine::host::{AlarmChange, Batch, Space, SpaceWrites};
use js_sys::{Array, Uint8Array};
use wasm_bindgen::prelude::*;

use crate::platform::{self, Sql, error_text};
use crate::time::now;

const TABLES: &str = "\
    CREATE TABLE IF NOT EXISTS dog_meta (name TEXT PRIMARY KEY, value) WITHOUT ROWID; \
    CREATE TABLE IF NOT EXISTS dog_user (key BLOB PRIMARY KEY, value BLOB) WITHOUT ROWID; \
    CREATE TABLE IF NOT EXISTS dog_members (key BLOB PRIMARY KEY, value BLOB) WITHOUT ROWID; \
    CREATE TABLE IF NOT EXISTS dog_clients (key BLOB PRIMARY KEY, value BLOB) WITHOUT ROWID; \
    CREATE TABLE IF NOT EXISTS dog_alarms (key BLOB PRIMARY KEY, value BLOB) WITHOUT ROWID; \
    CREATE TABLE IF NOT EXISTS dog_log (key BLOB PRIMARY KEY, value BLOB) WITHOUT ROWID; \
    CREATE TABLE IF NOT EXISTS dog_sockets (socket INTEGER PRIMARY KEY, value BLOB)";

/// The storage of one object.
pub(crate) struct SqliteStorage {
    platform: platform::PlatformStorage,
    sql: Sql,
    /// The time for which the platform's alarm was set last, in milliseconds since 1970.
    rings_at: Cell<u64>,
}

fn failed(thrown: &JsValue) -> Error {
    Error::caused(Kind::Storage, "the object's storage failed", error_text(thrown))
}

fn table(space: Space) -> &'static str {
    match space {
        Space::User => "dog_user",
        Space::Members => "dog_members",
        Space::Clients => "dog_clients",
        Space::Alarms => "dog_alarms",
        Space::Log => "dog_log",
    }
}

fn blob(bytes: &[u8]) -> JsValue {
    Uint8Array::from(bytes).into()
}

fn bytes(value: &JsValue) -> Bytes {
    Uint8Array::new(value).to_vec().into()
}

/// Milliseconds and counts stay far below 2^53.
#[allow(clippy::cast_precision_loss, reason = "see above")]
fn number(value: u64) -> JsValue {
    JsValue::from_f64(value as f64)
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "written by `number`")]
fn whole(value: &JsValue) -> u64 {
    value.as_f64().unwrap_or_default() as u64
}

impl SqliteStorage {
    pub(crate) fn open(platform: platform::PlatformStorage) -> Result<Self, Error> {
        let sql = platform.sql();
        let storage = Self { platform, sql, rings_at: Cell::new(0) };
        storage.exec(TABLES, &[])?;
        Ok(storage)
    }

    fn exec(&self, query: &str, values: &[JsValue]) -> Result<Array, Error> {
        self.sql.exec(query, &values.iter().collect()).and_then(|c| c.raw()?.to_array()).map_err(|e| failed(&e))
    }

    fn first(&self, query: &str, values: &[JsValue]) -> Result<Option<JsValue>, Error> {
        let rows = self.exec(query, values)?;
        Ok((rows.length() > 0).then(|| Array::from(&rows.get(0)).get(0)))
    }

    fn meta(&self, name: &str) -> Result<Option<JsValue>, Error> {
        self.first("SELECT value FROM dog_meta WHERE name = ?", &[name.into()])
    }

    fn set_meta(&self, name: &str, value: JsValue) -> Result<(), Error> {
        self.exec("INSERT OR REPLACE INTO dog_meta VALUES (?, ?)", &[name.into(), value]).map(|_| ())
    }

    /// The name of the object in its namespace, as stored at its first event.
    pub(crate) fn name(&self) -> Result<Option<String>, Error> {
        Ok(self.meta("name")?.and_then(|name| name.as_string()))
    }

    pub(crate) fn set_name(&self, name: &str) -> Result<(), Error> {
        self.set_meta("name", name.into())
    }

    /// The epoch of the next activation.
    pub(crate) fn next_epoch(&self) -> Result<Epoch, Error> {
        let epoch = 1 + self.meta("epoch")?.map_or(0, |epoch| whole(&epoch));
        self.set_meta("epoch", number(epoch))?;
        Ok(Epoch::from_raw(epoch))
    }

    pub(crate) fn read(&self, space: Space, key: &[u8]) -> Result<Option<Bytes>, Error> {
        let value = self.first(&format!("SELECT value FROM {} WHERE key = ?", table(space)), &[blob(key)])?;
        Ok(value.as_ref().map(bytes))
    }

    pub(crate) fn range(
        &self,
        space: Space,
        keys: (Bound<Vec<u8>>, Bound<Vec<u8>>),
        most: Option<usize>,
        reverse: bool,
    ) -> Result<Vec<(Bytes, Bytes)>, Error> {
        let (mut query, mut values) = (format!("SELECT key, value FROM {} WHERE 1", table(space)), Vec::new());
        for (bound, included, excluded) in [(keys.0, ">=", ">"), (keys.1, "<=", "<")] {
            let (key, comparison) = match bound {
                Bound::Included(key) => (key, included),
                Bound::Excluded(key) => (key, excluded),
                Bound::Unbounded => continue,
            };
            query.push_str(&format!(" AND key {comparison} ?"));
            values.push(blob(&key));
        }
        query.push_str(if reverse { " ORDER BY key DESC" } else { " ORDER BY key" });
        if let Some(most) = most {
            query.push_str(" LIMIT ?");
            values.push(number(most as u64));
        }
        let rows = self.exec(&query, &values)?;
        let entry = |row: JsValue| {
            let row = Array::from(&row);
            (bytes(&row.get(0)), bytes(&row.get(1)))
        };
        Ok(rows.iter().map(entry).collect())
    }

    /// Writes the whole batch or nothing. The alarm belongs to it, because the runtime commits all writes of one event as one.
    pub(crate) fn write(&self, batch: &Batch) -> Result<(), Error> {
        let mut outcome = Ok(());
        let mut body = || {
            outcome = self.write_entries(batch);
            // Throwing makes the runtime roll back.
            if outcome.is_ok() { Ok(()) } else { Err(JsValue::NULL) }
        };
        let closure = ScopedClosure::<dyn FnMut() -> Result<(), JsValue>>::borrow_mut_assert_unwind_safe(&mut body);
        let transaction = self.platform.transaction_sync(closure.as_ref().unchecked_ref());
        drop(closure);
        outcome?;
        transaction.map_err(|thrown| failed(&thrown))?;
        match batch.alarm {
            Some(AlarmChange::Set(at)) => self.ring_at(at),
            Some(AlarmChange::Clear) => self.platform.delete_alarm().map(settle).map_err(|thrown| failed(&thrown)),
            None => Ok(()),
        }
    }

    fn write_entries(&self, batch: &Batch) -> Result<(), Error> {
        for SpaceWrites { space, delete_all, entries } in &batch.spaces {
            let table = table(*space);
            if *delete_all {
                self.exec(&format!("DELETE FROM {table}"), &[])?;
            }
            for (key, value) in entries {
                match value {
                    Some(value) => {
                        let query = format!("INSERT OR REPLACE INTO {table} VALUES (?, ?)");
                        self.exec(&query, &[blob(key), blob(value)])?;
                    }
                    None => drop(self.exec(&format!("DELETE FROM {table} WHERE key = ?"), &[blob(key)])?),
                }
            }
        }
        match batch.alarm {
            Some(AlarmChange::Set(at)) => self.set_meta("alarm", number(at.as_millis())),
            Some(AlarmChange::Clear) => self.exec("DELETE FROM dog_meta WHERE name = 'alarm'", &[]).map(|_| ()),
            None => Ok(()),
        }
    }

    /// The time of the earliest alarm.
    pub(crate) fn alarm(&self) -> Result<Option<Timestamp>, Error> {
        Ok(self.meta("alarm")?.map(|at| Timestamp::from_millis(whole(&at))))
    }

    /// Wakes the object at `at`. The time of its earliest alarm does not change.
    pub(crate) fn wake_again(&self, at: Timestamp) -> Result<(), Error> {
        self.ring_at(at)
    }

    /// Sets the alarm of the platform. The time must differ from that of the alarm that rings now and be in the future: the
    /// platform takes anything else for no change, and drops the alarm when its handler has ended.
    #[allow(clippy::cast_precision_loss, reason = "milliseconds since 1970")]
    fn ring_at(&self, at: Timestamp) -> Result<(), Error> {
        let mut at = at.as_millis().max(now().as_millis() + 1);
        at += u64::from(at == self.rings_at.get());
        self.rings_at.set(at);
        self.platform.set_alarm(at as f64).map(settle).map_err(|thrown| failed(&thrown))
    }

    /// The record of a socket, if it is too large to stay with the socket.
    pub(crate) fn socket_record(&self, socket: SocketId) -> Result<Option<Bytes>, Error> {
        let value = self.first("SELECT value FROM dog_sockets WHERE socket = ?", &[number(socket.raw())])?;
        Ok(value.as_ref().map(bytes))
    }

    pub(crate) fn set_socket_record(&self, socket: SocketId, record: Option<&[u8]>) -> Result<(), Error> {
        let socket = number(socket.raw());
        match record {
            Some(record) => self.exec("INSERT OR REPLACE INTO dog_sockets VALUES (?, ?)", &[socket, blob(record)]),
            None => self.exec("DELETE FROM dog_sockets WHERE socket = ?", &[socket]),
        }
        .map(|_| ())
    }
}

/// Logs a failure. Nobody waits for the promise, because the runtime resets the object if an alarm cannot be set.
fn settle(promise: js_sys::Promise) {
    crate::spawn::spawn(async {
        if let Err(thrown) = wasm_bindgen_futures::JsFuture::from(promise).await {
            tracing::error!("an alarm could not be set: {}", error_text(&thrown));
        }
    });
}
