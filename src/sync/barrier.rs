//! [`Barrier`].
//!
//! BA1. `arrived` counts those of the present `generation`. The one that completes it begins the next generation, and wakes so many as were there.
//!      A thread that waits goes on when the generation is not its own any more, and looks again when it is woken for another reason.

use std::fmt;
use std::panic::{Location, RefUnwindSafe, UnwindSafe};

use super::wait::line::Line;
use super::wait::spin::Spin;
use super::wait::stand::{Ended, Place, stand, wake_some};
use super::wait::waiting::Thread;
use crate::green::budget::spend_quietly;
use crate::green::park::raise_if_cancelled;
use crate::green::{OnCancel, Reason, Wait};

/// Lets a number of threads wait for each other, again and again. As [`std::sync::Barrier`].
///
/// A green thread that is [cancelled](crate::Cancelled) while it waits counts as not having come; unless the others were complete before that: then it goes on,
/// and unwinds from its next wait.
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
    line: Line<Thread>,
}

impl UnwindSafe for Barrier {}
impl RefUnwindSafe for Barrier {}

/// What [`Barrier::wait`] gives. As [`std::sync::BarrierWaitResult`].
pub struct BarrierWaitResult(bool);

impl BarrierWaitResult {
    /// True for one of the threads that were let go together.
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
    /// For so many threads; 0 is as 1.
    #[must_use]
    #[inline]
    pub const fn new(n: usize) -> Barrier {
        Barrier {
            size: n,
            state: Spin::new(State {
                arrived: 0,
                generation: 0,
                line: Line::new(),
            }),
        }
    }

    /// Waits until all have come. Suspends the calling green thread, or blocks the calling OS thread. One of them is told that it is the leader.
    #[track_caller]
    pub fn wait(&self) -> BarrierWaitResult {
        spend_quietly(Location::caller());
        let mut state = self.state.lock();
        state.arrived += 1;
        if state.arrived >= self.size {
            let others = state.arrived - 1;
            state.arrived = 0;
            state.generation = state.generation.wrapping_add(1);
            wake_some(&self.state, state, |state| &mut state.line, others);
            return BarrierWaitResult(true);
        }
        let wait = Wait::at(Reason::Barrier, Location::caller()).on_cancel(OnCancel::Defer);
        let mine = state.generation;
        let mut withdrawn = false;
        while state.generation == mine {
            if withdrawn {
                // It may be raised now; if not, it is here again.
                drop(state);
                raise_if_cancelled();
                return self.wait();
            }
            let ended = stand(
                &self.state,
                state,
                |state| &mut state.line,
                &Place::BACK,
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
