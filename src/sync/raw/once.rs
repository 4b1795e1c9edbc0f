//! The state word of a [`Once`](crate::sync::Once), and the threads that wait for its initialiser.
//!
//! | state | means | left by |
//! |---|---|---|
//! | `INCOMPLETE` | not run yet | `begin` → `RUNNING` |
//! | `RUNNING` | a thread runs it; others wait | `end` → any other |
//! | `POISONED` | it panicked | a `begin` that accepts poison → `RUNNING` |
//! | `COMPLETE` | it has run | never |
//!
//! ON1. The state is written under the lock of the queue. `COMPLETE` is written with Release after
//!      the initialiser has returned; other threads read it with Acquire, without the lock.
//! ON2. `end` wakes all: threads that wait for an initialiser try again, threads that wait for
//!      completion check again.

use crate::shim::{AtomicU8, Ordering, const_unless_loom};
use crate::sync::wait::spin::{Spin, SpinGuard};
use crate::sync::wait::wait_in_queue::{Ended, QueuePosition, Sleep, wait_in_queue, wake_some};
use crate::sync::wait::wait_queue::WaitQueue;

const INCOMPLETE: u8 = 0;
const RUNNING: u8 = 1;
const POISONED: u8 = 2;
const COMPLETE: u8 = 3;

/// See the module documentation.
pub(crate) struct RawOnce<S> {
    state: AtomicU8,
    waiters: Spin<WaitQueue<S>>,
}

/// The result of `begin`, for a caller that needs the initialiser to have run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Begin {
    /// The caller runs it, then calls `end`.
    Run { poisoned: bool },
    /// It has run.
    Complete,
    /// It panicked, and the caller does not accept that.
    Poisoned,
    /// The caller has given up waiting for another thread that runs it.
    GaveUp,
}

/// The outcome of an initialiser.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Incomplete,
    Poisoned,
    Complete,
}

impl<S> RawOnce<S> {
    const_unless_loom! {
        pub(crate) fn new() -> RawOnce<S> {
            RawOnce {
                state: AtomicU8::new(INCOMPLETE),
                waiters: Spin::new(WaitQueue::new()),
            }
        }
    }

    /// ON1.
    #[inline(always)]
    pub(crate) fn is_complete(&self) -> bool {
        self.state.load(Ordering::Acquire) == COMPLETE
    }

    /// Returns the outcome; the caller has exclusive access.
    pub(crate) fn state(&mut self) -> End {
        match self.state.load(Ordering::Relaxed) {
            COMPLETE => End::Complete,
            POISONED => End::Poisoned,
            _ => End::Incomplete,
        }
    }

    /// Sets the outcome; the caller has exclusive access.
    pub(crate) fn set_state(&mut self, end: End) {
        self.state.store(word(end), Ordering::Relaxed);
    }
}

fn word(end: End) -> u8 {
    match end {
        End::Incomplete => INCOMPLETE,
        End::Poisoned => POISONED,
        End::Complete => COMPLETE,
    }
}

impl<S: Sleep> RawOnce<S> {
    /// A caller that gets `Run` must call [`end`](RawOnce::end).
    pub(crate) fn begin(&self, minds_poison: bool, wait: &S::Wait) -> Begin {
        loop {
            let waiters = self.waiters.lock();
            // Relaxed: under the lock.
            match self.state.load(Ordering::Relaxed) {
                COMPLETE => return Begin::Complete,
                POISONED if minds_poison => return Begin::Poisoned,
                RUNNING => {}
                state => {
                    self.state.store(RUNNING, Ordering::Relaxed);
                    return Begin::Run {
                        poisoned: state == POISONED,
                    };
                }
            }
            if !self.wait_in_queue(waiters, wait) {
                return Begin::GaveUp;
            }
        }
    }

    /// Records that the initialiser has ended.
    pub(crate) fn end(&self, end: End) {
        let waiters = self.waiters.lock();
        self.state.store(word(end), Ordering::Release);
        // ON2. Waiters that keep waiting may be queued again before the last one has been woken.
        let max_count = match end {
            End::Complete => usize::MAX,
            End::Incomplete | End::Poisoned => waiters.count(),
        };
        wake_some(&self.waiters, waiters, |waiters| waiters, max_count);
    }

    /// Waits until an initialiser of any thread has completed; never returns `Run`.
    pub(crate) fn wait(&self, minds_poison: bool, wait: &S::Wait) -> Begin {
        loop {
            let waiters = self.waiters.lock();
            match self.state.load(Ordering::Relaxed) {
                COMPLETE => return Begin::Complete,
                POISONED if minds_poison => return Begin::Poisoned,
                _ => {}
            }
            if !self.wait_in_queue(waiters, wait) {
                return Begin::GaveUp;
            }
        }
    }

    fn wait_in_queue(&self, waiters: SpinGuard<'_, WaitQueue<S>>, wait: &S::Wait) -> bool {
        let ended = wait_in_queue(
            &self.waiters,
            waiters,
            |waiters| waiters,
            &QueuePosition::BACK,
            wait,
            || {},
            |_| {},
        );
        ended == Ended::Dequeued
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use super::*;
    use crate::sync::wait::wait_in_queue::model::{Model, Until, check, guarded};
    use loom::sync::Arc;
    use loom::thread;

    type Shared = Arc<(RawOnce<Model>, guarded::Value)>;

    fn shared() -> Shared {
        Arc::new((RawOnce::new(), guarded::Value::new()))
    }

    fn init(shared: &Shared, wait: Until, end: End) -> Begin {
        if shared.0.is_complete() {
            assert_eq!(shared.1.get(), 1);
            return Begin::Complete;
        }
        let begun = shared.0.begin(true, &wait);
        match begun {
            Begin::Run { .. } => {
                if end == End::Complete {
                    shared.1.change();
                }
                shared.0.end(end);
            }
            Begin::Complete => assert_eq!(shared.1.get(), 1),
            Begin::Poisoned | Begin::GaveUp => {}
        }
        begun
    }

    #[test]
    fn loom_once_runs_once() {
        check(Some(3), || {
            let shared = shared();
            let threads = [(); 2].map(|()| {
                let other = shared.clone();
                thread::spawn(move || init(&other, Until::Dequeued, End::Complete))
            });
            init(&shared, Until::Dequeued, End::Complete);
            assert!(shared.0.is_complete());
            assert_eq!(shared.1.get(), 1);
            for thread in threads {
                assert!(matches!(
                    thread.join().unwrap(),
                    Begin::Complete | Begin::Run { .. }
                ));
            }
        });
    }

    /// A cancelled initialiser lets the next one run; a waiter that gives up does no harm.
    #[test]
    fn loom_once_is_reset() {
        check(Some(3), || {
            let shared = shared();
            let cancelled = shared.clone();
            let cancelled =
                thread::spawn(move || init(&cancelled, Until::Dequeued, End::Incomplete));
            let quitter = shared.clone();
            let quitter = thread::spawn(move || init(&quitter, Until::GivesUp, End::Complete));
            init(&shared, Until::Dequeued, End::Complete);
            assert!(shared.0.is_complete());
            cancelled.join().unwrap();
            quitter.join().unwrap();
            assert_eq!(shared.1.get(), 1);
        });
    }

    #[test]
    fn loom_once_wait() {
        check(Some(3), || {
            let shared = shared();
            let waiter = shared.clone();
            let waiter = thread::spawn(move || {
                assert_eq!(waiter.0.wait(true, &Until::Dequeued), Begin::Complete);
                assert_eq!(waiter.1.get(), 1);
            });
            init(&shared, Until::Dequeued, End::Complete);
            waiter.join().unwrap();
        });
    }

    #[test]
    fn loom_once_is_poisoned() {
        check(Some(3), || {
            let shared = shared();
            let other = shared.clone();
            let other = thread::spawn(move || other.0.wait(true, &Until::Dequeued));
            let begun = init(&shared, Until::Dequeued, End::Poisoned);
            assert_eq!(begun, Begin::Run { poisoned: false });
            assert_eq!(other.join().unwrap(), Begin::Poisoned);
        });
    }
}
