//! The descriptor that wakes a sleeping worker: an eventfd on Linux, a pipe elsewhere.
//!
//! E1. It is registered edge-triggered and never read: each write is an edge of its own. An eventfd
//!     holds 2^64 - 2 writes; a pipe that is full has an edge pending already, so a failed write is
//!     as good as one that succeeded.

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
        #[cfg(any(target_os = "linux", target_os = "android"))]
        {
            use rustix::event::{EventfdFlags, eventfd};
            let flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK;
            let read = beside_standard(|| Ok(eventfd(0, flags)?))?;
            Ok(EventFd { read, write: None })
        }
        #[cfg(not(any(target_os = "linux", target_os = "android")))]
        {
            let (read, write) = beside_standard(io::pipe)?;
            let (read, write) = (OwnedFd::from(read), OwnedFd::from(write));
            rustix::io::ioctl_fionbio(&write, true)?;
            Ok(EventFd {
                read,
                write: Some(write),
            })
        }
    }

    /// Signals the descriptor, with an edge. Never blocks.
    pub(crate) fn signal(&self) {
        let end = self.write.as_ref().unwrap_or(&self.read);
        // E1: an error means that the descriptor is full, and so readable, already.
        let _full = rustix::io::write(end, &1u64.to_ne_bytes());
    }
}

impl AsFd for EventFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.read.as_fd()
    }
}
