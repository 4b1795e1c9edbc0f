//! The accounting of one size of stack: its slabs, and how many of their slots are where.
//!
//! Owned by the reserve and touched under its mutex.

use super::size::StackSize;

/// Credits that a pool may hold beside those of green threads: for its list, and for future spawns.
pub(super) const MAX_OWN_CREDITS: usize = 256;

/// All slabs of one size of stack.
#[derive(Debug)]
pub(super) struct Class {
    pub(super) size: StackSize,
    /// Numbers of slabs, oldest first.
    pub(super) slabs: Vec<u32>,
    /// No slab before this position has a warm free slot.
    pub(super) first_warm: usize,
    /// No slab before this position has a free slot.
    pub(super) first_free: usize,
    pub(super) slots: usize,
    pub(super) promised: usize,
    /// Slots that have left the slabs: in use, or in the lists of pools.
    pub(super) out: usize,
    pub(super) warm: usize,
    pub(super) min_warm: usize,
    pub(super) min_unpromised: usize,
    /// Warm slots still to be released in this period, and slots that may still be unmapped in it.
    pub(super) release: usize,
    pub(super) unmap: usize,
}

impl Class {
    pub(super) fn new(size: StackSize) -> Class {
        Class {
            size,
            slabs: Vec::new(),
            first_warm: 0,
            first_free: 0,
            slots: 0,
            promised: 0,
            out: 0,
            warm: 0,
            min_warm: 0,
            min_unpromised: 0,
            release: 0,
            unmap: 0,
        }
    }

    pub(super) fn unpromised(&self) -> usize {
        self.slots - self.promised
    }

    pub(super) fn note(&mut self) {
        self.min_warm = self.min_warm.min(self.warm);
        self.min_unpromised = self.min_unpromised.min(self.unpromised());
    }

    /// Returns whether the slots just taken will be used at once, because at least as many green
    /// threads wait for a stack. True only where one pool is all there is.
    pub(super) fn is_waited_for(&self) -> bool {
        self.promised >= self.out + MAX_OWN_CREDITS
    }
}
