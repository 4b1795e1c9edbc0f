//! Keeps the descriptors of the library away from the numbers 0, 1 and 2.
//!
//! A program may have closed a standard stream. The next descriptor would take its number, and what
//! the program prints would go to the notifier of a worker. std protects a program from this once,
//! before `main`, by opening `/dev/null`; but a stream that the program itself closes stays closed:
//! reading it finds the end, and writing to it has no effect.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::{Mutex, PoisonError};

use rustix::fs::{Mode, OFlags};

/// The descriptors with smaller numbers are the standard streams.
const FIRST: i32 = 3;

/// Held while numbers are taken: a thread would take those of another one for open streams, which
/// they are no longer when it creates its own descriptors.
static TAKING: Mutex<()> = Mutex::new(());

/// Calls `make`, which creates descriptors and does not call this function, while the numbers of
/// the standard streams are taken.
///
/// # Errors
///
/// Returns the error of `make`.
pub(crate) fn beside_standard<T>(make: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    // Dropped last.
    let _taking = TAKING.lock().unwrap_or_else(PoisonError::into_inner);
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::TryLockError;

    #[test]
    fn one_thread_at_a_time_takes_numbers() {
        let is_alone = || match TAKING.try_lock() {
            Err(TryLockError::WouldBlock) => Ok(true),
            Err(TryLockError::Poisoned(_)) | Ok(_) => Ok(false),
        };
        assert!(beside_standard(is_alone).unwrap());
    }
}
