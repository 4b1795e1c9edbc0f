#![allow(
    unsafe_code,
    reason = "reads and writes the marks of free stacks, releases their pages"
)]
//! The mark at the end of a free stack's highest page, which shows whether a frame went deeper.
//!
//! - **P2** A [`MARK`] at the low end of the highest page is written before a thread runs on a new
//!   stack. Overwritten, it shows that a frame reached the next page. The converse does not hold: a
//!   frame may step over the mark.

use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::slot::Slot;
use crate::sys::mem;

/// Half a cache line. No word of it is a plausible address, count or zero.
pub(super) type Mark = [u64; 4];
pub(super) const MARK: Mark = [0x5AFE_57AC_0000_5AFE; 4];

/// How much of a stack has been used, as far as its pages tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StackUse {
    /// Bytes from the lowest page in memory to the end of the stack.
    pub(crate) used: usize,
    /// Bytes that may be used before the stack overflows.
    pub(crate) usable: usize,
    /// Whether an earlier thread on the same stack may have used them.
    pub(crate) may_be_older: bool,
}

impl StackUse {
    /// Returns whether the stack was used almost to its end: more than four fifths of it.
    pub(crate) fn is_nearly_full(&self) -> bool {
        self.used / 4 >= self.usable / 5
    }
}

/// The most bytes that any thread of the process is known to have used of its stack.
static DEEPEST: AtomicUsize = AtomicUsize::new(0);

/// Records that `used` bytes of a stack were used, and returns the most that is known.
pub(super) fn note_depth(used: usize) -> usize {
    DEEPEST.fetch_max(used, Ordering::Relaxed).max(used)
}

/// Measures how much of a stack has been used since its pages were last released. Costs 2 µs or
/// more. `None` if the kernel does not tell.
pub(super) fn measure(slot: Slot, may_be_older: bool) -> Option<StackUse> {
    let (from, usable) = (slot.usable_from(), slot.size().usable());
    let mut pages = mem::residency(from, slot.end() - from).ok()?;
    let unused = pages.position(|is_resident| is_resident)? * mem::page_size();
    let used = (slot.end() - from - unused).min(usable);
    note_depth(used);
    Some(StackUse {
        used,
        usable,
        may_be_older,
    })
}

/// Cleans up a stack that goes to the reserve without passing through a pool.
pub(super) fn release_unpooled(slot: Slot) {
    if !is_marked(slot) {
        release_deep(slot);
        write_mark(slot);
    }
}

pub(super) fn mark_of(slot: Slot) -> *mut Mark {
    ptr::with_exposed_provenance_mut(slot.end() - mem::page_size())
}

#[inline]
pub(super) fn read_mark(slot: Slot) -> Mark {
    // SAFETY: the slot is ours (S1), and its highest page is readable memory (S5).
    unsafe { mark_of(slot).read() }
}

/// Compares without a branch for each word, and without a call.
#[inline]
pub(super) fn is_marked(slot: Slot) -> bool {
    let differing = |all: u64, (one, other): (u64, u64)| all | (one ^ other);
    read_mark(slot).into_iter().zip(MARK).fold(0, differing) == 0
}

pub(super) fn write_mark(slot: Slot) {
    // SAFETY: the slot is ours (S1), nothing runs on it, and its highest page is writable (S5).
    unsafe { mark_of(slot).write(MARK) }
}

/// Releases all pages but the highest.
pub(super) fn release_deep(slot: Slot) {
    let from = slot.usable_from();
    let until = slot.end() - mem::page_size();
    if until > from {
        // SAFETY: the slot is ours (S1), and nothing runs on it. On failure only memory is lost.
        let _released = unsafe { mem::release(from, until - from) };
    }
}
