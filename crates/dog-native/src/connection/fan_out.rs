//! Frames that are the same for many sockets: [`FanOut`].
//!
//! In a turn, the sockets of one Replica usually get the same frames. A fan-out stores these frames once, joins them
//! once, and writes them to each socket. A socket that gets anything else leaves the fan-out, and has its frames in its
//! own outbox from then on. No socket is in a fan-out for longer than a turn, or while its outbox holds frames.
//!
//! If some sockets take compressed messages, the fan-out has two lanes.

use std::collections::HashMap;

use bytes::Bytes;
use dog::{Epoch, ReplicaId, SocketId};

use super::compression::{Compressor, Lane};

/// How many fan-outs keep their memory for later turns. Each may have grown to the size of the largest Replica.
const KEPT: usize = 64;

/// The index of a fan-out of this turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FanOutIndex(u32);

impl FanOutIndex {
    pub(super) const NONE: Self = Self(u32::MAX);

    pub(super) fn of(index: usize) -> Self {
        u32::try_from(index).map_or(Self::NONE, Self)
    }

    pub(super) fn get(self) -> usize {
        self.0 as usize
    }
}

/// The fan-outs of this turn.
#[derive(Default)]
pub(super) struct FanOuts {
    pub(super) all: Vec<FanOut>,
    /// The current fan-out of each Replica.
    pub(super) present: HashMap<ReplicaId, usize>,
    /// Empty fan-outs that are kept for their memory.
    pub(super) spare: Vec<FanOut>,
    /// The buffer in which frames are joined.
    pub(super) joined: Vec<u8>,
}

/// The frames for one audience.
#[derive(Default)]
pub(super) struct FanOut {
    pub(super) key: Option<Key>,
    pub(super) frames: Vec<Bytes>,
    /// The compressed forms of the first `compressed.len()` frames. See [`FanOut::frames_of`].
    pub(super) compressed: Vec<Bytes>,
    /// What the uncompressed frames count against the limit of each member.
    pub(super) weight: usize,
    /// The places of the connections that were members at its start. A connection that has left records that itself.
    pub(super) members: Vec<u32>,
    /// Whether some members take uncompressed messages, and whether some take compressed ones.
    pub(super) lanes: [bool; 2],
    /// The number of members that have not left.
    pub(super) active: usize,
    /// Open sockets of the audience that are not members.
    pub(super) apart: Vec<SocketId>,
}

/// Identifies an audience at one time.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) replica: ReplicaId,
    pub(super) epoch: Epoch,
    pub(super) changes: u64,
}

impl FanOut {
    /// Returns the frames for members of this lane. Frames are compressed when they are first needed.
    pub(super) fn frames_of(&mut self, lane: Lane, compressor: &mut Compressor) -> &[Bytes] {
        if !lane.deflates() {
            return &self.frames;
        }
        for frame in &self.frames[self.compressed.len()..] {
            self.compressed.push(compressor.frame(frame, lane));
        }
        &self.compressed
    }
}

impl FanOuts {
    /// Removes all fan-outs, and keeps their memory.
    pub(super) fn clear(&mut self) {
        let spare = KEPT.saturating_sub(self.spare.len());
        for mut fan_out in self.all.drain(..).take(spare) {
            fan_out.key = None;
            fan_out.frames.clear();
            fan_out.compressed.clear();
            fan_out.weight = 0;
            fan_out.members.clear();
            fan_out.lanes = [false; 2];
            fan_out.apart.clear();
            self.spare.push(fan_out);
        }
        self.present.clear();
    }
}
