//! Locks on whole files: `flock(2)`, as in std.
//!
//! A green thread that waits for a lock polls it after pauses, up to [`MAX_PAUSE`] apart: on the
//! pool it would occupy a thread that the owner of the lock may need to finish. A poll that has
//! begun is waited for, so no lock is taken for a caller that has left.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::File;
use crate::green::park::is_limited_os;
use crate::green::{Reason, Wait, WorkerContext, park};
use crate::runtime::blocking;
use crate::sys::clock;

const MIN_PAUSE: Duration = Duration::from_millis(1);
const MAX_PAUSE: Duration = Duration::from_millis(16);

/// Error of [`File::try_lock`] and [`File::try_lock_shared`]. It equals std's, which the oldest
/// supported Rust does not have yet.
///
/// # Examples
///
/// ```
/// use rustlet::fs::TryLockError;
///
/// let error = std::io::Error::from(TryLockError::WouldBlock);
/// assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
/// ```
pub enum TryLockError {
    /// An error of the system.
    Error(io::Error),
    /// Another handle has a conflicting lock.
    WouldBlock,
}

impl fmt::Debug for TryLockError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TryLockError::Error(error) => error.fmt(f),
            TryLockError::WouldBlock => "WouldBlock".fmt(f),
        }
    }
}

impl fmt::Display for TryLockError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TryLockError::Error(_) => "lock acquisition failed due to I/O error",
            TryLockError::WouldBlock => "lock acquisition failed because the operation would block",
        })
    }
}

impl std::error::Error for TryLockError {}

impl From<TryLockError> for io::Error {
    fn from(error: TryLockError) -> io::Error {
        match error {
            TryLockError::Error(error) => error,
            TryLockError::WouldBlock => io::ErrorKind::WouldBlock.into(),
        }
    }
}

impl File {
    /// Takes an exclusive lock of the file for this handle and its clones, waiting until no other
    /// handle has one, in this process or another.
    ///
    /// The lock is advisory: it excludes other locks, not reads or writes. It is released by
    /// [`unlock`](File::unlock), or when the last clone is closed. It is not fair.
    ///
    /// # Errors
    ///
    /// The system's, for example if the file system has no locks.
    ///
    /// # Suspends
    ///
    /// Suspends the calling green thread until then; blocks an OS thread.
    ///
    /// # Cancellation
    ///
    /// The caller unwinds without the lock.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use rustlet::fs::File;
    ///
    /// rustlet::run(|| {
    ///     let ledger = File::options().append(true).open("ledger")?;
    ///     ledger.lock()?;
    ///     // No other process has the lock here.
    ///     ledger.unlock()
    /// })?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[track_caller]
    pub fn lock(&self) -> io::Result<()> {
        self.wait_for_lock(
            FlockOperation::LockExclusive,
            FlockOperation::NonBlockingLockExclusive,
        )
    }

    /// Takes a shared lock like [`lock`](File::lock); other handles may have shared locks at the
    /// same time.
    ///
    /// # Errors
    ///
    /// The same as for [`lock`](File::lock).
    ///
    /// # Examples
    ///
    /// ```no_run
    /// rustlet::run(|| rustlet::fs::File::open("ledger")?.lock_shared())?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[track_caller]
    pub fn lock_shared(&self) -> io::Result<()> {
        self.wait_for_lock(
            FlockOperation::LockShared,
            FlockOperation::NonBlockingLockShared,
        )
    }

    /// Takes an exclusive lock like [`lock`](File::lock), if no other handle has a lock. Does not
    /// wait for one.
    ///
    /// # Errors
    ///
    /// [`TryLockError::WouldBlock`] if another handle has a lock; otherwise as
    /// [`lock`](File::lock).
    ///
    /// # Examples
    ///
    /// ```
    /// let null = rustlet::fs::File::open("/dev/null")?;
    /// rustlet::run(|| null.try_lock()).ok();
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[track_caller]
    pub fn try_lock(&self) -> Result<(), TryLockError> {
        self.try_flock(FlockOperation::NonBlockingLockExclusive)
    }

    /// Takes a shared lock like [`lock_shared`](File::lock_shared), if no other handle has an
    /// exclusive one. Does not wait for one.
    ///
    /// # Errors
    ///
    /// The same as for [`try_lock`](File::try_lock).
    ///
    /// # Examples
    ///
    /// ```
    /// let null = rustlet::fs::File::open("/dev/null")?;
    /// rustlet::run(|| null.try_lock_shared()).ok();
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[track_caller]
    pub fn try_lock_shared(&self) -> Result<(), TryLockError> {
        self.try_flock(FlockOperation::NonBlockingLockShared)
    }

    /// Releases the lock, if there is one.
    ///
    /// # Errors
    ///
    /// The system's.
    ///
    /// # Examples
    ///
    /// ```
    /// rustlet::run(|| rustlet::fs::File::open("/dev/null")?.unlock()).ok();
    /// ```
    #[track_caller]
    pub fn unlock(&self) -> io::Result<()> {
        self.flock(FlockOperation::Unlock)
    }

    /// Makes one call, which does not wait for other locks.
    #[track_caller]
    fn flock(&self, operation: FlockOperation) -> io::Result<()> {
        let open = Arc::clone(&self.open);
        blocking::on_file_shielded(move || {
            loop {
                match flock(&*open, operation) {
                    Err(Errno::INTR) => {}
                    result => return Ok(result?),
                }
            }
        })
    }

    #[track_caller]
    fn try_flock(&self, operation: FlockOperation) -> Result<(), TryLockError> {
        self.flock(operation).map_err(|error| {
            if error.raw_os_error() == Some(Errno::WOULDBLOCK.raw_os_error()) {
                TryLockError::WouldBlock
            } else {
                TryLockError::Error(error)
            }
        })
    }

    #[track_caller]
    fn wait_for_lock(&self, waiting: FlockOperation, trying: FlockOperation) -> io::Result<()> {
        if WorkerContext::get().is_none() && !is_limited_os() {
            return Ok(flock(&*self.open, waiting)?);
        }
        let mut pause = MIN_PAUSE;
        loop {
            match self.try_flock(trying) {
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(error)) => return Err(error),
                Ok(()) => return Ok(()),
            }
            let wait = Wait::new(Reason::File.of_pause()).until(clock::after(pause));
            while clock::now() < wait.deadline {
                park(&wait);
            }
            pause = (pause * 2).min(MAX_PAUSE);
        }
    }
}
