//! The floor: the least that a server can do for a room. It has one thread, epoll and a minimal handshake. It unmasks each frame
//! and sends it to every socket of the room with send(2). It has no queues, objects, timeouts or limits: a socket that does not
//! read blocks all others. What a real server uses beyond this is the cost of being a real server.

use std::collections::HashMap;
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::rc::Rc;

use anyhow::{Context, Result};
use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};

use super::floor_client::{FloorClient, FloorEvent};
use super::process::READY;

/// The epoll token of the listener. The tokens of clients are their numbers.
const LISTENER: u64 = u64::MAX;

/// Bytes read at once.
const SCRATCH: usize = 256 * 1024;

/// Events taken at once.
const EVENTS: usize = 1024;

struct Floor {
    epoll: OwnedFd,
    listener: TcpListener,
    clients: HashMap<u64, FloorClient>,
    next_client: u64,
    rooms: HashMap<String, Room>,
    /// Whether everything read in one turn of the loop is sent with one send per socket.
    joined: bool,
}

#[derive(Default)]
struct Room {
    sockets: Vec<(u64, Rc<TcpStream>)>,
    /// Frames to be sent. Empty after each turn of the loop.
    frames: Vec<u8>,
}

impl Room {
    fn send(&mut self) {
        for (_, socket) in &self.sockets {
            // The sockets are blocking, so everything is sent. An error means that the socket has closed: reading will report it.
            let _ = rustix::net::send(socket, &self.frames, SendFlags::NOSIGNAL);
        }
        self.frames.clear();
    }
}

/// Serves on a free port of the loopback address until the process is killed. `joined`: everything read in one turn of the
/// loop is sent with one send per socket, otherwise with one send per frame and socket.
///
/// # Errors
/// When the operating system refuses something.
pub fn run(joined: bool) -> Result<()> {
    let listener = listen()?;
    println!("{READY}{}", listener.local_addr()?);
    let epoll = epoll::create(CreateFlags::CLOEXEC)?;
    epoll::add(&epoll, &listener, EventData::new_u64(LISTENER), EventFlags::IN)?;
    let mut floor = Floor { epoll, listener, clients: HashMap::new(), next_client: 0, rooms: HashMap::new(), joined };
    let mut scratch = vec![0; SCRATCH];
    let mut events = Vec::with_capacity(EVENTS);
    loop {
        events.clear();
        match epoll::wait(&floor.epoll, spare_capacity(&mut events), None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        for event in &events {
            match event.data.u64() {
                LISTENER => floor.accept()?,
                number => floor.read(number, &mut scratch),
            }
        }
        for room in floor.rooms.values_mut().filter(|room| !room.frames.is_empty()) {
            room.send();
        }
    }
}

/// The queue of connections is as long as in our own server.
fn listen() -> Result<TcpListener> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    rustix::net::listen(&listener, 4096)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

impl Floor {
    fn accept(&mut self) -> Result<()> {
        while let Ok((socket, _)) = self.listener.accept() {
            socket.set_nodelay(true)?;
            let number = self.next_client;
            self.next_client += 1;
            epoll::add(&self.epoll, &socket, EventData::new_u64(number), EventFlags::IN | EventFlags::RDHUP)
                .context("epoll refuses a connection")?;
            self.clients.insert(number, FloorClient::new(socket));
        }
        Ok(())
    }

    fn read(&mut self, number: u64, scratch: &mut [u8]) {
        let Some(client) = self.clients.get_mut(&number) else { return };
        match rustix::net::recv(client.socket(), &mut *scratch, RecvFlags::DONTWAIT) {
            Ok((read @ 1.., _)) => {
                let joined = self.joined;
                let rooms = &mut self.rooms;
                let done = client.read(&mut scratch[..read], |client, event| match event {
                    FloorEvent::Entered(name) => {
                        rooms.entry(name.into()).or_default().sockets.push((number, Rc::clone(client.socket())));
                    }
                    FloorEvent::Frame(frame) => {
                        let Some(room) = rooms.get_mut(client.room()) else { return };
                        room.frames.extend_from_slice(frame);
                        if !joined {
                            room.send();
                        }
                    }
                });
                if done.is_err() {
                    self.remove(number);
                }
            }
            Err(Errno::AGAIN | Errno::INTR) => {}
            Ok(_) | Err(_) => self.remove(number),
        }
    }

    /// Drops the last handles of a client's socket, which closes it.
    fn remove(&mut self, number: u64) {
        if let Some(client) = self.clients.remove(&number)
            && let Some(room) = self.rooms.get_mut(client.room())
        {
            room.sockets.retain(|(other, _)| *other != number);
        }
    }
}
