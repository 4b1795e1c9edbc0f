//! Poisoning: a lock remembers that a thread panicked while it held the lock, as in std.
//!
//! As std does, it calls `thread::panicking()` when a lock is taken and when it is released, and
//! poisons the lock if the answer has become `true`; `green/fiber/panic_count.rs` makes the answer
//! that of the green thread.
//!
//! PO1. A panic poisons the locks that the thread held when the panic began, and none that
//!      destructors took afterwards.
//! PO2. A cancellation poisons no lock. Its number tells it from a panic: a thread that
//!      unwinds, and whose last cancellation is not over, unwinds with that cancellation if the
//!      lock was taken before it. If the lock was taken later, when that cancellation had been
//!      caught and its payload was kept, it is a panic.
//!
//! Known errors: a cancellation that is caught and rethrown while a lock is held that was taken in
//! between poisons that lock. A panic that begins while the payload of an earlier cancellation is
//! kept, inside the `timeout` that it was for, does not poison the locks that were taken before it,
//! if the program has replaced the panic hook or throws with `resume_unwind`.

use crate::green::cancel::{last_unwind, may_have_unwound};
use crate::shim::{AtomicBool, Ordering};
use std::sync::{LockResult, PoisonError, TryLockError};

/// The poison flag of a lock. Relaxed: the lock itself orders its accesses.
#[derive(Debug)]
pub(super) struct Flag(AtomicBool);

/// The state when the lock was taken.
#[derive(Clone, Copy, Debug)]
pub(super) struct PoisonGuard {
    panicking: bool,
    /// The thread's last cancellation, if it is not over although the thread does not unwind: it
    /// was caught.
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

    /// Called when the calling thread has taken the lock.
    #[inline(always)]
    pub(super) fn guard(&self) -> PoisonGuard {
        PoisonGuard {
            panicking: std::thread::panicking(),
            caught: if may_have_unwound() { last_unwind() } else { 0 },
        }
    }

    /// Called before the lock is released.
    #[inline(always)]
    pub(super) fn done(&self, guard: PoisonGuard) {
        if std::thread::panicking() {
            self.done_panicking(guard);
        }
    }

    #[cold]
    fn done_panicking(&self, guard: PoisonGuard) {
        if !guard.panicking {
            let unwind = last_unwind();
            if unwind == 0 || unwind == guard.caught {
                self.0.store(true, Ordering::Relaxed);
            }
        }
    }

    /// Returns `got`, as an error if the lock is poisoned.
    #[inline(always)]
    pub(super) fn wrap<G>(&self, got: G) -> LockResult<G> {
        if self.get() {
            Err(PoisonError::new(got))
        } else {
            Ok(got)
        }
    }

    /// The same for a try.
    #[inline(always)]
    pub(super) fn wrap_tried<G>(&self, got: Option<G>) -> Result<G, TryLockError<G>> {
        let got = got.ok_or(TryLockError::WouldBlock)?;
        Ok(self.wrap(got)?)
    }
}
