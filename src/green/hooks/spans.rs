//! The hook for the spans of the crate `tracing`: a span that a green thread has entered is that
//! thread's, and no other's on the same worker.
//!
//! A subscriber such as `tracing_subscriber::Registry` keeps a stack of entered spans for each OS
//! thread, and tells only the innermost ([`Dispatch::current_span`]). So the hook exits the
//! innermost span until there is none, and enters them again in the reverse order. It holds a
//! reference to each meanwhile.

use tracing_core::dispatcher::{Dispatch, get_default};
use tracing_core::span::Id;

use super::list::SuspendHook;

/// The largest number of spans that are exited: a subscriber might go on to tell of a span that was
/// exited.
const MAX_SPANS: usize = 1024;

/// Spans that were exited.
pub(crate) struct Exited {
    dispatch: Dispatch,
    /// Innermost first.
    ids: Vec<Id>,
}

impl Exited {
    /// Exits the spans of `dispatch` that are entered on the calling OS thread.
    pub(crate) fn take(dispatch: Dispatch) -> Exited {
        let mut ids = Vec::new();
        while let Some(id) = dispatch.current_span().id()
            && ids.len() < MAX_SPANS
        {
            ids.push(dispatch.clone_span(id));
            dispatch.exit(id);
        }
        Exited { dispatch, ids }
    }

    /// Enters the spans again.
    pub(crate) fn enter_again(&self) {
        for id in self.ids.iter().rev() {
            self.dispatch.enter(id);
        }
    }
}

impl Drop for Exited {
    fn drop(&mut self) {
        for id in self.ids.drain(..) {
            self.dispatch.try_close(id);
        }
    }
}

/// See the documentation of the module.
pub(super) struct Spans;

impl SuspendHook for Spans {
    type State = Option<Exited>;

    fn suspend(&self) -> Option<Exited> {
        let exited = Exited::take(get_default(Dispatch::clone));
        (!exited.ids.is_empty()).then_some(exited)
    }

    fn resume(&self, exited: Option<Exited>) {
        if let Some(exited) = exited {
            exited.enter_again();
        }
    }
}
