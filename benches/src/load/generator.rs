//! The load generator: all client sockets on one thread. It waits for events with epoll, reads as much as there is at once, reads
//! headers only and allocates nothing per message, so that it takes little of the machine from the server.

use std::io::{ErrorKind, Read, Write};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::io::Errno;
use rustix::time::{ClockId, clock_gettime};

use super::connect::{self, Endpoint};
use super::connection::Connection;
use super::deliveries::{Arrivals, Deliveries};
use super::frame::{Arrived, ENGINE_PONG, Encoder, FrameReader, PONG};
use super::nats::{self, NatsReader};
use super::payload::Payload;
use super::workload::{Pace, Schedule, Workload};

/// Bytes read at once from one socket.
const SCRATCH: usize = 256 * 1024;

/// Events taken at once.
const EVENTS: usize = 1024;

/// With fewer events than this, and more deliveries pending, the load generator pauses. Woken for every single delivery, it
/// would use as much of the machine as the server, and every send of the server would have to wake it.
const FEW_EVENTS: usize = 64;

/// Reads of one socket between two requests to delay acknowledgements.
const ASK_EVERY: u8 = 8;

/// How long nothing may arrive while a message is in flight.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long to wait for surplus messages after the last expected one.
const STRAYS: Duration = Duration::from_millis(20);

/// The result of a run.
#[derive(Clone, Debug)]
pub struct LoadResult<P> {
    /// What arrived.
    pub arrivals: Arrivals,
    /// How long was counted.
    pub elapsed: Duration,
    /// Processor time of the load generator meanwhile.
    pub own_cpu: Duration,
    /// What the probe returned at the beginning and at the end of the count.
    pub probes: (P, P),
}

/// Open sockets and what they do.
pub struct LoadGenerator {
    workload: Workload,
    epoll: OwnedFd,
    clients: Vec<Client>,
    deliveries: Deliveries,
    encoder: Encoder,
    /// What each client must still write.
    outgoing: Vec<Vec<u8>>,
    next_sender: usize,
    /// When something arrived last.
    last_arrival: Instant,
    events: Vec<Event>,
    scratch: Vec<u8>,
}

struct Client {
    stream: Connection,
    reader: Reader,
    /// Reads since it last asked for delayed acknowledgements.
    reads: u8,
}

/// Finds the messages in what a server sends.
enum Reader {
    Frames(FrameReader),
    Nats(NatsReader),
}

impl Reader {
    fn of(payload: Payload) -> Self {
        match payload {
            Payload::Nats => Self::Nats(NatsReader::default()),
            _ => Self::Frames(FrameReader::default()),
        }
    }

    fn read(&mut self, input: &[u8], arrived: impl FnMut(Arrived) -> Result<()>) -> Result<()> {
        match self {
            Self::Frames(reader) => reader.read(input, arrived),
            Self::Nats(reader) => reader.read(input, arrived),
        }
    }
}

impl Client {
    /// Has the kernel delay acknowledgements, as it does for clients that also send. For a client that only receives it
    /// acknowledges every read with a segment of its own, which is two thirds of what reading costs. It falls back to that
    /// whenever an acknowledgement was delayed for long, so the request is repeated.
    fn delay_acknowledgements(&mut self) {
        self.reads = (self.reads + 1) % ASK_EVERY;
        if self.reads == 1 {
            // An error makes reading more expensive and changes nothing else.
            let _ = rustix::net::sockopt::set_tcp_quickack(self.stream.tcp(), false);
        }
    }
}

impl LoadGenerator {
    /// Connects all sockets, one after the other.
    ///
    /// # Errors
    /// When the workload is impossible, or the server does not accept all.
    pub fn connect(endpoint: &Endpoint, workload: Workload) -> Result<Self> {
        workload.check()?;
        Self::new(connect::all(endpoint, 0..workload.sockets, |number| workload.query(number), 1)?, workload)
    }

    /// Takes sockets that are connected: socket `i` is in room `i % rooms`.
    ///
    /// # Errors
    /// When the workload is impossible, or is for another number of sockets.
    pub fn new(streams: Vec<Connection>, workload: Workload) -> Result<Self> {
        workload.check()?;
        ensure!(
            streams.len() == workload.sockets,
            "{} sockets are connected, and the workload has {}",
            streams.len(),
            workload.sockets
        );
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        let mut clients = Vec::with_capacity(workload.sockets);
        for (number, stream) in streams.into_iter().enumerate() {
            let flags = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
            epoll::add(&epoll, &stream, EventData::new_u64(number as u64), flags)?;
            clients.push(Client { stream, reader: Reader::of(workload.payload), reads: 0 });
        }
        Ok(Self {
            deliveries: Deliveries::new(workload.sockets, workload.senders, workload.rooms, workload.recipients),
            encoder: match workload.compressed {
                false => Encoder::new(workload.payload, workload.bytes),
                true => Encoder::of_words(workload.payload, workload.bytes),
            },
            outgoing: vec![Vec::new(); workload.sockets],
            next_sender: 0,
            last_arrival: Instant::now(),
            events: Vec::with_capacity(EVENTS),
            scratch: vec![0; SCRATCH],
            workload,
            epoll,
            clients,
        })
    }

    /// Socket `i` is at node `i % nodes`: latencies within a node and between nodes are counted apart.
    #[must_use]
    pub fn spread_over(mut self, nodes: usize) -> Self {
        self.deliveries.spread_over(nodes);
        self
    }

    /// Messages sent so far, counted or not.
    pub fn sent(&self) -> u64 {
        self.deliveries.sent()
    }

    /// Changes the pace for the next run, and how long the load generator waits for more deliveries.
    ///
    /// # Errors
    /// When nothing would be sent.
    pub fn set_pace(&mut self, pace: Pace, pause: Duration) -> Result<()> {
        (self.workload.pace, self.workload.pause) = (pace, pause);
        self.workload.check()
    }

    /// Changes how long the next run counts.
    pub fn count_for(&mut self, measured: Duration) {
        self.workload.measured = measured;
    }

    /// Sends and receives for the planned time, and then waits until everything has arrived. `probe` is called where the
    /// count begins and where it ends.
    ///
    /// # Errors
    /// When a message does not reach every recipient, or arrives twice or out of order.
    pub fn run<P>(&mut self, mut probe: impl FnMut() -> Result<P>) -> Result<LoadResult<P>> {
        let (warm_up, measured) = (self.workload.warm_up, self.workload.measured);
        self.last_arrival = Instant::now();
        let mut schedule = Schedule::new(self.workload.pace, self.last_arrival);
        self.work(warm_up, &mut schedule)?;
        self.deliveries.start_count();
        let (begun, own, first) = (Instant::now(), own_cpu(), probe()?);
        self.work(measured, &mut schedule)?;
        let (elapsed, own_cpu, last) = (begun.elapsed(), own_cpu().saturating_sub(own), probe()?);
        let arrivals = self.deliveries.arrivals().clone();
        self.settle()?;
        Ok(LoadResult { arrivals, elapsed, own_cpu, probes: (first, last) })
    }

    /// Sends at least this many messages, and waits until everything has arrived. With several in flight it sends a few more.
    ///
    /// # Errors
    /// As of [`LoadGenerator::run`].
    pub fn send_messages(&mut self, messages: u64) -> Result<Arrivals> {
        let before = self.sent();
        self.last_arrival = Instant::now();
        self.deliveries.start_count();
        let mut schedule = Schedule::new(self.workload.pace, self.last_arrival);
        while self.sent() - before < messages {
            let now = Instant::now();
            self.send(&mut schedule, now)?;
            self.turn(schedule.wait(PATIENCE, now))?;
        }
        self.settle()?;
        Ok(self.deliveries.arrivals().clone())
    }

    /// Sends and receives for this long.
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

    /// Waits until nothing is in flight, and then for surplus messages.
    fn settle(&mut self) -> Result<()> {
        while self.deliveries.in_flight() > 0 {
            self.turn(PATIENCE)?;
        }
        let until = Instant::now() + STRAYS;
        while Instant::now() < until {
            self.turn(STRAYS)?;
        }
        self.deliveries.check_settled()
    }

    /// Sends what is due. Each sender's messages of one turn leave with one write.
    fn send(&mut self, schedule: &mut Schedule, now: Instant) -> Result<()> {
        let first = self.next_sender;
        let mut sent = 0;
        while let Some(due) = schedule.take_due(self.deliveries.in_flight(), now) {
            let number = self.next_sender;
            self.next_sender = (number + 1) % self.workload.senders;
            let tag = self.deliveries.send(number, due)?;
            self.encoder.append(&mut self.outgoing[number], tag);
            sent += 1;
        }
        for number in first..first + sent.min(self.workload.senders) {
            self.write(number % self.workload.senders)?;
        }
        Ok(())
    }

    fn write(&mut self, number: usize) -> Result<()> {
        let (outgoing, stream) = (&mut self.outgoing[number], &mut self.clients[number].stream);
        loop {
            // With TLS, bytes that are encrypted may wait although nothing else does.
            let wrote = stream.flush().and_then(|()| if outgoing.is_empty() { Ok(0) } else { stream.write(outgoing) });
            match wrote {
                Ok(0) => return Ok(()),
                Ok(wrote) => drop(outgoing.drain(..wrote)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error).with_context(|| format!("socket {number} cannot send")),
            }
        }
    }

    /// Reads and writes what is possible. Waits for an event for at most `wait`.
    fn turn(&mut self, wait: Duration) -> Result<()> {
        let mut events = std::mem::take(&mut self.events);
        events.clear();
        match epoll::wait(&self.epoll, spare_capacity(&mut events), Some(&Timespec::try_from(wait)?)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let (in_flight, now) = (self.deliveries.in_flight(), Instant::now());
        if in_flight == 0 || !events.is_empty() {
            self.last_arrival = now;
        }
        ensure!(
            now - self.last_arrival < PATIENCE,
            "nothing arrived for {PATIENCE:?}, and {in_flight} messages are in flight"
        );
        for event in &events {
            let (number, flags) = (usize::try_from(event.data.u64())?, event.flags);
            if flags.intersects(EventFlags::IN | EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR) {
                self.read(number).with_context(|| format!("on socket {number}"))?;
            }
            if flags.contains(EventFlags::OUT) {
                self.write(number)?;
            }
        }
        let gather =
            events.len() < FEW_EVENTS && self.deliveries.pending() > FEW_EVENTS && !self.workload.pause.is_zero();
        self.events = events;
        if gather {
            std::thread::sleep(self.workload.pause);
        }
        Ok(())
    }

    fn read(&mut self, number: usize) -> Result<()> {
        let Self { clients, deliveries, scratch, workload, outgoing, .. } = self;
        clients[number].delay_acknowledgements();
        let Client { stream, reader, .. } = &mut clients[number];
        let message_bytes = workload.payload.framed(workload.bytes);
        loop {
            let read = match stream.read(scratch) {
                Ok(0) => bail!("the server closed the connection"),
                Ok(read) => read,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return self.write(number),
                Err(error) => return Err(error.into()),
            };
            let now = Instant::now();
            deliveries.add_bytes(read);
            reader.read(&scratch[..read], |arrived| match arrived {
                Arrived::Message(tag, bytes) if bytes == message_bytes => deliveries.arrive(number, tag, now),
                Arrived::Compressed if workload.compressed => deliveries.arrive_compressed(number, now),
                // Written below, or when the socket is writable again.
                Arrived::Ping => {
                    outgoing[number].extend_from_slice(PONG);
                    Ok(())
                }
                Arrived::EnginePing => {
                    outgoing[number].extend_from_slice(ENGINE_PONG);
                    Ok(())
                }
                Arrived::NatsPing => {
                    outgoing[number].extend(nats::pong());
                    Ok(())
                }
                other => bail!("the server sent {other:?}"),
            })?;
            // A short read was all there was: epoll reports what arrives later. With TLS it is one record.
            if read < scratch.len() && !stream.is_encrypted() {
                return self.write(number);
            }
        }
    }
}

/// Processor time that this thread has used so far.
fn own_cpu() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap_or_default()
}
