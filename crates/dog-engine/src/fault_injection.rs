//! Faults of the engine that the simulation can switch on, to prove that it finds them. Never compiled into a host.

use std::cell::Cell;

thread_local! {
    static SOCKET_ENDS_TWICE: Cell<bool> = const { Cell::new(false) };
    static TASKS_OUTLIVE_LIVES: Cell<bool> = const { Cell::new(false) };
}

/// Makes the last handler of every socket run twice, on this thread, from now on.
pub fn set_socket_ends_twice(on: bool) {
    SOCKET_ENDS_TWICE.set(on);
}

pub(crate) fn socket_ends_twice() -> bool {
    SOCKET_ENDS_TWICE.get()
}

/// Makes tasks of the user's code go on after their object's life has ended, on this thread, from now on.
pub fn set_tasks_outlive_lives(on: bool) {
    TASKS_OUTLIVE_LIVES.set(on);
}

pub(crate) fn tasks_outlive_lives() -> bool {
    TASKS_OUTLIVE_LIVES.get()
}
