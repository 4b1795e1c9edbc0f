#![allow(unsafe_code, reason = "packs a waiter into one word")]
//! The readiness of one direction of a source, or its waiter. Go's `netpoll.go` has the same three
//! states.
//!
//! | word | means |
//! |---|---|
//! | `EMPTY` | no event since the last operation that used the readiness up |
//! | `READY` | an operation may succeed: try it |
//! | a waiter | empty, and one thread waits: it has the *turn* |
//! | `TASK`, or a waiter plus `TASK` | the same, and the task of a future waits as well |
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
//! N5. A task waits beside the threads: it never has the turn, because it may be dropped without
//!     notice. Its waker is in `others`, one for each direction, that of the last poll. `TASK` is
//!     set after the waker was put there; `set_ready` removes the bit together with what else is in
//!     the word, and then takes the waker out and calls it. So N1 holds for a task as for a thread,
//!     and a task that does not come back holds up no thread.

use std::collections::{BTreeMap, BTreeSet};
use std::task::Waker;

use crate::green::completion::PackedWaiter;
use crate::shim::{AtomicUsize, Mutex, Ordering, fence, lock};

const EMPTY: usize = 0;
const READY: usize = 2;
/// Flag: a task waits (N5). Never with `READY`.
const TASK: usize = 4;

/// Returns the word without the flag.
#[inline(always)]
fn threads(word: usize) -> usize {
    word & !TASK
}

/// A waiter that fits in the word and can be woken.
pub(crate) trait Wakeable: PackedWaiter {
    /// Wakes it.
    fn wake(self);
    /// Calls the waker of a task. Does not unwind.
    fn wake_task(waker: Waker);
    /// Drops the waker of a task. Does not unwind.
    fn drop_task(waker: Waker);
    /// Counts the directions at which tasks wait: one more, or one less.
    fn count_tasks(is_added: bool);
}

/// One direction.
#[derive(Debug)]
pub(crate) struct Readiness<W> {
    word: AtomicUsize,
    waiter_count: AtomicUsize,
    /// None: no second thread and no task has waited yet.
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
    /// N5.
    task: Option<Waker>,
}

impl<W: Wakeable> WaiterList<W> {
    fn new() -> WaiterList<W> {
        WaiterList {
            next: 0,
            by_arrival: BTreeMap::new(),
            by_word: BTreeSet::new(),
            task: None,
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

    /// Returns whether a thread or a task waits, as a hint.
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
            word => self.wake_taken(word),
        }
    }

    /// Wakes the waiter of a word that was taken out, and the task.
    #[inline(always)]
    fn wake_taken(&self, word: usize) {
        if threads(word) != EMPTY {
            // SAFETY: N2, the swap took it out.
            unsafe { W::from_word(threads(word)) }.wake();
        }
        if word & TASK != 0 {
            W::count_tasks(false);
            self.wake_task();
        }
    }

    #[cold]
    fn wake_task(&self) {
        let task = lock(&self.others)
            .as_mut()
            .and_then(|others| others.task.take());
        if let Some(waker) = task {
            W::wake_task(waker);
        }
    }

    /// Like [`enter`](Readiness::enter), for the task of a future, which replaces the one that
    /// waited here before. There is nothing to leave.
    pub(crate) fn enter_task(&self, waker: &Waker) -> bool {
        self.set_task(waker);
        let mut was = self.word.load(Ordering::Relaxed);
        while was != READY {
            // SeqCst: SO3 in `source.rs`; also if the flag is set already.
            match self
                .word
                .compare_exchange(was, was | TASK, Ordering::SeqCst, Ordering::Acquire)
            {
                Ok(_) => {
                    if was & TASK == 0 {
                        W::count_tasks(true);
                    }
                    return true;
                }
                Err(now) => was = now,
            }
        }
        // Nothing calls it any more; unless another task has taken its place.
        let mut others = lock(&self.others);
        let unused = others
            .as_mut()
            .and_then(|others| others.task.take_if(|known| known.will_wake(waker)));
        drop(others);
        if let Some(waker) = unused {
            W::drop_task(waker);
        }
        false
    }

    fn set_task(&self, waker: &Waker) {
        let is_same = |others: &mut Option<Box<WaiterList<W>>>| {
            let task = others.as_ref().and_then(|others| others.task.as_ref());
            task.is_some_and(|known| known.will_wake(waker))
        };
        if is_same(&mut lock(&self.others)) {
            return;
        }
        // Code of others, so outside of the lock.
        let new = waker.clone();
        let old = lock(&self.others)
            .get_or_insert_with(|| Box::new(WaiterList::new()))
            .task
            .replace(new);
        if let Some(waker) = old {
            W::drop_task(waker);
        }
    }

    /// Drops the waker of the task: the source goes away.
    pub(crate) fn forget_task(&self) {
        if self.word.load(Ordering::Relaxed) & TASK == 0
            || self.word.fetch_and(!TASK, Ordering::AcqRel) & TASK == 0
        {
            return;
        }
        W::count_tasks(false);
        let task = lock(&self.others)
            .as_mut()
            .and_then(|others| others.task.take());
        if let Some(waker) = task {
            W::drop_task(waker);
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
        let Err(mut was) = was else {
            return true;
        };
        while threads(was) == EMPTY {
            // A task waits too.
            match self
                .word
                .compare_exchange(was, was | word, Ordering::SeqCst, Ordering::Acquire)
            {
                Ok(_) => return true,
                Err(now) => was = now,
            }
        }
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
        if matches!(threads(self.word.load(Ordering::Relaxed)), EMPTY | READY) {
            self.wake_next();
        }
    }

    /// Removes the registered waiter whose word is `mine`: it was woken, or gives up.
    #[inline]
    pub(crate) fn leave(&self, mine: usize) {
        // Only the waiter's own thread puts it in and calls this: if the word names it, it is there
        // still.
        let now = self.word.load(Ordering::Acquire);
        if threads(now) == mine {
            self.take_out(mine, now);
        }
        // N3.
        fence(Ordering::SeqCst);
        if self.waiter_count.load(Ordering::Relaxed) > 0 {
            self.unqueue_waiter(mine);
        }
    }

    /// Takes a waiter that no event has woken out of the word.
    #[cold]
    fn take_out(&self, mine: usize, mut now: usize) {
        while threads(now) == mine {
            // It fails if an event takes the waiter out or a task sets its flag.
            match self.word.compare_exchange_weak(
                now,
                now & TASK,
                Ordering::AcqRel,
                Ordering::Acquire,
            ) {
                Ok(_) => {
                    // SAFETY: N2, the exchange took it out.
                    return drop(unsafe { W::from_word(mine) });
                }
                Err(changed) => now = changed,
            }
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
        if matches!(threads(self.word.load(Ordering::Relaxed)), EMPTY | READY) {
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

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::AtomicU32;
    use std::task::Wake;

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
        fn wake_task(waker: Waker) {
            waker.wake();
        }
        fn drop_task(_waker: Waker) {}
        fn count_tasks(_more: bool) {}
    }

    impl Wake for Counter {
        fn wake(self: Arc<Counter>) {
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

    /// N5: the task is woken beside the threads, once, and holds up no thread.
    #[test]
    fn task_waits_beside_threads_and_never_has_the_turn() {
        let direction = Readiness::new();
        let (task, thread, next): (Counter, Counter, Counter) = Default::default();
        let waker = Waker::from(Arc::new(task.clone()));
        // An event has arrived.
        assert!(!direction.enter_task(&waker) && Arc::strong_count(&task.0) == 2);
        direction.take();
        assert!(direction.enter_task(&waker) && direction.has_waiters());
        assert!(direction.enter(thread.clone()) && direction.enter(next.clone()));
        direction.set_ready();
        assert_eq!((task.wakes(), thread.wakes(), next.wakes()), (1, 1, 0));
        direction.leave(thread.word());
        assert_eq!((task.wakes(), thread.wakes(), next.wakes()), (1, 1, 1));
        direction.take();
        direction.set_ready();
        assert_eq!(task.wakes(), 1);
        // A thread leaves while a task waits.
        direction.take();
        assert!(direction.enter(thread.clone()) && direction.enter_task(&waker));
        direction.leave(thread.word());
        assert!(direction.has_waiters());
        direction.set_ready();
        assert_eq!((task.wakes(), thread.wakes()), (2, 1));
    }

    #[test]
    fn last_task_is_woken_and_the_waker_of_a_closed_source_is_dropped() {
        let direction = Readiness::<Counter>::new();
        let tasks: [Counter; 2] = Default::default();
        let [first, last] = tasks
            .each_ref()
            .map(|task| Waker::from(Arc::new(task.clone())));
        direction.take();
        assert!(direction.enter_task(&first) && direction.enter_task(&last));
        direction.set_ready();
        assert_eq!(tasks.each_ref().map(Counter::wakes), [0, 1]);
        direction.take();
        assert!(direction.enter_task(&first));
        drop(first);
        assert_eq!(Arc::strong_count(&tasks[0].0), 2);
        direction.forget_task();
        assert_eq!(Arc::strong_count(&tasks[0].0), 1);
    }
}
