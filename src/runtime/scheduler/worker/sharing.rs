//! A worker's notes on the threads that it offers to all workers.

use std::cell::Cell;

use crate::green::ThreadRef;

/// Notes on the shared threads in a worker's own queue.
#[derive(Default)]
pub(super) struct Sharing {
    /// The spawner of the last shared thread of an unknown site.
    pub(super) spawner: Cell<Option<ThreadRef>>,
    /// The coop budget that the spawner had left at that time.
    pub(super) budget: Cell<i32>,
    /// There are new shared threads, or more is known about some.
    pub(super) is_unsettled: Cell<bool>,
    /// How many shared threads were of unknown sites at the last look.
    pub(super) unknown: Cell<usize>,
    /// How many threads that talk have started here since at most one other thread lived here; some
    /// may have ended.
    pub(super) talkers: Cell<usize>,
}
