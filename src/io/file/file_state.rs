//! Cached state of an open file, and the plain calls on it.
//!
//! - **TR3** No function that takes the lock on the file's position is called in place while a call
//!   of ours that holds it is running on the pool: `in_flight` counts those.
//!
//! Any thread may use any of this at any time.

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use super::unclaimed::Unclaimed;
use crate::runtime::io::source::Source;
use crate::sys::file::{self, CURRENT_POS, FileKind};

/// Cached state of an open file. Each atomic stands alone: missing information is found out again.
#[derive(Debug, Default)]
pub(crate) struct FileState {
    /// 0 is unknown.
    file_kind: AtomicU8,
    pub(super) no_read_now: AtomicBool,
    pub(super) no_write_now: AtomicBool,
    in_flight: AtomicUsize,
    /// Shared by the clones of a file.
    unclaimed: OnceLock<Arc<Unclaimed>>,
}

/// A descriptor that can be sent to the pool, and the cached state of its file.
pub(crate) trait Handle: AsFd + Clone + Send + 'static {
    /// Returns the cached state; `None` for the standard streams, which may become other files at
    /// any time.
    fn file_state(&self) -> Option<&FileState>;

    /// Returns the descriptor for the reactor to watch. None for the standard streams.
    fn source(&self) -> Option<&Source>;

    /// Its kept results, if there ever were any.
    fn unclaimed(&self) -> Option<&Unclaimed>;

    /// Its kept results, from now on.
    fn unclaimed_or_init(&self) -> &Unclaimed;
}

impl FileState {
    pub(crate) fn file_kind(&self, fd: BorrowedFd<'_>) -> FileKind {
        match self.file_kind.load(Ordering::Relaxed) {
            1 => FileKind::Disk,
            2 => FileKind::Memory,
            3 => FileKind::Stream,
            4 => FileKind::Device,
            _ => {
                let file_kind = file::file_kind(fd);
                let number = match file_kind {
                    FileKind::Disk => 1,
                    FileKind::Memory => 2,
                    FileKind::Stream => 3,
                    FileKind::Device => 4,
                };
                self.file_kind.store(number, Ordering::Relaxed);
                file_kind
            }
        }
    }

    /// Creates the state for another handle to the same open file.
    pub(crate) fn with_unclaimed(unclaimed: Arc<Unclaimed>) -> FileState {
        FileState {
            unclaimed: OnceLock::from(unclaimed),
            ..FileState::default()
        }
    }

    pub(crate) fn unclaimed(&self) -> Option<&Arc<Unclaimed>> {
        self.unclaimed.get()
    }

    pub(crate) fn unclaimed_or_init(&self) -> &Arc<Unclaimed> {
        self.unclaimed.get_or_init(|| Arc::new(Unclaimed::new()))
    }

    /// Returns whether no call is running (TR3).
    pub(crate) fn is_free(&self) -> bool {
        self.in_flight.load(Ordering::Relaxed) == 0
    }
}

/// A running call (TR3).
pub(crate) struct InFlight<H: Handle>(H);

impl<H: Handle> InFlight<H> {
    pub(crate) fn new(handle: &H) -> InFlight<H> {
        if let Some(file_state) = handle.file_state() {
            file_state.in_flight.fetch_add(1, Ordering::Relaxed);
        }
        InFlight(handle.clone())
    }

    pub(crate) fn handle(&self) -> &H {
        &self.0
    }
}

impl<H: Handle> Drop for InFlight<H> {
    fn drop(&mut self) {
        if let Some(file_state) = self.0.file_state() {
            file_state.in_flight.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

pub(super) fn read_plain(
    fd: BorrowedFd<'_>,
    bufs: &mut [IoSliceMut<'_>],
    at: u64,
) -> io::Result<usize> {
    Ok(match (at, bufs) {
        (CURRENT_POS, [buf]) => rustix::io::read(fd, &mut **buf)?,
        (CURRENT_POS, bufs) => rustix::io::readv(fd, bufs)?,
        (at, [buf]) => rustix::io::pread(fd, &mut **buf, at)?,
        (at, bufs) => rustix::io::preadv(fd, bufs, at)?,
    })
}

pub(crate) fn write_plain(fd: BorrowedFd<'_>, bufs: &[IoSlice<'_>], at: u64) -> io::Result<usize> {
    Ok(match (at, bufs) {
        (CURRENT_POS, [buf]) => rustix::io::write(fd, buf)?,
        (CURRENT_POS, bufs) => rustix::io::writev(fd, bufs)?,
        (at, [buf]) => rustix::io::pwrite(fd, buf, at)?,
        (at, bufs) => rustix::io::pwritev(fd, bufs, at)?,
    })
}
