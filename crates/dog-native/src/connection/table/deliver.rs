//! Delivery of messages to sockets: to some of them, or to a whole audience at once.

use std::io::{self, ErrorKind};

use bytes::Bytes;
use dog::{Message, SocketId};
use dog_engine::seats::Audience;

use super::super::compression::Lane;
use super::super::fan_out::{FanOutIndex, Key};
use super::super::outbox::{JOIN_UP_TO, KEEPING};
use super::super::record::Phase;
use super::super::stream::Stream;
use super::super::tls::Sessions;
use super::{Connections, WRITES_PER_CHECK, place};
use crate::config::Config;

impl Connections {
    /// Queues a message for each of `sockets` that is not in `except`. Returns for how many it was queued.
    pub(crate) fn deliver(
        &mut self,
        config: &Config,
        message: &Message,
        sockets: &[SocketId],
        except: &[SocketId],
    ) -> usize {
        let mut taken = 0;
        self.dropped.clear();
        for socket in sockets {
            if !except.is_empty() && except.contains(socket) {
                continue;
            }
            taken += usize::from(self.queue(config, *socket, message.frame()));
        }
        self.counters.messages_sent.one();
        self.counters.deliveries.add(taken);
        taken
    }

    /// Queues a message for all sockets of an audience that are not in `except`. Returns for how many it was queued.
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
        let index = self.fan_out_of(audience);
        if self.fan_outs.all[index].weight + weight > config.max_outbox {
            // Some members may keep up while others do not: from now on, each has its frames in its own outbox.
            self.end_fan_out(index);
            return self.deliver(config, message, audience.sockets, except);
        }
        self.dropped.clear();
        except.iter().for_each(|socket| self.leave_fan_out(*socket));
        let fan_out = &mut self.fan_outs.all[index];
        fan_out.frames.push(message.frame().clone());
        fan_out.weight += weight;
        let mut taken = fan_out.active;
        let fan_out_weight = fan_out.weight;
        self.note_fan_out(length, fan_out_weight, taken);
        let fan_out = &mut self.fan_outs.all[index];
        // `apart` is taken out of the fan-out while it is used, because `queue` closes sockets that are too slow.
        let mut apart = std::mem::take(&mut fan_out.apart);
        for socket in apart.iter().filter(|socket| !except.contains(socket)) {
            taken += usize::from(self.queue(config, *socket, message.frame()));
        }
        let fan_out = &mut self.fan_outs.all[index];
        apart.append(&mut fan_out.apart);
        fan_out.apart = apart;
        self.counters.messages_sent.one();
        self.counters.deliveries.add(taken);
        taken
    }

    fn fan_out_of(&mut self, audience: &Audience<'_>) -> usize {
        let Audience { replica, epoch, changes, sockets } = *audience;
        let key = Key { replica, epoch, changes };
        let present = self.fan_outs.present.get(&replica).copied();
        match present {
            Some(index) if self.fan_outs.all[index].key == Some(key) => return index,
            Some(index) => self.end_fan_out(index),
            None => {}
        }
        let index = self.fan_outs.all.len();
        let this = FanOutIndex::of(index);
        let mut fan_out = self.fan_outs.spare.pop().unwrap_or_default();
        fan_out.key = Some(key);
        for socket in sockets {
            let Some(connection) = self.get(*socket).filter(|connection| connection.phase == Phase::Open) else {
                continue;
            };
            let has_lane = !matches!(connection.lane, Lane::CompressedWindow(_));
            if connection.outbox.weight() == 0 && connection.stream.is_some() && has_lane {
                connection.fan_out = this;
                fan_out.lanes[usize::from(connection.lane.deflates())] = true;
                fan_out.members.extend(u32::try_from(place(*socket)));
            } else {
                fan_out.apart.push(*socket);
            }
        }
        fan_out.active = fan_out.members.len();
        self.fan_outs.all.push(fan_out);
        self.fan_outs.present.insert(replica, index);
        index
    }

    /// Removes the socket from its fan-out, and moves its frames to its own outbox.
    pub(crate) fn leave_fan_out(&mut self, socket: SocketId) {
        let Some(connection) = self.get(socket) else { return };
        let index = std::mem::replace(&mut connection.fan_out, FanOutIndex::NONE);
        let Some(fan_out) = self.fan_outs.all.get_mut(index.get()) else { return };
        fan_out.active -= 1;
        fan_out.apart.push(socket);
        let Some(connection) = self.slab.get_mut(place(socket)) else { return };
        let frames = fan_out.frames_of(connection.lane, &mut self.compressor);
        self.arena.push_rest(&mut connection.outbox, frames, 0);
        self.touch(socket);
    }

    /// Removes all members.
    fn end_fan_out(&mut self, index: usize) {
        let [plain, compressed] = self.fan_outs.all[index].lanes;
        let members = std::mem::take(&mut self.fan_outs.all[index].members);
        if plain {
            self.let_leave(index, &members, Lane::Plain);
        }
        if compressed {
            self.let_leave(index, &members, Lane::Compressed);
        }
        let fan_out = &mut self.fan_outs.all[index];
        fan_out.members = members;
        if let Some(key) = fan_out.key.take() {
            self.fan_outs.present.remove(&key.replica);
        }
    }

    /// Removes all members of a lane.
    fn let_leave(&mut self, index: usize, members: &[u32], lane: Lane) {
        for place in members {
            if let Some(socket) = self.at(*place as usize).filter(|_| self.is_in(*place, index, lane)) {
                self.leave_fan_out(socket);
            }
        }
    }

    fn is_in(&self, place: u32, index: usize, lane: Lane) -> bool {
        let connection = self.slab.get(place as usize);
        connection.is_some_and(|connection| connection.fan_out == FanOutIndex::of(index) && connection.lane == lane)
    }

    /// Writes every fan-out to its members. What the kernel does not take goes to their outboxes.
    pub(super) fn flush_fan_outs(&mut self) {
        for index in 0..self.fan_outs.all.len() {
            self.flush_fan_out(index);
        }
        self.fan_outs.clear();
    }

    fn flush_fan_out(&mut self, index: usize) {
        let fan_out = &mut self.fan_outs.all[index];
        if fan_out.active == 0 {
            return;
        }
        let [plain, compressed] = fan_out.lanes;
        let members = std::mem::take(&mut fan_out.members);
        if plain {
            self.flush_lane(index, &members, Lane::Plain);
        }
        if compressed {
            self.flush_lane(index, &members, Lane::Compressed);
        }
        self.fan_outs.all[index].members = members;
    }

    fn flush_lane(&mut self, index: usize, members: &[u32], lane: Lane) {
        let frames = self.fan_outs.all[index].frames_of(lane, &mut self.compressor);
        let bytes: usize = frames.iter().map(Bytes::len).sum();
        if bytes > JOIN_UP_TO && frames.len() > 1 {
            // Large frames are written without a copy.
            return self.let_leave(index, members, lane);
        }
        // The frames are taken out while they are used, and put back to keep their memory.
        let fan_out = &mut self.fan_outs.all[index];
        let frames = std::mem::take(if lane.deflates() { &mut fan_out.compressed } else { &mut fan_out.frames });
        let mut joined = std::mem::take(&mut self.fan_outs.joined);
        joined.clear();
        if frames.len() > 1 {
            frames.iter().for_each(|frame| joined.extend_from_slice(frame));
        }
        let out: &[u8] = if let [frame] = &frames[..] { frame } else { &joined };
        let this = FanOutIndex::of(index);
        for members in members.chunks(WRITES_PER_CHECK) {
            let may_write = self.may_write(members.len());
            let mut written = 0;
            for place in members.iter().map(|place| *place as usize) {
                let Some(connection) = self.slab.get_mut(place) else { continue };
                if connection.fan_out != this || connection.lane != lane {
                    continue;
                }
                connection.fan_out = FanOutIndex::NONE;
                if !may_write {
                    self.arena.push_rest(&mut connection.outbox, &frames, 0);
                    continue;
                }
                let Some(stream) = &mut connection.stream else { continue };
                match write_some(&mut self.sessions, place, stream, out) {
                    Ok(wrote) if wrote == out.len() => written += wrote,
                    // The kernel reports when it takes more.
                    Ok(wrote) => self.keep_rest(place, &frames, wrote),
                    Err(_) => self.lose_at(place),
                }
            }
            self.arena.note_written(written);
        }
        self.fan_outs.joined = joined;
        let fan_out = &mut self.fan_outs.all[index];
        *(if lane.deflates() { &mut fan_out.compressed } else { &mut fan_out.frames }) = frames;
    }

    /// Queues what the kernel did not take.
    #[cold]
    fn keep_rest(&mut self, place: usize, frames: &[Bytes], wrote: usize) {
        let Some(connection) = self.slab.get_mut(place) else { return };
        self.arena.push_rest(&mut connection.outbox, frames, wrote);
        connection.outbox.is_refused(true, self.moment);
        self.judge_pace(place);
    }

    #[cold]
    fn lose_at(&mut self, place: usize) {
        if let Some(socket) = self.at(place) {
            self.lose(socket);
        }
    }
}

/// Writes as many bytes as the kernel takes now: none, if its buffer is full.
#[inline]
fn write_some(sessions: &mut Sessions, place: usize, stream: &mut Stream, bytes: &[u8]) -> io::Result<usize> {
    if stream.is_tls() {
        return sessions.write(place, stream, bytes);
    }
    loop {
        match stream.write(bytes) {
            Ok(wrote) => return Ok(wrote),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(0),
            Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error),
            Err(_) => {}
        }
    }
}

#[cfg(test)]
mod tests;
