#![allow(
    unsafe_code,
    reason = "accesses the slot in a waiter's stack frame by raw pointer"
)]
//! The lock of a [`Mutex`](crate::sync::Mutex): a state word and a wait queue.
//!
//! | `LOCKED` | `QUEUED` | `WOKEN` | `HANDOFF` | means |
//! |---|---|---|---|---|
//! | 0 | 0 | 0 | 0 | free |
//! | 1 | 0 | 0 | 0 | held, no waiter. The upper bits hold the holder's owner tag: its worker and its thread |
//! | 1 | 1 | 0 | 0 | held, with waiters: the release wakes the first one, which retries |
//! | any | any | 1 | 0 | a woken waiter is about to retry: a release wakes no other |
//! | 1 | 1 | 0 | 1 | a woken waiter lost often enough: the release hands the lock over |
//!
//! In the common case a lock is one compare-and-swap (free → held) and a release is one (held →
//! free). A running thread may take the lock before a woken one (barging), so that the worker goes
//! on without a switch for each acquisition. A woken waiter that loses the race returns to the
//! front of the queue. If it lost to a thread of its own worker that keeps the lock across a wait,
//! or to others for half a millisecond, the next release hands it the lock. An earlier handoff
//! would make a convoy of threads that only count: each acquisition would wait for a worker to wake
//! up.
//!
//! MX1. If the queue is not empty, the lock is held by a thread whose release will look at the
//!      queue, or a woken waiter is about to retry. So `QUEUED` is set, under the lock of the
//!      queue, only in a word that is `LOCKED`; and a woken waiter clears `WOKEN` only by taking
//!      the lock, or in a word that is `LOCKED`.
//! MX2. While one thread holds both this lock and the lock of the queue, no other thread changes
//!      the word.
//! MX3. A waiter that is given the lock finds `granted` set in its slot. The `Waiter` provides
//!      Acquire and Release (L4).
//! MX4. A thread that is named as the holder has run since. While the lock is handed over, only the
//!      worker of the new holder is named: a report of deadlocks would take the new holder, which
//!      is seen to wait until it is woken, for a thread that waits for itself.

use std::cell::Cell;

use crate::shim::{AtomicUsize, Ordering, const_unless_loom};
use crate::sync::wait::spin::Spin;
use crate::sync::wait::wait_in_queue::{BargeState, Ended, QueuePosition, Sleep, wait_in_queue};
use crate::sync::wait::wait_queue::WaitQueue;

const LOCKED: usize = 1;
const QUEUED: usize = 2;
const WOKEN: usize = 4;
const HANDOFF: usize = 8;
const FLAGS: usize = LOCKED | QUEUED | WOKEN | HANDOFF;

/// The slot of a waiter.
struct WaiterSlot {
    owner_tag: usize,
    granted: Cell<bool>,
}

/// See the module documentation.
pub(crate) struct RawMutex<S> {
    state: AtomicUsize,
    waiters: Spin<WaitQueue<S>>,
}

impl<S> RawMutex<S> {
    const_unless_loom! {
        pub(crate) fn new() -> RawMutex<S> {
            RawMutex {
                state: AtomicUsize::new(0),
                waiters: Spin::new(WaitQueue::new()),
            }
        }
    }
}

impl<S: Sleep> RawMutex<S> {
    /// Returns what a wait for the lock names (`ThreadInner::subject`): the address of a word that
    /// is odd while the lock is held, with the holder's owner tag.
    #[cfg(not(loom))]
    pub(crate) fn subject(&self) -> usize {
        std::ptr::from_ref(&self.state).addr()
    }

    /// Takes the lock if it is free and has no waiters.
    #[inline(always)]
    pub(crate) fn lock_fast(&self) -> bool {
        // Acquire: pairs with the Release of the last holder.
        self.state
            .compare_exchange(
                0,
                LOCKED | S::owner_tag(),
                Ordering::Acquire,
                Ordering::Relaxed,
            )
            .is_ok()
    }

    /// Takes the lock if it is free.
    #[inline]
    pub(crate) fn try_lock(&self) -> bool {
        self.lock_fast() || self.take_if_free(S::owner_tag(), false)
    }

    /// Takes the lock if it is free, with or without waiters; a woken waiter clears `WOKEN` in the
    /// same step.
    fn take_if_free(&self, owner_tag: usize, woken: bool) -> bool {
        let mut state = self.state.load(Ordering::Relaxed);
        while state & LOCKED == 0 {
            let flags = if woken { state & !WOKEN } else { state };
            match self.state.compare_exchange_weak(
                state,
                flags | LOCKED | owner_tag,
                Ordering::Acquire,
                Ordering::Relaxed,
            ) {
                Ok(_) => return true,
                Err(now) => state = now,
            }
        }
        false
    }

    /// Waits for the lock. Returns `false` if the wait was given up; then the lock is not held.
    pub(crate) fn lock_slow(&self, wait: &S::Wait) -> bool {
        let mut barge = BargeState::new::<S>();
        loop {
            if self.spin(&barge) {
                return true;
            }
            let waiters = self.waiters.lock();
            if self.take_or_announce(&mut barge) {
                return true;
            }
            let waiter_slot = WaiterSlot {
                owner_tag: barge.owner_tag(),
                granted: Cell::new(false),
            };
            let position = QueuePosition {
                at_front: barge.woken,
                ..QueuePosition::with(&waiter_slot)
            };
            let leave = |waiters: &mut WaitQueue<S>| {
                if waiters.is_empty() {
                    self.state.fetch_and(!(QUEUED | HANDOFF), Ordering::Relaxed);
                }
            };
            match wait_in_queue(
                &self.waiters,
                waiters,
                |waiters| waiters,
                &position,
                wait,
                || {},
                leave,
            ) {
                Ended::Dequeued if waiter_slot.granted.get() => {
                    // MX4.
                    self.state.fetch_or(barge.owner_tag(), Ordering::Relaxed);
                    return true;
                }
                Ended::Dequeued => barge.woken = true,
                Ended::Elapsed | Ended::Cancelled => return false,
            }
        }
    }

    /// Spins with growing intervals as long as the holder may be running; a holder on this worker
    /// is not. If others are queued and none is about to retry, it spins for a shorter time:
    /// spinning did not help them either.
    #[inline]
    fn spin(&self, barge: &BargeState) -> bool {
        for round in 0..=S::SPIN_LIMIT {
            let state = self.state.load(Ordering::Relaxed);
            if state & LOCKED == 0 {
                if self.take_if_free(barge.owner_tag(), barge.woken) {
                    return true;
                }
            } else if barge.same_worker::<S>(state & !FLAGS)
                || (state & (QUEUED | WOKEN) == QUEUED && !barge.woken && round > 3)
            {
                return false;
            }
            if round < S::SPIN_LIMIT {
                for _ in 0..1_u32 << round {
                    std::hint::spin_loop();
                }
            }
        }
        false
    }

    /// Under the lock of the queue: takes the lock if it is free, else makes sure that its release
    /// looks at the queue (MX1).
    fn take_or_announce(&self, barge: &mut BargeState) -> bool {
        let mut state = self.state.load(Ordering::Relaxed);
        loop {
            let flags = if barge.woken { state & !WOKEN } else { state };
            let held = if state & LOCKED == 0 {
                flags | LOCKED | barge.owner_tag()
            } else if barge.woken && barge.should_handoff::<S>(state & !FLAGS) {
                flags | QUEUED | HANDOFF
            } else {
                flags | QUEUED
            };
            match self.state.compare_exchange_weak(
                state,
                held,
                Ordering::Acquire,
                Ordering::Relaxed,
            ) {
                Ok(_) => return state & LOCKED == 0,
                Err(now) => state = now,
            }
        }
    }

    /// Releases the lock. The caller holds it.
    #[inline(always)]
    pub(crate) fn unlock(&self) {
        let state = self.state.load(Ordering::Relaxed);
        // Release: pairs with the Acquire of the next holder.
        if state & (QUEUED | WOKEN) != 0
            || self
                .state
                .compare_exchange(state, 0, Ordering::Release, Ordering::Relaxed)
                .is_err()
        {
            self.unlock_slow();
        }
    }

    #[cold]
    fn unlock_slow(&self) {
        let mut state = self.state.load(Ordering::Relaxed);
        // There is no waiter, or a woken one will take care of the others.
        while state & QUEUED == 0 || state & WOKEN != 0 {
            match self.state.compare_exchange_weak(
                state,
                state & (QUEUED | WOKEN),
                Ordering::Release,
                Ordering::Relaxed,
            ) {
                Ok(_) => return,
                Err(now) => state = now,
            }
        }
        let mut waiters = self.waiters.lock();
        let state = self.state.load(Ordering::Relaxed);
        let others = if waiters.is_single() { 0 } else { QUEUED };
        let Some(slot) = waiters.first_slot() else {
            self.state.store(state & WOKEN, Ordering::Release);
            return;
        };
        if state & WOKEN != 0 {
            // As above; it came meanwhile.
            self.state
                .store(state & (QUEUED | WOKEN), Ordering::Release);
            return;
        }
        // SAFETY: L1: it is queued, so its frame exists.
        let waiter_slot = unsafe { &*slot.cast::<WaiterSlot>() };
        // MX2.
        if state & HANDOFF == 0 {
            self.state.store(others | WOKEN, Ordering::Release);
        } else {
            waiter_slot.granted.set(true);
            // MX4.
            let held = LOCKED | S::without_thread(waiter_slot.owner_tag) | others;
            self.state.store(held, Ordering::Release);
        }
        let Some(dequeued) = waiters.dequeue() else {
            unreachable!("the first waiter of a mutex waits for nothing else");
        };
        let waker = dequeued.finish();
        drop(waiters);
        S::wake(waker);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::sync::wait::wait_in_queue::acted::{Acted, THREAD, acting};
    use std::cell::Cell;
    use std::rc::Rc;

    #[test]
    fn lock_that_is_handed_over_names_its_holder_when_that_runs() {
        let lock: Rc<RawMutex<Acted>> = Rc::new(RawMutex::new());
        let other = Rc::clone(&lock);
        let passes = Rc::new(Cell::new(0));
        let passed = Rc::clone(&passes);
        acting(16, || assert!(lock.lock_fast()));
        // The other thread of the worker releases the lock and takes it again at once, so the next
        // time it hands it over.
        let wait: Box<dyn Fn()> = Box::new(move || {
            acting(16, || {
                other.unlock();
                if passed.replace(passed.get() + 1) == 0 {
                    assert!(other.try_lock());
                    return;
                }
                let state = other.state.load(Ordering::Relaxed);
                assert_eq!((state & LOCKED, state & THREAD), (LOCKED, 0));
            });
        });
        acting(32, || {
            assert!(lock.lock_slow(&wait));
            assert_eq!(passes.get(), 2);
            assert_eq!(lock.state.load(Ordering::Relaxed) & THREAD, 32);
            lock.unlock();
        });
        assert_eq!(lock.state.load(Ordering::Relaxed), 0);
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use super::*;
    use crate::sync::wait::wait_in_queue::model::{Model, Until, check, guarded};
    use loom::sync::Arc;
    use loom::thread;

    type Lock = Arc<(RawMutex<Model>, guarded::Value)>;

    fn lock() -> Lock {
        Arc::new((RawMutex::new(), guarded::Value::new()))
    }

    fn enter(lock: &Lock) {
        if !lock.0.lock_fast() {
            assert!(lock.0.lock_slow(&Until::Dequeued));
        }
        lock.1.change();
        lock.0.unlock();
    }

    /// Returns whether it got the lock.
    fn enter_or_give_up(lock: &Lock) -> bool {
        let entered = lock.0.lock_fast() || lock.0.lock_slow(&Until::GivesUp);
        if entered {
            lock.1.change();
            lock.0.unlock();
        }
        entered
    }

    #[test]
    fn loom_mutex_two_threads() {
        check(None, || {
            let lock = lock();
            let other = lock.clone();
            let thread = thread::spawn(move || {
                enter(&other);
                enter(&other);
            });
            enter(&lock);
            thread.join().unwrap();
            assert_eq!(lock.1.get(), 3);
            assert_eq!(lock.0.state.load(Ordering::Relaxed), 0);
        });
    }

    #[test]
    fn loom_mutex_three_threads() {
        check(Some(2), || {
            let lock = lock();
            let threads = [(); 2].map(|()| {
                let other = lock.clone();
                thread::spawn(move || {
                    enter(&other);
                })
            });
            enter(&lock);
            enter(&lock);
            for thread in threads {
                thread.join().unwrap();
            }
            assert_eq!(lock.1.get(), 4);
            assert_eq!(lock.0.state.load(Ordering::Relaxed), 0);
        });
    }

    #[test]
    fn loom_mutex_one_gives_up() {
        check(Some(3), || {
            let lock = lock();
            let quitter = lock.clone();
            let quitter = thread::spawn(move || enter_or_give_up(&quitter));
            let other = lock.clone();
            let thread = thread::spawn(move || enter(&other));
            enter(&lock);
            thread.join().unwrap();
            let entered = 2 + usize::from(quitter.join().unwrap());
            assert_eq!(lock.1.get(), entered);
            assert_eq!(lock.0.state.load(Ordering::Relaxed), 0);
        });
    }

    /// The first waiter loses the race once: it is handed the lock, or gives up and the next one
    /// gets it.
    #[test]
    fn loom_mutex_handed_over() {
        check(Some(2), || {
            let lock = lock();
            assert!(lock.0.lock_fast());
            let quitter = lock.clone();
            let quitter = thread::spawn(move || enter_or_give_up(&quitter));
            let other = lock.clone();
            let thread = thread::spawn(move || enter(&other));
            // Released and taken again, so that a woken waiter loses the race.
            lock.0.unlock();
            enter(&lock);
            enter(&lock);
            thread.join().unwrap();
            let entered = 3 + usize::from(quitter.join().unwrap());
            assert_eq!(lock.1.get(), entered);
            assert_eq!(lock.0.state.load(Ordering::Relaxed), 0);
        });
    }
}
