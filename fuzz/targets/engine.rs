//! The decisions of a Group and its Replicas, in any order of events. This is the model world of `dog-engine`'s
//! property tests, with the same checks after each step. Here a fuzzer generates the steps: it keeps the runs that
//! reach new code and varies them.
//!
//! Input: the limit, the policy, and two bytes per step. The first selects the kind of step, the second the item that
//! it is about.
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

use dog::{Placement, Policy};
use libfuzzer_sys::fuzz_target;

use run::{Op, Ops, run};

/// The most steps of a run, as in the property tests. Longer runs find no more.
const STEPS: usize = 100;

/// Times that are shorter and longer than the time for which a ticket counts, as in the property tests.
const SECONDS: [u64; 3] = [5, 12, 40];

fuzz_target!(|input: &[u8]| {
    let Some((&[limit, policy], steps)) = input.split_first_chunk() else { return };
    let ops = Ops(steps.as_chunks().0.iter().take(STEPS).map(op).collect());
    let limit = u32::from(limit % 3) + 1;
    let seconds = |number: u8| Duration::from_secs(SECONDS[usize::from(number) % SECONDS.len()]);
    let (sticky_for, park_after) = (seconds(policy), seconds(policy / 3));
    let placement = if policy < 0x80 { Placement::LeastUsed } else { Placement::FillFirst };
    let policy = Policy { sticky_for, park_after, placement, ..Policy::default() };
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
        15 if which >= 0x80 => Op::SetDoor { replica: which / 2, closes: which % 4 > 0 },
        15 => Op::Suspect { replica: which },
        16 => Op::Recount { replica: which },
        17 => Op::Restart,
        // Most of these steps let time pass until the next deadline. Some forget a parked member.
        19 if which >= 0xc0 => Op::Forget { replica: which },
        18 => Op::Pass { seconds: 1 + which % 29 },
        _ => Op::PassToDeadline,
    }
}
