#![allow(
    unsafe_code,
    reason = "accesses the slot in a waiter's stack frame by raw pointer"
)]
//! The lock of an [`RwLock`](crate::sync::RwLock): a state word and one FIFO wait queue of readers
//! and writers.
//!
//! | readers | `WRITER` | `QUEUED` | `WOKEN` | `HANDOFF` | means |
//! |---|---|---|---|---|---|
//! | 0 | 0 | 0 | 0 | 0 | free |
//! | n | 0 | 0 | 0 | 0 | held by readers; further readers enter |
//! | 0 | 1 | 0 | 0 | 0 | held by a writer |
//! | n | 0 | 1 | 0 | any | held by readers, and a writer is queued: new readers queue too |
//! | 0 | 1 | 1 | 0 | any | held by a writer, with waiters |
//! | any | any | any | 1 | 0 | a woken writer is about to retry: a release wakes no other |
//! | any | any | 1 | 0 | 1 | a woken writer lost often enough: it is handed the lock |
//!
//! A reader at the front is let in as soon as no writer holds the lock, and then the next waiter is
//! checked. A writer at the front is woken to retry when the lock is free, and is handed the lock
//! when others barged ahead of it for too long, as in `mutex.rs`. A writer does not wait for
//! readers that came after it, nor a reader for writers that came after it, except for one that
//! barges in while a waiter is being woken.
//!
//! RW1. If the queue is not empty, the lock is held by a thread whose release looks at the queue,
//!      or a woken writer is about to retry, or a thread is about to call `admit_waiters`. So a
//!      thread that sets `QUEUED` in a free word, or leaves the queue, or clears `WOKEN` without
//!      the lock, calls `admit_waiters`.
//! RW2. `QUEUED` and `HANDOFF` change under the lock of the queue only.
//! RW3. A waiter that is let in or given the lock finds `granted` set in its slot. The `Waiter`
//!      provides Acquire and Release (L4).

use std::cell::Cell;

use crate::shim::{AtomicUsize, Ordering, const_unless_loom};
use crate::sync::wait::spin::Spin;
use crate::sync::wait::wait_in_queue::{BargeState, Ended, QueuePosition, Sleep, wait_in_queue};
use crate::sync::wait::wait_queue::WaitQueue;

const WRITER: usize = 1;
const QUEUED: usize = 2;
const WOKEN: usize = 4;
const HANDOFF: usize = 8;
const READER: usize = 16;
const FLAGS: usize = READER - 1;

/// The slot of a waiter.
struct WaiterSlot {
    access: Access,
    owner_tag: usize,
    granted: Cell<bool>,
}

/// See the module documentation.
// The two words that a report reads are adjacent.
#[repr(C)]
pub(crate) struct RawRwLock<S> {
    state: AtomicUsize,
    /// The owner tag of the last thread that took the lock: a hint for threads that would spin.
    holder: AtomicUsize,
    waiters: Spin<WaitQueue<S>>,
}

// Consistent between any two calls; guards refer to it, and std's may be captured by
// `catch_unwind`.
impl<S> std::panic::RefUnwindSafe for RawRwLock<S> {}

/// The access that a thread wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    Read,
    Write,
}

impl Access {
    /// Returns the word after one more access of this kind, or `None` while it has to wait.
    #[inline(always)]
    fn next_state(self, state: usize) -> Option<usize> {
        let free = state & WRITER == 0 && state < READER;
        match self {
            _ if state & HANDOFF != 0 => None,
            Access::Read if free || state & (WRITER | QUEUED) == 0 => Some(state + READER),
            Access::Write if free => Some(state | WRITER),
            _ => None,
        }
    }
}

impl<S> RawRwLock<S> {
    const_unless_loom! {
        pub(crate) fn new() -> RawRwLock<S> {
            RawRwLock {
                state: AtomicUsize::new(0),
                holder: AtomicUsize::new(0),
                waiters: Spin::new(WaitQueue::new()),
            }
        }
    }
}

impl<S: Sleep> RawRwLock<S> {
    /// Returns what a wait for the lock names (`ThreadInner::subject`): the address of two words.
    /// The first is odd while a writer has the lock; the second is the owner tag of the thread that
    /// took it last.
    #[cfg(not(loom))]
    pub(crate) fn subject(&self) -> usize {
        std::ptr::from_ref(&self.state).addr()
    }

    /// Takes the lock for reading if there is no writer and no waiter, at the first try.
    #[inline(always)]
    pub(crate) fn read_fast(&self) -> bool {
        let state = self.state.load(Ordering::Relaxed);
        // Acquire: pairs with the Release of the last writer.
        let entered = state & FLAGS == 0
            && self
                .state
                .compare_exchange(state, state + READER, Ordering::Acquire, Ordering::Relaxed)
                .is_ok();
        if entered {
            self.holder.store(S::owner_tag(), Ordering::Relaxed);
        }
        entered
    }

    /// Takes the lock for writing if it is free and has no waiters.
    #[inline(always)]
    pub(crate) fn write_fast(&self) -> bool {
        // Acquire: pairs with the Release of all earlier holders.
        let entered = self
            .state
            .compare_exchange(0, WRITER, Ordering::Acquire, Ordering::Relaxed)
            .is_ok();
        if entered {
            self.holder.store(S::owner_tag(), Ordering::Relaxed);
        }
        entered
    }

    /// Takes the lock if that needs no waiting.
    pub(crate) fn try_acquire(&self, access: Access) -> bool {
        self.take(access, false)
    }

    /// Takes the lock if that needs no waiting; a woken writer clears `WOKEN` in the same step.
    fn take(&self, access: Access, woken: bool) -> bool {
        let mut state = self.state.load(Ordering::Relaxed);
        while let Some(entered) = access.next_state(state) {
            let entered = if woken { entered & !WOKEN } else { entered };
            match self.state.compare_exchange_weak(
                state,
                entered,
                Ordering::Acquire,
                Ordering::Relaxed,
            ) {
                Ok(_) => {
                    self.holder.store(S::owner_tag(), Ordering::Relaxed);
                    return true;
                }
                Err(now) => state = now,
            }
        }
        false
    }

    /// Waits for the lock. Returns `false` if the wait was given up; then the lock is not held.
    pub(crate) fn acquire_slow(&self, access: Access, wait: &S::Wait) -> bool {
        let mut barge = BargeState::new::<S>();
        loop {
            if self.spin(access, &barge) {
                return true;
            }
            let waiters = self.waiters.lock();
            if self.take_or_announce(access, &mut barge) {
                return true;
            }
            let waiter_slot = WaiterSlot {
                access,
                owner_tag: barge.owner_tag(),
                granted: Cell::new(false),
            };
            let position = QueuePosition {
                at_front: barge.woken,
                ..QueuePosition::with(&waiter_slot)
            };
            let ended = wait_in_queue(
                &self.waiters,
                waiters,
                |waiters| waiters,
                &position,
                wait,
                || {},
                |waiters| self.clear_if_empty(waiters),
            );
            match ended {
                Ended::Dequeued if waiter_slot.granted.get() => {
                    self.holder.store(barge.owner_tag(), Ordering::Relaxed);
                    return true;
                }
                Ended::Dequeued => barge.woken = true,
                Ended::Elapsed | Ended::Cancelled => {
                    // RW1: the thread may have been queued before one that need not wait.
                    self.admit_waiters();
                    return false;
                }
            }
        }
    }

    /// Called when a waiter has left the queue, whose lock is held.
    fn clear_if_empty(&self, waiters: &WaitQueue<S>) {
        if waiters.is_empty() {
            self.state.fetch_and(!(QUEUED | HANDOFF), Ordering::Relaxed);
        }
    }

    /// As in `mutex.rs`.
    #[inline]
    fn spin(&self, access: Access, barge: &BargeState) -> bool {
        for round in 0..=S::SPIN_LIMIT {
            if self.take(access, barge.woken) {
                return true;
            }
            if barge.same_worker::<S>(self.holder.load(Ordering::Relaxed)) {
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

    /// Under the lock of the queue: takes the lock if that is allowed, else makes sure that its
    /// release looks at the queue (RW1).
    fn take_or_announce(&self, access: Access, barge: &mut BargeState) -> bool {
        let mut state = self.state.load(Ordering::Relaxed);
        loop {
            let entered = access.next_state(state);
            let next = match entered {
                Some(entered) => entered,
                None if barge.woken
                    && barge.should_handoff::<S>(self.holder.load(Ordering::Relaxed)) =>
                {
                    state | QUEUED | HANDOFF
                }
                None => state | QUEUED,
            };
            let next = if barge.woken { next & !WOKEN } else { next };
            match self.state.compare_exchange_weak(
                state,
                next,
                Ordering::Acquire,
                Ordering::Relaxed,
            ) {
                Ok(_) if entered.is_some() => {
                    self.holder.store(S::owner_tag(), Ordering::Relaxed);
                    return true;
                }
                Ok(_) => return false,
                Err(now) => state = now,
            }
        }
    }

    /// Releases a read lock.
    #[inline(always)]
    pub(crate) fn unlock_read(&self) {
        // Release: pairs with the Acquire of the next writer.
        let state = self.state.fetch_sub(READER, Ordering::Release);
        if state & QUEUED != 0 && state < 2 * READER {
            self.admit_waiters();
        }
    }

    /// Releases the write lock.
    #[inline(always)]
    pub(crate) fn unlock_write(&self) {
        // Release: pairs with the Acquire of the next holder.
        let state = self.state.fetch_sub(WRITER, Ordering::Release);
        if state & QUEUED != 0 {
            self.admit_waiters();
        }
    }

    /// Turns the write lock into a read lock.
    pub(crate) fn downgrade(&self) {
        let state = self.state.fetch_add(READER - WRITER, Ordering::Release);
        if state & QUEUED != 0 {
            self.admit_waiters();
        }
    }

    /// Lets in the waiters at the front that need not wait any more; or wakes a writer to retry, or
    /// hands it the lock.
    #[cold]
    fn admit_waiters(&self) {
        loop {
            let mut waiters = self.waiters.lock();
            // Acquire, here and below: what earlier holders did happens before what the admitted
            // threads do.
            let mut state = self.state.load(Ordering::Acquire);
            let next = loop {
                let Some(slot) = waiters.first_slot() else {
                    self.clear_if_empty(&waiters);
                    return;
                };
                // SAFETY: L1: it is queued, so its frame exists.
                let waiter_slot = unsafe { &*slot.cast::<WaiterSlot>() };
                let may = match waiter_slot.access {
                    Access::Read => state & WRITER == 0,
                    Access::Write => state & WRITER == 0 && state < READER,
                };
                // RW1: the woken writer will look at the queue, or the current holder will.
                if !may || state & WOKEN != 0 {
                    return;
                }
                let given = waiter_slot.access == Access::Read || state & HANDOFF != 0;
                let others = if waiters.is_single() { 0 } else { QUEUED };
                let rest = state & !(QUEUED | HANDOFF) | others;
                let next = match waiter_slot.access {
                    Access::Read => rest + READER,
                    Access::Write if given => rest | WRITER,
                    Access::Write => rest | WOKEN,
                };
                match self.state.compare_exchange_weak(
                    state,
                    next,
                    Ordering::AcqRel,
                    Ordering::Acquire,
                ) {
                    Ok(_) => {
                        waiter_slot.granted.set(given);
                        if given {
                            // As MX4 in `mutex.rs`.
                            let tag = S::without_thread(waiter_slot.owner_tag);
                            self.holder.store(tag, Ordering::Relaxed);
                        }
                        break next;
                    }
                    Err(now) => state = now,
                }
            };
            let Some(dequeued) = waiters.dequeue() else {
                unreachable!("the first waiter of a lock waits for nothing else");
            };
            let waker = dequeued.finish();
            drop(waiters);
            S::wake(waker);
            // After a writer no other thread enters; after a reader perhaps the next one.
            if next & (WRITER | WOKEN) != 0 || next & QUEUED == 0 {
                return;
            }
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::sync::wait::wait_in_queue::acted::{Acted, THREAD, acting};
    use std::cell::Cell;
    use std::rc::Rc;

    /// Returns the thread that the lock names.
    fn named(lock: &RawRwLock<Acted>) -> usize {
        lock.holder.load(Ordering::Relaxed) & THREAD
    }

    #[test]
    fn lock_that_is_handed_over_names_its_holder_when_that_runs() {
        for access in [Access::Read, Access::Write] {
            let lock: Rc<RawRwLock<Acted>> = Rc::new(RawRwLock::new());
            let other = Rc::clone(&lock);
            let passes = Rc::new(Cell::new(0));
            let passed = Rc::clone(&passes);
            acting(16, || assert!(lock.write_fast()));
            // The other thread of the worker releases the lock and takes it again at once if it
            // can; a writer is handed the lock the next time.
            let wait: Box<dyn Fn()> = Box::new(move || {
                acting(16, || {
                    other.unlock_write();
                    let is_first = passed.replace(passed.get() + 1) == 0;
                    if is_first && access == Access::Write {
                        return assert!(other.try_acquire(Access::Write));
                    }
                    assert_eq!(named(&other), 0);
                });
            });
            acting(32, || {
                assert!(lock.acquire_slow(access, &wait));
                assert_eq!(named(&lock), 32);
                match access {
                    Access::Read => lock.unlock_read(),
                    Access::Write => lock.unlock_write(),
                }
            });
            assert_eq!(lock.state.load(Ordering::Relaxed), 0);
        }
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use super::*;
    use crate::sync::wait::wait_in_queue::model::{Model, Until, check, guarded};
    use loom::sync::Arc;
    use loom::thread;

    type Lock = Arc<(RawRwLock<Model>, guarded::Value)>;

    fn lock() -> Lock {
        Arc::new((RawRwLock::new(), guarded::Value::new()))
    }

    fn enter(lock: &Lock, access: Access, wait: Until) -> bool {
        match access {
            Access::Read => {
                let entered = lock.0.read_fast() || lock.0.acquire_slow(access, &wait);
                if entered {
                    lock.1.get();
                    lock.0.unlock_read();
                }
                entered
            }
            Access::Write => {
                let entered = lock.0.write_fast() || lock.0.acquire_slow(access, &wait);
                if entered {
                    lock.1.change();
                    lock.0.unlock_write();
                }
                entered
            }
        }
    }

    fn threads(bound: usize, mine: &'static [Access], others: &'static [(Access, Until)]) {
        check(Some(bound), move || {
            let lock = lock();
            let threads: Vec<_> = others
                .iter()
                .map(|&(access, wait)| {
                    let other = lock.clone();
                    thread::spawn(move || {
                        usize::from(enter(&other, access, wait) && access == Access::Write)
                    })
                })
                .collect();
            let mut written = 0;
            for &access in mine {
                assert!(enter(&lock, access, Until::Dequeued));
                written += usize::from(access == Access::Write);
            }
            for thread in threads {
                written += thread.join().unwrap();
            }
            assert_eq!(lock.1.get(), written);
            assert_eq!(lock.0.state.load(Ordering::Relaxed), 0);
        });
    }

    #[test]
    fn loom_rwlock_a_reader_and_writers() {
        threads(
            2,
            &[Access::Write, Access::Write],
            &[
                (Access::Read, Until::Dequeued),
                (Access::Write, Until::Dequeued),
            ],
        );
    }

    #[test]
    fn loom_rwlock_a_writer_and_readers() {
        threads(
            2,
            &[Access::Write, Access::Read],
            &[
                (Access::Read, Until::Dequeued),
                (Access::Read, Until::Dequeued),
            ],
        );
    }

    #[test]
    fn loom_rwlock_a_writer_gives_up() {
        threads(
            2,
            &[Access::Read, Access::Write],
            &[
                (Access::Write, Until::GivesUp),
                (Access::Read, Until::Dequeued),
            ],
        );
    }

    #[test]
    fn loom_rwlock_a_reader_gives_up() {
        threads(
            2,
            &[Access::Write, Access::Write],
            &[
                (Access::Read, Until::GivesUp),
                (Access::Write, Until::Dequeued),
            ],
        );
    }

    /// The lock is always held by readers: waiters behind a writer that leaves must be let in by
    /// its leaving.
    #[test]
    fn loom_rwlock_readers_behind_a_writer_that_goes() {
        check(Some(3), || {
            let lock = lock();
            assert!(lock.0.read_fast());
            let writer = lock.clone();
            let writer = thread::spawn(move || enter(&writer, Access::Write, Until::GivesUp));
            let reader = lock.clone();
            let reader = thread::spawn(move || enter(&reader, Access::Read, Until::Dequeued));
            assert!(reader.join().unwrap());
            assert!(!writer.join().unwrap());
            lock.0.unlock_read();
            assert_eq!(lock.0.state.load(Ordering::Relaxed), 0);
        });
    }

    #[test]
    fn loom_rwlock_downgrade() {
        check(Some(2), || {
            let lock = lock();
            let writer = lock.clone();
            let writer = thread::spawn(move || enter(&writer, Access::Write, Until::Dequeued));
            let reader = lock.clone();
            let reader = thread::spawn(move || enter(&reader, Access::Read, Until::Dequeued));
            assert!(lock.0.write_fast() || lock.0.acquire_slow(Access::Write, &Until::Dequeued));
            lock.1.change();
            let written = lock.1.get();
            lock.0.downgrade();
            assert_eq!(lock.1.get(), written);
            lock.0.unlock_read();
            writer.join().unwrap();
            reader.join().unwrap();
            assert_eq!(lock.1.get(), 2);
        });
    }
}
