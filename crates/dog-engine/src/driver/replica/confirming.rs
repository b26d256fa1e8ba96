//! Publications whose sockets the Group wants to have counted, and that have not come to their turn: [`Confirming`].

use std::cell::RefCell;
use std::collections::BTreeMap;

use dog::Error;
use dog::internal::{Kind, LogTopic};

use crate::message::ReplicaAnswer;
use crate::reply::Reply;

/// How many may wait in one Replica. The Group waits for none of them for longer than 3 s.
const MOST: usize = 1000;

/// The answers that wait until a publication is delivered.
#[derive(Debug, Default)]
pub(super) struct Confirming {
    waiting: RefCell<BTreeMap<LogTopic, BTreeMap<u64, Reply<ReplicaAnswer>>>>,
}

impl Confirming {
    /// The publication with this offset waits for those before it.
    pub(super) fn wait(&self, topic: &LogTopic, offset: u64, reply: Reply<ReplicaAnswer>) {
        let mut waiting = self.waiting.borrow_mut();
        if waiting.values().map(BTreeMap::len).sum::<usize>() >= MOST {
            let text = "too many publications wait for those before them";
            return reply.send(Err(Error::new(Kind::TooMany, text)));
        }
        waiting.entry(topic.clone()).or_default().insert(offset, reply);
    }

    /// This many sockets have taken the publication with this offset.
    pub(super) fn delivered(&self, topic: &LogTopic, offset: u64, sockets: usize) {
        let mut waiting = self.waiting.borrow_mut();
        let Some(of_topic) = waiting.get_mut(topic) else { return };
        let later = of_topic.split_off(&(offset + 1));
        let due = std::mem::replace(of_topic, later);
        if of_topic.is_empty() {
            waiting.remove(topic);
        }
        drop(waiting);
        for (waited_for, reply) in due {
            // One before it was not delivered: its log had another epoch.
            reply.send(if waited_for == offset { Ok(ReplicaAnswer::Delivered(sockets)) } else { Err(not_counted()) });
        }
    }

    /// The topic has no subscribers here any more.
    pub(super) fn unfollowed(&self, topic: &LogTopic) {
        let due = self.waiting.borrow_mut().remove(topic);
        due.into_iter().flatten().for_each(|(_, reply)| reply.send(Ok(ReplicaAnswer::Delivered(0))));
    }

    /// Publications were lost: nobody knows which.
    pub(super) fn lost(&self, topic: &LogTopic) {
        let due = self.waiting.borrow_mut().remove(topic);
        due.into_iter().flatten().for_each(|(_, reply)| reply.send(Err(not_counted())));
    }

    /// The life has ended.
    pub(super) fn clear(&self) {
        let waiting = self.waiting.take();
        drop(waiting);
    }
}

/// The publication was not delivered when it came.
pub(super) fn not_counted() -> Error {
    Error::new(
        Kind::Unreachable,
        "the sockets that took the publication were not counted: it came by another way, or was lost",
    )
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::*;

    #[test]
    fn each_answer_has_the_sockets_of_its_own_publication() {
        let (confirming, answers) = (Confirming::default(), Rc::new(RefCell::new(Vec::new())));
        let [a, b] = ["a", "b"].map(|name| LogTopic::new(name).unwrap());
        let wait = |topic: &LogTopic, offset| {
            let answers = Rc::clone(&answers);
            let name = topic.name().to_owned();
            let reply = Reply::new(move |answer: Result<ReplicaAnswer, Error>| {
                let sockets = answer.ok().map(|answer| match answer {
                    ReplicaAnswer::Delivered(sockets) => sockets,
                    other => panic!("{other:?}"),
                });
                answers.borrow_mut().push((name, offset, sockets));
            });
            confirming.wait(topic, offset, reply);
        };
        [1, 3, 5].into_iter().for_each(|offset| wait(&a, offset));
        wait(&b, 3);
        confirming.delivered(&a, 2, 7);
        confirming.delivered(&a, 3, 8);
        confirming.unfollowed(&b);
        confirming.lost(&a);
        let expected = [("a", 1, None), ("a", 3, Some(8)), ("b", 3, Some(0)), ("a", 5, None)];
        assert_eq!(answers.take(), expected.map(|(name, offset, sockets)| (name.to_owned(), offset, sockets)));
        for offset in 0..=MOST as u64 {
            wait(&a, offset);
        }
        assert_eq!(answers.take(), [("a".to_owned(), MOST as u64, None)], "what is over the bound");
        confirming.clear();
        assert_eq!(answers.borrow().len(), MOST, "nobody waits for a life that has ended");
    }
}
