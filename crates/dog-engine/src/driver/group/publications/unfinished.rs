//! Purges that are not finished: those that an earlier life has left, and those of which only the last record is left, until all
//! Replicas know.

use std::rc::Rc;

use dog::internal::{LogBounds, LogTopic};

use super::commits::begin;
use super::finding::find_log;
use super::log_calls::{Job, Purge};
use super::publishes::Publishes;

/// Goes on with purges, as far as that is possible now. What an earlier life has left is gone on with if the user's code still wants a
/// durable log there.
pub(in crate::driver::group) fn go_on<G: Publishes>(group: &Rc<G>) {
    let publications = group.publications();
    let known = publications.logs().borrow_mut().purged_and_known();
    known.into_iter().for_each(|(topic, bounds)| finish(group, topic, bounds));
    let Some(value) = group.core().life().get() else { return };
    let left = publications.names().borrow_mut().take_left();
    for topic in left.into_iter().filter_map(|name| LogTopic::new(&name).ok()) {
        if let Ok(Some(bounds)) = find_log(&**group, &value, &topic) {
            finish(group, topic, bounds);
        }
    }
}

fn finish<G: Publishes>(group: &Rc<G>, topic: LogTopic, bounds: LogBounds) {
    let is_served = group.publications().commits().borrow().is_served(&topic);
    if !is_served {
        begin(group, bounds, Job::Purge(Purge::unfinished(topic)));
    }
}
