//! Which entries [`Storage::list`](crate::Storage::list) returns: [`List`].

use std::collections::BTreeMap;
use std::ops::Bound;

use bytes::Bytes;

use crate::error::Error;

/// Selects the entries that [`Storage::list`](crate::Storage::list) returns.
///
/// ```
/// let latest = dog::List::prefix("message/").reverse().limit(20);
/// # let _ = latest;
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct List {
    prefix: String,
    start: Option<String>,
    end: Option<String>,
    limit: Option<usize>,
    reverse: bool,
}

impl List {
    /// Selects all entries.
    pub fn all() -> Self {
        Self::default()
    }

    /// Selects the entries whose keys begin with `prefix`.
    pub fn prefix(prefix: impl Into<String>) -> Self {
        Self { prefix: prefix.into(), ..Self::default() }
    }

    /// Only keys from `key` on, `key` included.
    #[must_use]
    pub fn start(mut self, key: impl Into<String>) -> Self {
        self.start = Some(key.into());
        self
    }

    /// Only keys before `key`.
    #[must_use]
    pub fn end(mut self, key: impl Into<String>) -> Self {
        self.end = Some(key.into());
        self
    }

    /// At most `entries` entries: the first, or with [`reverse`](Self::reverse) the last.
    #[must_use]
    pub fn limit(mut self, entries: usize) -> Self {
        self.limit = Some(entries);
        self
    }

    /// From the last key to the first.
    #[must_use]
    pub fn reverse(mut self) -> Self {
        self.reverse = true;
        self
    }

    /// For hosts: the limit.
    #[doc(hidden)]
    pub fn most(&self) -> Option<usize> {
        self.limit
    }

    /// For hosts: whether the order is reversed.
    #[doc(hidden)]
    pub fn is_reverse(&self) -> bool {
        self.reverse
    }

    /// For hosts: the range of keys that may be selected, as bytes.
    #[doc(hidden)]
    pub fn bounds(&self) -> (Bound<Vec<u8>>, Bound<Vec<u8>>) {
        let start = self.first_key();
        let prefix_end = after_prefix(self.prefix.as_bytes());
        let end = match (&self.end, prefix_end) {
            (Some(end), Some(prefix_end)) => Bound::Excluded(end.as_bytes().to_vec().min(prefix_end)),
            (Some(end), None) => Bound::Excluded(end.as_bytes().to_vec()),
            (None, Some(prefix_end)) => Bound::Excluded(prefix_end),
            (None, None) => Bound::Unbounded,
        };
        (Bound::Included(start.as_bytes().to_vec()), end)
    }

    /// For the engine: whether `key` is selected, the limit aside.
    #[doc(hidden)]
    pub fn contains(&self, key: &str) -> bool {
        key.starts_with(&self.prefix)
            && self.start.as_deref().is_none_or(|start| key >= start)
            && self.end.as_deref().is_none_or(|end| key < end)
    }

    /// For the engine: the selected entries of `entries`, the limit aside.
    #[doc(hidden)]
    pub fn of<'a, T>(&'a self, entries: &'a BTreeMap<String, T>) -> impl Iterator<Item = (&'a String, &'a T)> {
        // All selected keys follow each other, from the first possible one.
        let from = (Bound::Included(self.first_key()), Bound::Unbounded);
        entries.range::<str, _>(from).take_while(|(key, _)| self.contains(key))
    }

    fn first_key(&self) -> &str {
        self.start.as_deref().unwrap_or_default().max(self.prefix.as_str())
    }

    /// The same selection with a limit that is higher by `entries`.
    pub(crate) fn with_more(mut self, entries: usize) -> Self {
        self.limit = self.limit.map(|limit| limit.saturating_add(entries));
        self
    }

    /// The part of this selection on which `found` depends: beyond the last entry within a limit, everything may change.
    /// `None` if `found` depends on nothing.
    pub(crate) fn covered_by(&self, found: &[(String, Bytes)]) -> Option<Self> {
        let mut covered = Self { limit: None, ..self.clone() };
        match (self.limit, found.last()) {
            (Some(0), _) => return None,
            (Some(limit), Some((last, _))) if found.len() >= limit && self.reverse => {
                covered.start = Some(last.clone());
            }
            // `end` is exclusive, and this is the first key after `last`.
            (Some(limit), Some((last, _))) if found.len() >= limit => covered.end = Some(format!("{last}\0")),
            _ => {}
        }
        Some(covered)
    }

    /// For the engine: the `stored` entries, which stand in the order of this selection, with `writes` to the selected keys, cut
    /// at the limit.
    #[doc(hidden)]
    pub fn overlay(
        &self,
        mut stored: Vec<(String, Bytes)>,
        mut writes: BTreeMap<String, Option<Bytes>>,
    ) -> Vec<(String, Bytes)> {
        let most = self.limit.unwrap_or(usize::MAX);
        if writes.is_empty() {
            stored.truncate(most);
            return stored;
        }
        for (key, value) in stored {
            writes.entry(key).or_insert(Some(value));
        }
        let found = writes.into_iter().filter_map(|(key, value)| Some((key, value?)));
        if self.reverse { found.rev().take(most).collect() } else { found.take(most).collect() }
    }
}

/// How many entries are read at a time if only their keys are wanted.
const PAGE: usize = 256;

/// The keys that `list` selects. `read` returns the entries of a selection.
pub(crate) async fn keys_in_pages(
    list: &List,
    read: impl AsyncFn(List) -> Result<Vec<(String, Bytes)>, Error>,
) -> Result<Vec<String>, Error> {
    let mut keys: Vec<String> = Vec::new();
    let mut page = list.clone();
    loop {
        let left = list.limit.map_or(PAGE, |limit| PAGE.min(limit - keys.len()));
        if left == 0 {
            return Ok(keys);
        }
        page.limit = Some(left);
        let found = read(page.clone()).await?;
        let is_last = found.len() < left;
        keys.extend(found.into_iter().map(|(key, _)| key));
        match keys.last() {
            Some(last) if !is_last && list.reverse => page.end = Some(last.clone()),
            // The first key after `last`.
            Some(last) if !is_last => page.start = Some(format!("{last}\0")),
            _ => return Ok(keys),
        }
    }
}

/// What a transaction has read. A later write to it is a conflict.
#[doc(hidden)]
#[derive(Clone, Debug)]
pub enum TransactionRead {
    Key(String),
    Range(List),
    Alarm(String),
}

/// The first key after all keys with `prefix`. None comes after keys that consist of 0xff only.
fn after_prefix(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|byte| *byte != u8::MAX)?;
    let mut after = prefix[..=last].to_vec();
    after[last] += 1;
    Some(after)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(list: &List) -> (Vec<u8>, Option<Vec<u8>>) {
        match list.bounds() {
            (Bound::Included(start), Bound::Excluded(end)) => (start, Some(end)),
            (Bound::Included(start), _) => (start, None),
            _ => unreachable!("the start is always included"),
        }
    }

    #[test]
    fn bounds_hold_just_what_is_meant() {
        let cases = [
            (List::all(), "", None),
            (List::prefix("a/"), "a/", Some("a0")),
            (List::prefix("a").start("b"), "b", Some("b")),
            (List::prefix("a").start("ab").end("ac"), "ab", Some("ac")),
            (List::prefix("a").end("zz"), "a", Some("b")),
            (List::all().end("m"), "", Some("m")),
        ];
        for (list, start, end) in cases {
            assert_eq!(bytes(&list), (start.into(), end.map(Into::into)), "{list:?}");
        }
        assert_eq!(after_prefix(b"\xff\xff"), None);
        assert_eq!(after_prefix(b"a\xff"), Some(b"b".to_vec()));
    }

    #[test]
    fn what_is_meant_does_not_depend_on_who_asks() {
        let list = List::prefix("k").start("k2").end("k8").limit(3).reverse();
        let kept = (0..10).rev().map(|n| (format!("k{n}"), Bytes::from(vec![n])));
        let kept: Vec<_> = kept.filter(|(key, _)| list.contains(key)).collect();
        let writes =
            BTreeMap::from([("k7".to_owned(), None), ("k55".to_owned(), Some(Bytes::new())), ("x".to_owned(), None)]);
        let writes = list.of(&writes).map(|(key, write)| (key.clone(), write.clone())).collect();
        let keys = |writes| list.overlay(kept.clone(), writes).into_iter().map(|(key, _)| key).collect::<Vec<_>>();
        assert_eq!(keys(BTreeMap::new()), ["k7", "k6", "k5"]);
        let keys = keys(writes);
        assert_eq!(keys, ["k6", "k55", "k5"]);
    }

    #[test]
    fn a_limit_that_is_reached_covers_what_could_change_it_and_no_more() {
        let found = |keys: &[&str]| keys.iter().map(|key| ((*key).to_owned(), Bytes::new())).collect::<Vec<_>>();
        let list = List::prefix("k").limit(2);
        let covered = list.covered_by(&found(&["k1", "k2"])).unwrap();
        let at = |list: &List, keys: [&str; 6]| keys.map(|key| list.contains(key));
        assert_eq!(at(&covered, ["j", "k", "k11", "k2", "k2\0", "k3"]), [false, true, true, true, false, false]);
        let covered = list.clone().reverse().covered_by(&found(&["k2", "k1"])).unwrap();
        assert_eq!(at(&covered, ["k", "k0", "k1", "k11", "k9", "l"]), [false, false, true, true, true, false]);
        assert_eq!(list.covered_by(&found(&["k1"])), Some(List::prefix("k")));
        assert_eq!(List::all().limit(0).covered_by(&[]), None);
    }
}
