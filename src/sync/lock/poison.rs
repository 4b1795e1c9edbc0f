//! Poisoning: a lock remembers that somebody panicked while holding it, as std's do.
//!
//! As std does, it asks `thread::panicking()` when a lock is taken and when it is released, and poisons the lock if that
//! has become true; `green/panic_count.rs` makes the answer that of the green thread.
//!
//! PO1. A panic poisons the locks that the thread held when it began, and none that it took afterwards, in destructors.
//! PO2. A cancellation poisons none. It is told from a panic by its number: a thread that unwinds, and whose last
//!      cancellation is not over, unwinds with that one if the lock was taken before it. If the lock was taken
//!      later, when that cancellation had been caught and its payload was kept, it is a panic.
//!
//! What this gets wrong: a cancellation that is caught and thrown on while a lock is held that was taken in between poisons
//! that lock. A panic that begins while the payload of an earlier cancellation is kept, inside the `timeout` that it was
//! for, does not poison the locks that were taken before that one, if the program has replaced the panic hook or throws
//! by `resume_unwind`.

use crate::green::cancel::{last_raise, may_have_raised};
use crate::shim::{AtomicBool, Ordering};
use std::sync::{LockResult, PoisonError, TryLockError};

/// Whether a lock is poisoned. Relaxed: the lock itself orders what matters.
#[derive(Debug)]
pub(super) struct Flag(AtomicBool);

/// What was known when the lock was taken.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    unwinding: bool,
    /// The thread's last cancellation, if it is not over though the thread does not unwind: it was caught.
    caught: u32,
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
        Entry {
            unwinding: std::thread::panicking(),
            caught: if may_have_raised() { last_raise() } else { 0 },
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
        if !entry.unwinding {
            let raise = last_raise();
            if raise == 0 || raise == entry.caught {
                self.0.store(true, Ordering::Relaxed);
            }
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
