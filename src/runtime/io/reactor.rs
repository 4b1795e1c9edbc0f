//! A worker's reactor: the only file that names polling.
//!
//! polling owns the poller's descriptor; on Linux registration and the wait are one system call
//! each on that descriptor (`sys::epoll` says why), elsewhere both go through polling. Either way a
//! source is registered once, edge-triggered, in both directions, under the address of its core.
//!
//! R1. The reactor dereferences the key of an event while it delivers a batch, and at no other
//!     time; no green thread runs on its worker meanwhile.
//! R2. A source's core that was registered is dropped by a green thread of its worker, which does
//!     not run during a delivery (the waker of a task does, and may drop a source),
//!     or handed to [`ReactorHandle::retire`], which keeps it until the worker has finished the
//!     batch that it may be in. A source is deleted from the poller first, so later batches do not
//!     name it.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Arc, Mutex, Weak};

use polling::Poller;

use super::scheduled_io::ScheduledIo;
use crate::green::context::remote::Remote;
use crate::shim::lock;
use crate::sys::clock::Tick;
use crate::sys::poll::standard::beside_standard;
use crate::sys::poll::timer_fd::TimerFd;

/// The key of the notifier; no core has that address.
const WAKE_KEY: usize = 0;

/// The part of a reactor that other threads may use.
#[derive(Debug)]
pub(crate) struct ReactorHandle {
    poller: Poller,
    remote: &'static Remote,
    /// None once the worker has ended.
    pending: Mutex<Option<Retired>>,
}

#[derive(Debug, Default)]
struct Retired {
    /// Cores that other threads have dropped.
    retired: Vec<Arc<ScheduledIo>>,
    /// Cores that threads of other workers, or tasks, wait for.
    foreign: Vec<Weak<ScheduledIo>>,
    /// At this number of them, those that are gone are removed.
    sweep_at: usize,
}

impl Retired {
    const MIN_SWEEP: usize = 64;

    fn add_foreign(&mut self, core: &Arc<ScheduledIo>) {
        if self.foreign.len() >= self.sweep_at {
            // Half of the entries are new since the last sweep, so that each pays for two checks.
            self.foreign.retain(|foreign| foreign.strong_count() > 0);
            self.sweep_at = 2 * self.foreign.len();
        }
        self.sweep_at = self.sweep_at.max(Retired::MIN_SWEEP);
        self.foreign.push(Arc::downgrade(core));
    }
}

impl ReactorHandle {
    /// Registers a source for both directions.
    pub(crate) fn register(&self, fd: BorrowedFd<'_>, core: &Arc<ScheduledIo>) -> io::Result<()> {
        register(&self.poller, fd, Arc::as_ptr(core) as usize)
    }

    /// Deletes a source. Errors mean that it is gone already.
    pub(crate) fn deregister(&self, fd: BorrowedFd<'_>) {
        let _gone = self.poller.delete(fd);
    }

    /// Takes a core that another thread has dropped, after [`ReactorHandle::deregister`] (R2).
    pub(crate) fn retire(&self, core: Arc<ScheduledIo>) {
        const FREE_BATCH: usize = 64;
        let mut pending = lock(&self.pending);
        if let Some(Retired { retired, .. }) = &mut *pending {
            retired.push(core);
            if retired.len() % FREE_BATCH == 0 {
                drop(pending);
                self.remote.notifier.wake();
            }
        }
    }

    /// Records that a thread of another worker, or a task, waits for `core`. Returns false if the
    /// worker has ended.
    pub(super) fn take_foreign(&self, core: &Arc<ScheduledIo>) -> bool {
        match &mut *lock(&self.pending) {
            Some(pending) => {
                pending.add_foreign(core);
                true
            }
            None => false,
        }
    }

    /// Returns the poller's own descriptor, which is readable while the reactor has unseen events.
    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.poller.as_fd()
    }

    pub(crate) fn is_closed(&self) -> bool {
        lock(&self.pending).is_none()
    }
}

/// A reactor. Only its worker uses it.
pub(crate) struct Reactor {
    reactor_handle: Arc<ReactorHandle>,
    events: Events,
}

impl Reactor {
    /// Creates a reactor that the notifier of `remote` wakes.
    pub(crate) fn new(remote: &'static Remote) -> io::Result<Reactor> {
        let poller = beside_standard(Poller::new)?;
        remote.notifier.with_wakeup(|wakeup| match wakeup {
            Some(wakeup) => register(&poller, wakeup.as_fd(), WAKE_KEY),
            None => Ok(()),
        })?;
        Ok(Reactor {
            reactor_handle: Arc::new(ReactorHandle {
                poller,
                remote,
                pending: Mutex::new(Some(Retired::default())),
            }),
            events: new_events(),
        })
    }

    pub(crate) fn reactor_handle(&self) -> &Arc<ReactorHandle> {
        &self.reactor_handle
    }

    /// Makes the descriptor of [`ReactorHandle::fd`] readable for as long as `fd` is. Its events
    /// wake no thread.
    pub(crate) fn mirror(&self, fd: BorrowedFd<'_>) -> io::Result<()> {
        register_level(&self.reactor_handle.poller, fd, WAKE_KEY)
    }

    /// Creates a timer that ends a wait; `None` if the system has none left.
    pub(crate) fn new_alarm(&self) -> Option<TimerFd> {
        let alarm = TimerFd::KEEPS_TIME.then(TimerFd::new)?.ok()?;
        self.mirror(alarm.as_fd()).ok()?;
        Some(alarm)
    }

    /// Waits for at most `timeout` nanoseconds and delivers the events. Returns true if a source
    /// had one, not only the notifier.
    pub(crate) fn poll(&mut self, timeout: Tick) -> io::Result<bool> {
        wait(&self.reactor_handle.poller, &mut self.events, timeout)?;
        Ok(deliver(&self.events))
    }

    /// Frees the cores that other threads have retired. Not called during a delivery (R2).
    pub(crate) fn free_retired(&self) {
        let cores = lock(&self.reactor_handle.pending)
            .as_mut()
            .map(|pending| std::mem::take(&mut pending.retired));
        drop(cores);
    }

    /// Closes the reactor when its worker ends: no thread of its own waits here any more, and
    /// foreign waiters must register elsewhere.
    pub(crate) fn close(&self) {
        let pending = lock(&self.reactor_handle.pending)
            .take()
            .unwrap_or_default();
        for foreign_io in pending.foreign.iter().filter_map(Weak::upgrade) {
            foreign_io.wake_all();
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
        for event in events.iter().filter(|event| event.key != WAKE_KEY) {
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
        for event in events.iter().filter(|event| event.key != WAKE_KEY) {
            any = true;
            // Without RDHUP a short read cannot be told from the last one, so a source never counts
            // as drained.
            ScheduledIo::deliver(event.key, event.readable, event.writable, true);
        }
        any
    }
}

use by_platform::{Events, deliver, new_events, register, register_level, wait};
