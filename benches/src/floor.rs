//! The floor: the least that a server can do for a room. One thread, epoll, a minimal handshake; each frame is unmasked
//! and sent to every socket of the room by plain send(2). No queues, no objects, no timeouts, no limits: a socket that
//! does not read stops all others. Whatever a real server takes more than this is what it costs.

mod client;

use std::collections::HashMap;
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::rc::Rc;

use anyhow::{Context, Result};
use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};

use crate::server::READY;
use client::{Client, Heard};

/// The token of the listener; clients have their number.
const LISTENER: u64 = u64::MAX;

/// Read at once.
const SCRATCH: usize = 256 * 1024;

/// Events taken at once.
const EVENTS: usize = 1024;

struct Floor {
    epoll: OwnedFd,
    listener: TcpListener,
    clients: HashMap<u64, Client>,
    next_client: u64,
    rooms: HashMap<String, Room>,
    /// Whether what is read at once is sent at once, each socket's frames in one send.
    joined: bool,
}

#[derive(Default)]
struct Room {
    sockets: Vec<(u64, Rc<TcpStream>)>,
    /// What is to be sent, in frames. Always empty after a turn of the loop.
    frames: Vec<u8>,
}

impl Room {
    fn send(&mut self) {
        for (_, socket) in &self.sockets {
            // The sockets block, so all of it goes out. An error means that it has closed, which reading will tell.
            let _ = rustix::net::send(socket, &self.frames, SendFlags::NOSIGNAL);
        }
        self.frames.clear();
    }
}

/// Serves on a free port of the loopback address until the process is killed. `joined`: frames that were read in one
/// turn of the loop are sent with one send a socket; otherwise each with its own.
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
                number => floor.hear(number, &mut scratch),
            }
        }
        for room in floor.rooms.values_mut().filter(|room| !room.frames.is_empty()) {
            room.send();
        }
    }
}

/// As long a queue as our own server asks for: a crowd connects fast.
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
                .context("a connection cannot be watched")?;
            self.clients.insert(number, Client::new(socket));
        }
        Ok(())
    }

    fn hear(&mut self, number: u64, scratch: &mut [u8]) {
        let Some(client) = self.clients.get_mut(&number) else { return };
        match rustix::net::recv(&client.socket, &mut *scratch, RecvFlags::DONTWAIT) {
            Ok((read @ 1.., _)) => {
                let joined = self.joined;
                let rooms = &mut self.rooms;
                let heard = client.hear(&mut scratch[..read], |client, heard| match heard {
                    Heard::Entered(name) => {
                        rooms.entry(name.into()).or_default().sockets.push((number, Rc::clone(&client.socket)));
                    }
                    Heard::Frame(frame) => {
                        let Some(room) = rooms.get_mut(client.room.as_str()) else { return };
                        room.frames.extend_from_slice(frame);
                        if !joined {
                            room.send();
                        }
                    }
                });
                if heard.is_err() {
                    self.forget(number);
                }
            }
            Err(Errno::AGAIN | Errno::INTR) => {}
            Ok(_) | Err(_) => self.forget(number),
        }
    }

    /// Closes it, as nobody holds it any more.
    fn forget(&mut self, number: u64) {
        if let Some(client) = self.clients.remove(&number)
            && let Some(room) = self.rooms.get_mut(&client.room)
        {
            room.sockets.retain(|(other, _)| *other != number);
        }
    }
}
