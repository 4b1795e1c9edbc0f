//! Poisoning: a lock remembers that somebody panicked while holding it, as std's do.
//!
//! std asks `thread::panicking()` when a lock is taken and when it is released, and poisons it if that has become true. The answer
//! is one for the OS thread, on which many green threads run. So here it is only the first question, and the second is
//! [`green::park::unwinding`](crate::green::park::unwinding). What holds:
//!
//! PO1. A panic poisons the locks that the thread held when it began, and none that it took afterwards, in destructors; a cancellation poisons none.
//!      On OS threads, and while no other green thread of the same worker is suspended in the middle of its own unwinding, that is exact.
//! PO2. While another one is, or may be, a thread that does not panic poisons nothing, and a panic goes unnoticed if it began in that time. A thread that was
//!      suspended in the middle of its own panic poisons all the same. (The strangest cases are told at `unwinding`.)
//! PO3. When it is unknown at the lock whether the thread unwinds, it is taken to be calm.

use crate::green::park::{Unwinding, unwinding};
use crate::shim::{AtomicBool, Ordering};
use std::sync::{LockResult, PoisonError, TryLockError};

/// Whether a lock is poisoned. Relaxed: the lock itself orders what matters.
#[derive(Debug)]
pub(super) struct Flag(AtomicBool);

/// What was known when the lock was taken.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    unwinding: bool,
}

impl Flag {
    pub(super) const fn new() -> Flag {
        Flag(AtomicBool::new(false))
    }

    #[inline(always)]
    pub(super) fn get(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    pub(super) fn clear(&self) {
        self.0.store(false, Ordering::Relaxed);
    }

    /// The lock was taken by the calling thread (PO3).
    #[inline(always)]
    pub(super) fn enter(&self) -> Entry {
        Entry {
            unwinding: std::thread::panicking()
                && matches!(unwinding(), Unwinding::Panic | Unwinding::Cancel),
        }
    }

    /// It is about to be released.
    #[inline(always)]
    pub(super) fn leave(&self, entry: Entry) {
        if std::thread::panicking() {
            self.leave_unwinding(entry);
        }
    }

    #[cold]
    fn leave_unwinding(&self, entry: Entry) {
        // PO2: not `Unknown`.
        if !entry.unwinding && unwinding() == Unwinding::Panic {
            self.0.store(true, Ordering::Relaxed);
        }
    }

    /// What was got, as an error if the lock is poisoned.
    #[inline(always)]
    pub(super) fn wrap<G>(&self, got: G) -> LockResult<G> {
        if self.get() {
            Err(PoisonError::new(got))
        } else {
            Ok(got)
        }
    }

    /// The same for those that do not wait.
    #[inline(always)]
    pub(super) fn wrap_tried<G>(&self, got: Option<G>) -> Result<G, TryLockError<G>> {
        let got = got.ok_or(TryLockError::WouldBlock)?;
        Ok(self.wrap(got)?)
    }
}
