//! Maps from sockets: [`SocketMap`]. A message in looks its socket up several times.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use dog::SocketId;

/// A map from sockets.
pub(crate) type SocketMap<V> = HashMap<SocketId, V, BuildHasherDefault<SocketHasher>>;

/// Spreads the numbers of sockets. Hosts choose these numbers, so no client can choose some that collide. The standard
/// library's hasher protects against that, and takes ten times as long.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct SocketHasher(u64);

/// 2^64 divided by the golden ratio: the multiples of consecutive numbers are far apart.
const FACTOR: u64 = 0x9E37_79B9_7F4A_7C15;

/// Maps take a place from the lowest bits and a mark from the highest ones. The product's lowest bits are the worst ones.
const ROTATED: u32 = 26;

impl Hasher for SocketHasher {
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64(u64::from(*byte)));
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = (self.0 ^ number).wrapping_mul(FACTOR);
    }

    fn finish(&self) -> u64 {
        self.0.rotate_left(ROTATED)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::hash::BuildHasher;

    use super::*;

    /// As hosts number sockets: in a row, or with a mark and a place in the two halves.
    #[test]
    fn numbers_of_sockets_are_spread_over_the_places_of_a_map() {
        let hasher = BuildHasherDefault::<SocketHasher>::default();
        for step in [1, 2, 1 << 16, 1 << 32, (1 << 32) + 1] {
            let hash = |number: u64| hasher.hash_one(SocketId::from_raw(number * step));
            let places: HashSet<u64> = (0..4_096).map(|number| hash(number) % 8_192).collect();
            assert!(places.len() > 2_500, "step {step}: {} places of 4,096 sockets", places.len());
            let marks: HashSet<u64> = (0..4_096).map(|number| hash(number) >> 57).collect();
            assert!(marks.len() >= 64, "step {step}: {} marks of 128", marks.len());
        }
    }
}
