use std::time::Duration;

use bytes::Bytes;
use dog::internal::{LogBounds, LogEpoch};
use dog::{Message, Timestamp};
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::log::{AnswerBounds, LogHead, PageOrder};

const SOCKETS: usize = 3;

/// What the Replica keeps: less than a client can miss.
const KEPT: usize = 4;

fn position(offset: u64) -> Position {
    Position::new(LogEpoch::new("e").unwrap(), offset)
}

fn socket(number: usize) -> SocketId {
    SocketId::from_raw(number as u64)
}

fn room() -> LogTopic {
    LogTopic::new("").unwrap()
}

/// What happens to a socket, or to all.
#[derive(Clone, Debug)]
enum Op {
    Publish,
    /// It opens again, and its `on_open` waits.
    Opens(usize),
    Opened(usize),
    Resume(usize),
    Recovered(usize),
    ResumeEnds(usize),
    /// It does not take the next publication.
    Stalls(usize),
    Drained(usize),
    /// It is sent at most this many.
    GoesOn(usize, usize),
    Fetched {
        fails: bool,
    },
}

fn op() -> impl Strategy<Value = Op> {
    let of = 0..SOCKETS;
    prop_oneof![
        4 => Just(Op::Publish),
        1 => of.clone().prop_map(Op::Opens),
        2 => of.clone().prop_map(Op::Opened),
        2 => of.clone().prop_map(Op::Resume),
        2 => of.clone().prop_map(Op::Recovered),
        2 => of.clone().prop_map(Op::ResumeEnds),
        1 => of.clone().prop_map(Op::Stalls),
        2 => of.clone().prop_map(Op::Drained),
        4 => (of, 1..6_usize).prop_map(|(socket, most)| Op::GoesOn(socket, most)),
        2 => any::<bool>().prop_map(|fails| Op::Fetched { fails }),
    ]
}

/// One client as it sees itself.
#[derive(Clone, Copy, Default)]
struct Client {
    got: u64,
    resumes: u32,
    stalls: bool,
}

struct World {
    catch_ups: CatchUps,
    log: Window,
    kept: Window,
    clients: [Client; SOCKETS],
    question: Option<Position>,
}

impl World {
    fn new() -> Self {
        let bounds = LogBounds { publications: u32::MAX, bytes: u32::MAX, age: Duration::MAX };
        let window = Window::new(&LogHead { position: position(0), bounds });
        let (log, kept) = (window.clone(), window);
        Self { catch_ups: CatchUps::default(), log, kept, clients: <[Client; SOCKETS]>::default(), question: None }
    }

    /// A client gets a publication: the next one for it.
    fn get(&mut self, number: usize, offset: u64) {
        assert_eq!(offset, self.clients[number].got + 1, "socket {number}");
        self.clients[number].got = offset;
    }

    fn publish(&mut self) {
        let offset = self.log.next();
        let (at, message) = (Timestamp::default(), Message::text("m"));
        let publication = Recorded { offset, at, message, metadata: Bytes::new() };
        assert!(self.log.push(publication.clone()) && self.kept.push(publication));
        while self.kept.len() > KEPT {
            self.kept.pop_oldest();
        }
        let before = position(offset - 1);
        self.catch_ups.waits(&room(), &before);
        for number in 0..SOCKETS {
            if self.catch_ups.has(&room(), socket(number)) {
                continue;
            }
            if std::mem::take(&mut self.clients[number].stalls) {
                self.catch_ups.fell_behind(&room(), socket(number), &before);
            } else {
                self.get(number, offset);
            }
        }
    }

    fn go_on(&mut self, number: usize, most: usize) {
        for sent in 0.. {
            match self.catch_ups.step(&room(), socket(number), &self.kept) {
                Step::Send(publication) if sent == most => {
                    return self.catch_ups.is_full(&room(), socket(number), publication);
                }
                Step::Send(publication) => self.get(number, publication.offset),
                Step::Fetch => {
                    self.question = self.question.take().or_else(|| self.catch_ups.begin_fetch(&room()));
                    return;
                }
                Step::Nothing => return,
                Step::Lost(reason) => panic!("the log keeps all, and socket {number} is told {reason}"),
            }
        }
    }

    fn fetched(&mut self, fails: bool) {
        let Some(since) = self.question.take() else { return };
        if fails {
            return self.catch_ups.fetch_failed(&room());
        }
        let most = AnswerBounds { publications: 3, bytes: u32::MAX };
        let page = self.log.page(Some(&since), PageOrder::OldestFirst, most, Timestamp::default());
        let lost = self.catch_ups.fetched(&room(), &since, &Missed { head: self.log.head(), page });
        assert_eq!(lost, [], "the log keeps all");
        self.question = self.catch_ups.begin_fetch(&room());
    }

    fn perform(&mut self, op: &Op) {
        match *op {
            Op::Publish => self.publish(),
            Op::Opens(number) => {
                self.catch_ups.remove_socket(socket(number));
                self.clients[number] = Client { got: self.log.next() - 1, ..Client::default() };
                self.catch_ups.opens(&room(), socket(number));
            }
            Op::Opened(number) => drop(self.catch_ups.opened(&room(), socket(number))),
            Op::Resume(number) => {
                self.catch_ups.begin_resume(&room(), socket(number));
                self.clients[number].resumes += 1;
            }
            Op::Recovered(number) if self.clients[number].resumes > 0 => {
                self.catch_ups.recovered(&room(), socket(number), &position(self.clients[number].got));
            }
            Op::ResumeEnds(number) if self.clients[number].resumes > 0 => {
                self.clients[number].resumes -= 1;
                self.catch_ups.end_resume(&room(), socket(number));
            }
            Op::Recovered(_) | Op::ResumeEnds(_) => {}
            Op::Stalls(number) => self.clients[number].stalls = true,
            Op::Drained(number) => drop(self.catch_ups.drained(&room(), socket(number))),
            Op::GoesOn(number, most) => self.go_on(number, most),
            Op::Fetched { fails } => self.fetched(fails),
        }
    }

    /// Nothing holds a socket any more, and all clients read.
    fn settle(&mut self) {
        for number in 0..SOCKETS {
            self.perform(&Op::Opened(number));
            (0..self.clients[number].resumes).for_each(|_| self.perform(&Op::ResumeEnds(number)));
        }
        for _ in 0..self.log.next() {
            for number in 0..SOCKETS {
                self.perform(&Op::Drained(number));
                self.perform(&Op::GoesOn(number, usize::MAX));
            }
            self.fetched(false);
        }
    }
}

proptest! {
    /// Each socket gets everything after its position once and in order, whatever holds it.
    #[test]
    fn every_socket_gets_everything_once_and_in_order(ops in vec(op(), 0..200)) {
        let mut world = World::new();
        ops.iter().for_each(|op| world.perform(op));
        world.settle();
        let head = world.log.next() - 1;
        prop_assert_eq!(world.clients.map(|client| client.got), [head; SOCKETS]);
        prop_assert!(world.catch_ups.is_empty(), "a socket that has everything costs nothing: {:?}", world.catch_ups);
    }
}

#[test]
fn one_answer_is_for_all_that_want_a_part_of_it() {
    let mut world = World::new();
    for number in 0..SOCKETS {
        world.clients[number].stalls = true;
        world.publish();
    }
    (0..6).for_each(|_| world.publish());
    for number in 0..SOCKETS {
        world.perform(&Op::Drained(number));
        world.go_on(number, 9);
    }
    assert_eq!(world.question, Some(position(0)), "the oldest, and only one at a time");
    world.fetched(false);
    assert_eq!(world.question, None, "offsets 1 to 3 are what all have wanted");
}

#[test]
fn what_the_log_has_dropped_is_lost_for_those_that_wanted_it() {
    let mut world = World::new();
    world.clients[0].stalls = true;
    (0..6).for_each(|_| world.publish());
    world.perform(&Op::Drained(0));
    world.go_on(0, 9);
    let missed = Missed { head: world.log.head(), page: Err(Unrecovered::Expired) };
    let lost = world.catch_ups.fetched(&room(), &position(0), &missed);
    assert_eq!(lost, [(socket(0), Unrecovered::Expired)]);
    assert!(world.catch_ups.is_empty(), "it goes on with what comes");
}
