#![allow(unsafe_code, reason = "what a claimer finds in a waiter's frame")]
//! The lock of a [`Mutex`](crate::sync::Mutex): a word, and a line of those who wait.
//!
//! | `LOCKED` | `QUEUED` | `WOKEN` | `HAND` | means |
//! |---|---|---|---|---|
//! | 0 | 0 | 0 | 0 | free |
//! | 1 | 0 | 0 | 0 | held; nobody waits. With the place of the holder in the upper bits |
//! | 1 | 1 | 0 | 0 | held, and somebody stands in line: the release wakes the first, to try for itself |
//! | any | any | 1 | 0 | one that was woken is on its way to try: a release wakes nobody |
//! | 1 | 1 | 0 | 1 | one was woken in vain often enough: the release gives the lock to the first in line |
//!
//! In the common case a lock is one compare-and-swap (free → held) and a release is one (held → free). A thread that comes by while another one is on its way
//! may take the lock before it: the worker goes on without a switch for each turn. Who was woken in vain stands at the front again; and
//! if it was by a thread of its own worker, which keeps the lock across a wait, or for half a millisecond by others, it is handed the lock by the next
//! release. Earlier would make a convoy of threads that only count: each turn would wait for a worker to wake up.
//!
//! MX1. If the line is not empty, then the lock is held by one whose release will look at the line, or one that was woken is on its
//!      way. So `QUEUED` is set, under the lock of the line, only in a word that is `LOCKED`; and who was woken puts `WOKEN` down
//!      only by taking the lock, or in a word that is `LOCKED`.
//! MX2. While somebody holds both this lock and the lock of the line, nobody else changes the word.
//! MX3. Who is given the lock finds `given` in its offer. Acquire and Release go through its ticket (L4).

use std::cell::Cell;

use crate::shim::{AtomicUsize, Ordering, const_unless_loom};
use crate::sync::wait::line::Line;
use crate::sync::wait::spin::Spin;
use crate::sync::wait::stand::{Ended, Place, Sleep, Turn, stand};

const LOCKED: usize = 1;
const QUEUED: usize = 2;
const WOKEN: usize = 4;
const HAND: usize = 8;
const FLAGS: usize = LOCKED | QUEUED | WOKEN | HAND;

/// The slot of a waiter.
struct Offer {
    place: usize,
    given: Cell<bool>,
}

/// See the module's text.
pub(crate) struct RawMutex<S> {
    state: AtomicUsize,
    line: Spin<Line<S>>,
}

impl<S> RawMutex<S> {
    const_unless_loom! {
        pub(crate) fn new() -> RawMutex<S> {
            RawMutex {
                state: AtomicUsize::new(0),
                line: Spin::new(Line::new()),
            }
        }
    }
}

impl<S: Sleep> RawMutex<S> {
    /// Takes it if it is free and nobody waits.
    #[inline(always)]
    pub(crate) fn lock_fast(&self) -> bool {
        // Acquire: pairs with the Release of the last holder.
        self.state
            .compare_exchange(0, LOCKED | S::place(), Ordering::Acquire, Ordering::Relaxed)
            .is_ok()
    }

    /// Takes it if it is free.
    #[inline]
    pub(crate) fn try_lock(&self) -> bool {
        self.lock_fast() || self.take_if_free(S::place(), false)
    }

    /// Takes it if it is free, whoever waits; one that was woken puts its mark down with the same stroke.
    fn take_if_free(&self, place: usize, woken: bool) -> bool {
        let mut state = self.state.load(Ordering::Relaxed);
        while state & LOCKED == 0 {
            let flags = if woken { state & !WOKEN } else { state };
            match self.state.compare_exchange_weak(
                state,
                flags | LOCKED | place,
                Ordering::Acquire,
                Ordering::Relaxed,
            ) {
                Ok(_) => return true,
                Err(now) => state = now,
            }
        }
        false
    }

    /// Waits for it. False: the wait was given up, and the lock is not held.
    pub(crate) fn lock_slow(&self, wait: &S::Wait) -> bool {
        let mut turn = Turn::new::<S>();
        loop {
            if self.look(&turn) {
                return true;
            }
            let line = self.line.lock();
            if self.take_or_announce(&mut turn) {
                return true;
            }
            let offer = Offer {
                place: turn.place(),
                given: Cell::new(false),
            };
            let stands = Place {
                at_front: turn.woken,
                ..Place::with(&offer)
            };
            let leave = |line: &mut Line<S>| {
                if line.is_empty() {
                    self.state.fetch_and(!(QUEUED | HAND), Ordering::Relaxed);
                }
            };
            match stand(&self.line, line, |line| line, &stands, wait, || {}, leave) {
                Ended::Claimed if offer.given.get() => return true,
                Ended::Claimed => turn.woken = true,
                Ended::Elapsed | Ended::Cancelled => return false,
            }
        }
    }

    /// Looks at the lock for a moment, in growing intervals, as long as its holder may be running: one on this worker is not. Where others
    /// stand in line and nobody is on its way, for a shorter moment: they have not come to their turn by looking either.
    #[inline]
    fn look(&self, turn: &Turn) -> bool {
        for round in 0..=S::LOOKS {
            let state = self.state.load(Ordering::Relaxed);
            if state & LOCKED == 0 {
                if self.take_if_free(turn.place(), turn.woken) {
                    return true;
                }
            } else if turn.is_beside(state & !FLAGS)
                || (state & (QUEUED | WOKEN) == QUEUED && !turn.woken && round > 3)
            {
                return false;
            }
            if round < S::LOOKS {
                for _ in 0..1_u32 << round {
                    std::hint::spin_loop();
                }
            }
        }
        false
    }

    /// Under the lock of the line: takes the lock if it is free, else sees to it that its release looks at the line (MX1).
    fn take_or_announce(&self, turn: &mut Turn) -> bool {
        let mut state = self.state.load(Ordering::Relaxed);
        loop {
            let flags = if turn.woken { state & !WOKEN } else { state };
            let held = if state & LOCKED == 0 {
                flags | LOCKED | turn.place()
            } else if turn.woken && turn.has_had_enough::<S>(state & !FLAGS) {
                flags | QUEUED | HAND
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

    /// Releases it. The caller holds it.
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
        // Nobody waits, or one that was woken will see to the others.
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
        let mut line = self.line.lock();
        let state = self.state.load(Ordering::Relaxed);
        let others = if line.is_single() { 0 } else { QUEUED };
        let Some(slot) = line.first_slot() else {
            self.state.store(state & WOKEN, Ordering::Release);
            return;
        };
        if state & WOKEN != 0 {
            // As above; it came meanwhile.
            self.state
                .store(state & (QUEUED | WOKEN), Ordering::Release);
            return;
        }
        // SAFETY: L1: it stands in line, so its frame is there.
        let offer = unsafe { &*slot.cast::<Offer>() };
        // MX2.
        if state & HAND == 0 {
            self.state.store(others | WOKEN, Ordering::Release);
        } else {
            offer.given.set(true);
            let held = LOCKED | offer.place | others;
            self.state.store(held, Ordering::Release);
        }
        let Some(claimed) = line.claim() else {
            unreachable!("the first in line waits for nothing else");
        };
        let waker = claimed.finish();
        drop(line);
        S::wake(waker);
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use super::*;
    use crate::sync::wait::stand::model::{Model, Until, check, guarded};
    use loom::sync::Arc;
    use loom::thread;

    type Lock = Arc<(RawMutex<Model>, guarded::Value)>;

    fn lock() -> Lock {
        Arc::new((RawMutex::new(), guarded::Value::new()))
    }

    fn enter(lock: &Lock) {
        if !lock.0.lock_fast() {
            assert!(lock.0.lock_slow(&Until::Claimed));
        }
        lock.1.change();
        lock.0.unlock();
    }

    /// Whether it got in.
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

    /// The first in line was woken in vain once: it is handed the lock, or gives up and the next one is.
    #[test]
    fn loom_mutex_handed_over() {
        check(Some(2), || {
            let lock = lock();
            assert!(lock.0.lock_fast());
            let quitter = lock.clone();
            let quitter = thread::spawn(move || enter_or_give_up(&quitter));
            let other = lock.clone();
            let thread = thread::spawn(move || enter(&other));
            // Released and taken again, so that somebody is woken in vain.
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
