//! What is due with time: pings, and what has expired. One task of a Replica for all its sockets.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use dog::{Context, Error, Replica};

use super::peer::Peer;

/// How often a Replica looks for what is due.
const TICK: Duration = Duration::from_secs(1);

/// Starts the task, unless it runs. It ends when there are no sockets.
pub(super) fn start<R: Replica>(cx: &Context<R>, is_ticking: &Rc<Cell<bool>>) -> Result<(), Error> {
    if is_ticking.get() {
        return Ok(());
    }
    let (own, flag) = (cx.clone(), Rc::clone(is_ticking));
    drop(cx.spawn(async move {
        let mut interval = own.interval(TICK);
        while own.sockets().next().is_some() {
            interval.tick().await;
            for socket in own.sockets() {
                // A socket that closes meanwhile has nothing due.
                drop(Peer::new(&own, &socket).tick());
            }
        }
        flag.set(false);
    })?);
    is_ticking.set(true);
    Ok(())
}
