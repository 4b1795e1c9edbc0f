//! The limit: one OS thread, one edge-triggered epoll, one buffer, and no more system calls than it takes.

use rustix::event::epoll::{self, EventFlags};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};

use std::io;
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd;

const LISTENER: u64 = u64::MAX;

/// A connection, and what did not fit into its socket's buffer.
struct Connection {
    stream: TcpStream,
    unsent: Vec<u8>,
}

pub(crate) fn serve(listener: &TcpListener) -> io::Result<()> {
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    listener.set_nonblocking(true)?;
    epoll::add(
        &epoll,
        listener,
        epoll::EventData::new_u64(LISTENER),
        EventFlags::IN,
    )?;
    // By descriptor.
    let mut connections: Vec<Option<Connection>> = Vec::new();
    let mut buffer = [0; 4096];
    let mut events = Vec::with_capacity(1024);
    loop {
        events.clear();
        match epoll::wait(&epoll, rustix::buffer::spare_capacity(&mut events), None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        for event in &events {
            if event.data.u64() == LISTENER {
                while let Ok((stream, _)) = listener.accept() {
                    stream.set_nonblocking(true)?;
                    stream.set_nodelay(true)?;
                    let number = stream.as_raw_fd() as usize;
                    let flags =
                        EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
                    epoll::add(
                        &epoll,
                        &stream,
                        epoll::EventData::new_u64(number as u64),
                        flags,
                    )?;
                    if connections.len() <= number {
                        connections.resize_with(number + 1, || None);
                    }
                    connections[number] = Some(Connection {
                        stream,
                        unsent: Vec::new(),
                    });
                }
                continue;
            }
            let slot = &mut connections[event.data.u64() as usize];
            let ending = EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR;
            let flags = event.flags;
            if let Some(connection) = slot
                && !connection.turn(&mut buffer, flags.intersects(ending))
            {
                *slot = None;
            }
        }
    }
}

impl Connection {
    /// Sends back what is here; false when the connection is at its end.
    fn turn(&mut self, buffer: &mut [u8], ending: bool) -> bool {
        while !self.unsent.is_empty() {
            match send(&self.stream, &self.unsent, SendFlags::NOSIGNAL) {
                Ok(length) => drop(self.unsent.drain(..length)),
                Err(error) => return error == Errno::AGAIN,
            }
        }
        loop {
            let length = match recv(&self.stream, &mut *buffer, RecvFlags::empty()) {
                Ok((0, _)) => return false,
                Ok((length, _)) => length,
                Err(error) => return error == Errno::AGAIN,
            };
            match send(&self.stream, &buffer[..length], SendFlags::NOSIGNAL) {
                Ok(sent) if sent == length => {}
                Ok(sent) => {
                    self.unsent.extend_from_slice(&buffer[sent..length]);
                    // The rest goes when there is room again, and more is read after that.
                    return true;
                }
                Err(Errno::AGAIN) => {
                    self.unsent.extend_from_slice(&buffer[..length]);
                    return true;
                }
                Err(_) => return false,
            }
            // A short read leaves nothing behind, unless the end comes with it.
            if length < buffer.len() && !ending {
                return true;
            }
        }
    }
}
