//! The one loop that retries on `WouldBlock`: every operation on every descriptor goes through it.
//!
//! The call is tried first. If it would block, a green thread waits for its source's direction, an
//! OS thread in `poll(2)`. A green thread whose operations never have to wait yields after a budget
//! of them.
//!
//! Any number of threads, green or not, may be in here for one source at once.

mod task;
mod timed_poll;

use std::any::Any;
use std::io::{self, IoSlice};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::panic::{AssertUnwindSafe, Location, catch_unwind, resume_unwind};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec};

use crate::green::park::{CANCEL_POLL_EVERY_NS, check_cancel_os};
use crate::green::{Cancelled, OnCancel, Reason, Wait, Wake, WorkerContext, park};
use crate::runtime::io::source::{Interest, Source};
use crate::sys::clock::{self, NEVER};

pub(crate) use self::task::{poll_io, poll_ready};
pub(crate) use self::timed_poll::{Pauses, is_out_of_descriptors, until_ready_borrowed};

/// How an operation waits.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Mode {
    /// The time limit.
    pub(crate) timeout: Option<Duration>,
    /// Do not wait at all.
    pub(crate) nonblocking: bool,
}

/// Returns the error of a timeout, as in std on Unix.
pub(crate) fn would_block() -> io::Error {
    rustix::io::Errno::AGAIN.into()
}

/// Returns the buffers from the one that contains byte number `sent`, and how much of that one to
/// skip.
pub(crate) fn advance_slices<'a, 'b>(
    mut bufs: &'a [IoSlice<'b>],
    mut sent: usize,
) -> (&'a [IoSlice<'b>], usize) {
    while let [first, others @ ..] = bufs
        && sent >= first.len()
        && sent > 0
    {
        sent -= first.len();
        bufs = others;
    }
    (bufs, sent)
}

/// Performs an operation, waiting until its source is readable. `drained` tells of a success
/// whether it has taken all data.
///
/// # Errors
///
/// Returns the error of `op`; `WouldBlock` when the time has passed or the mode is nonblocking; one
/// that carries [`Cancelled`], in a cancelled thread that is unwinding.
#[track_caller]
#[inline(always)]
pub(crate) fn read<T>(
    source: &Source,
    reason: Reason,
    mode: Mode,
    mut op: impl FnMut(BorrowedFd<'_>) -> io::Result<T>,
    drained: impl Fn(&T) -> bool,
) -> io::Result<T> {
    let Some(cx) = WorkerContext::get() else {
        return on_os_thread(source, PollFlags::IN, reason, mode, Location::caller(), op);
    };
    cx.poll_budget(Location::caller());
    let direction = source.readiness(Interest::Read);
    let mut wait = None;
    loop {
        // Not ready: the last operation has taken all data, and no event came since.
        if direction.is_ready() || mode.nonblocking {
            direction.take();
            match op(source.fd()) {
                Ok(value) => {
                    if !(drained(&value) && source.short_read_drains()) {
                        direction.set_ready();
                    }
                    return Ok(value);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if mode.nonblocking {
                        // No thread waits, so no one would be woken: leave it to the next
                        // operation.
                        direction.set_ready();
                        return Err(error);
                    }
                }
                Err(error) => {
                    direction.set_ready();
                    if error.kind() == io::ErrorKind::Interrupted {
                        continue;
                    }
                    return Err(error);
                }
            }
        }
        wait_once(
            source,
            cx,
            Interest::Read,
            &mut wait,
            reason,
            mode,
            Location::caller(),
        )?;
    }
}

/// Performs an operation, waiting until its source is writable.
///
/// # Errors
///
/// The same as for [`read`].
#[track_caller]
#[inline(always)]
pub(crate) fn write<T>(
    source: &Source,
    reason: Reason,
    mode: Mode,
    mut op: impl FnMut(BorrowedFd<'_>) -> io::Result<T>,
) -> io::Result<T> {
    let Some(cx) = WorkerContext::get() else {
        return on_os_thread(source, PollFlags::OUT, reason, mode, Location::caller(), op);
    };
    cx.poll_budget(Location::caller());
    let mut wait = None;
    let mut taken = false;
    loop {
        match op(source.fd()) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && !mode.nonblocking => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            result => {
                if taken {
                    source.readiness(Interest::Write).set_ready();
                }
                return result;
            }
        }
        if !taken {
            // Writes seldom block, so they do not take the readiness beforehand; an event may have
            // come since.
            source.readiness(Interest::Write).take();
            taken = true;
            continue;
        }
        wait_once(
            source,
            cx,
            Interest::Write,
            &mut wait,
            reason,
            mode,
            Location::caller(),
        )?;
        source.readiness(Interest::Write).take();
    }
}

/// How reliably the system reports the end of a write's wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WritableEvents {
    /// It reports room, but not always that there will be none: a Unix socket with a full buffer is
    /// not reported writable when it, or its peer, is shut down.
    Mostly,
    /// It reports nothing: for a Unix listener whose queue is full, or a Unix receiver whose queue
    /// is full of what others have sent. `epoll` and `poll` look at the sender alone and report it
    /// writable all the time.
    Never,
}

impl WritableEvents {
    /// Returns the pause before the first new attempt, and the longest pause.
    fn pauses(self) -> [Duration; 2] {
        match self {
            WritableEvents::Mostly => [Duration::from_millis(1), Duration::from_millis(100)],
            WritableEvents::Never => [Duration::from_micros(50), Duration::from_millis(10)],
        }
    }
}

/// Performs a [`write`] whose end the system reports only to blocking calls: they sleep in queues
/// that `epoll` and `poll` do not look at. So the operation is retried after pauses that double; an
/// event cuts a pause short.
///
/// # Errors
///
/// The same as for [`read`].
#[track_caller]
#[inline(always)]
pub(crate) fn write_persistently<T>(
    source: &Source,
    reason: Reason,
    mode: Mode,
    events: WritableEvents,
    mut op: impl FnMut(BorrowedFd<'_>) -> io::Result<T>,
) -> io::Result<T> {
    if let Some(cx) = WorkerContext::get() {
        cx.poll_budget(Location::caller());
    }
    loop {
        match op(source.fd()) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && !mode.nonblocking => break,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
    keep_trying(source, reason, mode, events, op, Location::caller())
}

#[cold]
fn keep_trying<T>(
    source: &Source,
    reason: Reason,
    mode: Mode,
    events: WritableEvents,
    mut op: impl FnMut(BorrowedFd<'_>) -> io::Result<T>,
    at: &'static Location<'static>,
) -> io::Result<T> {
    let deadline = mode.timeout.map_or(NEVER, clock::after);
    let direction = source.readiness(Interest::Write);
    let reason = match events {
        WritableEvents::Mostly => reason,
        WritableEvents::Never => reason.of_pause(),
    };
    let mut wait = Wait::at(reason, at).on_cancel(OnCancel::Report);
    let [mut pause, longest] = events.pauses();
    // Where events tell nothing, a failed attempt may be one: after an event that was of no use the
    // thread pauses, otherwise it would try again and again without a pause.
    let mut was_event = false;
    loop {
        direction.take();
        match op(source.fd()) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            result => {
                direction.set_ready();
                return result;
            }
        }
        if deadline <= clock::now() {
            return Err(would_block());
        }
        wait.deadline = clock::after(pause).min(deadline);
        let wake = match (WorkerContext::get(), events) {
            // In a simulation time would stand still after such an event.
            (Some(_), _) if reason == Reason::Retry => park(&wait),
            (Some(_), WritableEvents::Never) if was_event => park(&wait),
            (Some(cx), _) => source.wait(cx, Interest::Write, &wait)?,
            (None, WritableEvents::Never) => park(&wait),
            (None, WritableEvents::Mostly) => poll(
                &mut [PollFd::from_borrowed_fd(source.fd(), PollFlags::OUT)],
                &wait,
            )?,
        };
        was_event = matches!(wake, Wake::Event);
        match wake {
            Wake::Event => {}
            Wake::Elapsed => pause = (2 * pause).min(longest),
            Wake::Cancelled => return Err(cancelled()),
        }
    }
}

/// Waits until `source` is ready one way, without an operation: the caller performs it.
///
/// # Errors
///
/// The same as for [`read`].
#[inline(always)]
fn wait_once(
    source: &Source,
    cx: &WorkerContext,
    interest: Interest,
    wait: &mut Option<Wait>,
    reason: Reason,
    mode: Mode,
    at: &'static Location<'static>,
) -> io::Result<()> {
    let wait = wait.get_or_insert_with(|| io_wait(reason, mode, at).on(descriptor(source.fd())));
    match source.wait(cx, interest, wait)? {
        Wake::Event => Ok(()),
        Wake::Elapsed if wait.deadline <= clock::now() => Err(would_block()),
        Wake::Elapsed => Ok(()),
        Wake::Cancelled => Err(cancelled()),
    }
}

#[inline]
fn io_wait(reason: Reason, mode: Mode, at: &'static Location<'static>) -> Wait {
    Wait::at(reason, at)
        .until(mode.timeout.map_or(NEVER, clock::after))
        .on_cancel(OnCancel::Report)
}

/// Returns the resource that a wait for `fd` names in reports.
fn descriptor(fd: BorrowedFd<'_>) -> usize {
    fd.as_raw_fd() as usize + 1
}

/// Returns the error of an operation that would have to wait in a cancelled thread that is
/// unwinding.
#[cold]
fn cancelled() -> io::Error {
    io::Error::other(Cancelled::new())
}

#[cold]
fn on_os_thread<T>(
    source: &Source,
    flags: PollFlags,
    reason: Reason,
    mode: Mode,
    at: &'static Location<'static>,
    mut op: impl FnMut(BorrowedFd<'_>) -> io::Result<T>,
) -> io::Result<T> {
    let mut wait = None;
    loop {
        match op(source.fd()) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && !mode.nonblocking => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            result => return result,
        }
        let wait = wait.get_or_insert_with(|| io_wait(reason, mode, at));
        match poll(&mut [PollFd::from_borrowed_fd(source.fd(), flags)], wait)? {
            Wake::Event => {}
            Wake::Elapsed => return Err(would_block()),
            Wake::Cancelled => return Err(cancelled()),
        }
    }
}

pub(crate) fn flags(interest: Interest) -> PollFlags {
    match interest {
        Interest::Read => PollFlags::IN,
        Interest::Write => PollFlags::OUT,
    }
}

/// Returns whether `fd` is ready that way right now. Errors and hang-ups count: an operation would
/// not wait.
///
/// # Errors
///
/// `EBADF` when it is not open.
pub(crate) fn is_ready(fd: BorrowedFd<'_>, interest: Interest) -> io::Result<bool> {
    let mut fds = [PollFd::from_borrowed_fd(fd, flags(interest))];
    let now = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    loop {
        match rustix::event::poll(&mut fds, Some(&now)) {
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
            Ok(_) if fds[0].revents().contains(PollFlags::NVAL) => {
                return Err(rustix::io::Errno::BADF.into());
            }
            Ok(count) => return Ok(count > 0),
        }
    }
}

/// Waits until `source` is ready that way, and leaves it so. Returns `false` if the time has passed
/// first.
///
/// # Errors
///
/// The same as for [`read`], except for a timeout.
#[track_caller]
pub(crate) fn until_ready(
    source: &Source,
    interest: Interest,
    timeout: Option<Duration>,
) -> io::Result<bool> {
    let mode = Mode {
        timeout,
        nonblocking: false,
    };
    let check = |fd: BorrowedFd<'_>| match is_ready(fd, interest) {
        Ok(true) => Ok(()),
        Ok(false) => Err(would_block()),
        Err(error) => Err(error),
    };
    let waited = match interest {
        Interest::Read => read(source, Reason::Readiness, mode, check, |_| false),
        Interest::Write => write(source, Reason::Readiness, mode, check),
    };
    match waited {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
        Err(error) => Err(error),
    }
}

/// The suspended unwinding of a cancelled thread.
pub(crate) struct DeferredCancel(Box<dyn Any + Send>);

impl DeferredCancel {
    pub(crate) fn resume(self) -> ! {
        resume_unwind(self.0)
    }
}

/// Calls `f` and holds up a cancellation: for operations in several steps, which must report the
/// steps that they have completed. Then the unwinding may be dropped, and the next wait raises it
/// again.
///
/// # Errors
///
/// It was cancelled.
/// It was cancelled.
pub(crate) fn defer_cancel<T>(f: impl FnOnce() -> T) -> Result<T, DeferredCancel> {
    match catch_unwind(AssertUnwindSafe(f)) {
        Ok(value) => Ok(value),
        Err(payload) if Cancelled::is(&*payload) => Err(DeferredCancel(payload)),
        Err(payload) => resume_unwind(payload),
    }
}

/// Charges an operation that did not have to wait to the budget.
#[track_caller]
pub(crate) fn poll_budget() {
    if let Some(cx) = WorkerContext::get() {
        cx.poll_budget(Location::caller());
    }
}

/// Performs an operation without waiting. Returns `None` if it would wait; then the caller may wait
/// with [`either_readable`].
///
/// # Errors
///
/// Returns the error of `op`.
pub(crate) fn try_read<T>(
    source: &Source,
    mut op: impl FnMut(BorrowedFd<'_>) -> io::Result<T>,
) -> io::Result<Option<T>> {
    let direction = source.readiness(Interest::Read);
    loop {
        direction.take();
        let error = match op(source.fd()) {
            Ok(value) => {
                direction.set_ready();
                return Ok(Some(value));
            }
            Err(error) => error,
        };
        match error.kind() {
            // Later data makes it ready again, if only by the registration.
            io::ErrorKind::WouldBlock => return Ok(None),
            io::ErrorKind::Interrupted => {}
            _ => {
                direction.set_ready();
                return Err(error);
            }
        }
    }
}

/// Waits until one of two sources may be readable. [`try_read`] has just found that neither is.
///
/// # Errors
///
/// The same as for [`read`].
#[track_caller]
pub(crate) fn either_readable(one: &Source, other: &Source) -> io::Result<()> {
    let wait = Wait::at(Reason::Read, Location::caller()).on_cancel(OnCancel::Report);
    let Some(cx) = WorkerContext::get() else {
        let mut fds =
            [one, other].map(|source| PollFd::from_borrowed_fd(source.fd(), PollFlags::IN));
        return match poll(&mut fds, &wait)? {
            Wake::Cancelled => Err(cancelled()),
            Wake::Event | Wake::Elapsed => Ok(()),
        };
    };
    let Some(_turn) = one.register_waiter(cx, Interest::Read)? else {
        return Ok(());
    };
    let Some(_turn) = other.register_waiter(cx, Interest::Read)? else {
        return Ok(());
    };
    match park(&wait) {
        Wake::Cancelled => Err(cancelled()),
        Wake::Event | Wake::Elapsed => Ok(()),
    }
}

/// Blocks the calling OS thread until one of `fds` is ready, or as the wait says.
fn poll(fds: &mut [PollFd<'_>], wait: &Wait) -> io::Result<Wake> {
    loop {
        let limit = match check_cancel_os(wait) {
            Ok(limit) => limit,
            Err(wake) => return Ok(wake),
        };
        let timeout = match limit.until {
            NEVER if !limit.is_flagged => None,
            until => {
                let mut left = until.saturating_sub(clock::now());
                if left == 0 {
                    if until == wait.deadline {
                        return Ok(Wake::Elapsed);
                    }
                    // The scope's own: `check_cancel_os` says so.
                    continue;
                }
                if limit.is_flagged {
                    // Nothing interrupts `poll(2)`, so it polls again after a while.
                    left = left.min(CANCEL_POLL_EVERY_NS);
                }
                Some(Timespec {
                    tv_sec: (left / 1_000_000_000) as _,
                    tv_nsec: (left % 1_000_000_000) as _,
                })
            }
        };
        match rustix::event::poll(fds, timeout.as_ref()) {
            Ok(0) | Err(rustix::io::Errno::INTR) => {}
            Ok(_) => return Ok(Wake::Event),
            Err(error) => return Err(error.into()),
        }
    }
}
