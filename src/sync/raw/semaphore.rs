#![allow(unsafe_code, reason = "what a claimer finds in a waiter's frame")]
//! The counter of a [`Semaphore`](crate::sync::Semaphore), and those who wait for some of it, in the order in which they came.
//!
//! SE1. Whenever the lock is free, the first in line wants more than there is, or somebody is about to call `give_out`. Who comes while somebody stands in
//!      line stands behind it, however little it wants: so nobody is starved.
//! SE2. Who is claimed finds in its slot whether it was given what it wanted; if not, the semaphore was closed.

use std::cell::Cell;

use crate::shim::const_unless_loom;
use crate::sync::wait::line::Line;
use crate::sync::wait::spin::{Held, Spin};
use crate::sync::wait::stand::{Ended, Place, Sleep, stand, wake_some};

/// See the module's text.
pub(crate) struct RawSemaphore<S> {
    counter: Spin<Counter<S>>,
}

struct Counter<S> {
    permits: usize,
    is_closed: bool,
    line: Line<S>,
}

/// The slot of a waiter.
struct Want {
    permits: usize,
    given: Cell<bool>,
}

/// What comes of trying to get permits.
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
                    line: Line::new(),
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
        } else if self.line.is_empty() && self.permits >= permits {
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

    /// Waits for them, in line.
    pub(crate) fn acquire(&self, permits: usize, wait: &S::Wait) -> Acquired {
        let mut counter = self.counter.lock();
        match counter.take(permits) {
            Acquired::No => {}
            taken => return taken,
        }
        let want = Want {
            permits,
            given: Cell::new(false),
        };
        let ended = stand(
            &self.counter,
            counter,
            |counter| &mut counter.line,
            &Place::with(&want),
            wait,
            || {},
            |_| {},
        );
        match ended {
            // SE2.
            Ended::Claimed if want.given.get() => Acquired::Yes,
            Ended::Claimed => Acquired::Closed,
            Ended::Elapsed | Ended::Cancelled => {
                // SE1: those behind it may want less.
                self.give_out(self.counter.lock());
                Acquired::No
            }
        }
    }

    /// Adds permits. False: there would be more than `most`.
    pub(crate) fn add(&self, permits: usize, most: usize) -> bool {
        let mut counter = self.counter.lock();
        match counter.permits.checked_add(permits) {
            Some(sum) if sum <= most => counter.permits = sum,
            _ => return false,
        }
        self.give_out(counter);
        true
    }

    /// Takes permits away, as many as there are.
    pub(crate) fn forget(&self, permits: usize) -> usize {
        let mut counter = self.counter.lock();
        let gone = counter.permits.min(permits);
        counter.permits -= gone;
        gone
    }

    /// Gives those in line what they want, as far as it goes.
    #[inline]
    fn give_out<'a>(&'a self, mut counter: Held<'a, Counter<S>>) {
        while let Some(slot) = counter.line.first_slot() {
            // SAFETY: L1: it stands in line, so its frame is there.
            let want = unsafe { &*slot.cast::<Want>() };
            let Some(left) = counter.permits.checked_sub(want.permits) else {
                return;
            };
            counter.permits = left;
            want.given.set(true);
            let Some(claimed) = counter.line.claim() else {
                unreachable!("the first in line waits for nothing else");
            };
            let waker = claimed.finish();
            drop(counter);
            S::wake(waker);
            counter = self.counter.lock();
        }
    }

    /// From now on nobody gets any.
    pub(crate) fn close(&self) {
        let mut counter = self.counter.lock();
        counter.is_closed = true;
        wake_some(
            &self.counter,
            counter,
            |counter| &mut counter.line,
            usize::MAX,
        );
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use super::*;
    use crate::sync::wait::stand::model::{Model, Until, check};
    use loom::sync::Arc;
    use loom::thread;

    fn use_some(semaphore: &RawSemaphore<Model>, permits: usize, wait: Until) {
        if semaphore.acquire(permits, &wait) == Acquired::Yes {
            semaphore.add(permits, usize::MAX);
        }
    }

    /// A large wish is granted among small ones, and none is lost with one that gives up.
    #[test]
    fn loom_semaphore_permits_are_kept() {
        check(Some(3), || {
            let semaphore = Arc::new(RawSemaphore::<Model>::new(2));
            let others = [(2, Until::GivesUp), (1, Until::Claimed)].map(|(permits, wait)| {
                let semaphore = semaphore.clone();
                thread::spawn(move || use_some(&semaphore, permits, wait))
            });
            assert_eq!(semaphore.acquire(2, &Until::Claimed), Acquired::Yes);
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
                thread::spawn(move || semaphore.acquire(1, &Until::Claimed))
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
