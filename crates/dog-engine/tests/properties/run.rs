//! A run of the model world: its steps, whoever thinks of them. `tests/properties.rs` and the fuzz target `engine` do.

use std::fmt;

use dog::{Limit, Policy};

use crate::world::{Checked, World};

/// One step of the world. Numbers choose among whatever is there at that moment, modulo how many there are.
#[derive(Clone, Debug)]
pub(crate) enum Op {
    /// A client asks for a place; perhaps as one that was just refused where it was sent last.
    Identify { client: u8, refused: bool },
    /// Somebody comes with a ticket, perhaps late, perhaps again.
    Come { ticket: u8 },
    /// A ticket will not be used, or so its holder believes: a cast to release it is on its way.
    Abandon { ticket: u8 },
    /// A request becomes a socket.
    Open { request: u8 },
    /// A request ends.
    End { request: u8 },
    /// A socket closes.
    Close { socket: u8 },
    /// A Replica says what was not acknowledged.
    Report { replica: u8 },
    /// A message arrives, whichever was sent first.
    Deliver { message: u8 },
    /// A message arrives, and will once more.
    Double { message: u8 },
    /// A message is lost.
    Lose { message: u8 },
    /// Everything under way arrives, in the order sent, and who can join does.
    Settle,
    /// The siblings' answers are in, or the deadline is over: a Replica joins.
    Join { replica: u8 },
    /// A Replica that is joining cannot be begun.
    FailJoin { replica: u8 },
    /// A parked member keeps nothing, and is forgotten.
    Forget { replica: u8 },
    /// A Replica wakes by itself, as for an alarm.
    Wake { replica: u8 },
    /// A Replica's life ends; its farewell is sent, or is not.
    Crash { replica: u8, farewell: bool },
    /// Some call to a Replica went unanswered.
    Suspect { replica: u8 },
    /// The Group asks once more for a census, of somebody it has none of or suspects.
    Recount { replica: u8 },
    /// The Group's life ends and the next one begins.
    Restart,
    /// Time goes by.
    Pass { seconds: u8 },
    /// Time goes by until the books have something to do.
    PassToDeadline,
}

/// A run of the world; written one step a line.
#[derive(Clone)]
pub(crate) struct Ops(pub(crate) Vec<Op>);

impl fmt::Debug for Ops {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().enumerate().try_for_each(|(step, op)| write!(formatter, "\n  {step:2} {op:?}"))
    }
}

/// Does all of it, and looks after every step whether the promises hold; then lets the world come to rest, and everybody
/// leave.
pub(crate) fn run(limit: u32, policy: Policy, ops: &Ops) -> Checked {
    let mut world = World::new(Limit::new(limit), policy);
    for (step, op) in ops.0.iter().enumerate() {
        let applied = world.apply(op).and_then(|()| world.check());
        applied.map_err(|broken| format!("after step {step}, {op:?}: {broken}"))?;
    }
    world.become_quiet().map_err(|broken| format!("at rest: {broken}"))?;
    world.empty_out().map_err(|broken| format!("emptied: {broken}"))
}
