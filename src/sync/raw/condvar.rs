//! The wait queue of a [`Condvar`](crate::sync::Condvar).
//!
//! CV1. A waiter enters the queue before it releases the mutex. So a thread that changes the
//!      condition under the mutex afterwards finds it there and sees that `waiting` is not 0: the
//!      mutex orders the two.

use crate::shim::{AtomicUsize, Ordering, const_unless_loom};
use crate::sync::wait::spin::Spin;
use crate::sync::wait::wait_in_queue::{Ended, QueuePosition, Sleep, wait_in_queue};
use crate::sync::wait::wait_queue::WaitQueue;

/// See the module documentation.
pub(crate) struct RawCondvar<S> {
    /// The length of the queue; written under its lock.
    waiting: AtomicUsize,
    waiters: Spin<WaitQueue<S>>,
}

impl<S> RawCondvar<S> {
    const_unless_loom! {
        pub(crate) fn new() -> RawCondvar<S> {
            RawCondvar {
                waiting: AtomicUsize::new(0),
                waiters: Spin::new(WaitQueue::new()),
            }
        }
    }
}

impl<S: Sleep> RawCondvar<S> {
    /// Enters the queue, calls `release`, and waits. Does not unwind.
    #[inline(always)]
    pub(crate) fn wait(&self, wait: &S::Wait, release: impl FnOnce()) -> Ended {
        let waiters = self.waiters.lock();
        self.count(1);
        wait_in_queue(
            &self.waiters,
            waiters,
            |waiters| waiters,
            &QueuePosition::BACK,
            wait,
            release,
            |_| self.count(usize::MAX),
        )
    }

    /// Updates `waiting`, under the lock of the queue.
    #[inline(always)]
    fn count(&self, by: usize) {
        let waiting = self.waiting.load(Ordering::Relaxed).wrapping_add(by);
        self.waiting.store(waiting, Ordering::Relaxed);
    }

    /// Wakes the first waiter.
    #[inline]
    pub(crate) fn notify_one(&self) {
        // CV1.
        if self.waiting.load(Ordering::Relaxed) != 0 {
            self.notify(1);
        }
    }

    /// Wakes all current waiters.
    pub(crate) fn notify_all(&self) {
        let waiting = self.waiting.load(Ordering::Relaxed);
        if waiting != 0 {
            self.notify(waiting);
        }
    }

    /// Wakes at most `most` waiters: those that return to wait again are not woken twice.
    fn notify(&self, most: usize) {
        for _ in 0..most {
            let mut waiters = self.waiters.lock();
            let Some(claimed) = waiters.dequeue() else {
                return;
            };
            let waker = claimed.finish();
            self.count(usize::MAX);
            drop(waiters);
            S::wake(waker);
        }
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use super::*;
    use crate::sync::raw::mutex::RawMutex;
    use crate::sync::wait::wait_in_queue::model::{Model, Until, check, guarded};
    use loom::sync::Arc;
    use loom::thread;

    struct World {
        mutex: RawMutex<Model>,
        items: guarded::Value,
        changed: RawCondvar<Model>,
    }

    impl World {
        fn new() -> Arc<World> {
            Arc::new(World {
                mutex: RawMutex::new(),
                items: guarded::Value::new(),
                changed: RawCondvar::new(),
            })
        }

        fn lock(&self) {
            assert!(self.mutex.lock_fast() || self.mutex.lock_slow(&Until::Dequeued));
        }

        fn put(&self) {
            self.lock();
            self.items.change();
            self.mutex.unlock();
            self.changed.notify_one();
        }

        /// Waits until there are `items`, or gives up if it is not notified at once. A lost
        /// notification is a deadlock.
        fn wait_for(&self, items: usize, wait: Until) {
            self.lock();
            while self.items.get() < items {
                let ended = self.changed.wait(&wait, || self.mutex.unlock());
                self.lock();
                if ended != Ended::Dequeued {
                    break;
                }
            }
            let seen = self.items.get();
            self.mutex.unlock();
            // A notified thread that does not need the notification passes it on.
            if seen > items {
                self.changed.notify_one();
            }
        }
    }

    #[test]
    fn loom_condvar_no_notification_is_lost() {
        check(Some(3), || {
            let world = World::new();
            let waiter = world.clone();
            let waiter = thread::spawn(move || waiter.wait_for(1, Until::Dequeued));
            world.put();
            waiter.join().unwrap();
            assert_eq!(world.changed.waiting.load(Ordering::Relaxed), 0);
        });
    }

    #[test]
    fn loom_condvar_all() {
        check(Some(2), || {
            let world = World::new();
            let waiters = [(); 2].map(|()| {
                let waiter = world.clone();
                thread::spawn(move || waiter.wait_for(1, Until::Dequeued))
            });
            world.lock();
            world.items.change();
            world.mutex.unlock();
            world.changed.notify_all();
            for waiter in waiters {
                waiter.join().unwrap();
            }
            assert_eq!(world.changed.waiting.load(Ordering::Relaxed), 0);
        });
    }

    /// A waiter that gives up does not take the other's notification with it.
    #[test]
    fn loom_condvar_one_gives_up() {
        check(Some(2), || {
            let world = World::new();
            let waiter = world.clone();
            let waiter = thread::spawn(move || waiter.wait_for(1, Until::Dequeued));
            let quitter = world.clone();
            let quitter = thread::spawn(move || {
                quitter.lock();
                let mut notified = false;
                if quitter.items.get() < 1 {
                    let ended = quitter
                        .changed
                        .wait(&Until::GivesUp, || quitter.mutex.unlock());
                    notified = ended == Ended::Dequeued;
                    quitter.lock();
                }
                quitter.mutex.unlock();
                if notified {
                    quitter.changed.notify_one();
                }
            });
            world.put();
            quitter.join().unwrap();
            waiter.join().unwrap();
        });
    }
}
