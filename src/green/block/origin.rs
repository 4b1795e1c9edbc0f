//! The spawn site of a thread, and placement's flags for it, in the thread's control block.

use std::cell::Cell;

/// The number of the thread's spawn site (an index into the table in `runtime/placement/sites.rs`),
/// and four flags, in one word, because it lies in the first cache line.
pub(crate) struct Origin(pub(super) Cell<u16>);

impl Origin {
    const PLACED: u16 = 1 << 15;
    const TIMED: u16 = 1 << 14;
    const SAMPLED: u16 = 1 << 13;
    const SHORT: u16 = 1 << 12;
    const FLAGS: u16 = Self::PLACED | Self::TIMED | Self::SAMPLED | Self::SHORT;

    /// Returns the number of the spawn site; 0 if there is none.
    #[inline(always)]
    pub(crate) fn site(&self) -> u16 {
        self.0.get() & !Self::FLAGS
    }

    /// Sets the number of the spawn site of a thread that has no flag yet.
    #[inline(always)]
    pub(crate) fn begin(&self, site: u16) {
        self.0.set(site);
    }

    /// Sets the number of the spawn site, whose threads are known to be short, of a thread that has
    /// no flag yet.
    #[inline(always)]
    pub(crate) fn begin_short(&self, site: u16) {
        self.0.set(site | Self::SHORT);
    }

    /// Returns whether the threads of its spawn site were known to be short when it was spawned.
    #[inline(always)]
    pub(crate) fn is_short(&self) -> bool {
        self.0.get() & Self::SHORT != 0
    }

    /// Sets the number of the spawn site, which is below 2^12.
    #[inline(always)]
    pub(crate) fn set_site(&self, site: u16) {
        self.0.set(self.0.get() & Self::FLAGS | site);
    }

    /// Returns whether the thread was assigned to a worker that had room for it, and counts there
    /// (`WorkerShared::placed`).
    #[inline(always)]
    pub(crate) fn is_placed(&self) -> bool {
        self.0.get() & Self::PLACED != 0
    }

    pub(crate) fn set_placed(&self) {
        self.0.set(self.0.get() | Self::PLACED);
    }

    /// Returns whether the end of the thread is used to measure how long the threads of its site
    /// live.
    #[inline(always)]
    pub(crate) fn is_timed(&self) -> bool {
        self.0.get() & Self::TIMED != 0
    }

    /// Returns whether placement has to be notified of the thread's end.
    #[inline(always)]
    pub(crate) fn is_flagged(&self) -> bool {
        self.0.get() & (Self::PLACED | Self::TIMED) != 0
    }

    pub(crate) fn set_timed(&self) {
        self.0.set(self.0.get() | Self::TIMED);
    }

    /// Returns whether the next steps of the thread are used to find out what the threads of its
    /// site wait for.
    #[inline(always)]
    pub(crate) fn is_sampled(&self) -> bool {
        self.0.get() & Self::SAMPLED != 0
    }

    pub(crate) fn set_sampled(&self, sampled: bool) {
        let flag = if sampled { Self::SAMPLED } else { 0 };
        self.0.set(self.0.get() & !Self::SAMPLED | flag);
    }
}
