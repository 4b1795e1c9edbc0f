#![allow(
    unsafe_code,
    reason = "a pointer from the worker context to the runtime context"
)]
//! What code that runs on a worker can reach through it: the runtime, the reactor, and the queue of
//! idle waiters.
//!
//! This module does not depend on the worker's loop, so that its users do not have to import the
//! loop.
//!
//! CX1. `cx.context` is null, or points to a `RuntimeContext` that lives for as long as `cx` is
//!      entered.

use std::panic::Location;
use std::sync::Arc;

use super::idle_wait::IdleWaiters;
use super::shared::Shared;
use crate::green::WorkerContext;
use crate::runtime::io::reactor::ReactorHandle;

/// The runtime, reactor and idle waiters of one worker; see the module's text.
pub(crate) struct RuntimeContext {
    pub(crate) shared: Arc<Shared>,
    pub(crate) reactor_handle: Arc<ReactorHandle>,
    /// The threads that wait until there is nothing else to run.
    pub(super) idle_waiters: IdleWaiters,
}

impl RuntimeContext {
    /// Returns the context of the worker that `cx` belongs to.
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
