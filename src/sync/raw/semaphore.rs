#![allow(
    unsafe_code,
    reason = "accesses the slot in a waiter's stack frame by raw pointer"
)]
//! The counter of a [`Semaphore`](crate::sync::Semaphore) and its FIFO wait queue.
//!
//! SE1. Whenever the lock is free, the first waiter wants more than is available, or a thread is
//!      about to call `give_out`. A thread that arrives while the queue is not empty queues behind
//!      it, however little it wants, so that no waiter starves.
//! SE2. A claimed waiter finds in its slot whether it was given what it wanted; if not, the
//!      semaphore was closed.

use std::cell::Cell;

use crate::shim::const_unless_loom;
use crate::sync::wait::spin::{Spin, SpinGuard};
use crate::sync::wait::wait_in_queue::{Ended, QueuePosition, Sleep, wait_in_queue, wake_some};
use crate::sync::wait::wait_queue::WaitQueue;

/// See the module documentation.
pub(crate) struct RawSemaphore<S> {
    counter: Spin<Counter<S>>,
}

struct Counter<S> {
    permits: usize,
    is_closed: bool,
    waiters: WaitQueue<S>,
}

/// The slot of a waiter.
struct WaiterSlot {
    permits: usize,
    granted: Cell<bool>,
}

/// The result of trying to get permits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Acquired {
    Yes,
    /// There are not enough, or others wait; or the wait was given up.
    No,
    Closed,
}

impl<S> RawSemaphore<S> {
    const_unless_loom! {
        pub(crate) fn new(permits: usize) -> RawSemaphore<S> {
            RawSemaphore {
                counter: Spin::new(Counter {
                    permits,
                    is_closed: false,
                    waiters: WaitQueue::new(),
                }),
            }
        }
    }
}

impl<S> Counter<S> {
    #[inline(always)]
    fn take(&mut self, permits: usize) -> Acquired {
        if self.is_closed {
            Acquired::Closed
        } else if self.waiters.is_empty() && self.permits >= permits {
            self.permits -= permits;
            Acquired::Yes
        } else {
            Acquired::No
        }
    }
}

impl<S: Sleep> RawSemaphore<S> {
    pub(crate) fn available(&self) -> usize {
        self.counter.lock().permits
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.counter.lock().is_closed
    }

    #[inline]
    pub(crate) fn try_acquire(&self, permits: usize) -> Acquired {
        self.counter.lock().take(permits)
    }

    /// Waits for `permits`, in the queue.
    pub(crate) fn acquire(&self, permits: usize, wait: &S::Wait) -> Acquired {
        let mut counter = self.counter.lock();
        match counter.take(permits) {
            Acquired::No => {}
            taken => return taken,
        }
        let waiter_slot = WaiterSlot {
            permits,
            granted: Cell::new(false),
        };
        let ended = wait_in_queue(
            &self.counter,
            counter,
            |counter| &mut counter.waiters,
            &QueuePosition::with(&waiter_slot),
            wait,
            || {},
            |_| {},
        );
        match ended {
            // SE2.
            Ended::Dequeued if waiter_slot.granted.get() => Acquired::Yes,
            Ended::Dequeued => Acquired::Closed,
            Ended::Elapsed | Ended::Cancelled => {
                // SE1: the waiters behind it may want less.
                self.give_out(self.counter.lock());
                Acquired::No
            }
        }
    }

    /// Adds permits. Returns `false` if there would be more than `most`.
    pub(crate) fn add(&self, permits: usize, most: usize) -> bool {
        let mut counter = self.counter.lock();
        match counter.permits.checked_add(permits) {
            Some(sum) if sum <= most => counter.permits = sum,
            _ => return false,
        }
        self.give_out(counter);
        true
    }

    /// Removes permits, at most as many as there are; returns their number.
    pub(crate) fn forget(&self, permits: usize) -> usize {
        let mut counter = self.counter.lock();
        let gone = counter.permits.min(permits);
        counter.permits -= gone;
        gone
    }

    /// Gives permits to the waiters at the front as far as they suffice.
    #[inline]
    fn give_out<'a>(&'a self, mut counter: SpinGuard<'a, Counter<S>>) {
        while let Some(slot) = counter.waiters.first_slot() {
            // SAFETY: L1: it is queued, so its frame exists.
            let waiter_slot = unsafe { &*slot.cast::<WaiterSlot>() };
            let Some(left) = counter.permits.checked_sub(waiter_slot.permits) else {
                return;
            };
            counter.permits = left;
            waiter_slot.granted.set(true);
            let Some(dequeued) = counter.waiters.dequeue() else {
                unreachable!("the first waiter of a semaphore waits for nothing else");
            };
            let waker = dequeued.finish();
            drop(counter);
            S::wake(waker);
            counter = self.counter.lock();
        }
    }

    /// Closes the semaphore: no thread gets permits from now on.
    pub(crate) fn close(&self) {
        let mut counter = self.counter.lock();
        counter.is_closed = true;
        wake_some(
            &self.counter,
            counter,
            |counter| &mut counter.waiters,
            usize::MAX,
        );
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use super::*;
    use crate::sync::wait::wait_in_queue::model::{Model, Until, check};
    use loom::sync::Arc;
    use loom::thread;

    fn use_some(semaphore: &RawSemaphore<Model>, permits: usize, wait: Until) {
        if semaphore.acquire(permits, &wait) == Acquired::Yes {
            semaphore.add(permits, usize::MAX);
        }
    }

    /// A large request is granted among small ones, and no permit is lost with a waiter that gives
    /// up.
    #[test]
    fn loom_semaphore_permits_are_kept() {
        check(Some(3), || {
            let semaphore = Arc::new(RawSemaphore::<Model>::new(2));
            let others = [(2, Until::GivesUp), (1, Until::Dequeued)].map(|(permits, wait)| {
                let semaphore = semaphore.clone();
                thread::spawn(move || use_some(&semaphore, permits, wait))
            });
            assert_eq!(semaphore.acquire(2, &Until::Dequeued), Acquired::Yes);
            semaphore.add(1, usize::MAX);
            semaphore.add(1, usize::MAX);
            for other in others {
                other.join().unwrap();
            }
            assert_eq!(semaphore.available(), 2);
        });
    }

    #[test]
    fn loom_semaphore_close() {
        check(Some(3), || {
            let semaphore = Arc::new(RawSemaphore::<Model>::new(0));
            let others = [(); 2].map(|()| {
                let semaphore = semaphore.clone();
                thread::spawn(move || semaphore.acquire(1, &Until::Dequeued))
            });
            semaphore.add(1, usize::MAX);
            semaphore.close();
            let given = others.map(|other| other.join().unwrap());
            let count = given
                .iter()
                .filter(|&&given| given == Acquired::Yes)
                .count();
            assert_eq!(semaphore.available() + count, 1);
        });
    }
}
