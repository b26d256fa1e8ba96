//! Where what a log keeps begins: [`Edge`], [`Kept`], [`Oldest`].

use dog::Timestamp;
use dog::internal::LogBounds;

use super::segment::Segment;

/// A publication, as far as the bounds of a log ask for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Edge {
    pub(super) offset: u64,
    /// The bytes of all publications of the epoch before it.
    pub(super) bytes_before: u64,
    pub(super) at: Timestamp,
}

impl Edge {
    /// Those of a segment.
    pub(super) fn all(segment: &Segment) -> impl Iterator<Item = Self> {
        segment.publications.iter().scan(segment.bytes_before, |bytes, stored| {
            let publication = &stored.publication;
            let edge = Self { offset: publication.offset, bytes_before: *bytes, at: publication.at };
            *bytes += publication.size() as u64;
            Some(edge)
        })
    }
}

/// What the bounds of a log keep now.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kept {
    pub(super) bounds: LogBounds,
    /// How often the log was reset.
    pub(super) resets: u64,
    /// The offset of the next publication, and the bytes of all before.
    pub(super) next: u64,
    pub(super) bytes: u64,
}

impl Kept {
    pub(super) fn holds(&self, edge: &Edge, now: Timestamp) -> bool {
        let LogBounds { publications, bytes, age } = self.bounds;
        edge.offset >= self.next.saturating_sub(u64::from(publications))
            && self.bytes.saturating_sub(edge.bytes_before) <= u64::from(bytes)
            && now.since(edge.at) < age
    }
}

/// Finds the oldest publication that a log keeps, among those that are only stored. It remembers the two between which the
/// edge was found last.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Oldest {
    /// Was not kept.
    below: Option<Edge>,
    /// Was kept.
    above: Option<Edge>,
    is_searching: bool,
}

impl Oldest {
    /// The oldest offset that is kept, from `low` up to `high`, which is kept.
    ///
    /// # Errors
    /// The segment with this offset has to be read first: [`found`](Self::found).
    pub(super) fn find(&mut self, (low, high): (u64, u64), kept: &Kept, now: Timestamp) -> Result<u64, u64> {
        let (mut from, mut until) = (low, high);
        for edge in [self.below, self.above].into_iter().flatten() {
            if kept.holds(&edge, now) {
                until = until.min(edge.offset);
            } else {
                from = from.max(edge.offset + 1);
            }
        }
        if from >= until {
            self.is_searching = false;
            return Ok(until.max(low));
        }
        // Mostly the edge is near the place where it was before.
        let middle = from + (until - from) / 2;
        Err(if std::mem::replace(&mut self.is_searching, true) { middle } else { from })
    }

    /// A segment was read.
    pub(super) fn found(&mut self, segment: &Segment, kept: &Kept, now: Timestamp) {
        for edge in Edge::all(segment) {
            if kept.holds(&edge, now) {
                let is_better = self.above.is_none_or(|above| edge.offset < above.offset || !kept.holds(&above, now));
                if is_better {
                    self.above = Some(edge);
                }
                return;
            }
            if self.below.is_none_or(|below| edge.offset > below.offset || kept.holds(&below, now)) {
                self.below = Some(edge);
            }
        }
    }
}
