//! What a worker keeps to place threads: its turns, and notes on the threads that it offers to all
//! workers.

use std::cell::Cell;

use crate::green::ThreadRef;
use crate::runtime::placement::sites::ENTRY_COUNT;
use crate::sys::clock::Tick;

/// See the module documentation.
pub(super) struct Sharing {
    /// Per spawn site, the cursor of its turns (`runtime/placement/policy.rs`).
    pub(super) cursors: Box<[Cell<u16>; ENTRY_COUNT]>,
    /// How many more threads of a burst stay here before the other workers are looked at again.
    pub(super) burst_left: Cell<usize>,
    /// Per worker, how many threads it had started, and since when threads were seen to wait for it
    /// with that count unchanged (0: none were).
    pub(super) seen: Box<[Cell<(usize, Tick)>]>,
    /// The time since when the worker leaves its shared threads to others; 0 if it does not.
    pub(super) deferring_since: Cell<Tick>,
    pub(super) deferring_until: Cell<Tick>,
    /// The spawner of the last shared thread of an unknown site.
    pub(super) spawner: Cell<Option<ThreadRef>>,
    /// The coop budget that the spawner had left at that time.
    pub(super) budget: Cell<i32>,
    /// There are new shared threads, or more is known about some.
    pub(super) has_undecided: Cell<bool>,
    /// How many shared threads were of unknown sites at the last look.
    pub(super) unknown: Cell<usize>,
    /// How many threads that talk have started here since at most one other thread lived here; some
    /// may have ended.
    pub(super) talkers: Cell<usize>,
}

impl Sharing {
    pub(super) fn new(workers: usize) -> Sharing {
        Sharing {
            cursors: Box::new([const { Cell::new(0) }; ENTRY_COUNT]),
            burst_left: Cell::new(0),
            seen: (0..workers).map(|_| Cell::default()).collect(),
            deferring_since: Cell::new(0),
            deferring_until: Cell::new(0),
            spawner: Cell::new(None),
            budget: Cell::new(0),
            has_undecided: Cell::new(false),
            unknown: Cell::new(0),
            talkers: Cell::new(0),
        }
    }
}
