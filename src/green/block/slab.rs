#![allow(unsafe_code, reason = "manages recycled memory for control blocks")]
//! The memory of control blocks: slabs, a global pool for the process, a cache for each worker.
//!
//! The allocator stays off the spawn path, and the registry walks the slabs to find every existing
//! green thread, at no cost to those threads.
//!
//! D1. A block is in one place: referenced, in one worker's cache, or in its slab's free list.
//! D2. Free lists and slab counts are touched under the global pool's lock only.
//! D3. A slab's blocks are initialised when it is made, and stay so until it is freed; it is freed
//!     under the lock, when all of its blocks are in its free list.

use std::cell::Cell;
use std::io;
use std::iter;
use std::mem::offset_of;
use std::ptr::{self, NonNull};
use std::sync::Mutex;

use super::debugger;
use super::{ThreadInner, ThreadRef};
use crate::shim::lock;
use crate::sys::mem;

/// Size of a slab in bytes. It is mapped and unmapped as a whole: `malloc` would keep memory that
/// is freed in pieces.
const SLAB_BYTES: usize = 256 << 10;
const BLOCKS_PER_SLAB: usize = SLAB_BYTES / size_of::<ThreadInner>();
const TRANSFER_BATCH: usize = 64;
/// The most free blocks that a worker caches; `Cache::trim` returns those that were not needed for
/// a second.
const MAX_CACHED: usize = 128 * 1024;
/// The most blocks that one trim returns, so that the worker is not stopped for long.
const MAX_TRIMMED_AT_ONCE: usize = 8 * 1024;

/// A contiguous mapping of control blocks.
pub(crate) struct Slab {
    free: Cell<*const ThreadInner>,
    count: Cell<usize>,
    listed: Cell<bool>,
    blocks: NonNull<[ThreadInner]>,
}

impl Slab {
    fn blocks(&self) -> &[ThreadInner] {
        // SAFETY: D3.
        unsafe { self.blocks.as_ref() }
    }
}

struct GlobalPool {
    slabs: Vec<NonNull<Slab>>,
    /// Slabs with free blocks.
    partial: Vec<NonNull<Slab>>,
    free: usize,
    /// The smallest number of free blocks since the last trim.
    low: usize,
    is_global: bool,
}

// SAFETY: D2.
unsafe impl Send for GlobalPool {}

static GLOBAL_POOL: Mutex<GlobalPool> = Mutex::new(GlobalPool {
    slabs: Vec::new(),
    partial: Vec::new(),
    free: 0,
    low: 0,
    is_global: true,
});

/// A worker's free blocks.
pub(crate) struct Cache {
    head: Cell<*const ThreadInner>,
    count: Cell<usize>,
    /// The smallest count since the last trim.
    low: Cell<usize>,
}

impl Cache {
    pub(crate) fn new() -> Cache {
        Cache {
            head: Cell::new(ptr::null()),
            count: Cell::new(0),
            low: Cell::new(0),
        }
    }

    #[inline]
    fn push(&self, block: NonNull<ThreadInner>) {
        // SAFETY: D1, the block is the cache's now.
        unsafe { block.as_ref() }.free_next.set(self.head.get());
        self.head.set(block.as_ptr());
        self.count.set(self.count.get() + 1);
    }

    #[inline]
    fn pop(&self) -> Option<NonNull<ThreadInner>> {
        let block = NonNull::new(self.head.get().cast_mut())?;
        // SAFETY: D1.
        self.head.set(unsafe { block.as_ref() }.free_next.get());
        let left = self.count.get() - 1;
        self.count.set(left);
        self.low.set(self.low.get().min(left));
        Some(block)
    }

    /// Returns half of the blocks that were not needed since the last call to the global pool.
    /// Returns true if a later call may return more.
    pub(crate) fn trim(&self) -> bool {
        let surplus = self.low.get().div_ceil(2).min(MAX_TRIMMED_AT_ONCE);
        self.shrink(self.count.get() - surplus);
        self.low.set(self.count.get());
        self.count.get() > 0
    }

    /// Returns all but `keep` blocks to the global pool.
    #[cold]
    fn shrink(&self, keep: usize) {
        if self.count.get() > keep {
            let mut pool = lock(&GLOBAL_POOL);
            while self.count.get() > keep
                && let Some(block) = self.pop()
            {
                pool.put(block);
            }
        }
    }
}

impl Drop for Cache {
    fn drop(&mut self) {
        self.shrink(0);
    }
}

impl GlobalPool {
    fn put(&mut self, block: NonNull<ThreadInner>) {
        // SAFETY: D1.
        let green = unsafe { block.as_ref() };
        let Some(slab) = NonNull::new(green.slab.get().cast::<Slab>()) else {
            return;
        };
        // SAFETY: D3, a slab outlives its blocks.
        let cx = unsafe { slab.as_ref() };
        green.free_next.set(cx.free.replace(block.as_ptr()));
        cx.count.set(cx.count.get() + 1);
        self.free += 1;
        if !cx.listed.replace(true) {
            self.partial.push(slab);
        }
    }

    fn get(&mut self) -> io::Result<NonNull<ThreadInner>> {
        loop {
            let Some(&slab) = self.partial.last() else {
                self.grow()?;
                continue;
            };
            // SAFETY: D3.
            let cx = unsafe { slab.as_ref() };
            let Some(block) = NonNull::new(cx.free.get().cast_mut()) else {
                cx.listed.set(false);
                self.partial.pop();
                continue;
            };
            // SAFETY: D1.
            cx.free.set(unsafe { block.as_ref() }.free_next.get());
            cx.count.set(cx.count.get() - 1);
            self.free -= 1;
            self.low = self.low.min(self.free);
            return Ok(block);
        }
    }

    fn grow(&mut self) -> io::Result<()> {
        let address = mem::reserve(SLAB_BYTES).map_err(|error| {
            io::Error::new(
                error.kind(),
                format!(
                    "no memory for the control blocks of further green threads: mmap of {SLAB_BYTES} bytes failed: \
                     {error}; see `ulimit -v`, vm.max_map_count and vm.overcommit_memory"
                ),
            )
        })?;
        let Some(first) = NonNull::new(ptr::with_exposed_provenance_mut::<ThreadInner>(address))
        else {
            return Err(io::ErrorKind::OutOfMemory.into());
        };
        // All of it is written below; single page faults would cost more.
        mem::populate(iter::once(address), SLAB_BYTES);
        let leaked = NonNull::from(Box::leak(Box::new(Slab {
            free: Cell::new(ptr::null()),
            count: Cell::new(0),
            listed: Cell::new(true),
            blocks: NonNull::slice_from_raw_parts(first, BLOCKS_PER_SLAB),
        })));
        for index in 0..BLOCKS_PER_SLAB {
            let green = ThreadInner::empty();
            green.slab.set(leaked.as_ptr().cast());
            // SAFETY: within the mapping.
            let block = unsafe { first.add(index) };
            // SAFETY: fresh memory, aligned, because pages are.
            unsafe { block.write(green) };
        }
        self.slabs.push(leaked);
        self.tell_debugger();
        self.partial.push(leaked);
        // SAFETY: D3, written in full just now.
        for block in unsafe { leaked.as_ref() }.blocks().iter().rev() {
            self.put(NonNull::from(block));
        }
        Ok(())
    }

    /// The pools of tests are not the debugger's.
    fn tell_debugger(&self) {
        if self.is_global {
            let first = self.slabs.as_ptr().cast_mut().cast();
            debugger::note_slabs(first, self.slabs.len(), offset_of!(Slab, blocks));
        }
    }

    /// Frees slabs that were not needed since the last call, down to half of the surplus. Returns
    /// true if a later call may free more.
    fn trim(&mut self) -> bool {
        let mut surplus = self.low.div_ceil(2);
        // Blocks that came back since the last call are not surplus before the next one.
        let more_next_time = self.low < self.free && self.free >= 2 * BLOCKS_PER_SLAB;
        self.low = self.free;
        if surplus < BLOCKS_PER_SLAB {
            return more_next_time;
        }
        let mut freed = 0;
        self.partial.retain(|&slab| {
            // SAFETY: D3.
            let whole = unsafe { slab.as_ref() }.count.get() == BLOCKS_PER_SLAB;
            if !whole || surplus < BLOCKS_PER_SLAB {
                return true;
            }
            surplus -= BLOCKS_PER_SLAB;
            freed += BLOCKS_PER_SLAB;
            // SAFETY: D2; `slabs.retain` below looks for the mark.
            unsafe { slab.as_ref() }.count.set(usize::MAX);
            false
        });
        self.slabs.retain(|&slab| {
            // SAFETY: D3, not freed yet.
            if unsafe { slab.as_ref() }.count.get() != usize::MAX {
                return true;
            }
            // SAFETY: `grow` leaked it, and it is in no list any more.
            let slab = unsafe { Box::from_raw(slab.as_ptr()) };
            let address = slab.blocks.cast::<ThreadInner>().addr().get();
            // SAFETY: D3: all of its blocks were in its free list, so none has references.
            let _unmapped = unsafe { mem::unmap(address, SLAB_BYTES) };
            false
        });
        self.tell_debugger();
        self.free -= freed;
        self.low = self.free;
        // Slabs with a block in use cannot be freed: give up when a call frees nothing.
        more_next_time || freed > 0
    }
}

/// Takes a free block, which then belongs to the caller. `cache` is that of the calling OS thread's
/// worker.
///
/// # Errors
///
/// There is no memory for more blocks; the text names the limits.
#[inline]
pub(super) fn take(cache: Option<&Cache>) -> io::Result<NonNull<ThreadInner>> {
    match cache {
        Some(cache) => match cache.pop() {
            Some(block) => Ok(block),
            None => refill(cache),
        },
        None => lock(&GLOBAL_POOL).get(),
    }
}

#[cold]
fn refill(cache: &Cache) -> io::Result<NonNull<ThreadInner>> {
    let mut pool = lock(&GLOBAL_POOL);
    let block = pool.get()?;
    for _ in 1..TRANSFER_BATCH {
        match pool.get() {
            Ok(spare) => cache.push(spare),
            Err(_) => break,
        }
    }
    Ok(block)
}

/// Returns a block without references to the cache or the pool. `cache` is as for [`take`].
#[inline]
pub(super) fn give(block: NonNull<ThreadInner>, cache: Option<&Cache>) {
    match cache {
        Some(cache) => {
            cache.push(block);
            if cache.count.get() > MAX_CACHED {
                cache.shrink(MAX_CACHED - TRANSFER_BATCH);
            }
        }
        None => give_elsewhere(block),
    }
}

#[cold]
fn give_elsewhere(block: NonNull<ThreadInner>) {
    lock(&GLOBAL_POOL).put(block);
}

/// Frees memory that is no longer needed. Workers call it about once a second. Returns true if the
/// caller should call again.
pub(crate) fn trim() -> bool {
    lock(&GLOBAL_POOL).trim()
}

/// Returns every green thread of the process that still has references.
pub(crate) fn all() -> Vec<ThreadRef> {
    let pool = lock(&GLOBAL_POOL);
    let mut found = Vec::new();
    for slab in &pool.slabs {
        // SAFETY: D3, under the lock.
        let blocks = unsafe { slab.as_ref() }.blocks();
        found.extend(blocks.iter().filter_map(ThreadInner::try_ref));
    }
    found
}

/// Returns the green threads for which `f` returns true. `f` may see a block that is being
/// allocated.
pub(crate) fn all_that(f: impl Fn(&ThreadInner) -> bool) -> Vec<ThreadRef> {
    let pool = lock(&GLOBAL_POOL);
    let mut found = Vec::new();
    for slab in &pool.slabs {
        // SAFETY: D3, under the lock.
        let blocks = unsafe { slab.as_ref() }.blocks();
        let wanted = blocks.iter().filter(|green| f(green));
        found.extend(wanted.filter_map(ThreadInner::try_ref));
    }
    found
}

/// Like [`all`], but stops after the first thread for which `f` returns false.
pub(crate) fn all_while(mut f: impl FnMut(&ThreadInner) -> bool) -> Vec<ThreadRef> {
    let pool = lock(&GLOBAL_POOL);
    let mut found = Vec::new();
    for slab in &pool.slabs {
        // SAFETY: D3, under the lock.
        let blocks = unsafe { slab.as_ref() }.blocks();
        for green in blocks.iter().filter_map(ThreadInner::try_ref) {
            let goes_on = f(&green);
            // Not dropped here: giving back a block takes the lock.
            found.push(green);
            if !goes_on {
                return found;
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_come_back_and_slabs_are_freed() {
        let mut pool = GlobalPool {
            slabs: Vec::new(),
            partial: Vec::new(),
            free: 0,
            low: 0,
            is_global: false,
        };
        let taken: Vec<_> = (0..3 * BLOCKS_PER_SLAB)
            .map(|_| pool.get().unwrap())
            .collect();
        assert_eq!((pool.slabs.len(), pool.free), (3, 0));
        for block in taken {
            pool.put(block);
        }
        assert_eq!(pool.free, 3 * BLOCKS_PER_SLAB);
        pool.trim();
        assert_eq!(pool.slabs.len(), 3, "they were needed since the last trim");
        while pool.slabs.len() > 1 {
            let before = pool.slabs.len();
            pool.trim();
            assert!(pool.slabs.len() < before);
            assert_eq!(pool.free, pool.slabs.len() * BLOCKS_PER_SLAB);
        }
        let again = pool.get().unwrap();
        pool.put(again);
    }

    #[test]
    fn a_block_is_small() {
        assert!(
            size_of::<ThreadInner>() <= 448,
            "{}",
            size_of::<ThreadInner>()
        );
    }
}
