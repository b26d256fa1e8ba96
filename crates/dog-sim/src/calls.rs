//! Typed calls of a run: what the Group does on a call, and the checks of that (promise 14).

use dog::{Error, Failure, Group, GroupContext, GroupHandle, Result};

use crate::witness::Witness;

/// A call: its number, what to do, and how many calls of the same cycle have led to it.
pub(crate) type Order = (u64, u8, u32);

/// What a call may ask for. Those that are listed twice come twice as often.
const DEEDS: &[u8] = &[REPLY, REPLY, REPLY, READ, READ, NEST, NEST, NEST, CYCLE, FAIL, HANG];

const REPLY: u8 = 0;
const READ: u8 = 1;
/// Makes a call of another kind to its own Group.
const NEST: u8 = 2;
/// Makes the same call to its own Group.
const CYCLE: u8 = 3;
const FAIL: u8 = 4;
const HANG: u8 = 5;

/// A call in progress. Dropped, it is no more.
struct InProgress<'a> {
    witness: &'a Witness,
    number: u64,
}

impl Drop for InProgress<'_> {
    fn drop(&mut self) {
        self.witness.record().calls().is_dropped(self.number);
    }
}

/// Makes a call to a Group that asks for anything, and checks how it ends.
pub(crate) async fn call(witness: &Witness, send: impl AsyncFnOnce(Order) -> Result<u64, Error>) {
    let deed = *witness.record().random.pick(DEEDS);
    make(witness, deed, 0, send).await;
}

async fn make(witness: &Witness, deed: u8, depth: u32, send: impl AsyncFnOnce(Order) -> Result<u64, Error>) {
    let number = witness.record().call_begins();
    let in_progress = InProgress { witness, number };
    let reply = send((number, deed, depth)).await.ok();
    witness.record().call_ends(number, reply);
    drop(in_progress);
}

/// What the Group `own` does on a call.
pub(crate) async fn answer(
    witness: &Witness,
    cx: &GroupContext,
    own: GroupHandle<impl Group<Call = Order, Reply = u64>>,
    (number, deed, depth): Order,
) -> Result<u64> {
    witness.record().call_runs(number, depth);
    match deed {
        READ => drop(cx.storage().get::<u64>("first").await),
        NEST => call(witness, async |order| own.call(&order).await).await,
        CYCLE => make(witness, CYCLE, depth + 1, async |order| own.call(&order).await).await,
        FAIL => return Err(Failure::new("asked to fail")),
        HANG => std::future::pending().await,
        _ => {}
    }
    Ok(number)
}
