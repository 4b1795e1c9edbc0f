#![allow(
    unsafe_code,
    reason = "nodes are linked through the frames of the waiters"
)]
//! Waits in a queue until the waiter is claimed or gives up: the wait of everything here that waits
//! for one thing.
//!
//! The protocols in `raw/` are generic over [`Sleep`], so that they are model-checked as they are.
//!
//! ST1. [`wait_in_queue`] links one node and does not return before it is unlinked: by the claimer,
//!      or by itself. It does not unwind, because [`Sleep::wait_for`] does not: the waits that come
//!      here shield or defer.

use super::spin::{Spin, SpinGuard};
use super::wait_queue::{Sleeper, WaitNode, WaitQueue, Waiter};

/// How a wait has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// The waiter was claimed.
    Dequeued,
    /// The deadline passed first.
    Elapsed,
    /// The thread was cancelled first; the caller raises the cancellation after it has cleaned up.
    Cancelled,
}

/// A thread that can wait, and what wakes it.
pub(crate) trait Sleep: Sleeper + Sized {
    /// The wait's deadline, its reason, and how it treats a cancellation.
    type Wait;

    /// How often a thread spins for a lock whose holder is running, before it waits.
    const SPIN_LIMIT: u32;

    /// How long, in the units of `moment`, other running threads may barge ahead of a waiter.
    const HANDOFF_AFTER: u64;

    /// Returns the calling thread.
    fn current() -> Self;

    /// Returns the current time.
    fn moment() -> u64;

    /// Returns where the caller runs, and which thread it is. A multiple of 16.
    fn owner_tag() -> usize;

    /// Returns the part of an owner tag that says where: two threads for which it is the same,
    /// other than 0, never run at the same time.
    fn worker(owner_tag: usize) -> usize;

    /// Returns the tag without the part that says which thread it is.
    fn without_thread(owner_tag: usize) -> usize;

    /// Waits until the waiter is done or the end that `wait` sets. Does not unwind.
    fn wait_for(waiter: &Waiter<Self>, wait: &Self::Wait) -> Ended;

    /// Wakes a claimed thread.
    fn wake(waker: Self::Waker);
}

/// The barging state of a waiter for a lock.
pub(crate) struct BargeState {
    owner_tag: usize,
    /// It was woken to retry and has not tried yet.
    pub(crate) woken: bool,
    /// When another thread first barged ahead of it.
    overtaken: Option<u64>,
}

impl BargeState {
    #[inline(always)]
    pub(crate) fn new<S: Sleep>() -> BargeState {
        BargeState {
            owner_tag: S::owner_tag(),
            woken: false,
            overtaken: None,
        }
    }

    #[inline(always)]
    pub(crate) fn owner_tag(&self) -> usize {
        self.owner_tag
    }

    /// Returns whether the lock's holder, at `holder`, cannot run now because it is on this worker.
    #[inline(always)]
    pub(crate) fn same_worker<S: Sleep>(&self, holder: usize) -> bool {
        let waiters = S::worker(self.owner_tag);
        waiters != 0 && waiters == S::worker(holder)
    }

    /// Called when the woken waiter finds the lock held by `holder` again. Returns whether it may
    /// demand a handoff: when a thread of the same worker keeps the lock across a wait, or when
    /// others have barged ahead for long.
    pub(crate) fn should_handoff<S: Sleep>(&mut self, holder: usize) -> bool {
        if self.same_worker::<S>(holder) {
            return true;
        }
        let now = S::moment();
        let since = *self.overtaken.get_or_insert(now);
        now.saturating_sub(since) >= S::HANDOFF_AFTER
    }
}

/// The position in the queue and the slot.
#[derive(Debug)]
pub(crate) struct QueuePosition {
    /// The slot for the claimer; valid until `wait_in_queue` returns.
    pub(crate) slot: *mut (),
    /// For a waiter that has waited already.
    pub(crate) at_front: bool,
}

impl QueuePosition {
    /// At the end, without a slot.
    pub(crate) const BACK: QueuePosition = QueuePosition {
        slot: std::ptr::null_mut(),
        at_front: false,
    };

    /// At the end.
    #[inline(always)]
    pub(crate) fn with<T>(slot: &T) -> QueuePosition {
        QueuePosition {
            slot: std::ptr::from_ref(slot).cast_mut().cast(),
            at_front: false,
        }
    }
}

/// Enters the queue that `queue` selects under the lock `held`, releases the lock, calls `before`,
/// and waits. If it gives up, it calls `leave` under the lock after it has left the queue; a claim
/// at the last moment counts as claimed.
#[inline(always)]
pub(crate) fn wait_in_queue<S: Sleep, Q>(
    spin: &Spin<Q>,
    mut held: SpinGuard<'_, Q>,
    queue: impl Fn(&mut Q) -> &mut WaitQueue<S>,
    position: &QueuePosition,
    wait: &S::Wait,
    before: impl FnOnce(),
    leave: impl FnOnce(&mut Q),
) -> Ended {
    let waiter = Waiter::single(S::current());
    let node = WaitNode::new(&waiter, 0, position.slot);
    let waiters = queue(&mut held);
    if position.at_front {
        // SAFETY: ST1.
        unsafe { waiters.push_front(&node) };
    } else {
        // SAFETY: ST1.
        unsafe { waiters.push(&node) };
    }
    drop(held);
    before();
    let ended = S::wait_for(&waiter, wait);
    if ended == Ended::Dequeued {
        return ended;
    }
    let mut held = spin.lock();
    if queue(&mut held).remove(&node) {
        leave(&mut held);
        return ended;
    }
    // Claimers finish under this lock.
    debug_assert!(waiter.is_done());
    Ended::Dequeued
}

/// Claims up to `max_count` waiters from the front and wakes each, with the lock released in
/// between.
pub(crate) fn wake_some<'a, S: Sleep, Q>(
    spin: &'a Spin<Q>,
    mut held: SpinGuard<'a, Q>,
    queue: impl Fn(&mut Q) -> &mut WaitQueue<S>,
    max_count: usize,
) {
    for _ in 0..max_count {
        let Some(dequeued) = queue(&mut held).dequeue() else {
            return;
        };
        let waker = dequeued.finish();
        drop(held);
        S::wake(waker);
        held = spin.lock();
    }
}

/// Charges an unsuccessful poll to the budget (see `green/budget.rs`).
#[cfg(not(loom))]
#[cold]
pub(crate) fn note_failed_try(at: &'static std::panic::Location<'static>) {
    crate::green::budget::poll_budget_quietly(at);
}

#[cfg(not(loom))]
pub(crate) use self::threads::wait_until;

#[cfg(not(loom))]
mod threads {
    use super::{Ended, QueuePosition, Sleep, Waiter, wait_in_queue};
    use crate::green::context::worker_context::ADDRESS_BITS;
    use crate::green::park::unwind_if_cancelled;
    use crate::green::{ThreadInner, Wait, Wake, WorkerContext};
    use crate::sync::wait::spin::Spin;
    use crate::sync::wait::wait_queue::WaitQueue;
    use crate::sync::wait::waiting_thread::{WaitingThread, Waker, wait_for};
    use crate::sys::clock;

    /// Waits at the end of the queue that `queue` selects until `is_met` holds. `wait` has no time
    /// limit. If it ends because of a cancellation, the caller unwinds after it has left the queue.
    pub(crate) fn wait_until<Q>(
        spin: &Spin<Q>,
        queue: impl Fn(&mut Q) -> &mut WaitQueue<WaitingThread>,
        wait: &Wait,
        is_met: impl Fn(&Q) -> bool,
    ) {
        loop {
            let held = spin.lock();
            if is_met(&held) {
                return;
            }
            let ended = wait_in_queue(
                spin,
                held,
                &queue,
                &QueuePosition::BACK,
                wait,
                || {},
                |_| {},
            );
            if ended == Ended::Cancelled {
                unwind_if_cancelled();
            }
        }
    }

    impl Sleep for WaitingThread {
        type Wait = Wait;

        const SPIN_LIMIT: u32 = 7;

        const HANDOFF_AFTER: u64 = 500_000;

        fn moment() -> u64 {
            clock::now()
        }

        #[inline(always)]
        fn current() -> WaitingThread {
            WaitingThread::current()
        }

        #[inline(always)]
        fn owner_tag() -> usize {
            const { assert!(align_of::<ThreadInner>() >= 16) };
            WorkerContext::of_thread().map_or(0, WorkerContext::owner_tag)
        }

        #[inline(always)]
        fn worker(owner_tag: usize) -> usize {
            owner_tag >> ADDRESS_BITS
        }

        fn without_thread(owner_tag: usize) -> usize {
            owner_tag >> ADDRESS_BITS << ADDRESS_BITS
        }

        #[inline(always)]
        fn wait_for(waiter: &Waiter<WaitingThread>, wait: &Wait) -> Ended {
            match wait_for(waiter, wait) {
                Wake::Event => Ended::Dequeued,
                Wake::Elapsed => Ended::Elapsed,
                Wake::Cancelled => Ended::Cancelled,
            }
        }

        #[inline(always)]
        fn wake(waker: Waker) {
            waker.wake();
        }
    }
}

/// A waiter for tests on one OS thread: while it waits, another thread acts, which is a closure.
#[cfg(all(test, not(loom)))]
pub(crate) mod acted {
    use super::{Ended, Sleep, Sleeper, Waiter};
    use std::cell::Cell;

    thread_local! {
        /// The thread that acts at this moment.
        pub(crate) static ACTOR: Cell<usize> = const { Cell::new(0) };
    }

    /// The part of a tag that says which thread it is.
    pub(crate) const THREAD: usize = 0xFFF0;
    const WORKER: usize = 1 << 16;

    /// Calls `f` as the thread `actor`, a multiple of 16. All threads are of one worker.
    pub(crate) fn acting<R>(actor: usize, f: impl FnOnce() -> R) -> R {
        let before = ACTOR.replace(WORKER | actor);
        let result = f();
        ACTOR.set(before);
        result
    }

    #[derive(Debug)]
    pub(crate) struct Acted;

    impl Sleeper for Acted {
        type Waker = ();
        unsafe fn waker(&self) {}
    }

    impl Sleep for Acted {
        type Wait = Box<dyn Fn()>;
        const SPIN_LIMIT: u32 = 0;
        const HANDOFF_AFTER: u64 = 0;
        fn moment() -> u64 {
            0
        }
        fn current() -> Acted {
            Acted
        }
        fn owner_tag() -> usize {
            ACTOR.get()
        }
        fn worker(owner_tag: usize) -> usize {
            owner_tag & WORKER
        }
        fn without_thread(owner_tag: usize) -> usize {
            owner_tag & WORKER
        }
        fn wait_for(waiter: &Waiter<Acted>, wait: &Box<dyn Fn()>) -> Ended {
            while !waiter.is_done() {
                wait();
            }
            Ended::Dequeued
        }
        fn wake((): ()) {}
    }
}

/// A waiter for the models: it waits on loom's condition variable, or gives up at once.
#[cfg(all(test, loom))]
pub(crate) mod model {
    use super::{Ended, Sleep, Sleeper, Waiter};
    use loom::sync::{Arc, Condvar, Mutex};

    #[derive(Debug)]
    pub(crate) struct Model(Arc<(Mutex<bool>, Condvar)>);

    /// Runs a model with at most `preemptions` preemptions.
    pub(crate) fn check(preemptions: Option<usize>, f: impl Fn() + Send + Sync + 'static) {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = preemptions;
        model.check(f);
    }

    /// A number that the lock under test guards: loom reports unordered accesses.
    pub(crate) mod guarded {
        use loom::cell::UnsafeCell;

        pub(crate) struct Value(UnsafeCell<usize>);

        // SAFETY: the lock under test; that is what the model checks.
        unsafe impl Sync for Value {}

        impl Value {
            pub(crate) fn new() -> Value {
                Value(UnsafeCell::new(0))
            }
            pub(crate) fn change(&self) {
                // SAFETY: as above.
                self.0.with_mut(|value| unsafe { *value += 1 });
            }
            pub(crate) fn get(&self) -> usize {
                // SAFETY: as above.
                self.0.with(|value| unsafe { *value })
            }
        }
    }

    /// How the wait of a model ends.
    #[derive(Clone, Copy, Debug, PartialEq)]
    pub(crate) enum Until {
        Dequeued,
        /// Gives up as soon as it is queued: the schedule decides whether it was claimed before
        /// that.
        GivesUp,
    }

    impl Sleeper for Model {
        type Waker = Arc<(Mutex<bool>, Condvar)>;
        unsafe fn waker(&self) -> Self::Waker {
            self.0.clone()
        }
    }

    impl Sleep for Model {
        type Wait = Until;
        const SPIN_LIMIT: u32 = 0;
        const HANDOFF_AFTER: u64 = 0;
        fn moment() -> u64 {
            0
        }
        fn current() -> Model {
            Model(Arc::new((Mutex::new(false), Condvar::new())))
        }
        fn owner_tag() -> usize {
            0
        }
        fn worker(owner_tag: usize) -> usize {
            owner_tag
        }
        fn without_thread(owner_tag: usize) -> usize {
            owner_tag
        }
        fn wait_for(waiter: &Waiter<Model>, wait: &Until) -> Ended {
            if *wait == Until::GivesUp {
                loom::thread::yield_now();
                return if waiter.is_done() {
                    Ended::Dequeued
                } else {
                    Ended::Elapsed
                };
            }
            let (woken, wakes) = &*waiter.sleeper().0;
            let mut woken = woken.lock().unwrap();
            while !*woken {
                woken = wakes.wait(woken).unwrap();
            }
            assert!(waiter.is_done());
            Ended::Dequeued
        }
        fn wake(waker: Self::Waker) {
            *waker.0.lock().unwrap() = true;
            waker.1.notify_one();
        }
    }
}
