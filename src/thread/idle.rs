//! `wait_idle`: waits until the worker has nothing else to run. The mechanism is in
//! `runtime/scheduler/idle_wait.rs`.

use std::panic::Location;

use crate::runtime::scheduler::runtime_context;

/// Waits until the caller's worker has nothing else to run, for work of the lowest priority.
///
/// The worker is idle when every other green thread of it waits, no event is pending for any of
/// them, and none is about to start there. Several callers are resumed one at a time, in
/// first-in-first-out order. Other workers may be busy all the time.
///
/// # Panics
///
/// Panics if the caller is not a green thread.
///
/// # Suspends
///
/// Suspends the calling green thread.
///
/// # Cancellation
///
/// The caller unwinds.
///
/// # Examples
///
/// ```
/// use std::cell::Cell;
/// use std::rc::Rc;
///
/// rustlet::run(|| {
///     let steps = Rc::new(Cell::new(0));
///     let theirs = steps.clone();
///     rustlet::spawn_local(move || {
///         for _ in 0..10 {
///             theirs.set(theirs.get() + 1);
///             rustlet::yield_now();
///         }
///     });
///     rustlet::wait_idle();
///     assert_eq!(steps.get(), 10);
/// });
/// ```
#[doc(alias = "idle")]
#[track_caller]
pub fn wait_idle() {
    runtime_context::wait_idle(Location::caller());
}
