//! The data with which a debugger finds the green threads of a process, live or in a core file.
//!
//! The script `debugger.py`, which is embedded in a program's debug information, reads [`LAYOUT`].
//! So it needs no type information, only line tables, and does not depend on the compiler's layout
//! of structs. The script reads the fields in their order, one word each.

use std::mem::offset_of;
use std::panic::Location;
use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};

use super::{Rare, ThreadInner};
use crate::green::fiber::FiberOffsets;
use crate::green::reason::Reason;

#[repr(C)]
struct Layout {
    /// Must change when the fields below change.
    version: usize,
    /// An array of pointers to slabs.
    slabs: AtomicPtr<()>,
    slab_count: AtomicUsize,
    /// The offset in a slab of the address and the number of its blocks.
    slab_blocks: AtomicUsize,
    block_size: usize,
    state: usize,
    reason: usize,
    /// The bit of the reason's word that is not part of the reason's number.
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
    /// The slice's address and length, two words.
    reasons: &'static [&'static str],
    /// A place whose line and column are known, from which the script finds out the layout of a
    /// place.
    sample: &'static Location<'static>,
    sample_line: usize,
    sample_column: usize,
    sample_file: &'static str,
}

const FIBER: usize = offset_of!(ThreadInner, fiber);
const SAMPLE: &Location<'static> = Location::caller();

/// It is `#[used]`, because the compiler sees no reader.
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
    handle: FIBER + FiberOffsets::HANDLE,
    handle_words: FiberOffsets::HANDLE_WORDS,
    yielder: FIBER + FiberOffsets::YIELDER,
    low: FIBER + FiberOffsets::LOW,
    reasons: Reason::TEXTS,
    sample: SAMPLE,
    sample_line: SAMPLE.line() as usize,
    sample_column: SAMPLE.column() as usize,
    sample_file: SAMPLE.file(),
};

/// Stores the location of the slabs for debuggers: an array of pointers, and the offset of the
/// blocks in each slab. Called under the global pool's lock when these change.
pub(super) fn note_slabs(first: *mut (), count: usize, blocks: usize) {
    // A debugger reads them while the process is stopped, so no ordering is needed. The count is
    // never larger than the array.
    LAYOUT.slab_count.store(0, Ordering::Relaxed);
    LAYOUT.slabs.store(first, Ordering::Relaxed);
    LAYOUT.slab_blocks.store(blocks, Ordering::Relaxed);
    LAYOUT.slab_count.store(count, Ordering::Relaxed);
}
