#![allow(
    unsafe_code,
    reason = "accesses the slot in a waiter's stack frame by raw pointer"
)]
//! The counter of a [`Semaphore`](crate::sync::Semaphore) and its FIFO wait queue.
//!
//! SE1. Whenever the lock is free, the first waiter wants more than is available, or a thread is
//!      about to call `give_out`. A thread that arrives while the queue is not empty queues behind
//!      it, however little it wants, so that no waiter starves.
//!      The future that waits ([`AcquireWait`]) is queued like a thread.
//! SE2. A claimed waiter finds in its slot whether it was given what it wanted; if not, the
//!      semaphore was closed.

use std::cell::Cell;

use crate::shim::const_unless_loom;
use crate::sync::wait::boxed_wait::BoxedWait;
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

impl<S: Sleep> RawSemaphore<S> {
    /// Takes `permits`, or queues the sleeper that `make` creates.
    pub(crate) fn start(
        &self,
        permits: usize,
        make: impl FnOnce() -> S,
    ) -> Result<AcquireWait<'_, S>, Acquired> {
        // Allocates before the lock.
        let waiter_slot = WaiterSlot {
            permits,
            granted: Cell::new(false),
        };
        let parts = BoxedWait::new(make(), waiter_slot);
        let mut counter = self.counter.lock();
        match counter.take(permits) {
            Acquired::No => {
                // SAFETY: BW1, by the drop of `AcquireWait`.
                unsafe { parts.enter(&mut counter.waiters, false) };
                drop(counter);
                Ok(AcquireWait {
                    semaphore: self,
                    parts,
                })
            }
            taken => Err(taken),
        }
    }
}

/// A queued wait for permits without a thread: that of a future. Its drop returns the permits that
/// it was given and that [`take`](AcquireWait::take) has not returned.
pub(crate) struct AcquireWait<'a, S: Sleep> {
    semaphore: &'a RawSemaphore<S>,
    parts: BoxedWait<WaiterSlot, S>,
}

impl<S: Sleep> AcquireWait<'_, S> {
    /// Returns the result once the wait is over. If it is `Yes`, the caller has the permits.
    pub(crate) fn take(&mut self) -> Option<Acquired> {
        // SE2.
        let is_granted = self
            .parts
            .is_done()
            .then(|| self.parts.slot().granted.take());
        is_granted.map(|is_granted| match is_granted {
            true => Acquired::Yes,
            false => Acquired::Closed,
        })
    }
}

impl<S: Sleep> Drop for AcquireWait<'_, S> {
    fn drop(&mut self) {
        let mut counter = self.semaphore.counter.lock();
        let waiter_slot = self.parts.slot();
        if self.parts.leave(&mut counter.waiters) {
            // SE1: the waiters behind it may want less.
            self.semaphore.give_out(counter);
        } else if waiter_slot.granted.take() {
            drop(counter);
            self.semaphore.add(waiter_slot.permits, usize::MAX);
        }
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use super::*;
    use crate::sync::wait::wait_in_queue::model::{Model, Until, check, poll_until_ready};
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

    /// As a task: waits, and returns the permits; or is dropped after the first poll.
    fn use_some_as_a_task(semaphore: &RawSemaphore<Model>, permits: usize, drops: bool) {
        let mut wait = None;
        let mut given = Acquired::No;
        poll_until_ready(|make| {
            if wait.is_none() {
                match semaphore.start(permits, make) {
                    Ok(queued) => wait = Some(queued),
                    Err(taken) => given = taken,
                }
            }
            if let Some(taken) = wait.as_mut().and_then(AcquireWait::take) {
                given = taken;
            }
            drops || given != Acquired::No
        });
        drop(wait);
        if given == Acquired::Yes {
            semaphore.add(permits, usize::MAX);
        }
    }

    #[test]
    fn loom_semaphore_tasks_return_permits() {
        check(Some(3), || {
            let semaphore = Arc::new(RawSemaphore::<Model>::new(2));
            let others = [(2, true), (1, false)].map(|(permits, drops)| {
                let semaphore = semaphore.clone();
                thread::spawn(move || use_some_as_a_task(&semaphore, permits, drops))
            });
            assert_eq!(semaphore.acquire(2, &Until::Dequeued), Acquired::Yes);
            semaphore.add(2, usize::MAX);
            for other in others {
                other.join().unwrap();
            }
            assert_eq!(semaphore.available(), 2);
        });
    }

    #[test]
    fn loom_semaphore_close_ends_tasks() {
        check(Some(3), || {
            let semaphore = Arc::new(RawSemaphore::<Model>::new(0));
            let other = semaphore.clone();
            let task = thread::spawn(move || use_some_as_a_task(&other, 1, false));
            semaphore.add(1, usize::MAX);
            semaphore.close();
            task.join().unwrap();
            assert_eq!(semaphore.available(), 1);
        });
    }
}
