//! What objects keep: one message an entry, read from the stream's leader.

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

use crate::alarms;
use crate::jetstream::{Trouble, until_answered};
use crate::node::Node;

/// Entries that are asked for at the same time.
const AT_ONCE: usize = 32;
/// How long a read may take: longer than a new leader takes to be chosen.
const PATIENCE: Duration = Duration::from_secs(10);

type Bounds = (Bound<Vec<u8>>, Bound<Vec<u8>>);

/// The port.
pub(crate) struct Entries(pub(crate) Arc<Node>);

impl fmt::Debug for Entries {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Entries")
    }
}

fn failed(trouble: Trouble) -> Error {
    trouble.into_error(Kind::Storage)
}

/// For as long as a read may take from now on.
fn patiently() -> impl Fn() -> bool {
    let by = Instant::now() + PATIENCE;
    move || Instant::now() < by
}

async fn last(node: &Node, subject: &str) -> Result<Option<Bytes>, Trouble> {
    let stored = until_answered(patiently(), || node.objects.last(subject)).await?;
    Ok(stored.and_then(|stored| stored.payload))
}

async fn range(
    node: &Node,
    object: Object,
    space: Space,
    keys: Bounds,
    most: Option<usize>,
    reverse: bool,
) -> Result<Vec<(Bytes, Bytes)>, Trouble> {
    let filter = node.names.entries(object, space);
    let subjects = until_answered(patiently(), || node.objects.subjects(&filter)).await?;
    let mut found: Vec<Vec<u8>> = subjects.iter().filter_map(|subject| node.names.key(subject)).collect();
    found.retain(|key| keys.contains(key));
    found.sort_unstable();
    if reverse {
        found.reverse();
    }
    let read = |key: Vec<u8>| async move {
        let value = last(node, &node.names.entry(object, space, &key)).await?;
        Ok::<_, Trouble>(value.map(|value| (Bytes::from(key), value)))
    };
    // Some of them say that they are gone: how many have to be read is known only when they are.
    let entries = stream::iter(found).map(read).buffered(AT_ONCE).try_filter_map(|entry| async { Ok(entry) });
    entries.take(most.unwrap_or(usize::MAX)).try_collect().await
}

impl Storage for Entries {
    fn get(&self, object: Object, space: Space, key: &[u8]) -> Read<Option<Bytes>> {
        let (node, subject) = (Arc::clone(&self.0), self.0.names.entry(object, space, key));
        Read::Later(Box::pin(async move { last(&node, &subject).await.map_err(failed) }))
    }

    fn range(
        &self,
        object: Object,
        space: Space,
        keys: Bounds,
        most: Option<usize>,
        reverse: bool,
    ) -> Read<Vec<(Bytes, Bytes)>> {
        let node = Arc::clone(&self.0);
        Read::Later(Box::pin(async move { range(&node, object, space, keys, most, reverse).await.map_err(failed) }))
    }

    fn write(&self, object: Object, epoch: Epoch, class: &'static str, batch: Batch, done: Done) {
        Arc::clone(&self.0).write(object, epoch, class, batch, done);
    }

    fn alarm(&self, object: Object) -> Read<Option<Timestamp>> {
        let (node, subject) = (Arc::clone(&self.0), self.0.names.alarm(object));
        Read::Later(Box::pin(async move {
            let alarm = last(&node, &subject).await.map_err(failed)?;
            alarm.map(|alarm| alarms::read(&alarm).map(|(at, _)| at)).transpose()
        }))
    }

    fn figures(&self) -> StorageFigures {
        self.0.writers.figures()
    }
}
