//! Frames that many sockets are sent alike: [`FanOut`].
//!
//! The sockets of one Replica are mostly sent the same frames in a turn. These are kept once, in a fan-out, joined once, and
//! written to each socket. A socket that is sent anything else leaves the fan-out, and has its frames in its own outbox from
//! then on. No socket is in a fan-out for longer than a turn, or while something waits for it in its outbox.
//!
//! If some sockets take messages compressed, the fan-out has two lanes.

use std::collections::HashMap;

use bytes::Bytes;
use dog::{Epoch, ReplicaId, SocketId};

use super::compression::{Compressor, Lane};

/// How many fan-outs keep their memory for later turns. Each may once have been that of the largest Replica.
const KEPT: usize = 64;

/// One of the fan-outs of the turn.
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
    /// The present fan-out of each Replica.
    pub(super) present: HashMap<ReplicaId, usize>,
    /// Emptied fan-outs, for their memory.
    pub(super) spare: Vec<FanOut>,
    /// The buffer in which frames are joined.
    pub(super) joined: Vec<u8>,
}

/// Frames for an audience.
#[derive(Default)]
pub(super) struct FanOut {
    pub(super) key: Option<Key>,
    pub(super) frames: Vec<Bytes>,
    /// The first of the frames as they are sent compressed. See [`FanOut::frames_of`].
    pub(super) compressed: Vec<Bytes>,
    /// What the uncompressed frames count for against the bound of each member.
    pub(super) weight: usize,
    /// The places of the connections that began in it. Those that have left know it themselves.
    pub(super) members: Vec<u32>,
    /// Whether some members take messages plain, and whether some take them compressed.
    pub(super) lanes: [bool; 2],
    /// How many members are still in it.
    pub(super) active: usize,
    /// Open sockets of the audience that are not in it.
    pub(super) apart: Vec<SocketId>,
}

/// One audience, at one time.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) replica: ReplicaId,
    pub(super) epoch: Epoch,
    pub(super) changes: u64,
}

impl FanOut {
    /// The frames as a member of this lane is sent them. They are compressed when they are first needed so.
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
