//! A correct history must pass. For each promise there are forged histories, and each must be rejected with its own
//! error.

use super::*;
use crate::record::{Heard, Operation, Sent};

fn at(milliseconds: u64) -> Time {
    Time::from_millis(milliseconds)
}

fn life(number: u64) -> Life {
    Life { replica: "r".into(), number, process: u32::try_from(number).expect("the number fits") }
}

fn sent(answer: bool, of: u64, number: u64, text: &str) -> Sent {
    Sent { answer, life: life(of), number, text: text.into() }
}

/// Returns a message of life `of`. It is an answer if `asked` is set.
fn heard(when: u64, asked: Option<u64>, of: u64, number: u64, text: &str) -> Heard {
    Heard { at: at(when), asked: asked.map(at), sent: sent(asked.is_some(), of, number, text) }
}

fn socket(client: &str, opened: u64, of: u64, said: &[(u64, &str)], heard: Vec<Heard>) -> SocketRecord {
    SocketRecord {
        client: client.into(),
        room: "hall".into(),
        entry: ([127, 0, 0, 1], 1).into(),
        replica: "r".into(),
        process: life(of).process,
        seats: 1,
        asked: at(opened - 1),
        opened: at(opened),
        ended: None,
        code: None,
        said: said.iter().map(|(when, text)| (at(*when), (*text).into())).collect(),
        heard,
    }
}

fn operation(socket: usize, invoked: u64, completed: u64, of: u64, action: Action) -> Operation {
    Operation { socket, invoked: at(invoked), completed: Some(at(completed)), by: Some(life(of)), action }
}

fn kept(numbers: &[(u32, u64)]) -> Action {
    Action::Read(numbers.iter().copied().collect())
}

/// Returns a correct history: two sockets at life 1, which ends at 100. Then one client comes back to life 2, in
/// another process.
fn good() -> History {
    let mut ann = socket(
        "ann",
        10,
        1,
        &[(20, "ann 1"), (22, "ann 2")],
        vec![
            heard(10, Some(9), 1, 1, "at 1"),
            heard(21, None, 1, 3, "ann 1"),
            heard(23, None, 1, 4, "ann 2"),
            heard(41, Some(40), 1, 5, "kept 7"),
        ],
    );
    ann.ended = Some(at(100));
    let bob = socket(
        "bob",
        12,
        1,
        &[],
        vec![
            heard(12, Some(11), 1, 2, "at 2"),
            heard(24, None, 1, 3, "ann 1"),
            heard(25, None, 1, 4, "ann 2"),
            heard(61, Some(60), 1, 6, "count 2"),
        ],
    );
    let later =
        socket("ann", 200, 2, &[], vec![heard(200, Some(150), 2, 1, "at 1"), heard(221, Some(220), 2, 2, "all")]);
    let operations = vec![
        operation(0, 40, 41, 1, Action::Put(7)),
        operation(1, 60, 61, 1, Action::Count(2)),
        operation(2, 220, 221, 2, kept(&[(7, 1)])),
        operation(0, 50, 51, 1, Action::Register(Command::Put(0, 5), Some(Answer::Done))),
        operation(2, 230, 231, 2, Action::Register(Command::Get(0), Some(Answer::Value(5)))),
    ];
    History { sockets: vec![ann, bob, later], operations, lease: at(10), ..History::default() }
}

/// The name of a forgery, a part of the expected error, and the change to the correct history.
type Forgery = (&'static str, &'static str, fn(&mut History));

const FORGERIES: &[Forgery] = &[
    ("a socket too many", "promise 1: 2 sockets", |history| {
        // The Replica has reported no wrong number. Only the sockets show that there are too many.
        history.sockets.push(history.sockets[0].clone());
        history.sockets.push(history.sockets[0].clone());
    }),
    ("a Replica says so itself", "promise 1: bob was told", |history| history.sockets[1].seats = 5),
    ("out of order", "promise 5: bob heard", |history| history.sockets[1].heard.swap(1, 2)),
    ("a speaker out of order", "promise 5: bob heard ann 1 after", |history| {
        let heard = &mut history.sockets[1].heard;
        (heard[1].sent.text, heard[2].sent.text) = ("ann 2".into(), "ann 1".into());
    }),
    ("the same frame twice", "promise 5: bob heard", |history| {
        let again = history.sockets[1].heard[1].clone();
        history.sockets[1].heard.insert(2, again);
    }),
    ("the same message twice", "promise 6: bob heard ann 2 twice", |history| {
        history.sockets[1].heard.push(heard(70, None, 1, 7, "ann 2"));
    }),
    ("one is missing", "promise 6: bob has not heard \"ann 1\"", |history| drop(history.sockets[1].heard.remove(1))),
    ("one is missing, and another node was killed", "promise 6: bob has not heard \"ann 1\"", |history| {
        history.sockets[1].heard.remove(1);
        history.faults.push(Fault { victim: Victim::Node(9), from: at(15), until: None });
        history.faults.push(Fault { victim: Victim::Nats, from: at(15), until: None });
    }),
    ("one is missing, and the fault was over", "promise 6: bob has not heard \"ann 1\"", |history| {
        history.sockets[1].heard.remove(1);
        history.faults.push(Fault { victim: Victim::Node(1), from: at(13), until: Some(at(14)) });
    }),
    ("one too many is counted", "promise 8: 3 sockets", |history| {
        history.operations[1].action = Action::Count(3);
    }),
    ("one is not counted", "promise 8: 1 sockets", |history| history.operations[1].action = Action::Count(1)),
    ("one is not counted, long after a fault", "promise 8: 1 sockets", |history| {
        history.operations[1].action = Action::Count(1);
        history.faults.push(Fault { victim: Victim::Node(9), from: at(30), until: None });
    }),
    ("two processes at one life", "promise 10: two processes", |history| {
        history.sockets[2].heard[1].sent.life.number = 1;
    }),
    ("the old life answers still", "promise 10: Life { replica: \"r\", number: 1", |history| {
        history.sockets[1].heard.push(heard(211, Some(210), 1, 7, "kept 8"));
    }),
    ("the old life tells everyone still", "promise 10: Life { replica: \"r\", number: 1", |history| {
        history.sockets[1].said.push((at(210), "bob 1".into()));
        history.sockets[1].heard.push(heard(211, None, 1, 7, "bob 1"));
    }),
    ("the life before the last but one", "promise 10: Life { replica: \"r\", number: 1", |history| {
        history.sockets[1].heard.push(heard(320, Some(310), 1, 7, "kept 8"));
        history.sockets[2].heard.push(heard(300, Some(290), 3, 1, "at 1"));
    }),
    ("the old life has written late", "promise 10: 8, written by life 1", |history| {
        history.operations.push(operation(2, 240, 241, 2, kept(&[(7, 1), (8, 1)])));
    }),
    ("lost", "promise 11: 7 was acknowledged", |history| history.operations[2].action = kept(&[])),
    ("written by somebody else", "promise 11: 7 was acknowledged", |history| {
        history.operations[2].action = kept(&[(7, 2)]);
    }),
    ("nobody has looked", "nobody has read since", |history| drop(history.operations.remove(2))),
    ("a register goes back", "the registers of r: no order explains", |history| {
        history.operations[4].action = Action::Register(Command::Get(0), Some(Answer::Value(0)));
    }),
];

#[test]
fn a_good_history_is_accepted() {
    let expected =
        Checked { sockets: 3, lives: 2, heard: 10, owed: 4, counts: 1, puts: 1, reads: 1, registers: 2, unanswered: 0 };
    assert_eq!(check(&good(), 2), Ok(expected));
}

#[test]
fn every_forgery_is_refused_for_its_own_reason() {
    for (what, why, forge) in FORGERIES {
        let mut history = good();
        forge(&mut history);
        let limit = if why.contains("promise 1: 2 sockets") { 1 } else { 2 };
        let broken = check(&history, limit).expect_err(what);
        assert!(broken.contains(why), "{what}: {broken}");
    }
}

#[test]
fn a_fault_of_a_node_or_between_nodes_excuses_lost_messages_on_that_way() {
    for (victim, between_nodes) in [(Victim::Node(1), false), (Victim::Node(3), true), (Victim::Nats, true)] {
        let mut history = good();
        history.sockets[1].heard.remove(1);
        if between_nodes {
            history.sockets[1].process = 3;
        }
        history.faults.push(Fault { victim, from: at(15), until: Some(at(21)) });
        assert!(check(&history, 2).is_ok(), "{victim:?}");
    }
}

#[test]
fn a_count_may_be_low_soon_after_a_fault_but_never_high() {
    let mut history = good();
    history.faults.push(Fault { victim: Victim::Node(9), from: at(50), until: None });
    history.operations[1].action = Action::Count(1);
    assert!(check(&history, 2).is_ok());
    history.operations[1].action = Action::Count(3);
    assert!(check(&history, 2).is_err());
}

#[test]
fn what_is_signed_is_read_back() {
    for (answer, text) in [(true, "at 5"), (false, "still here"), (false, "")] {
        let sent = sent(answer, 4, 5, text);
        assert_eq!(Sent::parse(&sent.to_string()), Some(sent));
    }
    assert_eq!(Sent::parse("at 5"), None);
}
