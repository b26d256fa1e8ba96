//! Checks a record against promises 1, 5, 6, 8, 10 and 11 of DESIGN.md. Also checks that the registers of each Replica
//! are linearizable. A [`Recorder`](crate::record::Recorder) writes the record.
//!
//! A client knows only when it sent a question and when it received the answer. So a check rejects an answer only if it
//! cannot have been right at any moment between the two.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt;

use crate::linearizability::{self, Call};
use crate::record::{Action, Fault, History, Life, SocketRecord, Time, Victim};
use crate::registers::{self, Answer, Command, Registers};

#[cfg(test)]
mod tests;

/// The numbers of what was checked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Checked {
    pub(crate) sockets: usize,
    pub(crate) lives: usize,
    pub(crate) heard: usize,
    /// The messages that had to reach a socket.
    pub(crate) owed: usize,
    pub(crate) counts: usize,
    pub(crate) puts: usize,
    pub(crate) reads: usize,
    /// The commands to registers.
    pub(crate) registers: usize,
    /// Those of them without an answer.
    pub(crate) unanswered: usize,
}

impl fmt::Display for Checked {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sockets, lives, heard, owed, counts, puts, reads, registers, unanswered } = self;
        write!(
            formatter,
            "checked: {sockets} sockets, {lives} lives, {heard} messages ({owed} owed), {puts} puts, {reads} reads, \
             {counts} counts"
        )?;
        if *registers > 0 {
            write!(formatter, ", {registers} register operations ({unanswered} unanswered)")?;
        }
        Ok(())
    }
}

/// Checks everything. `limit` is the number of seats per Replica. The error names the promise and shows what breaks it.
pub(crate) fn check(history: &History, limit: usize) -> Result<Checked, String> {
    let mut checked = Checked { sockets: history.sockets.len(), ..Checked::default() };
    never_more_than(history, limit).map_err(|broken| format!("promise 1: {broken}"))?;
    checked.heard = in_order(history).map_err(|broken| format!("promise 5: {broken}"))?;
    at_most_once(history).map_err(|broken| format!("promise 6: {broken}"))?;
    checked.owed = delivered(history).map_err(|broken| format!("promise 6: {broken}"))?;
    checked.counts = counted(history).map_err(|broken| format!("promise 8: {broken}"))?;
    checked.lives = one_life(history).map_err(|broken| format!("promise 10: {broken}"))?;
    no_late_write(history).map_err(|broken| format!("promise 10: {broken}"))?;
    (checked.puts, checked.reads) = durable(history).map_err(|broken| format!("promise 11: {broken}"))?;
    (checked.registers, checked.unanswered) = linearizable(history)?;
    Ok(checked)
}

/// Promise 1: at no moment do more than `limit` sockets have the same Replica in the same process. Only sockets that
/// were certainly open count. The number that the Replica itself reported must not exceed `limit` either.
fn never_more_than(history: &History, limit: usize) -> Result<(), String> {
    let mut changes: BTreeMap<(&str, u32), Vec<(Time, i32)>> = BTreeMap::new();
    for socket in &history.sockets {
        if socket.seats > limit {
            return Err(format!("{} was told of {} sockets, {limit} at most", socket.client, socket.seats));
        }
        let changes = changes.entry((&socket.replica, socket.process)).or_default();
        changes.push((socket.opened, 1));
        changes.extend(socket.ended.map(|ended| (ended, -1)));
    }
    for ((replica, process), mut changes) in changes {
        // Of changes at the same moment, the ends (-1) are sorted before the beginnings (1).
        changes.sort_unstable();
        let mut open = 0;
        for (at, change) in changes {
            open += change;
            if open > i32::try_from(limit).unwrap_or(i32::MAX) {
                return Err(format!("{open} sockets at {at:?} on {replica} in process {process}, {limit} at most"));
            }
        }
    }
    Ok(())
}

/// Parses a message `SPEAKER NUMBER`.
fn numbered(text: &str) -> Option<(&str, u32)> {
    let (speaker, number) = text.rsplit_once(' ')?;
    Some((speaker, number.parse().ok()?))
}

/// Promise 5: the messages of one life reach each socket in the order in which they were sent. So do the messages of
/// one speaker that the life broadcasts. Returns the number of messages.
fn in_order(history: &History) -> Result<usize, String> {
    let mut count = 0;
    for socket in &history.sockets {
        let mut last: HashMap<&Life, u64> = HashMap::new();
        let mut said: HashMap<(&Life, &str), u32> = HashMap::new();
        for heard in &socket.heard {
            count += 1;
            let sent = &heard.sent;
            let before = last.insert(&sent.life, sent.number);
            if before.is_some_and(|before| before >= sent.number) {
                return Err(format!("{} heard {sent:?} after number {before:?} of the same life", socket.client));
            }
            let Some((speaker, number)) = numbered(&sent.text).filter(|_| !sent.answer) else { continue };
            let before = said.insert((&sent.life, speaker), number);
            if before.is_some_and(|before| before > number) {
                return Err(format!("{} heard {speaker} {number} after {before:?}", socket.client));
            }
        }
    }
    Ok(count)
}

/// Promise 6: no socket receives a message twice.
fn at_most_once(history: &History) -> Result<(), String> {
    for socket in &history.sockets {
        let mut heard = HashSet::new();
        for sent in socket.heard.iter().map(|heard| &heard.sent).filter(|sent| !sent.answer) {
            if numbered(&sent.text).is_some() && !heard.insert(&sent.text) {
                return Err(format!("{} heard {} twice", socket.client, sent.text));
            }
        }
    }
    Ok(())
}

/// Whether a fault allows that a message from `speaker` to `listener` was lost between `from` and `until`.
fn excused(faults: &[Fault], speaker: &SocketRecord, listener: &SocketRecord, from: Time, until: Time) -> bool {
    faults.iter().any(|fault| {
        let concerns = match fault.victim {
            Victim::Node(process) => process == speaker.process || process == listener.process,
            Victim::Nats => speaker.process != listener.process,
        };
        concerns && fault.from <= until && fault.until.is_none_or(|well| well >= from)
    })
}

/// Promise 6: if a socket received a message, it also received all earlier messages from the same speaker's socket that
/// were sent while it was open. The later message shows that the speaker was connected and that messages reached the
/// listener. Returns the number of messages that had to arrive.
fn delivered(history: &History) -> Result<usize, String> {
    let mut owed = 0;
    for listener in &history.sockets {
        let heard: HashMap<&str, Time> = listener.heard.iter().map(|heard| (&heard.sent.text[..], heard.at)).collect();
        for speaker in history.sockets.iter().filter(|speaker| speaker.room == listener.room) {
            let said: Vec<_> = speaker.said.iter().filter(|(_, text)| numbered(text).is_some()).collect();
            let Some(last) = said.iter().rposition(|(_, text)| heard.contains_key(&text[..])) else { continue };
            let until = heard[&said[last].1[..]];
            for (at, text) in &said[..=last] {
                // Commands also contain numbers, but they are not broadcast.
                if *at < listener.opened || is_command(text) {
                    continue;
                }
                owed += 1;
                if !heard.contains_key(&text[..]) && !excused(&history.faults, speaker, listener, *at, until) {
                    return Err(format!(
                        "{} has not heard \"{text}\", said at {at:?}, but \"{}\" that was said later",
                        listener.client, said[last].1
                    ));
                }
            }
        }
    }
    Ok(owed)
}

fn is_command(text: &str) -> bool {
    text.starts_with("put ") || Command::parse(text).is_some()
}

/// Promise 8: a count includes at most the sockets that may have been open. If there was no fault for two lease times,
/// it also includes at least those that were certainly open. Returns the number of counts.
fn counted(history: &History) -> Result<usize, String> {
    let mut counts = 0;
    for operation in &history.operations {
        let (Action::Count(count), Some(completed)) = (&operation.action, operation.completed) else { continue };
        let invoked = operation.invoked;
        let calm = invoked.saturating_sub(2 * history.lease);
        let room = &history.sockets[operation.socket].room;
        let sockets = || history.sockets.iter().filter(|socket| socket.room == *room);
        let surely =
            sockets().filter(|socket| socket.opened <= invoked && socket.ended.is_none_or(|at| at > completed));
        let perhaps = sockets().filter(|socket| socket.asked <= completed && socket.ended.is_none_or(|at| at >= calm));
        let attempts =
            history.attempts.iter().filter(|(to, from, until)| to == room && *from <= completed && *until >= calm);
        let (least, most) = (surely.count(), perhaps.count() + attempts.count());
        let troubled =
            history.faults.iter().any(|fault| fault.from <= completed && fault.until.unwrap_or(fault.from) >= calm);
        counts += 1;
        if *count > most || (*count < least && !troubled) {
            return Err(format!(
                "{count} sockets of {room} were counted at {completed:?}, and there were {least} to {most}"
            ));
        }
    }
    Ok(counts)
}

/// The times between which a life acted, as far as clients know.
struct Acts<'a> {
    life: &'a Life,
    last_asked: Time,
    first_heard: Time,
}

/// Promise 10: no life acts after a later life of the same Replica has acted. So every question that the earlier life
/// answered was sent before the first message of the later life arrived. Returns the number of lives.
fn one_life(history: &History) -> Result<usize, String> {
    let mut said: HashMap<(&str, &str), Time> = HashMap::new();
    for socket in &history.sockets {
        for (at, text) in &socket.said {
            let first = said.entry((&socket.room, text)).or_insert(*at);
            *first = (*first).min(*at);
        }
    }
    let mut acts: BTreeMap<(&str, u64), Acts<'_>> = BTreeMap::new();
    for socket in &history.sockets {
        for heard in &socket.heard {
            let life = &heard.sent.life;
            let asked =
                heard.asked.or_else(|| said.get(&(&socket.room, &heard.sent.text)).copied()).unwrap_or_default();
            let new = Acts { life, last_asked: asked, first_heard: heard.at };
            let known = acts.entry((&life.replica, life.number)).or_insert(new);
            if known.life != life {
                return Err(format!("two processes have the same life: {:?} and {life:?}", known.life));
            }
            known.last_asked = known.last_asked.max(asked);
            known.first_heard = known.first_heard.min(heard.at);
        }
    }
    // `acts` is sorted by Replica, then by the number of the life.
    let mut earlier: Option<&Acts<'_>> = None;
    for ((replica, _), life) in &acts {
        let before = earlier.filter(|before| before.life.replica == **replica);
        if let Some(before) = before.filter(|before| before.last_asked > life.first_heard) {
            return Err(format!(
                "{:?} answered what was asked at {:?}, after {:?} had acted at {:?}",
                before.life, before.last_asked, life.life, life.first_heard
            ));
        }
        // Keeps the life that answered the latest question, of all lives of the Replica so far.
        earlier = before.filter(|before| before.last_asked > life.last_asked).or(Some(life));
    }
    Ok(acts.len())
}

/// A read: when it was sent and answered, which life answered, and the numbers that it returned.
type Read<'a> = (Time, Time, &'a Life, &'a BTreeMap<u32, u64>);

/// Returns the reads of each Replica, in the order in which they were answered.
fn reads(history: &History) -> BTreeMap<&str, Vec<Read<'_>>> {
    let mut reads: BTreeMap<&str, Vec<_>> = BTreeMap::new();
    for operation in &history.operations {
        if let (Action::Read(numbers), Some(completed), Some(life)) =
            (&operation.action, operation.completed, &operation.by)
        {
            let replica = &history.sockets[operation.socket].replica[..];
            reads.entry(replica).or_default().push((operation.invoked, completed, life, numbers));
        }
    }
    reads.values_mut().for_each(|reads| reads.sort_by_key(|(_, completed, ..)| *completed));
    reads
}

/// Promise 10: if a life has read without a write of an earlier life, no later read shows that write.
fn no_late_write(history: &History) -> Result<(), String> {
    for (replica, reads) in reads(history) {
        for (position, (_, completed, reader, earlier)) in reads.iter().enumerate() {
            for (invoked, _, _, later) in &reads[position + 1..] {
                let late =
                    later.iter().find(|(number, writer)| **writer < reader.number && !earlier.contains_key(number));
                if let Some((number, writer)) = late.filter(|_| invoked > completed) {
                    return Err(format!(
                        "{number}, written by life {writer} of {replica}, shows at {invoked:?}, and did not at {completed:?} \
                         when life {} was there",
                        reader.number
                    ));
                }
            }
        }
    }
    Ok(())
}

/// Promise 11: each read that was sent after the acknowledgement of a put returns the number, with the life that wrote
/// it. There must be such a read for each put. Returns the numbers of puts and reads.
fn durable(history: &History) -> Result<(usize, usize), String> {
    let reads = reads(history);
    let mut puts = 0;
    for operation in &history.operations {
        let (Action::Put(number), Some(kept), Some(life)) = (&operation.action, operation.completed, &operation.by)
        else {
            continue;
        };
        puts += 1;
        let replica = &history.sockets[operation.socket].replica[..];
        let later = reads.get(replica).into_iter().flatten().filter(|(invoked, ..)| *invoked >= kept);
        let mut asked_for = false;
        for (invoked, _, _, numbers) in later {
            asked_for = true;
            if numbers.get(number) != Some(&life.number) {
                return Err(format!(
                    "{number} was acknowledged at {kept:?} by {life:?}, and at {invoked:?} there was {:?}",
                    numbers.get(number)
                ));
            }
        }
        if !asked_for {
            return Err(format!("{number} was acknowledged at {kept:?} by {life:?}, and nobody has read since"));
        }
    }
    Ok((puts, reads.values().map(Vec::len).sum()))
}

/// The commands to each Replica's registers have one order that explains all answers. Returns the number of commands,
/// and how many of them were not answered.
fn linearizable(history: &History) -> Result<(usize, usize), String> {
    let mut objects: BTreeMap<&str, Vec<Call<Command, Answer>>> = BTreeMap::new();
    for operation in &history.operations {
        let Action::Register(command, answer) = operation.action else { continue };
        let answered = operation.completed.zip(answer);
        let call = Call { invoked: operation.invoked, answered, command };
        objects.entry(&history.sockets[operation.socket].replica).or_default().push(call);
    }
    let (mut count, mut unanswered) = (0, 0);
    for (replica, calls) in objects {
        count += calls.len();
        unanswered += calls.iter().filter(|call| call.answered.is_none()).count();
        let known: Vec<_> = calls.iter().map(|call| (call.command, call.answered.map(|(_, answer)| answer))).collect();
        let matters = registers::matter(&known);
        let calls: Vec<_> =
            calls.into_iter().zip(matters).filter(|(_, matters)| *matters).map(|(call, _)| call).collect();
        linearizability::check(&calls, Registers::default(), |state, command| registers::apply(*state, *command))
            .map_err(|broken| format!("the registers of {replica}: {broken}"))?;
    }
    Ok((count, unanswered))
}

/// Returns the Replicas of all sockets.
pub(crate) fn replicas(history: &History) -> BTreeSet<&str> {
    history.sockets.iter().map(|socket| &socket.replica[..]).collect()
}
