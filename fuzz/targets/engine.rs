//! What a Group and its Replicas decide, in whatever order things happen: the model world of `dog-engine`'s property
//! tests, with the same checks after every step. The difference is who thinks of the steps: here a fuzzer, which keeps
//! the runs that reach new code and goes on from there.
//!
//! Input: the limit; the policy; then two bytes a step, what it is and which of those there are it happens to.
#![no_main]

#[path = "../../crates/dog-engine/tests/properties/checks.rs"]
mod checks;
#[path = "../../crates/dog-engine/tests/properties/clients.rs"]
mod clients;
#[path = "../../crates/dog-engine/tests/properties/expected.rs"]
mod expected;
#[path = "../../crates/dog-engine/tests/properties/membership.rs"]
mod membership;
#[path = "../../crates/dog-engine/tests/properties/messages.rs"]
mod messages;
#[path = "../../crates/dog-engine/tests/properties/objects.rs"]
mod objects;
#[path = "../../crates/dog-engine/tests/properties/quiet.rs"]
mod quiet;
#[path = "../../crates/dog-engine/tests/properties/run.rs"]
mod run;
#[path = "../../crates/dog-engine/tests/properties/world.rs"]
mod world;

use std::time::Duration;

use dog::Policy;
use libfuzzer_sys::fuzz_target;

use run::{Op, Ops, run};

/// A run that is longer says no more, only later; as many as the property tests do.
const STEPS: usize = 100;

/// Shorter and longer than a ticket is counted, as in the property tests.
const SECONDS: [u64; 3] = [5, 12, 40];

fuzz_target!(|input: &[u8]| {
    let Some((&[limit, policy], steps)) = input.split_first_chunk() else { return };
    let ops = Ops(steps.as_chunks().0.iter().take(STEPS).map(op).collect());
    let limit = u32::from(limit % 3) + 1;
    let seconds = |number: u8| Duration::from_secs(SECONDS[usize::from(number) % SECONDS.len()]);
    let (sticky_for, park_after) = (seconds(policy), seconds(policy / 3));
    let policy = Policy { sticky_for, park_after, ..Policy::default() };
    if let Err(broken) = run(limit, policy, &ops) {
        panic!("{broken}\nwith {limit} seats, {policy:?}:{ops:?}");
    }
});

fn op(&[what, which]: &[u8; 2]) -> Op {
    match what % 20 {
        0 => Op::Identify { client: which % 6, refused: which >= 0xe0 },
        1 => Op::Come { ticket: which },
        2 => Op::Abandon { ticket: which },
        3 => Op::Open { request: which },
        4 => Op::End { request: which },
        5 => Op::Close { socket: which },
        6 => Op::Report { replica: which },
        7 => Op::Deliver { message: which },
        8 => Op::Double { message: which },
        9 => Op::Lose { message: which },
        10 => Op::Settle,
        11 => Op::Join { replica: which },
        12 => Op::FailJoin { replica: which },
        13 => Op::Wake { replica: which },
        14 => Op::Crash { replica: which / 2, farewell: which % 2 == 1 },
        15 => Op::Suspect { replica: which },
        16 => Op::Recount { replica: which },
        17 => Op::Restart,
        // Time is most often let pass until something is due; now and then a parked member is forgotten too.
        19 if which >= 0xc0 => Op::Forget { replica: which },
        18 => Op::Pass { seconds: 1 + which % 29 },
        _ => Op::PassToDeadline,
    }
}
