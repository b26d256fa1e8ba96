//! What the list keeps in its storage, and in memory beside it: [`Stored`].

use std::collections::{BTreeMap, BTreeSet, HashMap};

use dog::{GroupContext, List, Timestamp};

use super::Subject;
use super::protocol::{Entry, Seen};

/// The entries that are read at once.
const PAGE: usize = 1000;
/// The most entries of which a write removes old ones.
const SWEPT: usize = 100;
/// Beside the keys of the Group.
const HEAD: &str = "dog-door/head";
const ENTRIES: &str = "dog-door/revoked/";

/// The entries, by number, and the number of each subject.
#[derive(Debug, Default)]
pub(super) struct Stored {
    head: Seen,
    entries: BTreeMap<u64, Entry>,
    /// The numbers by the time at which each is over.
    ends: BTreeSet<(Timestamp, u64)>,
    numbers: HashMap<Subject, u64>,
}

fn key(number: u64) -> String {
    format!("{ENTRIES}{number:020}")
}

impl Stored {
    pub(super) async fn read(cx: &GroupContext) -> dog::Result<Self> {
        let mut stored = Self { head: cx.storage().get(HEAD).await?.unwrap_or_default(), ..Self::default() };
        let mut from = 0;
        loop {
            let list = List::prefix(ENTRIES).start(key(from)).limit(PAGE);
            let page = cx.storage().list::<(u64, Entry)>(&list).await?;
            let is_last = page.len() < PAGE;
            for (_, (number, entry)) in page {
                from = number + 1;
                stored.insert(number, entry);
            }
            if is_last {
                return Ok(stored);
            }
        }
    }

    pub(super) fn head(&self) -> Seen {
        self.head
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The entries after `number`, in order.
    pub(super) fn after(&self, number: u64) -> impl Iterator<Item = (u64, &Entry)> {
        self.entries.range(number + 1..).map(|(number, entry)| (*number, entry))
    }

    pub(super) fn of(&self, subject: &Subject) -> Option<&Entry> {
        self.entries.get(self.numbers.get(subject)?)
    }

    /// The numbers of some entries that are over.
    pub(super) fn over(&self, now: Timestamp) -> Vec<u64> {
        self.ends.range(..=(now, u64::MAX)).map(|(_, number)| *number).take(SWEPT).collect()
    }

    /// Stores an entry, and removes others: the one before it of the same subject, and those that are over.
    pub(super) async fn write(&mut self, cx: &GroupContext, entry: Entry, over: Vec<u64>) -> dog::Result<()> {
        let mut head = self.head;
        if head.number == 0 {
            head.list = entry.at;
        }
        head.number += 1;
        let gone: Vec<u64> = over.into_iter().chain(self.numbers.get(&entry.revocation.subject).copied()).collect();
        let write = async |entries: &dog::Transaction| {
            entries.put(HEAD, &head)?;
            entries.put(&key(head.number), &(head.number, &entry))?;
            gone.iter().try_for_each(|number| entries.delete(&key(*number)))?;
            Ok(())
        };
        cx.storage().transaction(write).await?;
        for number in gone {
            if let Some(entry) = self.entries.remove(&number) {
                self.ends.remove(&(entry.ends(), number));
                self.numbers.remove(&entry.revocation.subject);
            }
        }
        self.head = head;
        self.insert(head.number, entry);
        Ok(())
    }

    fn insert(&mut self, number: u64, entry: Entry) {
        self.numbers.insert(entry.revocation.subject.clone(), number);
        self.ends.insert((entry.ends(), number));
        self.entries.insert(number, entry);
    }
}
