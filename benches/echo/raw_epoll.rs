//! The limit: one OS thread, one edge-triggered epoll, one buffer, and no more system calls than
//! necessary.

use crate::support::connection::Connection;

use rustix::event::epoll::{self, EventFlags};
use rustix::io::Errno;

use std::io;
use std::net::TcpListener;
use std::os::fd::AsRawFd;

const LISTENER: u64 = u64::MAX;

pub(crate) fn serve(listener: &TcpListener) -> io::Result<()> {
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    listener.set_nonblocking(true)?;
    epoll::add(
        &epoll,
        listener,
        epoll::EventData::new_u64(LISTENER),
        EventFlags::IN,
    )?;
    // Indexed by descriptor.
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
                    connections[number] = Some(Connection::new(stream));
                }
                continue;
            }
            let slot = &mut connections[event.data.u64() as usize];
            let ending = EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR;
            let flags = event.flags;
            if let Some(connection) = slot
                && !connection.turn(&mut buffer, flags.intersects(ending), |bytes| bytes)
            {
                *slot = None;
            }
        }
    }
}
