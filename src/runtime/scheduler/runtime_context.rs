#![allow(unsafe_code, reason = "a pointer from the home to its context")]
//! What the code that runs on a worker may ask of it: its runtime, its reactor, what waits for it
//! to be idle.
//!
//! It stands below the worker's loop, so that whatever asks does not import the loop.
//!
//! CX1. `cx.context` points to a `RuntimeContext` that outlives the time for which the home is
//!      entered, or is null.

use std::panic::Location;
use std::sync::Arc;

use super::idle_wait::IdleWaiters;
use super::shared::Shared;
use crate::green::WorkerContext;
use crate::runtime::io::reactor::ReactorHandle;

/// See the module's text.
pub(crate) struct RuntimeContext {
    pub(crate) shared: Arc<Shared>,
    pub(crate) reactor_handle: Arc<ReactorHandle>,
    /// Those that wait until there is nothing else to run.
    pub(super) idle_waiters: IdleWaiters,
}

impl RuntimeContext {
    /// That of the worker whose home this is.
    #[inline(always)]
    pub(crate) fn of(cx: &WorkerContext) -> Option<&RuntimeContext> {
        // SAFETY: CX1.
        unsafe { cx.context.get().cast::<RuntimeContext>().as_ref() }
    }
}

/// Suspends the calling green thread until its worker has nothing else to run.
///
/// # Panics
///
/// The caller is not a green thread.
pub(crate) fn wait_idle(at: &'static Location<'static>) {
    let Some((cx, context)) =
        WorkerContext::get().and_then(|cx| Some((cx, RuntimeContext::of(cx)?)))
    else {
        panic!(
            "wait_idle: the caller is not a green thread, so there is no worker that could be idle"
        );
    };
    context.idle_waiters.wait(cx.current(), at);
}
