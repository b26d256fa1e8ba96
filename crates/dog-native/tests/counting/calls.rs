//! What is called for deliveries: one write a socket for messages that came together, and no wake of another thread for
//! each of them.

use crate::alone;
use crate::child::{Trace, trace};
use crate::crowd::TOGETHER;

/// How often so many messages come together.
const TIMES: usize = 40;

const SOCKETS: usize = 20;

/// What the calls hold by which a message leaves: the word that each begins with.
const DELIVERY: &str = "counted, and";

/// What another thread is woken with.
const WAKE: &str = "[eventfd]>";

fn talk(limit: u32, workers: usize, times: usize) -> Option<Trace> {
    trace(limit, workers, SOCKETS, |crowd| (0..times).for_each(|_| crowd.say(TOGETHER)))
}

#[test]
fn messages_that_come_together_cost_one_write_a_socket() {
    let _alone = alone();
    // On one Replica, and on five.
    for limit in [100, 4] {
        let Some(trace) = talk(limit, 1, TIMES) else { return };
        let writes = trace.count(DELIVERY);
        println!("{writes} writes for {TIMES} times {TOGETHER} messages to {SOCKETS} sockets, {limit} on a Replica");
        assert_eq!(writes, TIMES * SOCKETS, "{limit} sockets on a Replica");
    }
}

#[test]
fn no_message_wakes_another_thread_by_itself() {
    let _alone = alone();
    // Ten Replicas on two threads.
    let (Some(silent), Some(busy)) = (talk(2, 2, 0), talk(2, 2, TIMES)) else { return };
    let [silent, busy] = [silent, busy].map(|trace| trace.count(WAKE));
    let wakes = busy.saturating_sub(silent);
    let messages = TIMES * TOGETHER;
    println!("{wakes} wakes for {messages} messages that came {TOGETHER} at a time");
    // One each time, for what goes to the other thread; the rest is leeway for what else they tell each other.
    assert!(wakes * 4 <= messages, "{wakes} wakes for {messages} messages");
    assert!(busy > 0, "that there are two threads must be seen, or nothing is");
}
