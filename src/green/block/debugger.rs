//! What a debugger needs to find the green threads of a process, live or in a core file.
//!
//! The script `debugger.py`, which a program's debug information brings along, reads [`LAYOUT`].
//! So it needs neither types nor more than line tables, and does not depend on the compiler's
//! layout of structs. The fields are in the order in which the script reads them, a word each.

use std::mem::offset_of;
use std::panic::Location;
use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};

use super::{Rare, ThreadInner};
use crate::green::fiber::Places;
use crate::green::reason::Reason;

#[repr(C)]
struct Layout {
    /// Changes with the fields below.
    version: usize,
    /// An array of pointers to slabs.
    slabs: AtomicPtr<()>,
    slab_count: AtomicUsize,
    /// Where a slab has the address and the number of its blocks.
    slab_blocks: AtomicUsize,
    block_size: usize,
    state: usize,
    reason: usize,
    /// The bit of the reason that is no part of its number.
    refs: usize,
    id: usize,
    at: usize,
    spawned_at: usize,
    rare: usize,
    rare_name: usize,
    handle: usize,
    handle_words: usize,
    yielder: usize,
    low: usize,
    /// Address and length.
    reasons: &'static [&'static str],
    /// A place whose line and column are known, to see how a place is laid out.
    sample: &'static Location<'static>,
    sample_line: usize,
    sample_column: usize,
    sample_file: &'static str,
}

const FIBER: usize = offset_of!(ThreadInner, fiber);
const SAMPLE: &Location<'static> = Location::caller();

/// `#[used]`: the compiler sees no reader.
#[used]
static LAYOUT: Layout = Layout {
    version: 1,
    slabs: AtomicPtr::new(ptr::null_mut()),
    slab_count: AtomicUsize::new(0),
    slab_blocks: AtomicUsize::new(0),
    block_size: size_of::<ThreadInner>(),
    state: offset_of!(ThreadInner, state),
    reason: offset_of!(ThreadInner, reason),
    refs: offset_of!(ThreadInner, refs),
    id: offset_of!(ThreadInner, id),
    at: offset_of!(ThreadInner, at),
    spawned_at: offset_of!(ThreadInner, spawned_at),
    rare: offset_of!(ThreadInner, rare),
    rare_name: offset_of!(Rare, name),
    handle: FIBER + Places::HANDLE,
    handle_words: Places::HANDLE_WORDS,
    yielder: FIBER + Places::YIELDER,
    low: FIBER + Places::LOW,
    reasons: Reason::TEXTS,
    sample: SAMPLE,
    sample_line: SAMPLE.line() as usize,
    sample_column: SAMPLE.column() as usize,
    sample_file: SAMPLE.file(),
};

/// Tells debuggers where the slabs are: an array of pointers, and the offset of the blocks in each
/// slab. Called under the global pool's lock when that changes.
pub(super) fn note_slabs(first: *mut (), count: usize, blocks: usize) {
    // A debugger reads them while the process stands still, so no order is needed. The count is
    // never larger than what is there.
    LAYOUT.slab_count.store(0, Ordering::Relaxed);
    LAYOUT.slabs.store(first, Ordering::Relaxed);
    LAYOUT.slab_blocks.store(blocks, Ordering::Relaxed);
    LAYOUT.slab_count.store(count, Ordering::Relaxed);
}
