//! The load generator: a crowd of sockets on one thread. Waits for events, reads as much as there is at once, looks at
//! headers only and allocates nothing for a message, so that it takes little of the machine from the server.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::io::Errno;
use rustix::time::{ClockId, clock_gettime};

use crate::connect::{self, Door};
use crate::frame::{Arrived, ENGINE_PONG, Encoder, FrameReader, PONG};
use crate::ledger::{Count, Ledger};
use crate::plan::{Pace, Plan, Schedule};

/// Read at once, of one socket.
const SCRATCH: usize = 256 * 1024;

/// Events taken at once.
const EVENTS: usize = 1024;

/// Events that are worth a turn. With fewer, and more owed than this, the load generator pauses: woken for every single
/// delivery it would use as much of the machine as the server, whose every send would have to wake it.
const WORTH_IT: usize = 64;

/// Reads of one socket from one request to delay acknowledgements to the next.
const ASK_EVERY: u8 = 8;

/// How long nothing may arrive while something is owed.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long to look for messages too many, after the last that was owed.
const STRAYS: Duration = Duration::from_millis(20);

/// What a run has shown.
#[derive(Clone, Debug)]
pub struct Outcome<P> {
    /// What arrived.
    pub count: Count,
    /// How long was counted.
    pub elapsed: Duration,
    /// Processor time of the load generator meanwhile.
    pub own_cpu: Duration,
    /// What the probe said at the beginning and at the end of the count.
    pub probes: (P, P),
}

/// Sockets that are open.
pub struct Crowd {
    plan: Plan,
    epoll: OwnedFd,
    clients: Vec<Client>,
    ledger: Ledger,
    encoder: Encoder,
    /// What clients have not got rid of yet.
    outgoing: Vec<Vec<u8>>,
    next_sender: usize,
    /// When something came last.
    heard: Instant,
    events: Vec<Event>,
    scratch: Vec<u8>,
}

struct Client {
    stream: TcpStream,
    reader: FrameReader,
    /// How often it has read since it last asked for its acknowledgements to be delayed.
    reads: u8,
}

impl Client {
    /// Has the kernel acknowledge as it does for clients that talk now and then. Those that only listen it has
    /// acknowledge every read with a segment of its own, which is two thirds of what reading costs; and it falls
    /// back to that whenever an acknowledgement has been delayed for long.
    fn delay_acknowledgements(&mut self) {
        self.reads = (self.reads + 1) % ASK_EVERY;
        if self.reads == 1 {
            // Without it all works, and costs more.
            let _ = rustix::net::sockopt::set_tcp_quickack(&self.stream, false);
        }
    }
}

impl Crowd {
    /// Opens all sockets, one after the other.
    ///
    /// # Errors
    /// When the plan cannot be done, or the server does not let all in.
    pub fn connect(door: Door, plan: Plan) -> Result<Self> {
        plan.check()?;
        Self::new(connect::all(door, 0..plan.sockets, |number| plan.query(number), 1)?, plan)
    }

    /// The crowd of sockets that are open: number `i` in room `i % rooms`.
    ///
    /// # Errors
    /// When the plan cannot be done, or is not for so many.
    pub fn new(streams: Vec<TcpStream>, plan: Plan) -> Result<Self> {
        plan.check()?;
        ensure!(streams.len() == plan.sockets, "{} sockets are open, and {} are planned", streams.len(), plan.sockets);
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        let mut clients = Vec::with_capacity(plan.sockets);
        for (number, stream) in streams.into_iter().enumerate() {
            let flags = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
            epoll::add(&epoll, &stream, EventData::new_u64(number as u64), flags)?;
            clients.push(Client { stream, reader: FrameReader::default(), reads: 0 });
        }
        Ok(Self {
            ledger: Ledger::new(plan.sockets, plan.senders, plan.rooms, plan.reach),
            encoder: match plan.compressed {
                false => Encoder::new(plan.payload, plan.bytes),
                true => Encoder::of_words(plan.payload, plan.bytes),
            },
            outgoing: vec![Vec::new(); plan.sockets],
            next_sender: 0,
            heard: Instant::now(),
            events: Vec::with_capacity(EVENTS),
            scratch: vec![0; SCRATCH],
            plan,
            epoll,
            clients,
        })
    }

    /// Socket number `i` is at node `i % nodes`: times are told apart by that.
    #[must_use]
    pub fn spread_over(mut self, nodes: usize) -> Self {
        self.ledger.spread_over(nodes);
        self
    }

    /// How many messages were sent so far, counted or not.
    pub fn sent(&self) -> u64 {
        self.ledger.sent()
    }

    /// Talks at another pace from the next run on.
    ///
    /// # Errors
    /// When nothing would be sent.
    pub fn change_pace(&mut self, pace: Pace, pause: Duration) -> Result<()> {
        (self.plan.pace, self.plan.pause) = (pace, pause);
        self.plan.check()
    }

    /// Counts for so long from the next run on.
    pub fn count_for(&mut self, measured: Duration) {
        self.plan.measured = measured;
    }

    /// Sends, waits, sends the next, for as long as planned, and checks that all that was owed has come. `probe` is
    /// asked where the count begins and ends.
    ///
    /// # Errors
    /// When a message does not reach everyone, or reaches somebody twice or out of order.
    pub fn run<P>(&mut self, mut probe: impl FnMut() -> Result<P>) -> Result<Outcome<P>> {
        let (warm_up, measured) = (self.plan.warm_up, self.plan.measured);
        self.heard = Instant::now();
        let mut schedule = Schedule::new(self.plan.pace, self.heard);
        self.work(warm_up, &mut schedule)?;
        self.ledger.start_count();
        let (begun, own, first) = (Instant::now(), own_cpu(), probe()?);
        self.work(measured, &mut schedule)?;
        let (elapsed, own_cpu, last) = (begun.elapsed(), own_cpu().saturating_sub(own), probe()?);
        let count = self.ledger.count.clone();
        self.settle()?;
        Ok(Outcome { count, elapsed, own_cpu, probes: (first, last) })
    }

    /// Keeps to the pace.
    fn work(&mut self, time: Duration, schedule: &mut Schedule) -> Result<()> {
        let until = Instant::now() + time;
        loop {
            let now = Instant::now();
            if now >= until {
                return Ok(());
            }
            self.send(schedule, now)?;
            self.turn(schedule.wait(PATIENCE.min(until - now), now))?;
        }
    }

    /// Waits for what is still owed.
    fn settle(&mut self) -> Result<()> {
        while self.ledger.in_flight > 0 {
            self.turn(PATIENCE)?;
        }
        let until = Instant::now() + STRAYS;
        while Instant::now() < until {
            self.turn(STRAYS)?;
        }
        self.ledger.check_settled()
    }

    /// Sends what is due. A sender's messages of one turn go out with one write.
    fn send(&mut self, schedule: &mut Schedule, now: Instant) -> Result<()> {
        let first = self.next_sender;
        let mut sent = 0;
        while let Some(due) = schedule.take_due(self.ledger.in_flight, now) {
            let number = self.next_sender;
            self.next_sender = (number + 1) % self.plan.senders;
            let tag = self.ledger.send(number, due)?;
            self.encoder.append(&mut self.outgoing[number], tag);
            sent += 1;
        }
        for number in first..first + sent.min(self.plan.senders) {
            self.write(number % self.plan.senders)?;
        }
        Ok(())
    }

    fn write(&mut self, number: usize) -> Result<()> {
        let outgoing = &mut self.outgoing[number];
        while !outgoing.is_empty() {
            match self.clients[number].stream.write(outgoing) {
                Ok(wrote) => drop(outgoing.drain(..wrote)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error).with_context(|| format!("socket {number} cannot send")),
            }
        }
        Ok(())
    }

    /// Takes in whatever has come, or waits for something as long as it is told.
    fn turn(&mut self, wait: Duration) -> Result<()> {
        let mut events = std::mem::take(&mut self.events);
        events.clear();
        match epoll::wait(&self.epoll, spare_capacity(&mut events), Some(&Timespec::try_from(wait)?)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let (owed, now) = (self.ledger.in_flight, Instant::now());
        if owed == 0 || !events.is_empty() {
            self.heard = now;
        }
        ensure!(now - self.heard < PATIENCE, "nothing came for {PATIENCE:?}, but {owed} messages are owed");
        for event in &events {
            let (number, flags) = (usize::try_from(event.data.u64())?, event.flags);
            if flags.intersects(EventFlags::IN | EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR) {
                self.read(number).with_context(|| format!("on socket {number}"))?;
            }
            if flags.contains(EventFlags::OUT) {
                self.write(number)?;
            }
        }
        let gather = events.len() < WORTH_IT && self.ledger.owed > WORTH_IT && !self.plan.pause.is_zero();
        self.events = events;
        if gather {
            std::thread::sleep(self.plan.pause);
        }
        Ok(())
    }

    fn read(&mut self, number: usize) -> Result<()> {
        let Self { clients, ledger, scratch, plan, outgoing, .. } = self;
        clients[number].delay_acknowledgements();
        let Client { stream, reader, .. } = &mut clients[number];
        let message_bytes = plan.payload.framed(plan.bytes);
        loop {
            let read = match stream.read(scratch) {
                Ok(0) => bail!("the server hung up"),
                Ok(read) => read,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error.into()),
            };
            let now = Instant::now();
            ledger.count.bytes += read as u64;
            reader.read(&scratch[..read], |arrived| match arrived {
                Arrived::Message(tag, bytes) if bytes == message_bytes => ledger.arrive(number, tag, now),
                Arrived::Compressed if plan.compressed => ledger.arrive_compressed(number, now),
                // It goes out below, or when the socket takes something again.
                Arrived::Ping => {
                    outgoing[number].extend_from_slice(PONG);
                    Ok(())
                }
                Arrived::EnginePing => {
                    outgoing[number].extend_from_slice(ENGINE_PONG);
                    Ok(())
                }
                other => bail!("the server sent {other:?}"),
            })?;
            // Less than there was room for is all there was: the kernel tells of what comes later.
            if read < scratch.len() {
                return self.write(number);
            }
        }
    }
}

/// Processor time of this thread so far.
fn own_cpu() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap_or_default()
}
