//! The account of one size of stack: which slabs there are, and how many of their slots are where.
//!
//! Owned by the reserve and touched under its mutex.

use super::size::StackSize;

/// Credits that a pool may have beside those of green threads: for its list, and for spawns to
/// come.
pub(super) const OWN_CREDITS: usize = 256;

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
    /// Slots that are not here: in use, or in the lists of pools.
    pub(super) out: usize,
    pub(super) warm: usize,
    pub(super) fewest_warm: usize,
    pub(super) fewest_unpromised: usize,
    /// Warm slots that are still to be released, and slots that may still be unmapped, in this
    /// period.
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
            fewest_warm: 0,
            fewest_unpromised: 0,
            release: 0,
            unmap: 0,
        }
    }

    pub(super) fn unpromised(&self) -> usize {
        self.slots - self.promised
    }

    pub(super) fn note(&mut self) {
        self.fewest_warm = self.fewest_warm.min(self.warm);
        self.fewest_unpromised = self.fewest_unpromised.min(self.unpromised());
    }

    /// Whether what was just taken from here will be used at once: as many green threads, at least,
    /// wait for a stack. True only where one pool is all there is.
    pub(super) fn is_waited_for(&self) -> bool {
        self.promised >= self.out + OWN_CREDITS
    }
}
