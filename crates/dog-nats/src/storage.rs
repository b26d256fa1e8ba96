//! [`NatsStorage`]: the storage of objects. Each entry is one message. The stream's leader answers all reads.

use std::fmt;
use std::ops::{Bound, RangeBounds};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use dog::internal::Kind;
use dog::{Epoch, Error, Timestamp};
use dog_engine::address::Object;
use dog_engine::host::{Batch, Space};
use dog_native::cluster::{Done, Read, Storage, StorageFigures};
use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::time::Instant;

use crate::alarms::AlarmRecord;
use crate::names::Names;
use crate::stream::{MessageStream, StreamError, retry_while};
use crate::writes::Writes;

/// The number of entries that a range read requests at the same time.
const READ_AHEAD: usize = 32;
/// How long a read is retried. This is longer than a stream has no leader.
const PATIENCE: Duration = Duration::from_secs(10);

type Bounds = (Bound<Vec<u8>>, Bound<Vec<u8>>);

/// The storage port.
pub(crate) struct NatsStorage {
    reader: Arc<Reader>,
    writes: Arc<Writes>,
}

impl NatsStorage {
    pub(crate) fn new(stream: Arc<dyn MessageStream>, names: Names, writes: Arc<Writes>) -> Self {
        Self { reader: Arc::new(Reader { stream, names }), writes }
    }
}

impl fmt::Debug for NatsStorage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("NatsStorage")
    }
}

struct Reader {
    stream: Arc<dyn MessageStream>,
    names: Names,
}

fn storage_error(error: StreamError) -> Error {
    error.into_error(Kind::Storage)
}

/// Returns a condition that stays true for [`PATIENCE`].
fn patience() -> impl Fn() -> bool {
    let deadline = Instant::now() + PATIENCE;
    move || Instant::now() < deadline
}

impl Reader {
    async fn last(&self, subject: &str) -> Result<Option<Bytes>, StreamError> {
        let stored = retry_while(patience(), || self.stream.last(subject)).await?;
        Ok(stored.and_then(|stored| stored.payload))
    }

    async fn range(
        &self,
        object: Object,
        space: Space,
        keys: Bounds,
        most: Option<usize>,
        reverse: bool,
    ) -> Result<Vec<(Bytes, Bytes)>, StreamError> {
        let filter = self.names.entries_within(object, space, &keys);
        let subjects = retry_while(patience(), || self.stream.subjects(&filter)).await?;
        let mut found: Vec<Vec<u8>> = subjects.iter().filter_map(|subject| self.names.key(subject)).collect();
        found.retain(|key| keys.contains(key));
        found.sort_unstable();
        if reverse {
            found.reverse();
        }
        let read = |key: Vec<u8>| async move {
            let value = self.last(&self.names.entry(object, space, &key)).await?;
            Ok::<_, StreamError>(value.map(|value| (Bytes::from(key), value)))
        };
        // Some subjects contain a deletion, so the number of reads is not known in advance.
        let entries = stream::iter(found).map(read).buffered(READ_AHEAD).try_filter_map(|entry| async { Ok(entry) });
        entries.take(most.unwrap_or(usize::MAX)).try_collect().await
    }
}

impl Storage for NatsStorage {
    fn get(&self, object: Object, space: Space, key: &[u8]) -> Read<Option<Bytes>> {
        let (reader, subject) = (Arc::clone(&self.reader), self.reader.names.entry(object, space, key));
        Read::Later(Box::pin(async move { reader.last(&subject).await.map_err(storage_error) }))
    }

    fn range(
        &self,
        object: Object,
        space: Space,
        keys: Bounds,
        most: Option<usize>,
        reverse: bool,
    ) -> Read<Vec<(Bytes, Bytes)>> {
        let reader = Arc::clone(&self.reader);
        Read::Later(Box::pin(
            async move { reader.range(object, space, keys, most, reverse).await.map_err(storage_error) },
        ))
    }

    fn write(&self, object: Object, epoch: Epoch, class: &'static str, batch: Batch, done: Done) {
        self.writes.write(object, epoch, class, batch, done);
    }

    fn alarm(&self, object: Object) -> Read<Option<Timestamp>> {
        let (reader, subject) = (Arc::clone(&self.reader), self.reader.names.alarm(object));
        Read::Later(Box::pin(async move {
            let alarm = reader.last(&subject).await.map_err(storage_error)?;
            alarm.map(|alarm| AlarmRecord::decode(&alarm).map(|alarm| alarm.at())).transpose()
        }))
    }

    fn figures(&self) -> StorageFigures {
        self.writes.figures()
    }
}
