//! Keeps the descriptors of the library away from the numbers 0, 1 and 2.
//!
//! A program may have closed a standard stream. The next descriptor would take its number, and what
//! the program prints would go to the notifier of a worker. std protects a program from this once,
//! before `main`, by opening `/dev/null`; but a stream that the program itself closes stays closed:
//! reading it finds the end, and writing to it has no effect.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use rustix::fs::{Mode, OFlags};

/// The descriptors with smaller numbers are the standard streams.
const FIRST: i32 = 3;

/// Calls `make`, which creates descriptors, while the numbers of the standard streams are taken.
///
/// # Errors
///
/// Returns the error of `make`.
pub(crate) fn beside_standard<T>(make: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    let _taken = take_closed();
    make()
}

/// Opens `/dev/null` under each number of a standard stream that is closed. Without a file system
/// or a free descriptor, `make` does what it can.
fn take_closed() -> Vec<OwnedFd> {
    let flags = OFlags::RDWR | OFlags::CLOEXEC;
    let open = || rustix::fs::open("/dev/null", flags, Mode::empty()).ok();
    std::iter::from_fn(open)
        .take_while(|fd| fd.as_raw_fd() < FIRST)
        .collect()
}
