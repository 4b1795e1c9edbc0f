//! The reentrant lock of stdout and stderr: one thread at a time, green or not.
//!
//! - **LK1** `owner` is the thread that holds the lock `depth` times, or, with a depth of 0, the
//!   one that it was handed to, which has not seen that yet. 0 means no thread; then the queue is
//!   empty.
//! - **LK2** A release hands the lock to the first waiter. A waiter that leaves without it
//!   (cancelled) leaves the queue, and hands on the lock if it was handed to it meanwhile. So it is
//!   fair, and no thread waits for one that is gone.
//!
//! Any thread may use it. Releasing never waits.

use std::cell::Cell;
use std::collections::VecDeque;
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::ops::DerefMut;
use std::panic::Location;
use std::sync::{Mutex, MutexGuard, TryLockError};

use crate::green::budget::poll_budget_quietly;
use crate::green::ids::next_id;
use crate::green::{Reason, Unparker, Wait, WorkerContext, park};
use crate::shim::lock;

/// A value and its lock.
#[derive(Debug)]
pub(super) struct Reentrant<T> {
    state: Mutex<State>,
    /// Never contended: its user holds the lock.
    value: Mutex<T>,
}

#[derive(Debug)]
struct State {
    owner: u64,
    depth: usize,
    waiters: VecDeque<(u64, Unparker)>,
}

/// Returns a number that identifies the calling thread among all living threads, green or not.
fn me() -> u64 {
    thread_local! {
        // Without a destructor: it is also used while the process ends, after other thread-locals
        // have been destroyed.
        static MINE: Cell<u64> = const { Cell::new(0) };
    }
    match WorkerContext::get() {
        Some(cx) => cx.current().id().get(),
        None => {
            if MINE.get() == 0 {
                MINE.set(next_id().get());
            }
            MINE.get()
        }
    }
}

impl<T> Reentrant<T> {
    pub(super) const fn new(value: T) -> Reentrant<T> {
        Reentrant {
            state: Mutex::new(State {
                owner: 0,
                depth: 0,
                waiters: VecDeque::new(),
            }),
            value: Mutex::new(value),
        }
    }

    /// Waits until no other thread holds the lock.
    #[track_caller]
    pub(super) fn lock(&self) -> Guard<'_, T> {
        poll_budget_quietly(Location::caller());
        let me = me();
        if !self.enter(me) {
            let queued = QueuedThread { lock: self, me };
            let wait = Wait::new(Reason::Mutex);
            while !self.claim(me) {
                park(&wait);
            }
            // It has served its purpose.
            let _taken = ManuallyDrop::new(queued);
        }
        Guard {
            lock: self,
            thread: PhantomData,
        }
    }

    /// Takes the lock if no other thread holds it.
    pub(super) fn try_lock(&self) -> Option<Guard<'_, T>> {
        let me = me();
        let mut state = lock(&self.state);
        (state.owner == 0 || state.owner == me && state.depth > 0).then(|| {
            state.owner = me;
            state.depth += 1;
            Guard {
                lock: self,
                thread: PhantomData,
            }
        })
    }

    /// Takes the lock, or enters the queue.
    fn enter(&self, me: u64) -> bool {
        let mut state = lock(&self.state);
        let free = state.owner == 0 || state.owner == me;
        if free {
            state.owner = me;
            state.depth += 1;
        } else {
            state.waiters.push_back((me, Unparker::current()));
        }
        free
    }

    /// Takes the lock if it was handed over.
    fn claim(&self, me: u64) -> bool {
        let mut state = lock(&self.state);
        let mine = state.owner == me;
        if mine {
            state.depth = 1;
        }
        mine
    }

    /// Hands the lock to the first waiter (LK2).
    fn hand_over(mut state: impl DerefMut<Target = State>) {
        let next = state.waiters.pop_front();
        state.depth = 0;
        state.owner = next.as_ref().map_or(0, |&(next, _)| next);
        drop(state);
        if let Some((_, next)) = next {
            next.unpark();
        }
    }
}

/// A position in the queue, left when a wait unwinds.
struct QueuedThread<'a, T> {
    lock: &'a Reentrant<T>,
    me: u64,
}

impl<T> Drop for QueuedThread<'_, T> {
    fn drop(&mut self) {
        let mut state = lock(&self.lock.state);
        if state.owner == self.me {
            Reentrant::<T>::hand_over(state);
        } else {
            let me = self.me;
            state.waiters.retain(|&(waiter, _)| waiter != me);
        }
    }
}

/// The guard: its thread holds the lock.
#[derive(Debug)]
pub(super) struct Guard<'a, T> {
    lock: &'a Reentrant<T>,
    /// Neither `Send` nor `Sync`.
    thread: PhantomData<*const ()>,
}

impl<T> Guard<'_, T> {
    /// Returns the value.
    ///
    /// # Panics
    ///
    /// Panics if the thread already uses it, further down its stack.
    pub(super) fn get(&self) -> MutexGuard<'_, T> {
        let value = self.try_get();
        value.expect("the calling thread is already inside a write to this standard stream")
    }

    /// Returns the value, unless the thread already uses it.
    pub(super) fn try_get(&self) -> Option<MutexGuard<'_, T>> {
        match self.lock.value.try_lock() {
            Ok(value) => Some(value),
            // A panic, or a cancellation, in the middle of a write: the buffer keeps its data.
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }
}

impl<T> Drop for Guard<'_, T> {
    fn drop(&mut self) {
        let mut state = lock(&self.lock.state);
        state.depth -= 1;
        if state.depth == 0 {
            Reentrant::<T>::hand_over(state);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::Builder;
    use crate::thread::{spawn, spawn_local, yield_now};
    use std::cell::Cell;
    use std::rc::Rc;
    use std::sync::Arc;

    #[test]
    fn one_thread_holds_it_as_often_as_it_likes() {
        let lock = Reentrant::new(5);
        let first = lock.lock();
        let second = lock.lock();
        let third = lock.try_lock().unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| assert!(lock.try_lock().is_none()));
        });
        // In any order.
        drop(first);
        drop(third);
        std::thread::scope(|scope| {
            scope.spawn(|| assert!(lock.try_lock().is_none()));
        });
        *second.get() = 6;
        drop(second);
        std::thread::scope(|scope| {
            scope.spawn(|| assert_eq!(*lock.lock().get(), 6));
        });
    }

    #[test]
    fn green_threads_alternate_and_a_cancelled_one_leaves_the_queue() {
        Builder::new().workers(1).build().unwrap().run(|| {
            let lock = Rc::new(Reentrant::new(()));
            let order = Rc::new(Cell::new(0));
            let held = lock.lock();
            let waiters = [1, 2, 3, 4].map(|number| {
                let (lock, order) = (lock.clone(), order.clone());
                spawn_local(move || {
                    let _held = lock.lock();
                    order.set(order.get() * 10 + number);
                    yield_now();
                })
            });
            yield_now();
            waiters[1].cancel();
            yield_now();
            drop(held);
            // Handed to the first, which has not run since.
            waiters[0].cancel();
            waiters.into_iter().for_each(|waiter| drop(waiter.join()));
            assert!(matches!(order.get(), 134 | 34));
            assert!(lock.try_lock().is_some());
        });
    }

    #[test]
    fn threads_of_both_kinds_exclude_each_other() {
        let lock = Arc::new(Reentrant::new(0));
        let count = |lock: &Reentrant<u32>| {
            for _ in 0..500 {
                let held = lock.lock();
                let before = *held.get();
                std::thread::yield_now();
                *lock.lock().get() = before + 1;
            }
        };
        let theirs = lock.clone();
        let os = std::thread::spawn(move || count(&theirs));
        let theirs = lock.clone();
        Builder::new().workers(2).build().unwrap().run(move || {
            let threads = [(); 3].map(|()| {
                let lock = theirs.clone();
                spawn(move || count(&lock))
            });
            threads
                .into_iter()
                .for_each(|thread| thread.join().unwrap());
        });
        os.join().unwrap();
        assert_eq!(*lock.lock().get(), 2000);
    }
}
