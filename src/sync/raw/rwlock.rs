#![allow(unsafe_code, reason = "what a claimer finds in a waiter's frame")]
//! The lock of an [`RwLock`](crate::sync::RwLock): a word, and one line of readers and writers in the order in which they came.
//!
//! | readers | `WRITER` | `QUEUED` | `WOKEN` | `HAND` | means |
//! |---|---|---|---|---|---|
//! | 0 | 0 | 0 | 0 | 0 | free |
//! | n | 0 | 0 | 0 | 0 | read; further readers enter |
//! | 0 | 1 | 0 | 0 | 0 | written |
//! | n | 0 | 1 | 0 | any | read, and a writer stands in line (first, or behind readers that are being let in): new readers line up behind it |
//! | 0 | 1 | 1 | 0 | any | written, and somebody stands in line |
//! | any | any | any | 1 | 0 | a writer was woken and is on its way to try: a release wakes nobody |
//! | any | any | 1 | 0 | 1 | a writer was woken in vain often enough, and is first in line: nobody takes the lock before it is given it |
//!
//! A reader that is first in line is let in as soon as nobody writes, and after it the next in line is looked at; a writer that is first
//! is woken to try for itself when the lock is free, and given the lock when it was overtaken for too long, as in `mutex.rs`.
//! A writer does not wait for readers that came after it, nor a reader for writers that came after it, but for one that slips in while somebody is
//! being woken.
//!
//! RW1. If the line is not empty, then the lock is held by one whose release looks at the line, or a writer that was woken is on its way, or somebody
//!      is about to call `let_in`.
//!      So who sets `QUEUED` in a free word, or leaves the line, or puts `WOKEN` down without the lock, calls `let_in`.
//! RW2. `QUEUED` and `HAND` change under the lock of the line only.
//! RW3. Who is let in or given the lock finds `given` in its offer. Acquire and Release go through its ticket (L4).

use std::cell::Cell;

use crate::shim::{AtomicUsize, Ordering, const_unless_loom};
use crate::sync::wait::line::Line;
use crate::sync::wait::spin::Spin;
use crate::sync::wait::stand::{Ended, Place, Sleep, Turn, stand};

const WRITER: usize = 1;
const QUEUED: usize = 2;
const WOKEN: usize = 4;
const HAND: usize = 8;
const READER: usize = 16;
const FLAGS: usize = READER - 1;

/// The slot of a waiter.
struct Offer {
    access: Access,
    place: usize,
    given: Cell<bool>,
}

/// See the module's text.
pub(crate) struct RawRwLock<S> {
    state: AtomicUsize,
    /// Where the last one runs that took it: a hint for those who would look at it again and again.
    holder: AtomicUsize,
    line: Spin<Line<S>>,
}

// Whole between any two calls; guards refer to it, and std's may be taken along into `catch_unwind`.
impl<S> std::panic::RefUnwindSafe for RawRwLock<S> {}

/// What a thread wants of the lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    Read,
    Write,
}

impl Access {
    /// The word after one more of this kind; none while it has to wait.
    #[inline(always)]
    fn enter(self, state: usize) -> Option<usize> {
        let free = state & WRITER == 0 && state < READER;
        match self {
            _ if state & HAND != 0 => None,
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
                line: Spin::new(Line::new()),
            }
        }
    }
}

impl<S: Sleep> RawRwLock<S> {
    /// Takes it for reading if nobody writes or waits, at the first try.
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
            self.holder.store(S::place(), Ordering::Relaxed);
        }
        entered
    }

    /// Takes it for writing if it is free and nobody waits.
    #[inline(always)]
    pub(crate) fn write_fast(&self) -> bool {
        // Acquire: pairs with the Release of all that had it before.
        let entered = self
            .state
            .compare_exchange(0, WRITER, Ordering::Acquire, Ordering::Relaxed)
            .is_ok();
        if entered {
            self.holder.store(S::place(), Ordering::Relaxed);
        }
        entered
    }

    /// Takes it if that needs no waiting.
    pub(crate) fn try_enter(&self, access: Access) -> bool {
        self.take(access, false)
    }

    /// A writer that was woken puts its mark down with the same stroke.
    fn take(&self, access: Access, woken: bool) -> bool {
        let mut state = self.state.load(Ordering::Relaxed);
        while let Some(entered) = access.enter(state) {
            let entered = if woken { entered & !WOKEN } else { entered };
            match self.state.compare_exchange_weak(
                state,
                entered,
                Ordering::Acquire,
                Ordering::Relaxed,
            ) {
                Ok(_) => {
                    self.holder.store(S::place(), Ordering::Relaxed);
                    return true;
                }
                Err(now) => state = now,
            }
        }
        false
    }

    /// Waits for it. False: the wait was given up, and the lock is not held.
    pub(crate) fn enter_slow(&self, access: Access, wait: &S::Wait) -> bool {
        let mut turn = Turn::new::<S>();
        loop {
            if self.look(access, &turn) {
                return true;
            }
            let line = self.line.lock();
            if self.take_or_announce(access, &mut turn) {
                return true;
            }
            let offer = Offer {
                access,
                place: turn.place(),
                given: Cell::new(false),
            };
            let stands = Place {
                at_front: turn.woken,
                ..Place::with(&offer)
            };
            let ended = stand(
                &self.line,
                line,
                |line| line,
                &stands,
                wait,
                || {},
                |line| self.left(line),
            );
            match ended {
                Ended::Claimed if offer.given.get() => return true,
                Ended::Claimed => turn.woken = true,
                Ended::Elapsed | Ended::Cancelled => {
                    // RW1: it may have stood before somebody that need not wait.
                    self.let_in();
                    return false;
                }
            }
        }
    }

    /// Somebody has left the line, whose lock is held.
    fn left(&self, line: &Line<S>) {
        if line.is_empty() {
            self.state.fetch_and(!(QUEUED | HAND), Ordering::Relaxed);
        }
    }

    /// As in `mutex.rs`.
    #[inline]
    fn look(&self, access: Access, turn: &Turn) -> bool {
        for round in 0..=S::LOOKS {
            if self.take(access, turn.woken) {
                return true;
            }
            if turn.is_beside(self.holder.load(Ordering::Relaxed)) {
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

    /// Under the lock of the line: takes the lock if that may be, else sees to it that its release looks at the line (RW1).
    fn take_or_announce(&self, access: Access, turn: &mut Turn) -> bool {
        let mut state = self.state.load(Ordering::Relaxed);
        loop {
            let entered = access.enter(state);
            let next = match entered {
                Some(entered) => entered,
                None if turn.woken
                    && turn.has_had_enough::<S>(self.holder.load(Ordering::Relaxed)) =>
                {
                    state | QUEUED | HAND
                }
                None => state | QUEUED,
            };
            let next = if turn.woken { next & !WOKEN } else { next };
            match self.state.compare_exchange_weak(
                state,
                next,
                Ordering::Acquire,
                Ordering::Relaxed,
            ) {
                Ok(_) if entered.is_some() => {
                    self.holder.store(S::place(), Ordering::Relaxed);
                    return true;
                }
                Ok(_) => return false,
                Err(now) => state = now,
            }
        }
    }

    /// A reader goes.
    #[inline(always)]
    pub(crate) fn leave_read(&self) {
        // Release: pairs with the Acquire of the next writer.
        let state = self.state.fetch_sub(READER, Ordering::Release);
        if state & QUEUED != 0 && state < 2 * READER {
            self.let_in();
        }
    }

    /// The writer goes.
    #[inline(always)]
    pub(crate) fn leave_write(&self) {
        // Release: pairs with the Acquire of the next one.
        let state = self.state.fetch_sub(WRITER, Ordering::Release);
        if state & QUEUED != 0 {
            self.let_in();
        }
    }

    /// The writer becomes a reader.
    pub(crate) fn downgrade(&self) {
        let state = self.state.fetch_add(READER - WRITER, Ordering::Release);
        if state & QUEUED != 0 {
            self.let_in();
        }
    }

    /// Lets those in, from the front, who need not wait any more; or wakes a writer to try, or gives it the lock.
    #[cold]
    fn let_in(&self) {
        loop {
            let mut line = self.line.lock();
            // Acquire, here and below: what those that have gone did comes before what those do that are let in.
            let mut state = self.state.load(Ordering::Acquire);
            let next = loop {
                let Some(slot) = line.first_slot() else {
                    self.left(&line);
                    return;
                };
                // SAFETY: L1: it stands in line, so its frame is there.
                let offer = unsafe { &*slot.cast::<Offer>() };
                let may = match offer.access {
                    Access::Read => state & WRITER == 0,
                    Access::Write => state & WRITER == 0 && state < READER,
                };
                // RW1: the writer that was woken will look, or whoever is inside.
                if !may || state & WOKEN != 0 {
                    return;
                }
                let given = offer.access == Access::Read || state & HAND != 0;
                let others = if line.is_single() { 0 } else { QUEUED };
                let rest = state & !(QUEUED | HAND) | others;
                let next = match offer.access {
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
                        offer.given.set(given);
                        if given {
                            self.holder.store(offer.place, Ordering::Relaxed);
                        }
                        break next;
                    }
                    Err(now) => state = now,
                }
            };
            let Some(claimed) = line.claim() else {
                unreachable!("the first in line waits for nothing else");
            };
            let waker = claimed.finish();
            drop(line);
            S::wake(waker);
            // After a writer nobody else gets in; after a reader perhaps the next one.
            if next & (WRITER | WOKEN) != 0 || next & QUEUED == 0 {
                return;
            }
        }
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use super::*;
    use crate::sync::wait::stand::model::{Model, Until, check, guarded};
    use loom::sync::Arc;
    use loom::thread;

    type Lock = Arc<(RawRwLock<Model>, guarded::Value)>;

    fn lock() -> Lock {
        Arc::new((RawRwLock::new(), guarded::Value::new()))
    }

    fn enter(lock: &Lock, access: Access, wait: Until) -> bool {
        match access {
            Access::Read => {
                let entered = lock.0.read_fast() || lock.0.enter_slow(access, &wait);
                if entered {
                    lock.1.get();
                    lock.0.leave_read();
                }
                entered
            }
            Access::Write => {
                let entered = lock.0.write_fast() || lock.0.enter_slow(access, &wait);
                if entered {
                    lock.1.change();
                    lock.0.leave_write();
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
                assert!(enter(&lock, access, Until::Claimed));
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
                (Access::Read, Until::Claimed),
                (Access::Write, Until::Claimed),
            ],
        );
    }

    #[test]
    fn loom_rwlock_a_writer_and_readers() {
        threads(
            2,
            &[Access::Write, Access::Read],
            &[
                (Access::Read, Until::Claimed),
                (Access::Read, Until::Claimed),
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
                (Access::Read, Until::Claimed),
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
                (Access::Write, Until::Claimed),
            ],
        );
    }

    /// The lock is read all the time: who waits behind a writer that goes must be let in by that.
    #[test]
    fn loom_rwlock_readers_behind_a_writer_that_goes() {
        check(Some(3), || {
            let lock = lock();
            assert!(lock.0.read_fast());
            let writer = lock.clone();
            let writer = thread::spawn(move || enter(&writer, Access::Write, Until::GivesUp));
            let reader = lock.clone();
            let reader = thread::spawn(move || enter(&reader, Access::Read, Until::Claimed));
            assert!(reader.join().unwrap());
            assert!(!writer.join().unwrap());
            lock.0.leave_read();
            assert_eq!(lock.0.state.load(Ordering::Relaxed), 0);
        });
    }

    #[test]
    fn loom_rwlock_downgrade() {
        check(Some(2), || {
            let lock = lock();
            let writer = lock.clone();
            let writer = thread::spawn(move || enter(&writer, Access::Write, Until::Claimed));
            let reader = lock.clone();
            let reader = thread::spawn(move || enter(&reader, Access::Read, Until::Claimed));
            assert!(lock.0.write_fast() || lock.0.enter_slow(Access::Write, &Until::Claimed));
            lock.1.change();
            let written = lock.1.get();
            lock.0.downgrade();
            assert_eq!(lock.1.get(), written);
            lock.0.leave_read();
            writer.join().unwrap();
            reader.join().unwrap();
            assert_eq!(lock.1.get(), 2);
        });
    }
}
