//! The three raw standard descriptors, which our `stdin`, `stdout` and `stderr` read and write.
//!
//! - **SD1** Other programs share their open files, so nothing about those is changed: no
//!   `O_NONBLOCK`, ever. `transfer` explains how to wait nevertheless. Nothing is cached about them
//!   either: a program may replace them with another file at any time.
//! - **SD2** As in std, a closed one reads as empty and accepts all output.
//! - **SD3** Once the process ends ([`exits`]), no transfer suspends.

use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::io::file::file_state::{FileState, Handle, write_plain};
use crate::io::file::transfer;
use crate::io::file::unclaimed::Unclaimed;
use crate::runtime::io::source::Source;
use crate::sys::file::CURRENT_POS;

/// One of the three.
#[derive(Clone, Copy, Debug)]
pub(super) enum StdStream {
    In,
    Out,
    Err,
}

impl AsFd for StdStream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            StdStream::In => rustix::stdio::stdin(),
            StdStream::Out => rustix::stdio::stdout(),
            StdStream::Err => rustix::stdio::stderr(),
        }
    }
}

impl Handle for StdStream {
    fn file_state(&self) -> Option<&FileState> {
        None
    }

    fn source(&self) -> Option<&Source> {
        None
    }

    fn unclaimed(&self) -> Option<&Unclaimed> {
        Some(self.unclaimed_or_init())
    }

    fn unclaimed_or_init(&self) -> &Unclaimed {
        match self {
            StdStream::In => &UNCLAIMED[0],
            StdStream::Out => &UNCLAIMED[1],
            StdStream::Err => &UNCLAIMED[2],
        }
    }
}

/// The only cached state: results of cancelled callers.
static UNCLAIMED: [Unclaimed; 3] = [const { Unclaimed::new() }; 3];

/// How long the end of the process waits for a stream that takes nothing, in milliseconds.
const EXIT_WAIT_MS: i64 = 999;
const MILLISECOND: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 1_000_000,
};

static EXITS: AtomicBool = AtomicBool::new(false);

/// Marks the end of the process (SD3).
pub(super) fn exits() {
    EXITS.store(true, Ordering::Relaxed);
}

impl StdStream {
    /// Returns whether the pool is running a write.
    pub(super) fn is_writing(self) -> bool {
        self.unclaimed_or_init().is_writing()
    }

    /// Returns whether the ending process may write a little without a long wait.
    pub(super) fn has_room_soon(self) -> bool {
        // Data of a cancelled thread on the pool comes first.
        for _ in 0..EXIT_WAIT_MS {
            if !self.is_writing() {
                break;
            }
            // Blocks this OS thread, which ends the process and has nothing else to run.
            let _elapsed = poll(&mut [], Some(&MILLISECOND));
        }
        let mut fds = [PollFd::new(&self, PollFlags::OUT)];
        let soon = Timespec {
            tv_sec: 0,
            tv_nsec: 1_000_000 * EXIT_WAIT_MS,
        };
        !self.is_writing() && poll(&mut fds, Some(&soon)).is_ok_and(|count| count > 0)
    }
}

/// Returns `closed` for a closed descriptor (SD2).
fn if_open<T>(result: io::Result<T>, closed: T) -> io::Result<T> {
    match result {
        Err(error) if error.raw_os_error() == Some(rustix::io::Errno::BADF.raw_os_error()) => {
            Ok(closed)
        }
        result => result,
    }
}

fn sum(lengths: impl Iterator<Item = usize>) -> usize {
    lengths.fold(0, usize::saturating_add)
}

impl Read for StdStream {
    #[track_caller]
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.read_vectored(&mut [IoSliceMut::new(buf)])
    }

    #[track_caller]
    fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        if_open(transfer::read(self, bufs, CURRENT_POS), 0)
    }
}

impl Write for StdStream {
    #[track_caller]
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(buf)])
    }

    #[track_caller]
    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        let result = if EXITS.load(Ordering::Relaxed) {
            write_plain(self.as_fd(), bufs, CURRENT_POS)
        } else {
            transfer::write(self, bufs, CURRENT_POS)
        };
        if_open(result, sum(bufs.iter().map(|buf| buf.len())))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
