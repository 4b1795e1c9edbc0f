//! Counts the steps of a green thread, so that another OS thread can check whether the thread was
//! suspended during the whole copy of its stack.
//!
//! TU1. The count is odd while the thread runs and even while it is suspended. It is different for
//!      each suspension, and 0 before the first step and after the last. Only the thread's worker
//!      writes it: before the first and after the last change of the thread's fiber and stack in a
//!      step.
//! TU2. A reader that finds the same even count before and after its copy has copied the fiber and
//!      the stack of one suspension (a sequence lock). The kernel makes the copy, so a concurrent
//!      change is no data race of this program.

use std::sync::atomic::{AtomicU32, Ordering, fence};

pub(super) struct StepCount(AtomicU32);

impl StepCount {
    pub(super) const fn new() -> StepCount {
        StepCount(AtomicU32::new(0))
    }

    /// Records that the thread runs from here on. Called by its worker.
    #[inline(always)]
    pub(super) fn begin(&self) {
        self.advance(Ordering::Relaxed);
        // A reader that sees a change of this step sees the odd count, too.
        fence(Ordering::Release);
    }

    /// Records that the thread is suspended, or has ended. Called by its worker.
    #[inline(always)]
    pub(super) fn end(&self, has_ended: bool) {
        if has_ended {
            self.0.store(0, Ordering::Relaxed);
        } else {
            // A reader of the even count sees all changes of the step.
            self.advance(Ordering::Release);
        }
    }

    #[inline(always)]
    fn advance(&self, ordering: Ordering) {
        // A read-modify-write is not needed, because there is only one writer.
        let count = self.0.load(Ordering::Relaxed);
        self.0.store(count.wrapping_add(1), ordering);
    }

    /// Returns the number of the present suspension; `None` if the thread runs, has ended, or has
    /// not started.
    pub(super) fn suspended(&self) -> Option<u32> {
        let count = self.0.load(Ordering::Acquire);
        (count != 0 && count.is_multiple_of(2)).then_some(count)
    }

    /// Returns whether `suspension` has lasted until this call.
    pub(super) fn is_still(&self, suspension: u32) -> bool {
        // The data that was read before is not newer than the count that is read now.
        fence(Ordering::Acquire);
        self.0.load(Ordering::Relaxed) == suspension
    }
}
