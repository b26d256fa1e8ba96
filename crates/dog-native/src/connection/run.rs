//! What waits for many sockets alike. The sockets of one Replica are mostly owed the same frames in a turn: these are
//! kept once, as a run, joined once, and written to each. Whoever is owed anything else leaves the run, and has its
//! frames in its own outbox from then on. No socket is in a run for longer than a turn, nor if something waits for it.
//!
//! Where some take messages compressed, the run has two lanes. Its frames are compressed when they are first needed so.

use std::collections::HashMap;
use std::io::ErrorKind;

use bytes::Bytes;
use dog::{Epoch, Message, ReplicaId, SocketId};
use dog_engine::seats::Audience;

use super::outbox::{JOIN_UP_TO, KEEPING};
use super::packing::{Lane, Packing};
use super::record::Phase;
use super::table::{Connections, place};
use super::writing::LOOKS_AGAIN_AFTER;
use crate::config::Config;

/// Runs whose memory is kept for later turns: each may once have been that of the largest Replica.
const KEPT: usize = 64;

/// Which run of the turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RunIndex(u32);

impl RunIndex {
    pub(super) const NONE: Self = Self(u32::MAX);

    fn of(index: usize) -> Self {
        u32::try_from(index).map_or(Self::NONE, Self)
    }
}

/// The runs of this turn.
#[derive(Default)]
pub(super) struct Runs {
    runs: Vec<Run>,
    /// The present run of each Replica.
    present: HashMap<ReplicaId, usize>,
    /// Vectors that are used again.
    spare: Vec<Run>,
    joined: Vec<u8>,
}

#[derive(Default)]
struct Run {
    key: Option<Key>,
    frames: Vec<Bytes>,
    /// The first of them as they are sent to those who take them compressed; see [`Run::frames_of`].
    packed: Vec<Bytes>,
    /// What the frames count for against the bound of each member, plain as they are.
    weight: usize,
    /// Places of the connections that began in it; those that have left say so themselves.
    members: Vec<u32>,
    /// Whether some of these take messages plain, and whether some take them compressed.
    lanes: [bool; 2],
    /// How many are in it still.
    active: usize,
    /// Open sockets of the audience that are not in it.
    apart: Vec<SocketId>,
}

/// Which audience.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Key {
    replica: ReplicaId,
    epoch: Epoch,
    changes: u64,
}

impl Run {
    /// The frames as a member of this lane is sent them.
    fn frames_of(&mut self, lane: Lane, packing: &mut Packing) -> &[Bytes] {
        if !lane.deflates() {
            return &self.frames;
        }
        for frame in &self.frames[self.packed.len()..] {
            self.packed.push(packing.frame(frame, lane));
        }
        &self.packed
    }
}

impl Connections {
    /// Queues a message for a whole audience but `except`. How many took it.
    pub(crate) fn deliver_to_all(
        &mut self,
        config: &Config,
        message: &Message,
        audience: &Audience<'_>,
        except: &[SocketId],
    ) -> usize {
        let (length, weight) = (message.frame().len(), message.frame().len() + KEEPING);
        if audience.sockets.len() < 2 || weight > config.max_outbox {
            return self.deliver(config, message, audience.sockets, except);
        }
        let index = self.run_of(audience);
        if self.runs.runs[index].weight + weight > config.max_outbox {
            // Some may keep up and others not: what is to become of each is decided for each.
            self.end_run(index);
            return self.deliver(config, message, audience.sockets, except);
        }
        except.iter().for_each(|socket| self.leave_run(*socket));
        let run = &mut self.runs.runs[index];
        run.frames.push(message.frame().clone());
        run.weight += weight;
        let mut taken = run.active;
        let run_weight = run.weight;
        self.note_run(length, run_weight, taken);
        let run = &mut self.runs.runs[index];
        // Taken out while it is used: one that is too slow is ended on the way.
        let mut apart = std::mem::take(&mut run.apart);
        for socket in apart.iter().filter(|socket| !except.contains(socket)) {
            taken += usize::from(self.queue(config, *socket, message.frame()));
        }
        let run = &mut self.runs.runs[index];
        apart.append(&mut run.apart);
        run.apart = apart;
        self.counters.messages_sent.one();
        self.counters.deliveries.add(taken);
        taken
    }

    fn run_of(&mut self, audience: &Audience<'_>) -> usize {
        let Audience { replica, epoch, changes, sockets } = *audience;
        let key = Key { replica, epoch, changes };
        let present = self.runs.present.get(&replica).copied();
        match present {
            Some(index) if self.runs.runs[index].key == Some(key) => return index,
            Some(index) => self.end_run(index),
            None => {}
        }
        let index = self.runs.runs.len();
        let mut run = self.runs.spare.pop().unwrap_or_default();
        run.key = Some(key);
        for socket in sockets {
            let Some(connection) = self.get(*socket).filter(|connection| connection.phase == Phase::Open) else {
                continue;
            };
            let has_lane = !matches!(connection.lane, Lane::Narrow(_));
            if connection.outbox.weight() == 0 && connection.stream.is_some() && has_lane {
                connection.run = RunIndex::of(index);
                run.lanes[usize::from(connection.lane.deflates())] = true;
                run.members.extend(u32::try_from(place(*socket)));
            } else {
                run.apart.push(*socket);
            }
        }
        run.active = run.members.len();
        self.runs.runs.push(run);
        self.runs.present.insert(replica, index);
        index
    }

    /// From now on the socket's frames are in its own outbox.
    pub(crate) fn leave_run(&mut self, socket: SocketId) {
        let Some(connection) = self.get(socket) else { return };
        let index = std::mem::replace(&mut connection.run, RunIndex::NONE);
        let Some(run) = self.runs.runs.get_mut(index.0 as usize) else { return };
        run.active -= 1;
        run.apart.push(socket);
        let Some(connection) = self.slab.get_mut(place(socket)) else { return };
        let frames = run.frames_of(connection.lane, &mut self.packing);
        self.arena.push_rest(&mut connection.outbox, frames, 0);
        self.touch(socket);
    }

    /// Everyone leaves.
    fn end_run(&mut self, index: usize) {
        let [plain, packed] = self.runs.runs[index].lanes;
        let members = std::mem::take(&mut self.runs.runs[index].members);
        if plain {
            self.let_leave(index, &members, Lane::Plain);
        }
        if packed {
            self.let_leave(index, &members, Lane::Packed);
        }
        let run = &mut self.runs.runs[index];
        run.members = members;
        if let Some(key) = run.key.take() {
            self.runs.present.remove(&key.replica);
        }
    }

    /// Everyone of a lane leaves.
    fn let_leave(&mut self, index: usize, members: &[u32], lane: Lane) {
        for place in members {
            if let Some(socket) = self.at(*place as usize).filter(|_| self.is_in(*place, index, lane)) {
                self.leave_run(socket);
            }
        }
    }

    fn is_in(&self, place: u32, index: usize, lane: Lane) -> bool {
        let connection = self.slab.get(place as usize);
        connection.is_some_and(|connection| connection.run == RunIndex::of(index) && connection.lane == lane)
    }

    /// Writes every run to those who are in it. What the kernel does not take waits in their outboxes.
    pub(super) fn flush_runs(&mut self) {
        for index in 0..self.runs.runs.len() {
            self.flush_run(index);
        }
        let spare = KEPT.saturating_sub(self.runs.spare.len());
        for mut run in self.runs.runs.drain(..).take(spare) {
            run.key = None;
            run.frames.clear();
            run.packed.clear();
            run.weight = 0;
            run.members.clear();
            run.lanes = [false; 2];
            run.apart.clear();
            self.runs.spare.push(run);
        }
        self.runs.present.clear();
    }

    fn flush_run(&mut self, index: usize) {
        let run = &mut self.runs.runs[index];
        if run.active == 0 {
            return;
        }
        let [plain, packed] = run.lanes;
        let members = std::mem::take(&mut run.members);
        if plain {
            self.flush_lane(index, &members, Lane::Plain);
        }
        if packed {
            self.flush_lane(index, &members, Lane::Packed);
        }
        self.runs.runs[index].members = members;
    }

    fn flush_lane(&mut self, index: usize, members: &[u32], lane: Lane) {
        let frames = self.runs.runs[index].frames_of(lane, &mut self.packing);
        let bytes: usize = frames.iter().map(Bytes::len).sum();
        if bytes > JOIN_UP_TO && frames.len() > 1 {
            // Large ones are written from where they are.
            return self.let_leave(index, members, lane);
        }
        // Taken out while they are used, and put back for their memory.
        let run = &mut self.runs.runs[index];
        let frames = std::mem::take(if lane.deflates() { &mut run.packed } else { &mut run.frames });
        let mut joined = std::mem::take(&mut self.runs.joined);
        joined.clear();
        if frames.len() > 1 {
            frames.iter().for_each(|frame| joined.extend_from_slice(frame));
        }
        let out: &[u8] = if let [frame] = &frames[..] { frame } else { &joined };
        for members in members.chunks(LOOKS_AGAIN_AFTER) {
            let may_write = self.may_write(members.len());
            for place in members.iter().map(|place| *place as usize) {
                let Some(connection) = self.slab.get_mut(place) else { continue };
                if connection.run != RunIndex::of(index) || connection.lane != lane {
                    continue;
                }
                connection.run = RunIndex::NONE;
                if may_write {
                    self.write_run(place, &frames, out);
                } else {
                    self.arena.push_rest(&mut connection.outbox, &frames, 0);
                }
            }
        }
        self.runs.joined = joined;
        let run = &mut self.runs.runs[index];
        *(if lane.deflates() { &mut run.packed } else { &mut run.frames }) = frames;
    }

    /// What the kernel has refused waits.
    fn keep_rest(&mut self, place: usize, frames: &[Bytes], wrote: usize) {
        let Some(connection) = self.slab.get_mut(place) else { return };
        self.arena.push_rest(&mut connection.outbox, frames, wrote);
        connection.outbox.is_refused(true, self.moment);
        self.judge_pace(place);
    }

    fn write_run(&mut self, place: usize, frames: &[Bytes], out: &[u8]) {
        let Some(stream) = self.slab.get_mut(place).and_then(|connection| connection.stream.as_mut()) else { return };
        let wrote = loop {
            match stream.write(out) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                outcome => break outcome,
            }
        };
        match wrote {
            Ok(wrote) if wrote == out.len() => self.arena.note_written(wrote),
            // The kernel tells when it takes more.
            Ok(wrote) => self.keep_rest(place, frames, wrote),
            Err(error) if error.kind() == ErrorKind::WouldBlock => self.keep_rest(place, frames, 0),
            Err(_) => {
                if let Some(socket) = self.at(place) {
                    self.lose(socket);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
