//! `wait_idle`: what a worker does when it has nothing else to do. The mechanism is in `runtime/lull.rs`.
//!
//! Owns nothing. Green threads call it.

use std::panic::Location;

use crate::runtime::scheduler::context;

/// Suspends the calling green thread until its worker has nothing else to run: every other green thread of the worker waits,
/// no event has come for any of them, and none is about to be started there. For work that should give way to everything else.
///
/// When several wait for it, each has its turn alone, in the order of their calls. Other workers may be busy all the time. A cancellation is raised here.
///
/// # Panics
///
/// The caller is not a green thread.
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
#[track_caller]
pub fn wait_idle() {
    context::wait_idle(Location::caller());
}
