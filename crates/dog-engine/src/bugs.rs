//! Faults that can be put in, for the simulation to find. Never compiled into a host.

use std::cell::Cell;

thread_local! {
    static SOCKET_ENDS_TWICE: Cell<bool> = const { Cell::new(false) };
}

/// From now on, on this thread, the last handler of a socket runs twice, as if nothing kept count of its ends.
pub fn set_socket_ends_twice(on: bool) {
    SOCKET_ENDS_TWICE.set(on);
}

pub(crate) fn socket_ends_twice() -> bool {
    SOCKET_ENDS_TWICE.get()
}
