#![allow(
    unsafe_code,
    reason = "nodes are linked through the frames of those who wait"
)]
//! To stand in a line until one is claimed, or gives up: the wait of everything here that waits for one thing.
//!
//! The protocols in `raw/` are written for any [`Sleep`], so that they are model-checked as they are.
//!
//! ST1. [`stand`] links one node and does not return before it is unlinked: by the claimer, or by itself. It does not unwind,
//!      because [`Sleep::wait_for`] does not: the waits that come here shield or defer.

use super::line::{Line, Node, Sleeper, Ticket};
use super::spin::{Held, Spin};

/// How a wait has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// Somebody has claimed the waiter.
    Claimed,
    /// The deadline has passed first.
    Elapsed,
    /// The thread was cancelled first; the caller raises that when it has cleaned up.
    Cancelled,
}

/// A thread that can wait, and what wakes it.
pub(crate) trait Sleep: Sleeper + Sized {
    /// How long, for what, and what a cancellation does to it.
    type Wait;

    /// How often to look at a lock that is held by a thread which runs at this moment, before waiting for it.
    const LOOKS: u32;

    /// How long, in the units of `moment`, a thread lets itself be overtaken by others that run at the same time.
    const PATIENCE: u64;

    /// The calling thread.
    fn current() -> Self;

    /// The time.
    fn moment() -> u64;

    /// Where the caller runs: two threads with the same place, other than 0, never run at the same time. A multiple of 16.
    fn place() -> usize;

    /// Waits until the ticket is done, or what `wait` says has come first. Does not unwind.
    fn wait_for(ticket: &Ticket<Self>, wait: &Self::Wait) -> Ended;

    /// Wakes a thread that was claimed.
    fn wake(waker: Self::Waker);
}

/// How one that waits for a lock is treated by those who take it before it.
pub(crate) struct Turn {
    place: usize,
    /// It was woken to try for itself, and has not tried yet.
    pub(crate) woken: bool,
    /// When it was first overtaken.
    overtaken: Option<u64>,
}

impl Turn {
    #[inline(always)]
    pub(crate) fn new<S: Sleep>() -> Turn {
        Turn {
            place: S::place(),
            woken: false,
            overtaken: None,
        }
    }

    #[inline(always)]
    pub(crate) fn place(&self) -> usize {
        self.place
    }

    /// Whether the one at `holder`, who has the lock, is one that cannot run now: one of this worker.
    #[inline(always)]
    pub(crate) fn is_beside(&self, holder: usize) -> bool {
        self.place != 0 && self.place == holder
    }

    /// It was woken, and `holder` has the lock again. Whether that is enough: by one that is beside it, who keeps the lock across a wait; or
    /// by others that run at the same time, for long.
    pub(crate) fn has_had_enough<S: Sleep>(&mut self, holder: usize) -> bool {
        if self.is_beside(holder) {
            return true;
        }
        let now = S::moment();
        let since = *self.overtaken.get_or_insert(now);
        now.saturating_sub(since) >= S::PATIENCE
    }
}

/// Where in the line, and with what.
#[derive(Debug)]
pub(crate) struct Place {
    /// What the claimer finds; alive until `stand` returns.
    pub(crate) slot: *mut (),
    /// For one that has waited already.
    pub(crate) at_front: bool,
}

impl Place {
    /// At the end, with nothing.
    pub(crate) const BACK: Place = Place {
        slot: std::ptr::null_mut(),
        at_front: false,
    };

    /// At the end.
    #[inline(always)]
    pub(crate) fn with<T>(slot: &T) -> Place {
        Place {
            slot: std::ptr::from_ref(slot).cast_mut().cast(),
            at_front: false,
        }
    }
}

/// Enters the line that `line` finds under the lock `held`, releases the lock, calls `before`, and waits. If it gives up it calls
/// `leave` under the lock, after it has left the line; if it was claimed in the last moment, it was claimed.
#[inline(always)]
pub(crate) fn stand<S: Sleep, Q>(
    spin: &Spin<Q>,
    mut held: Held<'_, Q>,
    line: impl Fn(&mut Q) -> &mut Line<S>,
    place: &Place,
    wait: &S::Wait,
    before: impl FnOnce(),
    leave: impl FnOnce(&mut Q),
) -> Ended {
    let ticket = Ticket::single(S::current());
    let node = Node::new(&ticket, 0, place.slot);
    let here = line(&mut held);
    if place.at_front {
        // SAFETY: ST1.
        unsafe { here.push_front(&node) };
    } else {
        // SAFETY: ST1.
        unsafe { here.push(&node) };
    }
    drop(held);
    before();
    let ended = S::wait_for(&ticket, wait);
    if ended == Ended::Claimed {
        return ended;
    }
    let mut held = spin.lock();
    if line(&mut held).remove(&node) {
        leave(&mut held);
        return ended;
    }
    // Claimers finish under this lock.
    debug_assert!(ticket.is_done());
    Ended::Claimed
}

/// Claims up to `most` from the front and wakes each, with the lock released in between.
pub(crate) fn wake_some<'a, S: Sleep, Q>(
    spin: &'a Spin<Q>,
    mut held: Held<'a, Q>,
    line: impl Fn(&mut Q) -> &mut Line<S>,
    most: usize,
) {
    for _ in 0..most {
        let Some(claimed) = line(&mut held).claim() else {
            return;
        };
        let waker = claimed.finish();
        drop(held);
        S::wake(waker);
        held = spin.lock();
    }
}

/// Charges a question that was answered with "not yet" (see `green/budget.rs`).
#[cfg(not(loom))]
#[cold]
pub(crate) fn in_vain(at: &'static std::panic::Location<'static>) {
    crate::green::budget::spend_quietly(at);
}

#[cfg(not(loom))]
mod threads {
    use super::{Ended, Sleep, Ticket};
    use crate::green::{Home, Wait, Wake};
    use crate::sync::wait::waiting::{Thread, Waker, wait_for};
    use crate::sys::clock;

    impl Sleep for Thread {
        type Wait = Wait;

        const LOOKS: u32 = 7;

        const PATIENCE: u64 = 500_000;

        fn moment() -> u64 {
            clock::now()
        }

        #[inline(always)]
        fn current() -> Thread {
            Thread::current()
        }

        #[inline(always)]
        fn place() -> usize {
            const { assert!(align_of::<Home>() >= 16) };
            Home::of_thread().map_or(0, |home| std::ptr::from_ref(home).addr())
        }

        #[inline(always)]
        fn wait_for(ticket: &Ticket<Thread>, wait: &Wait) -> Ended {
            match wait_for(ticket, wait) {
                Wake::Event => Ended::Claimed,
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

/// A sleeper for the models: it waits on loom's condition variable, or gives up at once.
#[cfg(all(test, loom))]
pub(crate) mod model {
    use super::{Ended, Sleep, Sleeper, Ticket};
    use loom::sync::{Arc, Condvar, Mutex};

    #[derive(Debug)]
    pub(crate) struct Model(Arc<(Mutex<bool>, Condvar)>);

    /// Runs a model, with so many preemptions at most.
    pub(crate) fn check(preemptions: Option<usize>, f: impl Fn() + Send + Sync + 'static) {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = preemptions;
        model.check(f);
    }

    /// A number that the lock under test guards: loom complains if two touch it that nothing orders.
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

    /// What ends the wait of a model.
    #[derive(Clone, Copy, Debug, PartialEq)]
    pub(crate) enum Until {
        Claimed,
        /// Gives up as soon as it stands in line: whether it was claimed before that, the schedule says.
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
        const LOOKS: u32 = 0;
        const PATIENCE: u64 = 0;
        fn moment() -> u64 {
            0
        }
        fn current() -> Model {
            Model(Arc::new((Mutex::new(false), Condvar::new())))
        }
        fn place() -> usize {
            0
        }
        fn wait_for(ticket: &Ticket<Model>, wait: &Until) -> Ended {
            if *wait == Until::GivesUp {
                loom::thread::yield_now();
                return if ticket.is_done() {
                    Ended::Claimed
                } else {
                    Ended::Elapsed
                };
            }
            let (woken, wakes) = &*ticket.sleeper().0;
            let mut woken = woken.lock().unwrap();
            while !*woken {
                woken = wakes.wait(woken).unwrap();
            }
            assert!(ticket.is_done());
            Ended::Claimed
        }
        fn wake(waker: Self::Waker) {
            *waker.0.lock().unwrap() = true;
            waker.1.notify_one();
        }
    }
}
