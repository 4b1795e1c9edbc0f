//! [`WaitGroup`].

use std::fmt;
use std::panic::{Location, RefUnwindSafe, UnwindSafe};
use std::sync::Arc;

use super::wait::spin::Spin;
use super::wait::wait_in_queue::{wait_until, wake_some};
use super::wait::wait_queue::WaitQueue;
use super::wait::waiting_thread::WaitingThread;
use crate::green::budget::poll_budget_quietly;
use crate::green::{OnCancel, Reason, Wait};

/// Lets threads wait until all parts of a job are done, as in crossbeam-utils.
///
/// Each part is a clone of the group: it is done when its clone is dropped or waits itself. Unlike
/// a [`Barrier`](super::Barrier), a group need not know in advance how many parts there will be.
///
/// # Cancellation
///
/// A green thread that is [cancelled](crate::Cancelled) while it waits unwinds; its own clone is
/// already dropped.
///
/// # Examples
///
/// ```
/// use rustlet::sync::WaitGroup;
///
/// rustlet::run(|| {
///     let group = WaitGroup::new();
///     for _ in 0..4 {
///         let part = group.clone();
///         rustlet::spawn(move || drop(part));
///     }
///     group.wait();
/// });
/// ```
#[doc(alias = "TaskTracker")]
pub struct WaitGroup {
    shared: Arc<Shared>,
}

struct Shared {
    state: Spin<State>,
}

struct State {
    parts: usize,
    waiters: WaitQueue<WaitingThread>,
}

impl UnwindSafe for Shared {}
impl RefUnwindSafe for Shared {}

impl WaitGroup {
    /// Creates a group with one part: the returned handle.
    ///
    /// # Examples
    ///
    /// ```
    /// rustlet::sync::WaitGroup::new().wait();
    /// ```
    #[must_use]
    pub fn new() -> WaitGroup {
        WaitGroup {
            shared: Arc::new(Shared {
                state: Spin::new(State {
                    parts: 1,
                    waiters: WaitQueue::new(),
                }),
            }),
        }
    }

    /// Drops this handle and waits until all clones are dropped.
    ///
    /// # Suspends
    ///
    /// Suspends the calling green thread until then; blocks an OS thread.
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::sync::WaitGroup;
    ///
    /// rustlet::run(|| {
    ///     let group = WaitGroup::new();
    ///     let part = group.clone();
    ///     rustlet::spawn(move || part.wait());
    ///     group.wait();
    /// });
    /// ```
    #[doc(alias = "join_all")]
    #[track_caller]
    pub fn wait(self) {
        poll_budget_quietly(Location::caller());
        let shared = Arc::clone(&self.shared);
        drop(self);
        let wait = Wait::at(Reason::WaitGroup, Location::caller()).on_cancel(OnCancel::Defer);
        let is_met = |state: &State| state.parts == 0;
        wait_until(&shared.state, |state| &mut state.waiters, &wait, is_met);
    }
}

impl Drop for WaitGroup {
    fn drop(&mut self) {
        let mut state = self.shared.state.lock();
        state.parts -= 1;
        if state.parts == 0 {
            // There is no handle left that could be cloned.
            wake_some(
                &self.shared.state,
                state,
                |state| &mut state.waiters,
                usize::MAX,
            );
        }
    }
}

impl Clone for WaitGroup {
    fn clone(&self) -> WaitGroup {
        self.shared.state.lock().parts += 1;
        WaitGroup {
            shared: Arc::clone(&self.shared),
        }
    }
}

impl Default for WaitGroup {
    fn default() -> WaitGroup {
        WaitGroup::new()
    }
}

impl fmt::Debug for WaitGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = self.shared.state.lock().parts;
        f.debug_struct("WaitGroup").field("count", &parts).finish()
    }
}
