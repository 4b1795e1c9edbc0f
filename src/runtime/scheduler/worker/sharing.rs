//! What a worker notes about the threads that it offers to all workers.

use std::cell::Cell;

use crate::green::ThreadRef;

/// What a worker notes about the shared threads of its own queue.
#[derive(Default)]
pub(super) struct Sharing {
    /// Who spawned the last one of an unknown site.
    pub(super) spawner: Cell<Option<ThreadRef>>,
    /// What was left of the budget then.
    pub(super) budget: Cell<i32>,
    /// There are new ones, or more is known about some.
    pub(super) is_unsettled: Cell<bool>,
    /// How many were of unknown sites when that was last looked at.
    pub(super) unknown: Cell<usize>,
    /// How many threads that talk have started here since at most one other lived here; some may
    /// have ended.
    pub(super) talkers: Cell<usize>,
}
