//! What is known of the publications of a run: [`LogRecord`]. Promises 17 and 18. `durable`: what the disk has of them; `subscriptions`: who
//! receives them.

mod durable;
mod subscriptions;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use dog::{Error, GroupId, Position, SocketId, Timestamp, Unrecovered};

use super::confirmed::Confirmations;
use super::disk_log::DiskLog;
use super::logs_of_run::LogsOfRun;
use super::model::{LogModel, Page, Place};
use super::publication::Publication;
use super::subscription::Subscription;
use super::transactions::TransactionRecord;

/// How soon sockets are told of a loss that has shown, also while calls are lost and late, in milliseconds.
const TOLD_WITHIN: u64 = 20_000;

/// How long a key is remembered.
const KEY_AGE: Duration = Duration::from_secs(300);

/// The time, and the current life of the Group that it is about.
pub(crate) type Now = (Timestamp, u64);

/// The publications of a life to one epoch of a log, by their numbers, with their offsets.
type Ordered = BTreeMap<(u64, GroupId, &'static str, usize), BTreeMap<u64, u64>>;

/// The publications, the logs and their subscribers. Part of the [`RunRecord`](crate::record::RunRecord).
#[derive(Debug)]
pub(crate) struct LogRecord {
    of_run: LogsOfRun,
    publications: BTreeMap<u64, Publication>,
    logs: BTreeMap<(GroupId, &'static str), LogModel>,
    ordered: Ordered,
    subscribers: BTreeMap<(SocketId, &'static str), Subscription>,
    /// Up to where sockets had received each log when they ended.
    left: BTreeMap<(GroupId, &'static str), VecDeque<Place>>,
    /// When the end of each log was shown, and in which life of its Group its newest epoch was shown first.
    shown: BTreeMap<(GroupId, &'static str), (Timestamp, u64)>,
    /// When each Group was last given a key.
    keys: BTreeMap<GroupId, Timestamp>,
    /// The durable logs on disk.
    disk: BTreeMap<(GroupId, &'static str), DiskLog>,
    transactions: Vec<TransactionRecord>,
    confirmations: Confirmations,
    /// When the node of a life of each Group was struck off last.
    superseded: BTreeMap<GroupId, Timestamp>,
    /// How often something has been sent or subscribed: moments of the run.
    moment: u64,
}

impl LogRecord {
    pub(crate) fn new(of_run: LogsOfRun) -> Self {
        Self {
            of_run,
            publications: BTreeMap::new(),
            logs: BTreeMap::new(),
            ordered: BTreeMap::new(),
            subscribers: BTreeMap::new(),
            left: BTreeMap::new(),
            shown: BTreeMap::new(),
            keys: BTreeMap::new(),
            disk: BTreeMap::new(),
            transactions: Vec::new(),
            confirmations: Confirmations::default(),
            superseded: BTreeMap::new(),
            moment: 0,
        }
    }

    /// The logs of the Groups of this run.
    pub(crate) fn of_run(&self) -> LogsOfRun {
        self.of_run
    }

    fn log(&mut self, group: GroupId, topic: &'static str) -> Option<&mut LogModel> {
        let kept = self.of_run.kept(topic)?;
        Some(self.logs.entry((group, topic)).or_insert_with(|| LogModel::new(kept)))
    }

    /// Something is published. `publisher`: the life of the object that does it, if it does it once.
    pub(crate) fn begins(
        &mut self,
        number: u64,
        (group, topic): (GroupId, &'static str),
        publisher: Option<u64>,
        has_key: bool,
        now: Timestamp,
    ) {
        if has_key && self.of_run.kept(topic).is_some_and(|kept| !kept.is_durable) {
            self.keys.insert(group, now);
        }
        let ordered_for = publisher.filter(|_| !has_key);
        let (places, may_come, is_refused) = (Vec::new(), false, false);
        self.moment += 1;
        let made = self.moment;
        let publication = Publication { group, topic, made, ordered_for, has_key, places, may_come, is_refused };
        self.publications.insert(number, publication);
    }

    /// The Group that a publication is made to.
    pub(crate) fn group_of(&self, number: u64) -> Option<GroupId> {
        self.publications.get(&number).map(|publication| publication.group)
    }

    /// A caller has got an answer.
    pub(crate) fn ends(&mut self, number: u64, answer: &Result<Position, Error>, now: Now) -> Result<(), String> {
        let Some(publication) = self.publications.get_mut(&number) else { return Ok(()) };
        let topic = publication.topic;
        match answer {
            Ok(position) => {
                publication.may_come = true;
                let (of, made) = ((publication.group, topic), publication.made);
                self.is_shown(number, topic, (position, None), now)?;
                // What was published before may be answered later.
                let is_gone = self.gone(of, position).is_some_and(|gone| gone < made);
                if is_gone && !self.may_be_old(of.0, now.0) {
                    return Err(format!("publication {number} has {position}, and that log had begun again before"));
                }
                Ok(())
            }
            Err(error) if error.is_no_log() && self.of_run.kept(topic).is_some() => {
                Err(format!("publication {number} is refused, but {topic:?} has a log"))
            }
            // A call with a key may come again: the answer is that of the first time.
            Err(error) if is_denied(error) && !publication.may_come && !(publication.has_key && error.is_storage()) => {
                publication.is_refused = true;
                let (group, is_published) = (publication.group, !publication.places.is_empty());
                if is_published || self.is_stored(group, number) {
                    return Err(format!(
                        "publication {number} is published, but an error says that it is not: {error}"
                    ));
                }
                Ok(())
            }
            Err(_) => {
                publication.may_come = true;
                Ok(())
            }
        }
    }

    /// A Group shows somebody that a publication has this position.
    pub(crate) fn is_shown(
        &mut self,
        number: u64,
        topic: &str,
        (position, at): (&Position, Option<Timestamp>),
        now: Now,
    ) -> Result<(), String> {
        let publication = self.publications.get(&number).filter(|publication| publication.topic == topic);
        let Some(publication) = publication.cloned() else {
            return Err(format!(
                "{position} of {topic:?} is said to be of publication {number}, which nobody has made"
            ));
        };
        let of = (publication.group, publication.topic);
        let is_durable = self.is_durable(of.1);
        let Some(log) = self.log(of.0, of.1) else {
            return Err(format!("publication {number} is in the log of {topic:?}, which has none"));
        };
        let before = log.heads();
        let place = log.shown(position, number, at)?;
        if is_durable {
            // Who is subscribed then gets it, whatever happens to the life of the Group that stores it.
            log.is_sent(place, publication.made);
        }
        let after = log.heads();
        if after != before {
            let is_same = !is_durable && after.len() == before.len();
            let (_, life) = self.shown.get(&of).copied().filter(|_| is_same).unwrap_or(now);
            self.shown.insert(of, (now.0, life));
        }
        if publication.is_refused {
            return Err(format!("publication {number} has {position}, but an error has said that it is not published"));
        }
        self.check_on_disk(of, position, number)?;
        self.takes(number, &publication, place)
    }

    /// A publication has this place.
    fn takes(&mut self, number: u64, publication: &Publication, place: Place) -> Result<(), String> {
        if publication.places.contains(&place) {
            return Ok(());
        }
        let is_twice = !publication.has_key || publication.places.iter().any(|other| other.0 == place.0);
        if is_twice && !publication.places.is_empty() {
            return Err(format!("publication {number} is published twice: {:?} and {place:?}", publication.places));
        }
        if let Some(publication) = self.publications.get_mut(&number) {
            publication.places.push(place);
        }
        let Some(life) = publication.ordered_for else { return Ok(()) };
        let own = self.ordered.entry((life, publication.group, publication.topic, place.0)).or_default();
        own.insert(number, place.1);
        let before = own.range(..number).next_back().filter(|(_, offset)| **offset > place.1);
        let wrong = before.or_else(|| own.range(number + 1..).next().filter(|(_, offset)| **offset < place.1));
        match wrong {
            Some((other, offset)) => {
                Err(format!("life {life} has published {number} at {} and {other} at {offset}", place.1))
            }
            None => Ok(()),
        }
    }

    /// A Group sends a publication, whose place was shown, to those who may be subscribed.
    pub(crate) fn is_sent(&mut self, number: u64, position: &Position) {
        self.moment += 1;
        let Some((group, topic)) = self.publications.get(&number).map(|of| (of.group, of.topic)) else { return };
        let moment = self.moment;
        if !self.is_durable(topic)
            && let Some(log) = self.log(group, topic)
            && let Some(place) = log.place(position)
        {
            log.is_sent(place, moment);
        }
    }

    /// A page of the history is answered. Its publications are shown before.
    pub(crate) fn check_page(&mut self, group: GroupId, topic: &'static str, page: &Page<'_>) -> Result<(), String> {
        self.log(group, topic).map_or(Ok(()), |log| log.check_page(page))
    }

    /// There is no such page, for this reason.
    pub(crate) fn check_no_page(
        &mut self,
        (group, topic): (GroupId, &'static str),
        since: Option<&Position>,
        reason: Unrecovered,
        now: Now,
    ) -> Result<(), String> {
        let may_be_old = self.may_be_old(group, now.0);
        let (Some(log), Some(since)) = (self.log(group, topic), since) else {
            return Err(format!("a page of {topic:?} that begins anywhere cannot be given: {reason}"));
        };
        match reason {
            _ if may_be_old => Ok(()),
            Unrecovered::Expired => log.check_expired(since, now.0),
            Unrecovered::EpochUnknown => self.check_lost((group, topic), now),
            _ => Err(format!("what follows {since} of {topic:?} cannot be given: {reason}")),
        }
    }

    /// A position that somebody may ask for, of the newest epoch that is known.
    pub(crate) fn any_position(&mut self, group: GroupId, topic: &'static str, pick: u64) -> Option<Position> {
        let positions = self.log(group, topic)?.newest_positions();
        let index = usize::try_from(pick).ok()?.checked_rem(positions.len())?;
        positions.into_iter().nth(index)
    }

    /// These sockets are told that publications are lost.
    pub(crate) fn lost(
        &mut self,
        (group, topic): (GroupId, &'static str),
        reason: Unrecovered,
        sockets: impl Iterator<Item = SocketId>,
        now: Now,
    ) -> Result<(), String> {
        self.are_told(topic, sockets, now.0);
        match reason {
            Unrecovered::EpochUnknown => self.check_lost((group, topic), now),
            _ => Ok(()),
        }
    }

    /// A log that is said to be lost had another epoch, or another life of its Group.
    fn check_lost(&self, of: (GroupId, &'static str), (now, life): Now) -> Result<(), String> {
        let epochs = self.logs.get(&of).map_or(0, LogModel::epochs);
        let has_ended = !self.is_durable(of.1) && self.shown.get(&of).is_none_or(|(_, shown)| *shown != life);
        let may_have_begun_again = self.logs.get(&of).is_some_and(LogModel::may_have_begun_again);
        if epochs > 1 || has_ended || may_have_begun_again || self.may_be_old(of.0, now) {
            Ok(())
        } else {
            Err(format!("the log of {:?} is said to be lost, and goes on", of.1))
        }
    }

    /// Open sockets that miss publications were told so.
    pub(crate) fn check_told(&self, now: Timestamp, is_open: impl Fn(SocketId) -> bool) -> Result<(), String> {
        let before = Timestamp::from_millis(now.as_millis().saturating_sub(TOLD_WITHIN));
        let untold = self.subscribers.iter().filter_map(|(of, own)| Some((of, own.untold(before)?)));
        match untold.into_iter().find(|((socket, _), _)| is_open(*socket)) {
            Some(((socket, topic), what)) => {
                Err(format!("socket {} was not told that publications of {topic:?} are lost: {what}", socket.raw()))
            }
            None => Ok(()),
        }
    }

    fn is_durable(&self, topic: &str) -> bool {
        self.of_run.kept(topic).is_some_and(|kept| kept.is_durable)
    }

    /// Whether this life of a Group has the newest epoch of a log.
    pub(crate) fn is_of_life(&self, of: (GroupId, &'static str), life: u64) -> bool {
        self.shown.get(&of).is_some_and(|(_, shown)| *shown == life)
    }

    /// These sockets have received what the log of a Group has, or were told what they miss.
    pub(crate) fn check_complete(
        &self,
        (group, topic): (GroupId, &'static str),
        is_meant: impl Fn(SocketId) -> bool,
    ) -> Result<(), String> {
        let (Some(log), Some((shown, _))) = (self.logs.get(&(group, topic)), self.shown.get(&(group, topic))) else {
            return Ok(());
        };
        let heads = log.heads();
        let Some(head) = heads.last().map(|head| (heads.len() - 1, *head)) else { return Ok(()) };
        if log.may_be_gone(head) {
            // Who has missed its end is told only if the Replica knew it.
            return Ok(());
        }
        let own = self
            .subscribers
            .iter()
            .filter(|((socket, of), own)| *of == topic && own.group == group && is_meant(*socket))
            .filter_map(|((socket, _), own)| Some((socket, own.newest()?)));
        let behind = own
            .into_iter()
            .find(|(_, subscriber)| !subscriber.has_all(head, log.first_due(head.0, subscriber.since()), *shown));
        match behind {
            Some((socket, subscriber)) => {
                let socket = socket.raw();
                Err(format!("socket {socket} misses publications of {topic:?} up to {head:?}: {subscriber:?}"))
            }
            None => Ok(()),
        }
    }

    /// What is known of confirmed publications.
    pub(crate) fn confirmations(&mut self) -> &mut Confirmations {
        &mut self.confirmations
    }

    /// Whether a Group has to stay in memory for its logs.
    pub(crate) fn keep(&self, group: GroupId, now: Timestamp) -> bool {
        let mut in_memory = self
            .logs
            .iter()
            .filter(|((of, topic), _)| *of == group && self.of_run.kept(topic).is_some_and(|kept| !kept.is_durable));
        in_memory.any(|(_, log)| log.keeps_something(now))
            || self.keys.get(&group).is_some_and(|key| now < *key + 2 * KEY_AGE)
    }
}

/// Whether an error says that nothing was published.
fn is_denied(error: &Error) -> bool {
    error.is_no_log() || error.is_closed() || error.is_too_many() || error.is_storage()
}
