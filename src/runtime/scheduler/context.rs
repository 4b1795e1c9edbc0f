#![allow(unsafe_code, reason = "a pointer from the home to its context")]
//! What the code that runs on a worker may ask of it: its runtime, its reactor, what waits for it to be idle.
//!
//! It stands below the worker's loop, so that whatever asks does not import the loop.
//!
//! CX1. `home.context` points to a `Context` that outlives the time for which the home is entered, or is null.

use std::panic::Location;
use std::sync::Arc;

use super::lull::Lull;
use super::shared::Shared;
use crate::green::Home;
use crate::runtime::io::reactor::Port;

/// See the module's text.
pub(crate) struct Context {
    pub(crate) shared: Arc<Shared>,
    pub(crate) port: Arc<Port>,
    /// Those that wait until there is nothing else to run.
    pub(super) lull: Lull,
}

impl Context {
    /// That of the worker whose home this is.
    #[inline(always)]
    pub(crate) fn of(home: &Home) -> Option<&Context> {
        // SAFETY: CX1.
        unsafe { home.context.get().cast::<Context>().as_ref() }
    }
}

/// Suspends the calling green thread until its worker has nothing else to run.
///
/// # Panics
///
/// The caller is not a green thread.
pub(crate) fn wait_idle(at: &'static Location<'static>) {
    let Some((home, context)) = Home::get().and_then(|home| Some((home, Context::of(home)?)))
    else {
        panic!(
            "wait_idle: the caller is not a green thread, so there is no worker that could be idle"
        );
    };
    context.lull.wait(home.current(), at);
}
