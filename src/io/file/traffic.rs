//! What is remembered of an open file, and the plain calls on it.
//!
//! - **TR3** Nothing that takes the lock on the file's position is called in place while a call of ours that holds it is under way
//!   on the pool: `under_way` counts those.
//!
//! Any thread may use any of this at any time.

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use super::kept::Kept;
use crate::runtime::io::source::Source;
use crate::sys::file::{self, HERE, Nature};

/// What is remembered of an open file. Each atomic stands alone: what they say is found out again when it is missing.
#[derive(Debug, Default)]
pub(crate) struct Traffic {
    /// 0 is unknown.
    nature: AtomicU8,
    pub(super) no_read_now: AtomicBool,
    pub(super) no_write_now: AtomicBool,
    under_way: AtomicUsize,
    /// Shared by the clones of a file.
    kept: OnceLock<Arc<Kept>>,
}

/// A descriptor that can be taken along to the pool, and what is remembered of its file.
pub(crate) trait Handle: AsFd + Clone + Send + 'static {
    /// None for the standard streams, which may become other files at any time.
    fn traffic(&self) -> Option<&Traffic>;

    /// The descriptor, for the reactor to watch. None for the standard streams.
    fn source(&self) -> Option<&Source>;

    /// What is kept for it, if anything ever was.
    fn kept(&self) -> Option<&Kept>;

    /// As [`kept`](Handle::kept), from now on.
    fn kept_for_good(&self) -> &Kept;
}

impl Traffic {
    pub(crate) fn nature(&self, fd: BorrowedFd<'_>) -> Nature {
        match self.nature.load(Ordering::Relaxed) {
            1 => Nature::Disk,
            2 => Nature::Memory,
            3 => Nature::Stream,
            4 => Nature::Device,
            _ => {
                let nature = file::nature(fd);
                let number = match nature {
                    Nature::Disk => 1,
                    Nature::Memory => 2,
                    Nature::Stream => 3,
                    Nature::Device => 4,
                };
                self.nature.store(number, Ordering::Relaxed);
                nature
            }
        }
    }

    /// One of another handle to the same open file.
    pub(crate) fn with_kept(kept: Arc<Kept>) -> Traffic {
        Traffic {
            kept: OnceLock::from(kept),
            ..Traffic::default()
        }
    }

    pub(crate) fn kept(&self) -> Option<&Arc<Kept>> {
        self.kept.get()
    }

    pub(crate) fn kept_for_good(&self) -> &Arc<Kept> {
        self.kept.get_or_init(|| Arc::new(Kept::new()))
    }

    /// TR3.
    pub(crate) fn is_free(&self) -> bool {
        self.under_way.load(Ordering::Relaxed) == 0
    }
}

/// TR3, for as long as it lives.
pub(crate) struct UnderWay<H: Handle>(H);

impl<H: Handle> UnderWay<H> {
    pub(crate) fn new(handle: &H) -> UnderWay<H> {
        if let Some(traffic) = handle.traffic() {
            traffic.under_way.fetch_add(1, Ordering::Relaxed);
        }
        UnderWay(handle.clone())
    }

    pub(crate) fn handle(&self) -> &H {
        &self.0
    }
}

impl<H: Handle> Drop for UnderWay<H> {
    fn drop(&mut self) {
        if let Some(traffic) = self.0.traffic() {
            traffic.under_way.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

pub(super) fn read_plain(
    fd: BorrowedFd<'_>,
    bufs: &mut [IoSliceMut<'_>],
    at: u64,
) -> io::Result<usize> {
    Ok(match (at, bufs) {
        (HERE, [buf]) => rustix::io::read(fd, &mut **buf)?,
        (HERE, bufs) => rustix::io::readv(fd, bufs)?,
        (at, [buf]) => rustix::io::pread(fd, &mut **buf, at)?,
        (at, bufs) => rustix::io::preadv(fd, bufs, at)?,
    })
}

pub(crate) fn write_plain(fd: BorrowedFd<'_>, bufs: &[IoSlice<'_>], at: u64) -> io::Result<usize> {
    Ok(match (at, bufs) {
        (HERE, [buf]) => rustix::io::write(fd, buf)?,
        (HERE, bufs) => rustix::io::writev(fd, bufs)?,
        (at, [buf]) => rustix::io::pwrite(fd, buf, at)?,
        (at, bufs) => rustix::io::pwritev(fd, bufs, at)?,
    })
}
