//! The descriptor that wakes a sleeping worker: an eventfd on Linux, a pipe elsewhere.
//!
//! E1. It is registered edge-triggered, and not read when it is readable: each write is an edge of
//!     its own. An eventfd holds 2^64 - 2 writes. A pipe that is full is emptied and written again,
//!     because a failed write is an edge on Linux, but not on other systems. Of several threads
//!     that do so at once, the last one to empty it writes after that.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use super::standard::beside_standard;

/// A descriptor that becomes readable, with an edge, each time it is signalled.
#[derive(Debug)]
pub(crate) struct EventFd {
    read: OwnedFd,
    write: Option<OwnedFd>,
}

impl EventFd {
    pub(crate) fn new() -> io::Result<EventFd> {
        #[cfg(all(target_os = "linux", not(rustlet_portable)))]
        {
            use rustix::event::{EventfdFlags, eventfd};
            let flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK;
            let read = beside_standard(|| Ok(eventfd(0, flags)?))?;
            Ok(EventFd { read, write: None })
        }
        #[cfg(not(all(target_os = "linux", not(rustlet_portable))))]
        {
            let (read, write) = beside_standard(io::pipe)?;
            let (read, write) = (OwnedFd::from(read), OwnedFd::from(write));
            rustix::io::ioctl_fionbio(&read, true)?;
            rustix::io::ioctl_fionbio(&write, true)?;
            Ok(EventFd {
                read,
                write: Some(write),
            })
        }
    }

    /// Signals the descriptor, with an edge. Never blocks.
    pub(crate) fn signal(&self) {
        let Some(write) = &self.write else {
            // It is never full.
            let _written = rustix::io::write(&self.read, &1u64.to_ne_bytes());
            return;
        };
        // E1.
        loop {
            match rustix::io::write(write, &[1]) {
                Err(rustix::io::Errno::AGAIN) => {
                    let mut bytes = [0; 4096];
                    while rustix::io::read(&self.read, &mut bytes).is_ok_and(|count| count > 0) {}
                }
                // A signal came first, and nothing is written.
                Err(rustix::io::Errno::INTR) => {}
                Ok(_) | Err(_) => return,
            }
        }
    }
}

impl AsFd for EventFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.read.as_fd()
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use rustix::event::epoll;

    /// More signals than a pipe has room for.
    #[test]
    fn each_signal_is_an_edge() {
        let event = EventFd::new().unwrap();
        let set = epoll::create(epoll::CreateFlags::CLOEXEC).unwrap();
        let flags = epoll::EventFlags::IN | epoll::EventFlags::ET;
        epoll::add(&set, &event, epoll::EventData::new_u64(1), flags).unwrap();
        let edges = || {
            let mut seen = [epoll::Event {
                flags: epoll::EventFlags::empty(),
                data: epoll::EventData::new_u64(0),
            }; 2];
            let at_once = rustix::time::Timespec::default();
            epoll::wait(&set, &mut seen, Some(&at_once)).unwrap()
        };
        for n in 0..70_000 {
            event.signal();
            assert_eq!(edges(), 1, "signal {n}");
            assert_eq!(edges(), 0, "signal {n}");
        }
    }
}
