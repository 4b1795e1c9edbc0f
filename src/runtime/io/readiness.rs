#![allow(unsafe_code, reason = "a waiter travels through one word")]
//! The readiness of one direction of a source, or its waiter. Go's `netpoll.go` has the same three
//! states.
//!
//! | word | means |
//! |---|---|
//! | `EMPTY` | no event since the last operation that used the readiness up |
//! | `READY` | an operation may succeed: try it |
//! | a waiter | empty, and one thread waits: it has the *turn* |
//!
//! An operation: [`take`](Readiness::take) (`READY` → `EMPTY`), then the system call. If that
//! leaves something, [`set_ready`](Readiness::set_ready). If it would block,
//! [`enter`](Readiness::enter), which either finds `READY` (an event came in between: try again) or
//! leaves the waiter in the word. The reactor calls `set_ready` for an event, which wakes the
//! waiter.
//!
//! N1. No event is lost: `set_ready` leaves `READY` behind, and only `take`, which comes before the
//!     system call of its caller, removes it. An event that this call did not see comes after it in
//!     the order of the kernel's own locks, so the thread that delivers the event sees the `take`.
//! N2. A waiter in the word carries its reference; the thread that takes it out owns it.
//! N3. While a waiter has the turn, other waiters queue in `others`. A thread that gives up the
//!     turn, for any reason, wakes the first of them *after* that
//!     ([`leave`](Readiness::leave)); a thread that queues reads the word again *after* that. Each
//!     is a write, a full fence and a read, crosswise, so the queue never waits while the turn is
//!     free.
//! N4. A thread that leaves and finds another one with the turn wakes no waiter: the other one will
//!     leave, too, and the last to leave finds the turn free. (If each leaving thread woke one,
//!     that one would find nothing, queue again, and so wake the next, forever.)

use std::collections::{BTreeMap, BTreeSet};

use crate::green::completion::PackedWaiter;
use crate::shim::{AtomicUsize, Mutex, Ordering, fence, lock};

const EMPTY: usize = 0;
const READY: usize = 2;

/// A waiter that fits in the word and can be woken.
pub(crate) trait Wakeable: PackedWaiter {
    /// Wakes it.
    fn wake(self);
}

/// One direction.
#[derive(Debug)]
pub(crate) struct Readiness<W> {
    word: AtomicUsize,
    waiter_count: AtomicUsize,
    /// None: no second thread has waited yet.
    others: Mutex<Option<Box<WaiterList<W>>>>,
}

/// A queue of waiters; joining and leaving take logarithmic time.
#[derive(Debug)]
struct WaiterList<W> {
    next: u64,
    /// The waiters in the order of arrival.
    by_arrival: BTreeMap<u64, W>,
    /// The same waiters by their words; a word may occur more than once.
    by_word: BTreeSet<(usize, u64)>,
}

impl<W: Wakeable> WaiterList<W> {
    fn new() -> WaiterList<W> {
        WaiterList {
            next: 0,
            by_arrival: BTreeMap::new(),
            by_word: BTreeSet::new(),
        }
    }

    fn push(&mut self, waiter: W) {
        self.by_word.insert((waiter.word(), self.next));
        self.by_arrival.insert(self.next, waiter);
        self.next += 1;
    }

    fn pop(&mut self) -> Option<W> {
        let (number, waiter) = self.by_arrival.pop_first()?;
        self.by_word.remove(&(waiter.word(), number));
        Some(waiter)
    }

    /// Removes one waiter with this word.
    fn remove(&mut self, word: usize) -> Option<W> {
        let of_word = (word, 0)..=(word, u64::MAX);
        let &(_, number) = self.by_word.range(of_word).next()?;
        self.by_word.remove(&(word, number));
        self.by_arrival.remove(&number)
    }
}

impl<W: Wakeable> Readiness<W> {
    /// Creates a direction that is ready, so that the first operation is tried.
    pub(crate) fn new() -> Readiness<W> {
        Readiness {
            word: AtomicUsize::new(READY),
            waiter_count: AtomicUsize::new(0),
            others: Mutex::new(None),
        }
    }

    #[inline]
    pub(crate) fn is_ready(&self) -> bool {
        self.word.load(Ordering::Acquire) == READY
    }

    /// Returns whether a thread waits, as a hint.
    pub(crate) fn has_waiters(&self) -> bool {
        !matches!(self.word.load(Ordering::Relaxed), EMPTY | READY)
            || self.waiter_count.load(Ordering::Relaxed) > 0
    }

    /// Uses up the readiness. Called before an operation.
    #[inline]
    pub(crate) fn take(&self) {
        // Acquire: pairs with the Release of `set_ready`. If it is not READY there is nothing to
        // take.
        let _was = self
            .word
            .compare_exchange(READY, EMPTY, Ordering::AcqRel, Ordering::Relaxed);
    }

    /// Marks the direction ready, after an event or an operation that left something.
    #[inline]
    pub(crate) fn set_ready(&self) {
        // READY already: a thread that takes it afterwards makes its system call after this event
        // (N1).
        if self.word.load(Ordering::Relaxed) == READY {
            return;
        }
        self.publish_ready();
    }

    /// Marks the direction ready like `set_ready`; a thread that takes the readiness also sees the
    /// caller's earlier writes.
    #[inline]
    pub(crate) fn publish_ready(&self) {
        match self.word.swap(READY, Ordering::AcqRel) {
            EMPTY | READY => {}
            // SAFETY: N2, the swap took it out.
            word => unsafe { W::from_word(word) }.wake(),
        }
    }

    /// Registers `waiter` after an operation that would block. Returns true if it is registered:
    /// its owner must call [`leave`](Readiness::leave) when it was woken or gives up. Returns false
    /// if the operation should be tried again.
    #[inline]
    pub(crate) fn enter(&self, waiter: W) -> bool {
        let word = waiter.into_word();
        // SeqCst: SO3 in `source.rs`. Else AcqRel would do.
        let was = self
            .word
            .compare_exchange(EMPTY, word, Ordering::SeqCst, Ordering::Acquire);
        let Err(was) = was else {
            return true;
        };
        // SAFETY: N2, it never got in.
        let waiter = unsafe { W::from_word(word) };
        if was == READY {
            return false;
        }
        self.queue_waiter(waiter);
        true
    }

    #[cold]
    fn queue_waiter(&self, waiter: W) {
        lock(&self.others)
            .get_or_insert_with(|| Box::new(WaiterList::new()))
            .push(waiter);
        self.waiter_count.fetch_add(1, Ordering::Relaxed);
        // N3.
        fence(Ordering::SeqCst);
        if matches!(self.word.load(Ordering::Relaxed), EMPTY | READY) {
            self.wake_next();
        }
    }

    /// Removes the registered waiter whose word is `mine`: it was woken, or gives up.
    #[inline]
    pub(crate) fn leave(&self, mine: usize) {
        // Only the waiter's own thread registers it and calls this: if the word names it, it is
        // still registered.
        if self.word.load(Ordering::Acquire) == mine
            && self
                .word
                .compare_exchange(mine, EMPTY, Ordering::AcqRel, Ordering::Relaxed)
                .is_ok()
        {
            // SAFETY: N2, the exchange took it out.
            drop(unsafe { W::from_word(mine) });
        }
        // N3.
        fence(Ordering::SeqCst);
        if self.waiter_count.load(Ordering::Relaxed) > 0 {
            self.unqueue_waiter(mine);
        }
    }

    #[cold]
    fn unqueue_waiter(&self, mine: usize) {
        let out = || lock(&self.others).as_mut()?.remove(mine);
        while let Some(gone) = out() {
            self.waiter_count.fetch_sub(1, Ordering::Relaxed);
            drop(gone);
        }
        // N4.
        if matches!(self.word.load(Ordering::Relaxed), EMPTY | READY) {
            self.wake_next();
        }
    }

    /// Wakes the first queued waiter, which tries again.
    fn wake_next(&self) {
        let mut others = lock(&self.others);
        let Some(next) = others.as_mut().and_then(|others| others.pop()) else {
            return;
        };
        self.waiter_count.fetch_sub(1, Ordering::Relaxed);
        drop(others);
        next.wake();
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use super::*;
    use loom::sync::{Arc, Condvar, Mutex as LoomMutex};
    use loom::thread;

    #[derive(Clone)]
    struct Sleeper(Arc<(LoomMutex<bool>, Condvar)>);

    impl Sleeper {
        fn new() -> Sleeper {
            Sleeper(Arc::new((LoomMutex::new(false), Condvar::new())))
        }
        fn park(&self) {
            let mut woken = self.0.0.lock().unwrap();
            while !*woken {
                woken = self.0.1.wait(woken).unwrap();
            }
            *woken = false;
        }
    }

    impl PackedWaiter for Sleeper {
        fn word(&self) -> usize {
            Arc::as_ptr(&self.0) as usize
        }
        fn into_word(self) -> usize {
            Arc::into_raw(self.0) as usize
        }
        unsafe fn from_word(word: usize) -> Sleeper {
            // SAFETY: passed on to the caller.
            Sleeper(unsafe { Arc::from_raw(word as *const _) })
        }
    }

    impl Wakeable for Sleeper {
        fn wake(self) {
            *self.0.0.lock().unwrap() = true;
            self.0.1.notify_one();
        }
    }

    /// A socket: bytes in the kernel, under its lock, and an edge for each arrival, delivered by
    /// the sending thread.
    struct World {
        bytes: LoomMutex<usize>,
        read: Readiness<Sleeper>,
    }

    impl World {
        fn new(ready: bool) -> Arc<World> {
            let world = World {
                bytes: LoomMutex::new(0),
                read: Readiness::new(),
            };
            if !ready {
                world.read.take();
            }
            Arc::new(world)
        }

        fn arrive(&self) {
            *self.bytes.lock().unwrap() += 1;
            self.read.set_ready();
        }

        /// Reads one byte, as `retry::read` does: a system call that takes a byte, or would block.
        fn read(&self) {
            let me = Sleeper::new();
            let mut waited = false;
            loop {
                if self.read.is_ready() || waited {
                    self.read.take();
                    let mut bytes = self.bytes.lock().unwrap();
                    let got = bytes.checked_sub(1);
                    *bytes = got.unwrap_or(0);
                    drop(bytes);
                    if got.is_some() {
                        self.read.set_ready();
                        return;
                    }
                }
                if self.read.enter(me.clone()) {
                    me.park();
                    waited = true;
                }
                self.read.leave(me.word());
            }
        }
    }

    #[test]
    fn loom_one_reader() {
        loom::model(|| {
            let world = World::new(true);
            let reader = world.clone();
            let reader = thread::spawn(move || reader.read());
            world.arrive();
            reader.join().unwrap();
        });
    }

    #[test]
    fn loom_two_readers_one_direction() {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(2);
        model.check(|| {
            let world = World::new(false);
            let readers = [(); 2].map(|()| {
                let world = world.clone();
                thread::spawn(move || world.read())
            });
            world.arrive();
            world.arrive();
            for reader in readers {
                reader.join().unwrap();
            }
        });
    }

    #[test]
    fn loom_cancelled_waiter_wakes_the_next() {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(3);
        model.check(|| {
            let world = World::new(false);
            let quitter = Sleeper::new();
            assert!(world.read.enter(quitter.clone()));
            let reader = world.clone();
            let reader = thread::spawn(move || reader.read());
            let sender = world.clone();
            let sender = thread::spawn(move || sender.arrive());
            world.read.leave(quitter.word());
            sender.join().unwrap();
            reader.join().unwrap();
        });
    }

    /// The waiter with the turn and a queued waiter leave, in any order, and another one stays.
    #[test]
    fn loom_third_waiter_goes_on_after_two_cancelled() {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(2);
        model.check(|| {
            let world = World::new(false);
            let quitters = [(); 2].map(|()| Sleeper::new());
            for quitter in &quitters {
                assert!(world.read.enter(quitter.clone()));
            }
            let reader = world.clone();
            let reader = thread::spawn(move || reader.read());
            let [first, second] = quitters;
            let other = world.clone();
            let other = thread::spawn(move || other.read.leave(second.word()));
            world.arrive();
            world.read.leave(first.word());
            other.join().unwrap();
            reader.join().unwrap();
        });
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::AtomicU32;

    #[derive(Clone, Default)]
    struct Counter(Arc<AtomicU32>);

    impl Counter {
        fn wakes(&self) -> u32 {
            self.0.load(Ordering::Relaxed)
        }
    }

    impl PackedWaiter for Counter {
        fn word(&self) -> usize {
            Arc::as_ptr(&self.0) as usize
        }
        fn into_word(self) -> usize {
            Arc::into_raw(self.0) as usize
        }
        unsafe fn from_word(word: usize) -> Counter {
            // SAFETY: passed on to the caller.
            Counter(unsafe { Arc::from_raw(word as *const _) })
        }
    }

    impl Wakeable for Counter {
        fn wake(self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// N4.
    #[test]
    fn leaving_the_queue_wakes_no_waiter() {
        let direction = Readiness::new();
        direction.take();
        let waiters: [Counter; 6] = Default::default();
        for waiter in &waiters {
            assert!(direction.enter(waiter.clone()));
        }
        let wakes = || waiters.each_ref().map(Counter::wakes);
        direction.leave(waiters[3].word());
        assert_eq!(wakes(), [0; 6]);
        // The turn is free: only the first queued waiter is woken for it.
        direction.leave(waiters[0].word());
        assert_eq!(wakes(), [0, 1, 0, 0, 0, 0]);
        // It goes without having taken it.
        direction.leave(waiters[1].word());
        assert_eq!(wakes(), [0, 1, 1, 0, 0, 0]);
        assert!(direction.enter(waiters[2].clone()));
        direction.leave(waiters[5].word());
        assert_eq!(wakes(), [0, 1, 1, 0, 0, 0]);
        direction.set_ready();
        assert_eq!(wakes(), [0, 1, 2, 0, 0, 0]);
        direction.leave(waiters[2].word());
        assert_eq!(wakes(), [0, 1, 2, 0, 1, 0]);
        assert!(!direction.has_waiters());
    }

    /// A select may have two arms of one direction.
    #[test]
    fn waiter_registered_twice_leaves_both_entries() {
        let direction = Readiness::new();
        direction.take();
        let (holder, twice): (Counter, Counter) = Default::default();
        assert!(direction.enter(holder.clone()));
        assert!(direction.enter(twice.clone()) && direction.enter(twice.clone()));
        direction.leave(twice.word());
        direction.leave(holder.word());
        assert_eq!((holder.wakes(), twice.wakes()), (0, 0));
        assert!(!direction.has_waiters());
    }
}
