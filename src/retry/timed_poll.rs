//! Waits for descriptors that are not ours: with a duplicate, or, if there is no free descriptor,
//! by polling after pauses.
//!
//! Any thread may use this; it suspends.

use std::io;
use std::os::fd::BorrowedFd;
use std::panic::Location;
use std::time::Duration;

use rustix::event::PollFd;
use rustix::io::Errno;

use super::{Mode, cancelled, flags, io_wait, is_ready, poll, poll_budget, until_ready};
use crate::green::{OnCancel, Reason, Wait, Wake, WorkerContext, park};
use crate::runtime::io::source::{Interest, Source, SourceKind};
use crate::sys::clock::{self, NEVER, Tick};
use crate::sys::sock;

/// Waits like [`until_ready`], for a borrowed descriptor.
///
/// # Errors
///
/// The same as for [`until_ready`].
#[track_caller]
pub(crate) fn until_ready_borrowed(
    fd: BorrowedFd<'_>,
    interest: Interest,
    timeout: Option<Duration>,
) -> io::Result<bool> {
    if is_ready(fd, interest)? {
        poll_budget();
        return Ok(true);
    }
    if WorkerContext::get().is_none() {
        let mode = Mode {
            timeout,
            nonblocking: false,
        };
        let wait = io_wait(Reason::Readiness, mode, Location::caller());
        return match poll(&mut [PollFd::from_borrowed_fd(fd, flags(interest))], &wait)? {
            // Tells whether the descriptor was closed meanwhile.
            Wake::Event => is_ready(fd, interest).map(|_| true),
            Wake::Elapsed => Ok(false),
            Wake::Cancelled => Err(cancelled()),
        };
    }
    // The reactor knows descriptors, not borrows: this one is ours, and is never registered twice.
    match sock::duplicate(fd) {
        Ok(own) => until_ready(&Source::new(own, SourceKind::Other), interest, timeout),
        Err(error) if is_out_of_descriptors(&error) => {
            until_ready_by_polling(fd, interest, timeout)
        }
        Err(error) => Err(error),
    }
}

/// Returns whether a descriptor could not be opened because there are too many.
pub(crate) fn is_out_of_descriptors(error: &io::Error) -> bool {
    matches!(
        Errno::from_io_error(error),
        Some(Errno::MFILE | Errno::NFILE | Errno::NOMEM)
    )
}

/// Waits without a descriptor to wait with.
#[cold]
#[track_caller]
fn until_ready_by_polling(
    fd: BorrowedFd<'_>,
    interest: Interest,
    timeout: Option<Duration>,
) -> io::Result<bool> {
    let deadline = timeout.map_or(NEVER, clock::after);
    let mut pauses = Pauses::default();
    while !is_ready(fd, interest)? {
        if deadline <= clock::now() {
            return Ok(false);
        }
        pauses.wait(Reason::Readiness, deadline)?;
    }
    Ok(true)
}

/// Pauses between two polls, where no event tells when to poll: each is twice as long as the last,
/// up to a limit.
#[derive(Debug)]
pub(crate) struct Pauses(Duration);

impl Default for Pauses {
    fn default() -> Pauses {
        Pauses(Duration::from_millis(1))
    }
}

impl Pauses {
    const MAX_PAUSE: Duration = Duration::from_millis(16);

    /// Makes the next pause, which ends at `deadline` at the latest.
    ///
    /// # Errors
    ///
    /// One that carries [`Cancelled`], in a cancelled thread that is unwinding.
    #[track_caller]
    pub(crate) fn wait(&mut self, reason: Reason, deadline: Tick) -> io::Result<()> {
        let until = clock::after(self.0).min(deadline);
        let wait = Wait::new(reason.of_pause())
            .until(until)
            .on_cancel(OnCancel::Report);
        self.0 = (self.0 * 2).min(Pauses::MAX_PAUSE);
        while clock::now() < until {
            if park(&wait) == Wake::Cancelled {
                return Err(cancelled());
            }
        }
        Ok(())
    }
}
