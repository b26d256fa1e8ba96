//! Counts the steps of a cluster while the clock does not move.

use crate::world::Micros;

/// The number of steps at the present moment of the clock.
#[derive(Default)]
pub(super) struct Steps {
    at: Micros,
    count: u64,
}

impl Steps {
    /// Counts one more step at this moment. Returns the number of steps at this moment.
    pub(super) fn count(&mut self, now: Micros) -> u64 {
        if now != self.at {
            *self = Self { at: now, count: 0 };
        }
        self.count += 1;
        self.count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_count_from_the_last_move_of_the_clock() {
        let mut steps = Steps::default();
        assert_eq!([5, 5, 6, 6, 6].map(|now| steps.count(now)), [1, 2, 1, 2, 3]);
    }
}
