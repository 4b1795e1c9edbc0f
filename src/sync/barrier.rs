//! [`Barrier`].
//!
//! BA1. `arrived` counts the threads of the current `generation`. The thread that completes it
//!      begins the next generation and wakes that many waiters. A waiter goes on when the
//!      generation is no longer its own, and checks again when it is woken for another reason.

use std::fmt;
use std::panic::{Location, RefUnwindSafe, UnwindSafe};

use super::wait::spin::Spin;
use super::wait::wait_in_queue::{Ended, QueuePosition, wait_in_queue, wake_some};
use super::wait::wait_queue::WaitQueue;
use super::wait::waiting_thread::WaitingThread;
use crate::green::budget::poll_budget_quietly;
use crate::green::park::unwind_if_cancelled;
use crate::green::{OnCancel, Reason, Wait};

/// Lets a fixed number of threads wait for each other, repeatedly; see [`std::sync::Barrier`].
///
/// # Cancellation
///
/// A green thread that is [cancelled](crate::Cancelled) while it waits is not counted. If the
/// barrier was complete before that, the thread returns from [`wait`](Barrier::wait) and unwinds
/// from its next wait.
///
/// # Examples
///
/// ```
/// use rustlet::sync::Barrier;
/// use rustlet::sync::atomic::{AtomicU32, Ordering};
///
/// rustlet::run(|| {
///     let (barrier, before) = (Barrier::new(3), AtomicU32::new(0));
///     rustlet::scope(|s| {
///         for _ in 0..3 {
///             s.spawn(|| {
///                 before.fetch_add(1, Ordering::Relaxed);
///                 barrier.wait();
///                 assert_eq!(before.load(Ordering::Relaxed), 3);
///             });
///         }
///     });
/// });
/// ```
pub struct Barrier {
    size: usize,
    state: Spin<State>,
}

struct State {
    arrived: usize,
    generation: usize,
    waiters: WaitQueue<WaitingThread>,
}

impl UnwindSafe for Barrier {}
impl RefUnwindSafe for Barrier {}

/// Result of [`Barrier::wait`]: tells whether the caller is the leader; see
/// [`std::sync::BarrierWaitResult`].
///
/// # Examples
///
/// ```
/// let result = rustlet::sync::Barrier::new(1).wait();
/// assert!(result.is_leader());
/// ```
pub struct BarrierWaitResult(bool);

impl BarrierWaitResult {
    /// Returns `true` for exactly one of the threads that were released together.
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::sync::Barrier;
    ///
    /// rustlet::run(|| {
    ///     let barrier = Barrier::new(2);
    ///     let (here, there) = rustlet::scope(|s| {
    ///         let other = s.spawn(|| barrier.wait().is_leader());
    ///         (barrier.wait().is_leader(), other.join().unwrap())
    ///     });
    ///     assert!(here != there);
    /// });
    /// ```
    #[must_use]
    pub fn is_leader(&self) -> bool {
        self.0
    }
}

impl fmt::Debug for BarrierWaitResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BarrierWaitResult")
            .field("is_leader", &self.is_leader())
            .finish()
    }
}

impl Barrier {
    /// Creates a barrier for `n` threads. 0 is treated as 1.
    ///
    /// # Examples
    ///
    /// ```
    /// static BARRIER: rustlet::sync::Barrier = rustlet::sync::Barrier::new(1);
    /// BARRIER.wait();
    /// ```
    #[must_use]
    #[inline]
    pub const fn new(n: usize) -> Barrier {
        Barrier {
            size: n,
            state: Spin::new(State {
                arrived: 0,
                generation: 0,
                waiters: WaitQueue::new(),
            }),
        }
    }

    /// Waits until `n` threads have called this. One of them is the leader.
    ///
    /// # Suspends
    ///
    /// Suspends the calling green thread until the last thread arrives; blocks an OS thread.
    ///
    /// # Cancellation
    ///
    /// The caller unwinds and no longer counts as arrived.
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::sync::Barrier;
    ///
    /// rustlet::run(|| {
    ///     let barrier = Barrier::new(2);
    ///     rustlet::scope(|s| {
    ///         s.spawn(|| barrier.wait());
    ///         barrier.wait();
    ///     });
    /// });
    /// ```
    #[track_caller]
    pub fn wait(&self) -> BarrierWaitResult {
        poll_budget_quietly(Location::caller());
        let mut state = self.state.lock();
        state.arrived += 1;
        if state.arrived >= self.size {
            let others = state.arrived - 1;
            state.arrived = 0;
            state.generation = state.generation.wrapping_add(1);
            wake_some(&self.state, state, |state| &mut state.waiters, others);
            return BarrierWaitResult(true);
        }
        let wait = Wait::at(Reason::Barrier, Location::caller()).on_cancel(OnCancel::Defer);
        let mine = state.generation;
        let mut withdrawn = false;
        while state.generation == mine {
            if withdrawn {
                // The cancellation may be raised now; if it is not, the thread waits again.
                drop(state);
                unwind_if_cancelled();
                return self.wait();
            }
            let ended = wait_in_queue(
                &self.state,
                state,
                |state| &mut state.waiters,
                &QueuePosition::BACK,
                &wait,
                || {},
                |state| {
                    withdrawn = state.generation == mine;
                    state.arrived -= usize::from(withdrawn);
                },
            );
            debug_assert_ne!(ended, Ended::Elapsed);
            state = self.state.lock();
        }
        BarrierWaitResult(false)
    }
}

impl fmt::Debug for Barrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Barrier").finish_non_exhaustive()
    }
}
