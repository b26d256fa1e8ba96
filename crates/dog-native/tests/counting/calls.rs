//! The system calls for deliveries: one write per socket for messages that arrived together, and fewer wakes of other
//! threads than messages.

use crate::alone;
use crate::child::{Trace, trace};
use crate::crowd::TOGETHER;

/// How often messages are sent together.
const TIMES: usize = 40;

const SOCKETS: usize = 20;

/// The text in the calls that send messages: the words that each message begins with.
const DELIVERY: &str = "counted, and";

/// The text in the calls that wake another thread.
const WAKE: &str = "[eventfd]>";

fn talk(limit: u32, workers: usize, times: usize) -> Option<Trace> {
    trace(limit, workers, SOCKETS, |crowd| (0..times).for_each(|_| crowd.say(TOGETHER)))
}

#[test]
fn messages_that_come_together_cost_one_write_a_socket() {
    let _alone = alone();
    // With one Replica, and with five.
    for limit in [100, 4] {
        let Some(trace) = talk(limit, 1, TIMES) else { return };
        let writes = trace.count(DELIVERY);
        println!("{writes} writes for {TIMES} times {TOGETHER} messages to {SOCKETS} sockets, {limit} on a Replica");
        assert!(writes >= TIMES * SOCKETS, "{limit} sockets on a Replica: {writes} writes, so messages are missing");
        // A turn ends after a millisecond, and this build under `strace` can lose the processor for longer. Then the rest of
        // the messages that came together is written in the next turn. One write more per message would be far above this.
        assert!(writes * 4 <= TIMES * SOCKETS * 5, "{limit} sockets on a Replica: {writes} writes");
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
    // One wake per group of messages for the deliveries on the other thread. The rest is leeway for other mail between
    // the threads.
    assert!(wakes * 4 <= messages, "{wakes} wakes for {messages} messages");
    assert!(busy > 0, "the trace shows no wake at all, so the test proves nothing");
}
