//! The line of a [`Condvar`](crate::sync::Condvar).
//!
//! CV1. A waiter stands in line before it releases the mutex. So whoever changes the condition under the mutex
//!      afterwards finds it there, and sees that `standing` is not 0: the mutex orders the two.

use crate::shim::{AtomicUsize, Ordering, const_unless_loom};
use crate::sync::line::Line;
use crate::sync::spin::Spin;
use crate::sync::stand::{Ended, Place, Sleep, stand};

/// See the module's text.
#[derive(Debug)]
pub(crate) struct RawCondvar<S> {
    /// How many stand in line; written under its lock.
    standing: AtomicUsize,
    line: Spin<Line<S>>,
}

impl<S> RawCondvar<S> {
    const_unless_loom! {
        pub(crate) fn new() -> RawCondvar<S> {
            RawCondvar {
                standing: AtomicUsize::new(0),
                line: Spin::new(Line::new()),
            }
        }
    }
}

impl<S: Sleep> RawCondvar<S> {
    /// Stands in line, calls `release`, and waits. Does not unwind.
    #[inline(always)]
    pub(crate) fn wait(&self, wait: &S::Wait, release: impl FnOnce()) -> Ended {
        let line = self.line.lock();
        self.count(1);
        stand(
            &self.line,
            line,
            |line| line,
            &Place::BACK,
            wait,
            release,
            |_| self.count(usize::MAX),
        )
    }

    /// Under the lock of the line.
    #[inline(always)]
    fn count(&self, by: usize) {
        let standing = self.standing.load(Ordering::Relaxed).wrapping_add(by);
        self.standing.store(standing, Ordering::Relaxed);
    }

    /// Wakes the first in line.
    #[inline]
    pub(crate) fn notify_one(&self) {
        // CV1.
        if self.standing.load(Ordering::Relaxed) != 0 {
            self.notify(1);
        }
    }

    /// Wakes all that stand in line now.
    pub(crate) fn notify_all(&self) {
        let standing = self.standing.load(Ordering::Relaxed);
        if standing != 0 {
            self.notify(standing);
        }
    }

    /// At most so many: those who come back to wait again are not woken twice.
    fn notify(&self, most: usize) {
        for _ in 0..most {
            let mut line = self.line.lock();
            let Some(claimed) = line.claim() else {
                return;
            };
            let waker = claimed.finish();
            self.count(usize::MAX);
            drop(line);
            S::wake(waker);
        }
    }
}
