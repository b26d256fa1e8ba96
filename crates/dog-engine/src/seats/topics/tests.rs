//! What is subscribed, at most how much, and what the Group learns of it.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

const NOW: Timestamp = Timestamp::from_millis(7);

fn topic(name: &str) -> Topic {
    Topic::new(name).unwrap()
}

fn socket(number: u64) -> SocketId {
    SocketId::from_raw(number)
}

fn subscribe(topics: &mut Topics, number: u64, name: &str) -> Subscribed {
    topics.subscribe(socket(number), &topic(name), NOW).unwrap()
}

/// What is reported next, sorted.
fn report(topics: &Topics) -> Option<(InterestRound, Vec<(String, bool)>)> {
    let (round, topics) = topics.report()?;
    let mut topics: Vec<_> = topics.into_iter().map(|(topic, any)| (topic.to_string(), any)).collect();
    topics.sort();
    Some((round, topics))
}

const TAKEN: InterestAnswer = InterestAnswer::Taken { refused: Vec::new() };

#[test]
fn only_the_first_subscriber_of_a_topic_has_to_wait() {
    let mut topics = Topics::default();
    assert_eq!(topics.report(), None, "nothing has to be known");
    assert_eq!(subscribe(&mut topics, 1, "a"), Subscribed { is_new: true, is_unknown: true });
    assert_eq!(subscribe(&mut topics, 2, "a"), Subscribed { is_new: true, is_unknown: true }, "not acknowledged yet");
    let (round, reported) = report(&topics).unwrap();
    assert_eq!((round.census, reported), (true, vec![("a".into(), true)]), "the first report of a life is a census");
    topics.answered(round, &TAKEN);
    assert_eq!(subscribe(&mut topics, 3, "a"), Subscribed { is_new: true, is_unknown: false });
    assert_eq!(subscribe(&mut topics, 3, "a"), Subscribed { is_new: false, is_unknown: false });
    assert_eq!((topics.report(), topics.subscribers("a").len()), (None, 3));
}

#[test]
fn what_changes_while_a_report_is_under_way_is_reported_next() {
    let mut topics = Topics::default();
    subscribe(&mut topics, 1, "a");
    let (round, _) = report(&topics).unwrap();
    subscribe(&mut topics, 1, "b");
    topics.unsubscribe(socket(1), "a");
    topics.answered(round, &TAKEN);
    let (round, reported) = report(&topics).unwrap();
    assert_eq!((round.census, reported), (false, vec![("a".into(), false), ("b".into(), true)]));
    topics.answered(round, &TAKEN);
    assert!(topics.is_reported());
}

#[test]
fn a_group_that_knows_nothing_is_told_everything() {
    let mut topics = Topics::default();
    subscribe(&mut topics, 1, "a");
    let (round, _) = report(&topics).unwrap();
    topics.answered(round, &TAKEN);
    topics.ask();
    let (round, reported) = report(&topics).unwrap();
    assert_eq!((round.census, reported), (true, vec![("a".into(), true)]));
    topics.answered(round, &TAKEN);
    subscribe(&mut topics, 1, "b");
    let (round, _) = report(&topics).unwrap();
    topics.answered(round, &InterestAnswer::Census);
    let (round, reported) = report(&topics).unwrap();
    assert_eq!((round.census, reported), (true, vec![("a".into(), true), ("b".into(), true)]));
    assert!(topics.is_unknown("b"), "its subscriber still waits");
}

#[test]
fn a_refused_topic_has_no_subscribers() {
    let mut topics = Topics::default();
    subscribe(&mut topics, 1, "a");
    subscribe(&mut topics, 2, "a");
    subscribe(&mut topics, 2, "b");
    assert_eq!(topics.refuse("a").len(), 2);
    assert!(topics.subscribers("a").is_empty() && topics.of_socket(socket(1)).next().is_none());
    assert_eq!(topics.of_socket(socket(2)).collect::<Vec<_>>(), [&topic("b")]);
}

#[test]
fn a_socket_has_128_topics_and_8_kib_of_names() {
    let mut topics = Topics::default();
    for number in 0..MAX_TOPICS {
        subscribe(&mut topics, 1, &number.to_string());
    }
    assert!(topics.subscribe(socket(1), &topic("more"), NOW).unwrap_err().is_too_many());
    assert!(!subscribe(&mut topics, 1, "0").is_new, "it has that one");
    assert!(subscribe(&mut topics, 2, "more").is_new, "another socket");
    topics.unsubscribe(socket(1), "0");
    assert!(subscribe(&mut topics, 1, "more").is_new);

    let long = |number: usize| format!("{number:0>256}");
    let fit = MAX_TOPIC_BYTES / 256;
    for number in 0..fit {
        subscribe(&mut topics, 3, &long(number));
    }
    assert!(topics.subscribe(socket(3), &topic("a"), NOW).unwrap_err().is_too_many());
    topics.unsubscribe(socket(3), &long(0));
    assert!(subscribe(&mut topics, 3, "a").is_new);
}

#[test]
fn a_replica_has_10_000_topics() {
    let mut topics = Topics::default();
    for number in 0..MAX_OF_REPLICA {
        subscribe(&mut topics, number as u64, &number.to_string());
    }
    assert!(topics.subscribe(socket(1), &topic("more"), NOW).unwrap_err().is_too_many());
    assert!(subscribe(&mut topics, 1, "0").is_new, "the Replica has that one");
    topics.close(socket(9));
    assert!(subscribe(&mut topics, 1, "more").is_new);
}

#[derive(Clone, Debug)]
enum Step {
    Subscribe(u64, u8),
    Restore(u64, u8),
    Unsubscribe(u64, u8),
    Close(u64),
    Refuse(u8),
    Report,
    Answer { census: bool },
    Lose,
    Ask,
}

fn step() -> impl Strategy<Value = Step> {
    let (socket, name) = (0..6_u64, 0..5_u8);
    prop_oneof![
        4 => (socket.clone(), name.clone()).prop_map(|(socket, name)| Step::Subscribe(socket, name)),
        1 => (socket.clone(), name.clone()).prop_map(|(socket, name)| Step::Restore(socket, name)),
        2 => (socket.clone(), name.clone()).prop_map(|(socket, name)| Step::Unsubscribe(socket, name)),
        1 => socket.prop_map(Step::Close),
        1 => name.prop_map(Step::Refuse),
        3 => Just(Step::Report),
        3 => any::<bool>().prop_map(|census| Step::Answer { census }),
        1 => Just(Step::Lose),
        1 => Just(Step::Ask),
    ]
}

/// What a Group with reports that are lost, late and doubled believes.
#[derive(Default)]
struct Believed {
    topics: BTreeSet<String>,
    sequence: u64,
}

impl Believed {
    fn take(&mut self, round: InterestRound, topics: &[(String, bool)]) {
        if round.sequence < self.sequence {
            return;
        }
        self.sequence = round.sequence;
        if round.census {
            self.topics.clear();
        }
        for (topic, any) in topics {
            if *any {
                self.topics.insert(topic.clone())
            } else {
                self.topics.remove(topic)
            };
        }
    }
}

proptest! {
    /// The subscribers are those of a plain model, whatever happens, and once everything is acknowledged the Group knows
    /// exactly the topics that have some.
    #[test]
    fn subscribers_are_exact_and_the_group_learns_of_every_topic(steps in prop::collection::vec(step(), 0..200)) {
        let mut topics = Topics::default();
        let mut model: BTreeMap<String, BTreeSet<u64>> = BTreeMap::new();
        let mut believed = Believed::default();
        let mut sent = Vec::new();
        for step in steps {
            match step {
                Step::Subscribe(number, name) => {
                    let name = name.to_string();
                    subscribe(&mut topics, number, &name);
                    model.entry(name).or_default().insert(number);
                }
                // A life begins with what it restores.
                Step::Restore(number, name) => {
                    let name = name.to_string();
                    if topics.unreported.sequence == 0 && !topics.unreported.known {
                        topics.restore(socket(number), &topic(&name));
                        model.entry(name).or_default().insert(number);
                    }
                }
                Step::Unsubscribe(number, name) => {
                    let had = model.get_mut(&name.to_string()).is_some_and(|sockets| sockets.remove(&number));
                    prop_assert_eq!(topics.unsubscribe(socket(number), &name.to_string()), had);
                }
                Step::Close(number) => {
                    topics.close(socket(number));
                    for sockets in model.values_mut() {
                        sockets.remove(&number);
                    }
                }
                Step::Refuse(name) => {
                    topics.refuse(&name.to_string());
                    model.remove(&name.to_string());
                }
                Step::Report => sent.extend(report(&topics)),
                Step::Answer { census } => {
                    if let Some((round, reported)) = sent.last() {
                        believed.take(*round, reported);
                        let answer = if census { InterestAnswer::Census } else { TAKEN };
                        topics.answered(*round, &answer);
                    }
                }
                Step::Lose => drop(sent.pop()),
                Step::Ask => topics.ask(),
            }
            for (name, sockets) in &model {
                let subscribers: BTreeSet<_> = topics.subscribers(name).iter().map(|socket| socket.raw()).collect();
                prop_assert_eq!(&subscribers, sockets);
                prop_assert_eq!(subscribers.len(), topics.subscribers(name).len());
            }
            for number in 0..6 {
                let own: BTreeSet<_> = topics.of_socket(socket(number)).map(ToString::to_string).collect();
                let expected = model.iter().filter(|(_, sockets)| sockets.contains(&number));
                prop_assert_eq!(own, expected.map(|(name, _)| name.clone()).collect::<BTreeSet<_>>());
            }
        }
        topics.ask();
        while let Some((round, reported)) = report(&topics) {
            believed.take(round, &reported);
            topics.answered(round, &TAKEN);
        }
        let expected = model.into_iter().filter(|(_, sockets)| !sockets.is_empty()).map(|(name, _)| name);
        prop_assert_eq!(believed.topics, expected.collect::<BTreeSet<_>>());
    }
}
