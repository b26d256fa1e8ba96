use super::*;
use crate::log::AnswerBounds;

fn at(millis: u64) -> Timestamp {
    Timestamp::from_millis(millis)
}

fn replica(name: &str) -> ReplicaId {
    ReplicaId::from_name("room", name)
}

fn begin(logs: &mut Logs, name: &str) -> Result<LogTopic, Error> {
    let topic = LogTopic::new(name)?;
    logs.begin(&topic, LogBounds::default(), LogEpoch::new("e")?)?;
    Ok(topic)
}

fn publish(logs: &mut Logs, topic: &LogTopic, bytes: usize, now: Timestamp) -> Result<u64, Error> {
    let audience = || BTreeSet::from([replica("a")]);
    let published = logs.publish(topic, NewPublication::new(vec![7; bytes]), audience, now)?;
    Ok(published.position.offset())
}

#[test]
fn the_group_sleeps_until_a_head_has_to_be_repeated_and_then_until_something_is_too_old() {
    let mut logs = Logs::default();
    let topic = begin(&mut logs, "").unwrap();
    assert_eq!(logs.tend(at(0)), None);
    assert_eq!(publish(&mut logs, &topic, 1, at(0)).unwrap(), 1);
    assert_eq!(logs.tend(at(0)), Some(WAKES_WITHIN));
    let both = |_: &LogTopic| BTreeSet::from([replica("a")]);
    let position = Position::new(LogEpoch::new("e").unwrap(), 1);
    assert_eq!(logs.due(at(250), both), [(topic.clone(), position.clone(), vec![replica("a")])]);
    logs.acknowledge(replica("a"), &topic, &position, at(251));
    assert_eq!(logs.tend(at(1000)), Some(Duration::from_secs(299)));
    assert_eq!((logs.tend(at(300_000)), logs.bytes), (None, 0));
    assert_eq!(publish(&mut logs, &topic, 1, at(300_000)).unwrap(), 2, "the log goes on");
}

#[test]
fn one_that_is_no_member_any_more_is_not_reminded() {
    let mut logs = Logs::default();
    let topic = begin(&mut logs, "t").unwrap();
    publish(&mut logs, &topic, 1, at(0)).unwrap();
    assert!(logs.due(at(250), |_| BTreeSet::new()).is_empty());
    assert_eq!(logs.tend(at(300_000)), None);
}

#[test]
fn a_life_that_begins_goes_on_where_the_one_before_it_was() {
    let mut logs = Logs::default();
    let topic = begin(&mut logs, "").unwrap();
    let position = |offset| Position::new(LogEpoch::new("e").unwrap(), offset);
    for now in [0, 1, 2] {
        publish(&mut logs, &topic, 1, at(now)).unwrap();
    }
    logs.acknowledge(replica("a"), &topic, &position(1), at(3));
    let since = |name, begins| {
        let call = MissedCall {
            replica: replica(name),
            topic: topic.clone(),
            since: position(2),
            begins,
            most: AnswerBounds::RECOVERY,
        };
        logs.missed_since(&call).unwrap().unwrap().offset()
    };
    let (now, before) = (Some(at(3)), Some(at(1)));
    assert_eq!([since("a", now), since("a", None)], [1, 2]);
    assert_eq!([since("b", now), since("b", before), since("b", None)], [2, 1, 2], "since it has subscribers");
}

#[test]
fn a_group_has_10_000_logs_and_64_mib_in_them() {
    let mut logs = Logs::default();
    let first = begin(&mut logs, "0").unwrap();
    let topics: Vec<_> = (1..MOST_LOGS).map(|number| begin(&mut logs, &number.to_string()).unwrap()).collect();
    // Each log keeps four of them.
    let attempts = topics[..70].iter().flat_map(|topic| [topic; 4]);
    let published = attempts.filter(|topic| publish(&mut logs, topic, 255 * 1024, at(0)).is_ok()).count();
    assert!(published == 256 && logs.bytes <= MOST_BYTES, "{published}, {} bytes", logs.bytes);
    assert!(publish(&mut logs, &first, 255 * 1024, at(1)).unwrap_err().is_too_many());
    // Those that keep nothing make room for others.
    assert!(begin(&mut logs, "more").is_ok() && logs.place(&first) == Place::Unknown);
    logs.tend(at(300_000));
    assert_eq!(logs.bytes, 0);
}

#[test]
fn a_log_that_is_purged_has_no_place_and_leaves_memory_when_all_know() {
    let mut logs = Logs::default();
    let topics: Vec<_> = (0..MOST_LOGS).map(|number| begin(&mut logs, &number.to_string()).unwrap()).collect();
    topics.iter().for_each(|topic| assert!(publish(&mut logs, topic, 1, at(0)).is_ok()));
    assert!(begin(&mut logs, "more").unwrap_err().is_too_many());
    let (epoch, members) = (LogEpoch::new("f").unwrap(), BTreeSet::from([replica("a")]));
    let start = logs.begin_again(&topics[7], epoch, &members, at(1)).unwrap();
    logs.purge(&topics[7]);
    let more = begin(&mut logs, "more").unwrap();
    assert!(logs.use_again(&topics[7]).unwrap_err().is_too_many(), "its place is taken");
    assert_eq!((logs.place(&topics[7]), logs.tend(at(1))), (Place::Memory, Some(Duration::ZERO)));
    logs.acknowledge(replica("a"), &topics[7], &start, at(2));
    assert!(logs.purged_and_known().is_empty(), "nothing has to be removed from the storage");
    assert_eq!((logs.place(&topics[7]), logs.place(&more)), (Place::Unknown, Place::Memory));
    let bytes: usize = logs.all.values_mut().map(|log| log.count().1).sum();
    assert_eq!(logs.bytes, bytes);
}
