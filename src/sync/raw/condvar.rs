//! The line of a [`Condvar`](crate::sync::Condvar).
//!
//! CV1. A waiter stands in line before it releases the mutex. So whoever changes the condition under the mutex
//!      afterwards finds it there, and sees that `standing` is not 0: the mutex orders the two.

use crate::shim::{AtomicUsize, Ordering, const_unless_loom};
use crate::sync::wait::line::Line;
use crate::sync::wait::spin::Spin;
use crate::sync::wait::stand::{Ended, Place, Sleep, stand};

/// See the module's text.
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

#[cfg(all(test, loom))]
mod loom_tests {
    use super::*;
    use crate::sync::raw::mutex::RawMutex;
    use crate::sync::wait::stand::model::{Model, Until, check, guarded};
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
            assert!(self.mutex.lock_fast() || self.mutex.lock_slow(&Until::Claimed));
        }

        fn put(&self) {
            self.lock();
            self.items.change();
            self.mutex.unlock();
            self.changed.notify_one();
        }

        /// Waits until there are so many; or gives up, if it is not notified at once. A notification that is lost is a deadlock.
        fn wait_for(&self, items: usize, wait: Until) {
            self.lock();
            while self.items.get() < items {
                let ended = self.changed.wait(&wait, || self.mutex.unlock());
                self.lock();
                if ended != Ended::Claimed {
                    break;
                }
            }
            let seen = self.items.get();
            self.mutex.unlock();
            // Who was notified and does not need it passes it on.
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
            let waiter = thread::spawn(move || waiter.wait_for(1, Until::Claimed));
            world.put();
            waiter.join().unwrap();
            assert_eq!(world.changed.standing.load(Ordering::Relaxed), 0);
        });
    }

    #[test]
    fn loom_condvar_all() {
        check(Some(2), || {
            let world = World::new();
            let waiters = [(); 2].map(|()| {
                let waiter = world.clone();
                thread::spawn(move || waiter.wait_for(1, Until::Claimed))
            });
            world.lock();
            world.items.change();
            world.mutex.unlock();
            world.changed.notify_all();
            for waiter in waiters {
                waiter.join().unwrap();
            }
            assert_eq!(world.changed.standing.load(Ordering::Relaxed), 0);
        });
    }

    /// One that gives up does not take the notification of the other with it.
    #[test]
    fn loom_condvar_one_gives_up() {
        check(Some(2), || {
            let world = World::new();
            let waiter = world.clone();
            let waiter = thread::spawn(move || waiter.wait_for(1, Until::Claimed));
            let quitter = world.clone();
            let quitter = thread::spawn(move || {
                quitter.lock();
                let mut notified = false;
                if quitter.items.get() < 1 {
                    let ended = quitter
                        .changed
                        .wait(&Until::GivesUp, || quitter.mutex.unlock());
                    notified = ended == Ended::Claimed;
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
