//! The steps of a run of the model world. `tests/properties.rs` and the fuzz target `engine` generate them.

use std::fmt;

use dog::{Limit, Policy};

use crate::world::{Checked, World};

/// One step of the world. A number selects one of the existing items, modulo their count.
#[derive(Clone, Debug)]
pub(crate) enum Op {
    /// A client asks for a Replica. If `refused`, its last Replica has just refused it.
    Identify { client: u8, refused: bool },
    /// A client uses a ticket. The ticket may have expired or been used before.
    Come { ticket: u8 },
    /// The holder of a ticket gives it back: a release cast is sent.
    Abandon { ticket: u8 },
    /// A request becomes a socket.
    Open { request: u8 },
    /// A request ends.
    End { request: u8 },
    /// A socket closes.
    Close { socket: u8 },
    /// A Replica reports its unacknowledged changes.
    Report { replica: u8 },
    /// A message arrives, in any order.
    Deliver { message: u8 },
    /// A message arrives, and will arrive again.
    Double { message: u8 },
    /// A message is lost.
    Lose { message: u8 },
    /// All messages arrive in the order in which they were sent, and all Replicas that can join do so.
    Settle,
    /// A Replica joins, because its siblings have answered or the deadline has passed.
    Join { replica: u8 },
    /// A Replica that is joining cannot be woken.
    FailJoin { replica: u8 },
    /// A parked member without stored entries is forgotten.
    Forget { replica: u8 },
    /// A Replica wakes by itself, for example for an alarm.
    Wake { replica: u8 },
    /// The life of a Replica ends, with or without a farewell.
    Crash { replica: u8, farewell: bool },
    /// A call to a Replica was not answered.
    Suspect { replica: u8 },
    /// The Group asks an uncounted or suspected member for a census.
    Recount { replica: u8 },
    /// A Replica closes itself to newcomers, or opens.
    SetDoor { replica: u8, closes: bool },
    /// The life of the Group ends, and the next one begins.
    Restart,
    /// Time passes.
    Pass { seconds: u8 },
    /// Time passes until the next deadline in the books.
    PassToDeadline,
}

/// The steps of a run, shown one per line.
#[derive(Clone)]
pub(crate) struct Ops(pub(crate) Vec<Op>);

impl fmt::Debug for Ops {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().enumerate().try_for_each(|(step, op)| write!(formatter, "\n  {step:2} {op:?}"))
    }
}

/// Applies all steps and checks the promises after each. Then delivers all messages, lets all clients leave, and checks
/// the promises again.
pub(crate) fn run(limit: u32, policy: Policy, ops: &Ops) -> Checked {
    let mut world = World::new(Limit::new(limit), policy);
    for (step, op) in ops.0.iter().enumerate() {
        let applied = world.apply(op).and_then(|()| world.check());
        applied.map_err(|broken| format!("after step {step}, {op:?}: {broken}"))?;
    }
    world.become_quiet().map_err(|broken| format!("after all messages have arrived: {broken}"))?;
    world.empty_out().map_err(|broken| format!("emptied: {broken}"))
}
