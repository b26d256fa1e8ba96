//! What one socket has received of one log, and what it must have been told: [`Subscriber`]. Promise 17.

use dog::Timestamp;

use super::model::Place;

/// A socket that is subscribed to a topic with a log, since its subscription holds.
#[derive(Clone, Debug)]
pub(crate) struct Subscriber {
    /// The moment at which the subscription began.
    since: u64,
    last: Option<Place>,
    /// When it was last told that publications are lost.
    told: Option<Timestamp>,
    /// Of how many losses it was told that have not shown yet: a slow client is told of several.
    losses_told: u32,
    /// Since when it has to be told of a loss that has shown, and what that is.
    owed: Option<(Timestamp, String)>,
}

impl Subscriber {
    /// The subscription begins at this moment.
    pub(crate) fn new(since: u64) -> Self {
        Self { since, last: None, told: None, losses_told: 0, owed: None }
    }

    /// It has resumed at this moment, and gets next what comes after this place.
    pub(crate) fn resumed(since: u64, place: Place) -> Self {
        Self { last: Some(place), ..Self::new(since) }
    }

    /// The newest publication that it has received.
    pub(crate) fn last(&self) -> Option<Place> {
        self.last
    }

    /// The moment at which the subscription began.
    pub(crate) fn since(&self) -> u64 {
        self.since
    }

    /// It receives a publication that has these places: several, if it has a key and the log was lost. Each comes with the first
    /// offset of its epoch that was sent since the subscription began.
    ///
    /// # Errors
    /// It comes twice, or not in its order.
    pub(crate) fn receives(&mut self, places: &[(Place, Option<u64>)], now: Timestamp) -> Result<(), String> {
        let is_next = |place: &&(Place, Option<u64>)| self.is_next(**place);
        let Some((place, due)) = places.iter().rev().find(is_next).or(places.last()).copied() else {
            return Err("no Group has given it a position".into());
        };
        let (epoch, offset) = place;
        match self.last.replace(place) {
            Some((before, last)) if before == epoch && offset <= last => {
                Err(format!("offset {offset} comes after {last}"))
            }
            Some((before, last)) if before != epoch || offset > last + 1 => {
                self.misses(format!("offset {offset} of epoch {epoch} after {last} of {before}"), now);
                Ok(())
            }
            None if due.is_some_and(|due| due < offset) => {
                self.misses(format!("offset {offset} of epoch {epoch}, and {due:?} was sent before"), now);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn is_next(&self, ((epoch, offset), due): (Place, Option<u64>)) -> bool {
        match self.last {
            Some((last_epoch, last)) => epoch == last_epoch && offset == last + 1,
            None => due.is_none_or(|due| offset <= due),
        }
    }

    /// A loss shows: it was told of it, or has to be soon.
    fn misses(&mut self, what: String, now: Timestamp) {
        if self.losses_told > 0 {
            self.losses_told -= 1;
        } else if self.owed.is_none() {
            self.owed = Some((now, what));
        }
    }

    /// It is told that publications are lost.
    pub(crate) fn is_told(&mut self, now: Timestamp) {
        self.told = Some(now);
        if self.owed.take().is_none() {
            self.losses_told += 1;
        }
    }

    /// The loss that it should have been told of before `before`.
    pub(crate) fn untold(&self, before: Timestamp) -> Option<&str> {
        self.owed.as_ref().filter(|(since, _)| *since < before).map(|(_, what)| what.as_str())
    }

    /// Whether it has received everything up to this place, which was shown at `shown`, or was told after that of what it misses.
    /// `due` is the first offset of the epoch that was sent since the subscription began.
    pub(crate) fn has_all(&self, (epoch, head): Place, due: Option<u64>, shown: Timestamp) -> bool {
        let has_received = self.last.is_some_and(|(last_epoch, last)| last_epoch == epoch && last >= head);
        has_received || due.is_none() || self.told.is_some_and(|told| told >= shown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1000);
    const LATER: Timestamp = Timestamp::from_millis(2000);

    const DUE: Option<u64> = Some(4);

    fn subscriber(places: &[Place]) -> Subscriber {
        let mut subscriber = Subscriber::new(0);
        places.iter().for_each(|place| subscriber.receives(&[(*place, DUE)], NOW).unwrap());
        subscriber
    }

    #[test]
    fn it_receives_everything_once_and_in_order() {
        let mut well = subscriber(&[(0, 4), (0, 5)]);
        assert!(well.untold(LATER).is_none() && well.has_all((0, 5), DUE, NOW) && !well.has_all((0, 6), DUE, NOW));
        assert!(Subscriber::new(0).has_all((0, 3), None, NOW) && !Subscriber::new(0).has_all((0, 4), DUE, NOW));
        well.receives(&[((0, 5), DUE)], NOW).unwrap_err();
        well.receives(&[], NOW).unwrap_err();
        // What was on its way when it subscribed may come.
        assert!(subscriber(&[(0, 2), (0, 3)]).untold(LATER).is_none());
    }

    #[test]
    fn it_is_told_of_each_loss_before_or_after_it_shows() {
        for places in [&[(0, 5)][..], &[(0, 4), (0, 6)], &[(0, 4), (1, 1)], &[(1, 9)]] {
            let mut after = subscriber(places);
            assert!(after.untold(LATER).is_some() && after.untold(NOW).is_none());
            after.is_told(LATER);
            assert!(after.untold(LATER).is_none() && after.has_all((9, 9), DUE, LATER));
        }
        let mut before = subscriber(&[(0, 4)]);
        before.is_told(NOW);
        before.receives(&[((0, 9), DUE)], NOW).unwrap();
        assert!(before.untold(LATER).is_none());
        before.receives(&[((0, 11), DUE)], NOW).unwrap();
        assert!(before.untold(LATER).is_some(), "once per loss");
        let mut twice = subscriber(&[(0, 4)]);
        twice.is_told(NOW);
        twice.is_told(NOW);
        twice.receives(&[((1, 1), DUE)], NOW).unwrap();
        twice.receives(&[((2, 1), DUE)], NOW).unwrap();
        assert!(twice.untold(LATER).is_none());
    }

    #[test]
    fn a_key_may_have_a_place_in_each_epoch() {
        let both = [((0, 5), DUE), ((1, 1), DUE)];
        let mut subscriber = subscriber(&[(0, 4)]);
        subscriber.receives(&both, NOW).unwrap();
        assert!(subscriber.untold(LATER).is_none());
        subscriber.is_told(NOW);
        subscriber.receives(&both, NOW).unwrap();
        assert!(subscriber.untold(LATER).is_none());
    }
}
