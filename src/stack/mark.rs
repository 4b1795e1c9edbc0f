#![allow(
    unsafe_code,
    reason = "reads and writes the marks of free stacks, releases their pages"
)]
//! The mark at the end of a free stack's highest page, which shows whether a frame went deeper.
//!
//! - **P2** The last [`MARK`] of the highest page of a free stack, untouched since it was written,
//!   shows that no frame reached the next page. The converse does not hold: a frame may step over
//!   the mark.

use std::ptr;

use super::slot::Slot;
use crate::sys::mem;

/// Half a cache line. No word of it is a plausible address, count or zero.
pub(super) type Mark = [u64; 4];
pub(super) const MARK: Mark = [0x5AFE_57AC_0000_5AFE; 4];

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
