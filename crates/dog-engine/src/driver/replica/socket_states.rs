//! What the user's code keeps in memory for single sockets: [`SocketStates`]. Pure.

use std::any::{Any, TypeId};
use std::cell::RefCell;
use std::rc::Rc;

use dog::SocketId;

use crate::socket_map::SocketMap;

/// The values of the sockets that have any, one per type. A value belongs to the current activation: it is dropped with its
/// socket, and when the Replica hibernates or ends.
///
/// The code of users runs when their values are made and dropped. No borrow is held then.
#[derive(Default)]
pub(super) struct SocketStates(RefCell<SocketMap<Vec<Rc<dyn Any>>>>);

impl SocketStates {
    /// The value of the type `kind`. It is made if there is none.
    pub(super) fn get_or_make(&self, socket: SocketId, kind: TypeId, make: fn() -> Rc<dyn Any>) -> Rc<dyn Any> {
        if let Some(value) = self.find(socket, kind) {
            return value;
        }
        let made = make();
        // `make` may have come here itself.
        self.find(socket, kind).unwrap_or_else(|| {
            self.0.borrow_mut().entry(socket).or_default().push(Rc::clone(&made));
            made
        })
    }

    fn find(&self, socket: SocketId, kind: TypeId) -> Option<Rc<dyn Any>> {
        let values = self.0.borrow();
        values.get(&socket)?.iter().find(|value| (***value).type_id() == kind).cloned()
    }

    /// The last handler of the socket has ended.
    pub(super) fn remove(&self, socket: SocketId) {
        let removed = self.0.borrow_mut().remove(&socket);
        drop(removed);
    }

    /// The activation is over.
    pub(super) fn clear(&self) {
        drop(self.0.take());
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    const ANN: SocketId = SocketId::from_raw(1);
    const BOB: SocketId = SocketId::from_raw(2);

    fn of<T: Default + 'static>(states: &SocketStates, socket: SocketId) -> Rc<T> {
        states.get_or_make(socket, TypeId::of::<T>(), || Rc::new(T::default())).downcast().unwrap()
    }

    #[test]
    fn each_socket_has_one_value_per_type() {
        let states = SocketStates::default();
        of::<Cell<u32>>(&states, ANN).set(1);
        of::<Cell<u64>>(&states, ANN).set(2);
        of::<Cell<u32>>(&states, BOB).set(3);
        assert_eq!((of::<Cell<u32>>(&states, ANN).get(), of::<Cell<u64>>(&states, ANN).get()), (1, 2));
        states.remove(ANN);
        assert_eq!((of::<Cell<u32>>(&states, ANN).get(), of::<Cell<u32>>(&states, BOB).get()), (0, 3));
        states.clear();
        assert!(states.0.borrow().is_empty());
    }
}
