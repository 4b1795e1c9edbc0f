//! The three standard descriptors, raw: what our `stdin`, `stdout` and `stderr` read and write.
//!
//! - **SD1** Other programs share their open files, so nothing about those is changed: no `O_NONBLOCK`, ever. `transfer` says how one waits
//!   all the same. Nothing is remembered of them either: a program may put another file in their place at any time.
//! - **SD2** As std's, one that is closed reads as empty and takes what is written to it.
//! - **SD3** Once the process ends ([`exits`]), no transfer suspends.

use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::io::file::kept::Kept;
use crate::io::file::traffic::{Handle, Traffic, write_plain};
use crate::io::file::transfer;
use crate::runtime::io::source::Source;
use crate::sys::file::HERE;

/// One of the three.
#[derive(Clone, Copy, Debug)]
pub(super) enum Standard {
    In,
    Out,
    Err,
}

impl AsFd for Standard {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Standard::In => rustix::stdio::stdin(),
            Standard::Out => rustix::stdio::stdout(),
            Standard::Err => rustix::stdio::stderr(),
        }
    }
}

impl Handle for Standard {
    fn traffic(&self) -> Option<&Traffic> {
        None
    }

    fn source(&self) -> Option<&Source> {
        None
    }

    fn kept(&self) -> Option<&Kept> {
        Some(self.kept_for_good())
    }

    fn kept_for_good(&self) -> &Kept {
        match self {
            Standard::In => &KEPT[0],
            Standard::Out => &KEPT[1],
            Standard::Err => &KEPT[2],
        }
    }
}

/// What is remembered all the same: what callers that were cancelled have left.
static KEPT: [Kept; 3] = [const { Kept::new() }; 3];

/// How long the end of the process waits for a stream that takes nothing.
const SOON_MS: i64 = 999;
const MILLISECOND: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 1_000_000,
};

static EXITS: AtomicBool = AtomicBool::new(false);

/// From now on: SD3.
pub(super) fn exits() {
    EXITS.store(true, Ordering::Relaxed);
}

impl Standard {
    /// Whether the pool is at a write.
    pub(super) fn is_writing(self) -> bool {
        self.kept_for_good().is_writing()
    }

    /// Whether the process that ends may write a little without waiting for long.
    pub(super) fn has_room_soon(self) -> bool {
        // What a thread that was cancelled has left on the pool comes first.
        for _ in 0..SOON_MS {
            if !self.is_writing() {
                break;
            }
            // Blocks this OS thread, which ends the process, and on which nothing else is to run.
            let _elapsed = poll(&mut [], Some(&MILLISECOND));
        }
        let mut fds = [PollFd::new(&self, PollFlags::OUT)];
        let soon = Timespec {
            tv_sec: 0,
            tv_nsec: 1_000_000 * SOON_MS,
        };
        !self.is_writing() && poll(&mut fds, Some(&soon)).is_ok_and(|count| count > 0)
    }
}

/// SD2.
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

impl Read for Standard {
    #[track_caller]
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.read_vectored(&mut [IoSliceMut::new(buf)])
    }

    #[track_caller]
    fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        if_open(transfer::read(self, bufs, HERE), 0)
    }
}

impl Write for Standard {
    #[track_caller]
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(buf)])
    }

    #[track_caller]
    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        let result = if EXITS.load(Ordering::Relaxed) {
            write_plain(self.as_fd(), bufs, HERE)
        } else {
            transfer::write(self, bufs, HERE)
        };
        if_open(result, sum(bufs.iter().map(|buf| buf.len())))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
