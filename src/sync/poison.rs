//! Poisoning: a lock remembers that somebody panicked while holding it, as std's do.
//!
//! As std does, it asks `thread::panicking()` when a lock is taken and when it is released, and poisons the lock if that
//! has become true; `green/panic_count.rs` makes the answer that of the green thread.
//!
//! PO1. A panic poisons the locks that the thread held when it began, and none that it took afterwards, in destructors.
//! PO2. A cancellation poisons none. A lock that is taken while its thread does not unwind shows that an earlier
//!      cancellation was caught, so a later panic is told from it, also where the payload is kept.

use crate::green::cancel::{forget_caught, may_have_caught, unwinds_cancelled};
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

    /// The lock was taken by the calling thread.
    #[inline(always)]
    pub(super) fn enter(&self) -> Entry {
        let unwinding = std::thread::panicking();
        if may_have_caught() && !unwinding {
            // PO2.
            forget_caught();
        }
        Entry { unwinding }
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
        if !entry.unwinding && !unwinds_cancelled() {
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
