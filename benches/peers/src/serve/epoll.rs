//! The limit among the servers: one loop for each worker, each with an edge-triggered epoll and a
//! buffer, and no more system calls than necessary. A single loop accepts by itself; with several,
//! a separate thread distributes connections in turn.

use std::io;
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::io::Errno;
use rustix::time::Timespec;

use super::service::{BUFFER, LIMIT, Service, answer};
use crate::connection::Connection;

const LISTENER: u64 = u64::MAX;

struct Known {
    connection: Connection,
    /// Time of the last activity, where that matters.
    heard: Instant,
}

/// The state shared by the accepting thread and a loop.
struct Shared {
    epoll: OwnedFd,
    /// Connections that the loop has not yet handled.
    dealt: Mutex<Vec<TcpStream>>,
}

struct Loop {
    shared: Arc<Shared>,
    service: Service,
    /// Indexed by descriptor.
    connections: Vec<Option<Known>>,
}

pub(crate) fn serve(listener: &TcpListener, workers: usize, service: Service) -> io::Result<()> {
    let mut loops = Vec::new();
    for _ in 0..workers {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let dealt = Mutex::default();
        loops.push(Arc::new(Shared { epoll, dealt }));
    }
    if let [only] = &loops[..] {
        listener.set_nonblocking(true)?;
        let key = EventData::new_u64(LISTENER);
        epoll::add(&only.epoll, listener, key, EventFlags::IN)?;
        return Loop::new(only, service).run(Some(listener));
    }
    for shared in &loops {
        let mut own = Loop::new(shared, service);
        thread::spawn(move || own.run(None));
    }
    for shared in loops.iter().cycle() {
        let (stream, _) = listener.accept()?;
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        let twin = stream.as_raw_fd();
        let mut dealt = shared.dealt.lock().unwrap_or_else(PoisonError::into_inner);
        // Under the lock, because the loop owns the stream as soon as it sees it.
        register(&shared.epoll, &stream, twin as u64)?;
        dealt.push(stream);
    }
    Ok(())
}

fn register(epoll: &OwnedFd, stream: &TcpStream, number: u64) -> io::Result<()> {
    let flags = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
    Ok(epoll::add(
        epoll,
        stream,
        EventData::new_u64(number),
        flags,
    )?)
}

impl Loop {
    fn new(shared: &Arc<Shared>, service: Service) -> Loop {
        Loop {
            shared: Arc::clone(shared),
            service,
            connections: Vec::new(),
        }
    }

    fn keep(&mut self, stream: TcpStream) {
        let number = stream.as_raw_fd() as usize;
        if self.connections.len() <= number {
            self.connections.resize_with(number + 1, || None);
        }
        self.connections[number] = Some(Known {
            connection: Connection::new(stream),
            heard: Instant::now(),
        });
    }

    fn run(&mut self, listener: Option<&TcpListener>) -> io::Result<()> {
        let limited = self.service.is_limited();
        let second = Timespec {
            tv_sec: 1,
            tv_nsec: 0,
        };
        let mut buffer = [0; BUFFER];
        let mut events = Vec::with_capacity(1024);
        let mut swept = Instant::now();
        let mut now = swept;
        loop {
            events.clear();
            let room = rustix::buffer::spare_capacity(&mut events);
            match epoll::wait(&self.shared.epoll, room, limited.then_some(&second)) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            if limited {
                now = Instant::now();
                if now - swept > Duration::from_secs(1) {
                    swept = now;
                    let late = |known: &mut Known| now - known.heard > LIMIT;
                    self.connections
                        .iter_mut()
                        .for_each(|slot| drop(slot.take_if(late)));
                }
            }
            for event in &events {
                let number = event.data.u64();
                if number == LISTENER {
                    while let Some(Ok((stream, _))) = listener.map(TcpListener::accept) {
                        stream.set_nonblocking(true)?;
                        stream.set_nodelay(true)?;
                        let key = stream.as_raw_fd() as u64;
                        register(&self.shared.epoll, &stream, key)?;
                        self.keep(stream);
                    }
                    continue;
                }
                let known = self.connections.get(number as usize);
                if known.is_none_or(Option::is_none) {
                    let dealt = &self.shared.dealt;
                    let mut dealt = dealt.lock().unwrap_or_else(PoisonError::into_inner);
                    let new = std::mem::take(&mut *dealt);
                    drop(dealt);
                    new.into_iter().for_each(|stream| self.keep(stream));
                }
                let Some(slot) = self.connections.get_mut(number as usize) else {
                    continue;
                };
                let ending = EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR;
                let flags = event.flags;
                if let Some(known) = slot {
                    known.heard = now;
                    let ending = flags.intersects(ending);
                    let service = self.service;
                    let goes_on = known
                        .connection
                        .turn(&mut buffer, ending, |input| answer(service, input));
                    if !goes_on {
                        *slot = None;
                    }
                }
            }
        }
    }
}
