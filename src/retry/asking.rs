//! Waiting for descriptors that are not ours: with a duplicate, and where none can be had, by asking after pauses.
//!
//! Any thread may use any of this; it suspends.

use std::io;
use std::os::fd::BorrowedFd;
use std::panic::Location;
use std::time::Duration;

use rustix::event::PollFd;
use rustix::io::Errno;

use super::{Mode, cancelled, flags, io_wait, is_ready, poll, spend, until_ready};
use crate::green::{Home, OnCancel, Reason, Wait, Wake, park};
use crate::runtime::io::source::{Kind, Source, Way};
use crate::sys::clock::{self, NEVER, Tick};
use crate::sys::sock;

/// As [`until_ready`], for a descriptor that stays its owner's.
///
/// # Errors
///
/// As [`until_ready`].
#[track_caller]
pub(crate) fn until_ready_borrowed(
    fd: BorrowedFd<'_>,
    way: Way,
    timeout: Option<Duration>,
) -> io::Result<bool> {
    if is_ready(fd, way)? {
        spend();
        return Ok(true);
    }
    if Home::get().is_none() {
        let mode = Mode {
            timeout,
            nonblocking: false,
        };
        let wait = io_wait(Reason::Readiness, mode, Location::caller());
        return match poll(&mut [PollFd::from_borrowed_fd(fd, flags(way))], &wait)? {
            // It says whether the descriptor was closed meanwhile.
            Wake::Event => is_ready(fd, way).map(|_| true),
            Wake::Elapsed => Ok(false),
            Wake::Cancelled => Err(cancelled()),
        };
    }
    // The reactor knows descriptors, not borrows: one of our own, which is never registered twice.
    match sock::duplicate(fd) {
        Ok(own) => until_ready(&Source::new(own, Kind::Other), way, timeout),
        Err(error) if is_out_of_descriptors(&error) => until_ready_by_asking(fd, way, timeout),
        Err(error) => Err(error),
    }
}

/// Whether a descriptor could not be had because there are too many.
pub(crate) fn is_out_of_descriptors(error: &io::Error) -> bool {
    matches!(
        Errno::from_io_error(error),
        Some(Errno::MFILE | Errno::NFILE | Errno::NOMEM)
    )
}

/// Where there is no descriptor to wait with.
#[cold]
#[track_caller]
fn until_ready_by_asking(
    fd: BorrowedFd<'_>,
    way: Way,
    timeout: Option<Duration>,
) -> io::Result<bool> {
    let deadline = timeout.map_or(NEVER, clock::after);
    let mut pauses = Pauses::default();
    while !is_ready(fd, way)? {
        if deadline <= clock::now() {
            return Ok(false);
        }
        pauses.wait(Reason::Readiness, deadline)?;
    }
    Ok(true)
}

/// Pauses between two questions, where nothing tells when to ask: each twice as long as the last, up to a limit.
#[derive(Debug)]
pub(crate) struct Pauses(Duration);

impl Default for Pauses {
    fn default() -> Pauses {
        Pauses(Duration::from_millis(1))
    }
}

impl Pauses {
    const LONGEST: Duration = Duration::from_millis(16);

    /// Makes the next one, which ends at `deadline` at the latest.
    ///
    /// # Errors
    ///
    /// One that carries [`Cancelled`], in a cancelled thread that is unwinding.
    #[track_caller]
    pub(crate) fn wait(&mut self, reason: Reason, deadline: Tick) -> io::Result<()> {
        let until = clock::after(self.0).min(deadline);
        let wait = Wait::new(reason).until(until).on_cancel(OnCancel::Report);
        self.0 = (self.0 * 2).min(Pauses::LONGEST);
        while clock::now() < until {
            if park(&wait) == Wake::Cancelled {
                return Err(cancelled());
            }
        }
        Ok(())
    }
}
