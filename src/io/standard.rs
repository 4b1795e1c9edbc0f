//! The three standard descriptors, raw: what our `stdin`, `stdout` and `stderr` read and write.
//!
//! - **SD1** Other programs share their open files, so nothing about those is changed: no `O_NONBLOCK`, ever. `transfer` says how one waits
//!   all the same. Nothing is remembered of them either: a program may put another file in their place at any time.
//! - **SD2** As std's, one that is closed reads as empty and takes what is written to it.
//! - **SD3** Once the process ends ([`exits`]), no transfer suspends.

use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, Ordering};

use super::transfer::{self, Handle, Traffic};
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
}

static EXITS: AtomicBool = AtomicBool::new(false);

/// From now on: SD3.
pub(super) fn exits() {
    EXITS.store(true, Ordering::Relaxed);
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
            transfer::write_plain(self.as_fd(), bufs, HERE)
        } else {
            transfer::write(self, bufs, HERE)
        };
        if_open(result, sum(bufs.iter().map(|buf| buf.len())))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
