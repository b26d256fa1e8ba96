//! A publication of the run: [`Publication`].

use dog::GroupId;

use super::model::Place;

/// A publication of the run.
#[derive(Clone, Debug)]
pub(crate) struct Publication {
    pub(crate) group: GroupId,
    pub(crate) topic: &'static str,
    /// The moment at which it is made.
    pub(crate) made: u64,
    /// The life that publishes it, if that is one of an object and calls only once.
    pub(crate) ordered_for: Option<u64>,
    pub(crate) has_key: bool,
    pub(crate) places: Vec<Place>,
    /// It has been called for, and may be published: there is no answer, or one that does not deny it.
    pub(crate) may_come: bool,
    /// An error has said that it is not published.
    pub(crate) is_refused: bool,
}
