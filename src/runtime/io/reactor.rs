//! A worker's reactor: the only file that names polling.
//!
//! polling owns the poller's descriptor; on Linux registration and the wait are one system call each on
//! that descriptor (`sys::epoll` says why), elsewhere both go through polling. Either way a source is
//! registered once, edge-triggered, in both directions, under the address of its core.
//!
//! R1. The reactor dereferences the key of an event while it delivers a batch, and at no other time; no
//!     green thread runs on its worker meanwhile.
//! R2. A source's core that was registered is dropped by its worker's thread outside of a delivery, or
//!     handed to [`Port::retire`], which keeps it until the worker has finished the batch that it may be in. A
//!     source is deleted from the poller first, so later batches do not name it.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Arc, Mutex, Weak};

use polling::Poller;

use super::scheduled_io::ScheduledIo;
use crate::green::context::remote::Mailbox;
use crate::shim::lock;
use crate::sys::clock::Tick;

/// The key of the bell; no core has that address.
const BELL: usize = 0;

/// The part of a reactor that other threads may use.
#[derive(Debug)]
pub(crate) struct Port {
    poller: Poller,
    mailbox: &'static Mailbox,
    /// None once the worker has ended.
    kept: Mutex<Option<Kept>>,
}

#[derive(Debug, Default)]
struct Kept {
    /// Cores that other threads have dropped.
    retired: Vec<Arc<ScheduledIo>>,
    /// Cores that threads of other workers wait for.
    guests: Vec<Weak<ScheduledIo>>,
}

impl Port {
    /// Registers a source for both directions.
    pub(crate) fn register(&self, fd: BorrowedFd<'_>, core: &Arc<ScheduledIo>) -> io::Result<()> {
        register(&self.poller, fd, Arc::as_ptr(core) as usize)
    }

    /// Deletes a source. Errors mean that it is gone already.
    pub(crate) fn deregister(&self, fd: BorrowedFd<'_>) {
        let _gone = self.poller.delete(fd);
    }

    /// R2, from another thread, after [`Port::deregister`].
    pub(crate) fn retire(&self, core: Arc<ScheduledIo>) {
        const MANY: usize = 64;
        let mut kept = lock(&self.kept);
        if let Some(Kept { retired, .. }) = &mut *kept {
            retired.push(core);
            if retired.len() % MANY == 0 {
                drop(kept);
                self.mailbox.bell.ring();
            }
        }
    }

    /// Remembers that a thread of another worker waits for `core`. False: the worker has ended.
    pub(super) fn take_guest(&self, core: &Arc<ScheduledIo>) -> bool {
        match &mut *lock(&self.kept) {
            Some(kept) => {
                kept.guests.retain(|guest| guest.strong_count() > 0);
                kept.guests.push(Arc::downgrade(core));
                true
            }
            None => false,
        }
    }

    /// The poller's own descriptor: readable while there are events that the reactor has not seen.
    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.poller.as_fd()
    }

    pub(crate) fn is_closed(&self) -> bool {
        lock(&self.kept).is_none()
    }
}

/// The reactor, its worker's alone.
pub(crate) struct Reactor {
    port: Arc<Port>,
    events: Events,
}

impl Reactor {
    /// A reactor that the bell of `mailbox` wakes.
    pub(crate) fn new(mailbox: &'static Mailbox) -> io::Result<Reactor> {
        let poller = Poller::new()?;
        mailbox.bell.with_line(|line| match line {
            Some(line) => register(&poller, line.as_fd(), BELL),
            None => Ok(()),
        })?;
        Ok(Reactor {
            port: Arc::new(Port {
                poller,
                mailbox,
                kept: Mutex::new(Some(Kept::default())),
            }),
            events: new_events(),
        })
    }

    pub(crate) fn port(&self) -> &Arc<Port> {
        &self.port
    }

    /// Makes the descriptor of [`Port::fd`] readable for as long as `fd` is. Its events wake nobody.
    pub(crate) fn mirror(&self, fd: BorrowedFd<'_>) -> io::Result<()> {
        register_level(&self.port.poller, fd, BELL)
    }

    /// Waits for at most `timeout` nanoseconds and delivers what has happened. True: to a source, not the bell only.
    pub(crate) fn poll(&mut self, timeout: Tick) -> io::Result<bool> {
        wait(&self.port.poller, &mut self.events, timeout)?;
        Ok(deliver(&self.events))
    }

    /// Drops what other threads have retired. Not during a delivery (R2).
    pub(crate) fn sweep(&self) {
        let cores = lock(&self.port.kept)
            .as_mut()
            .map(|kept| std::mem::take(&mut kept.retired));
        drop(cores);
    }

    /// The worker ends: nobody of its own waits here any more, and others must look for another home.
    pub(crate) fn close(&self) {
        let kept = lock(&self.port.kept).take().unwrap_or_default();
        for guest in kept.guests.iter().filter_map(Weak::upgrade) {
            guest.rouse();
        }
    }
}

#[cfg(all(target_os = "linux", not(rustlet_portable)))]
mod by_platform {
    use super::*;
    use crate::sys::poll::epoll;

    pub(super) type Events = epoll::Events;

    pub(super) fn new_events() -> Events {
        Events::with_capacity(1024)
    }

    pub(super) fn register(poller: &Poller, fd: BorrowedFd<'_>, key: usize) -> io::Result<()> {
        epoll::register(poller.as_fd(), fd, key)
    }

    pub(super) fn register_level(
        poller: &Poller,
        fd: BorrowedFd<'_>,
        key: usize,
    ) -> io::Result<()> {
        epoll::register_level(poller.as_fd(), fd, key)
    }

    pub(super) fn wait(poller: &Poller, events: &mut Events, timeout: Tick) -> io::Result<()> {
        events.wait(poller.as_fd(), timeout)
    }

    pub(super) fn deliver(events: &Events) -> bool {
        let mut any = false;
        for event in events.iter().filter(|event| event.key != BELL) {
            any = true;
            ScheduledIo::deliver(event.key, event.readable, event.writable, event.ended);
        }
        any
    }
}

#[cfg(not(all(target_os = "linux", not(rustlet_portable))))]
mod by_platform {
    #![allow(
        unsafe_code,
        reason = "polling asks that a source is deleted before it is closed"
    )]
    use super::*;
    use crate::sys::clock::NEVER;
    use polling::{Event, PollMode};
    use std::os::fd::AsRawFd;
    use std::time::Duration;

    pub(super) type Events = polling::Events;

    pub(super) fn new_events() -> Events {
        Events::new()
    }

    pub(super) fn register(poller: &Poller, fd: BorrowedFd<'_>, key: usize) -> io::Result<()> {
        // SAFETY: R2, a source is deleted before it is closed.
        unsafe { poller.add_with_mode(fd.as_raw_fd(), Event::all(key), PollMode::Edge) }
    }

    pub(super) fn register_level(
        poller: &Poller,
        fd: BorrowedFd<'_>,
        key: usize,
    ) -> io::Result<()> {
        // SAFETY: the descriptor and the poller are closed together, by the worker that has both.
        unsafe { poller.add_with_mode(fd.as_raw_fd(), Event::readable(key), PollMode::Level) }
    }

    pub(super) fn wait(poller: &Poller, events: &mut Events, timeout: Tick) -> io::Result<()> {
        events.clear();
        let timeout = (timeout != NEVER).then(|| Duration::from_nanos(timeout));
        poller.wait(events, timeout).map(|_| ())
    }

    pub(super) fn deliver(events: &Events) -> bool {
        let mut any = false;
        for event in events.iter().filter(|event| event.key != BELL) {
            any = true;
            // Without RDHUP nothing tells a short read from the last one: never take it for drained.
            ScheduledIo::deliver(event.key, event.readable, event.writable, true);
        }
        any
    }
}

use by_platform::{Events, deliver, new_events, register, register_level, wait};
