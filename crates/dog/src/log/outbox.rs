//! What a transaction publishes: [`Transaction::publish`], a transactional outbox.

use std::collections::BTreeSet;

use crate::error::{Error, Kind};
use crate::log::publication::{LogTopic, NewPublication};
use crate::transaction::Transaction;

/// The most publications of one transaction.
const MAX_PUBLICATIONS: usize = 100;

/// The most topics to which one transaction publishes.
const MAX_TOPICS: usize = 8;

/// The most bytes of all publications of one transaction.
const MAX_BYTES: usize = 512 * 1024;

impl Transaction {
    /// Publishes to a topic, or to [`ROOM`](crate::ROOM), when the transaction is made: either its entries and alarms are
    /// written and its publications are in their logs, or nothing has happened. The [log](crate::Group::log) of the topic has to
    /// be [durable](crate::Log::durable). Publications with a [key](NewPublication::key) that the topic has had before are left
    /// out. Subscribers get the others after the transaction is on disk.
    ///
    /// Publications of one transaction have consecutive offsets in each topic, in the order of the calls. Other publications to
    /// these topics wait while the transaction is written.
    ///
    /// ```
    /// # async fn example(cx: &dog::GroupContext) -> dog::Result {
    /// cx.storage()
    ///     .transaction(async |entries| {
    ///         let stock = entries.get::<u64>("stock").await?.unwrap_or(0);
    ///         entries.put("stock", &(stock + 5))?;
    ///         entries.publish("stock", format!("{} in stock", stock + 5))?;
    ///         Ok(())
    ///     })
    ///     .await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// - [`Error::is_invalid_topic`]: there can be no such topic.
    /// - [`Error::is_too_large`]: the publication is over one of its bounds, as in
    ///   [`publish`](crate::GroupContext::publish); or the transaction has more than 512 KiB of publications.
    /// - [`Error::is_invalid_name`]: the key is empty.
    /// - [`Error::is_too_many`]: the transaction has 100 publications, or publishes to 8 other topics.
    ///
    /// The transaction itself fails, and has done nothing, in these cases:
    /// - [`Error::is_no_log`]: the topic has no log, or one in memory; the object is a Replica; or the Group's `activate` has not
    ///   ended.
    /// - [`Error::is_too_many`]: the Group has too many logs, or too many bytes in them.
    pub fn publish(&self, topic: &str, publication: impl Into<NewPublication>) -> Result<(), Error> {
        let (topic, publication) = (LogTopic::new(topic)?, publication.into());
        publication.check()?;
        let all = &mut self.writes().borrow_mut().publications;
        let bytes = publication.size() + all.iter().map(|(_, publication)| publication.size()).sum::<usize>();
        if bytes > MAX_BYTES {
            let text = format!("the publications of the transaction have {bytes} bytes, {MAX_BYTES} at most");
            return Err(Error::new(Kind::ValueTooLarge, text));
        }
        let topics: BTreeSet<_> = all.iter().map(|(topic, _)| topic).chain([&topic]).collect();
        if all.len() >= MAX_PUBLICATIONS || topics.len() > MAX_TOPICS {
            let text = format!("a transaction has at most {MAX_PUBLICATIONS} publications, to {MAX_TOPICS} topics");
            return Err(Error::new(Kind::TooMany, text));
        }
        all.push((topic, publication));
        Ok(())
    }
}
