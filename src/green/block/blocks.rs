#![allow(unsafe_code, reason = "recycled memory for control blocks")]
//! The memory of control blocks: chunks, a depot for the process, a cache for each worker.
//!
//! The allocator stays off the spawn path, and the registry walks the chunks to find every green thread
//! that there is, at no cost to those.
//!
//! D1. A block is in one place: referenced, in one worker's cache, or in its chunk's free list.
//! D2. Free lists and chunk counts are touched under the depot's lock only.
//! D3. A chunk's blocks are initialised when it is made, and stay so until it is freed; it is freed under
//!     the lock, when all of its blocks are in its free list.

use std::cell::Cell;
use std::io;
use std::iter;
use std::ptr::{self, NonNull};
use std::sync::Mutex;

use super::{Green, GreenRef};
use crate::shim::lock;
use crate::sys::mem;

/// Mapped and unmapped as one: `malloc` would keep what comes back in pieces.
const CHUNK_BYTES: usize = 256 << 10;
const PER_CHUNK: usize = CHUNK_BYTES / size_of::<Green>();
const BATCH: usize = 64;
/// A worker keeps so many; what it has not needed for a second it gives back (`Cache::trim`).
const CACHED: usize = 128 * 1024;
/// At a time, lest the worker stops for long.
const TRIMMED: usize = 8 * 1024;

/// A run of blocks.
pub(crate) struct Chunk {
    free: Cell<*const Green>,
    count: Cell<usize>,
    listed: Cell<bool>,
    blocks: NonNull<[Green]>,
}

impl Chunk {
    fn blocks(&self) -> &[Green] {
        // SAFETY: D3.
        unsafe { self.blocks.as_ref() }
    }
}

struct Depot {
    chunks: Vec<NonNull<Chunk>>,
    /// Chunks with free blocks.
    partial: Vec<NonNull<Chunk>>,
    free: usize,
    /// The least that was free since the last trim.
    low: usize,
}

// SAFETY: D2.
unsafe impl Send for Depot {}

static DEPOT: Mutex<Depot> = Mutex::new(Depot {
    chunks: Vec::new(),
    partial: Vec::new(),
    free: 0,
    low: 0,
});

/// A worker's free blocks.
pub(crate) struct Cache {
    head: Cell<*const Green>,
    count: Cell<usize>,
    /// The least there was since the last trim.
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
    fn push(&self, block: NonNull<Green>) {
        // SAFETY: D1, it is ours now.
        unsafe { block.as_ref() }.free_next.set(self.head.get());
        self.head.set(block.as_ptr());
        self.count.set(self.count.get() + 1);
    }

    #[inline]
    fn pop(&self) -> Option<NonNull<Green>> {
        let block = NonNull::new(self.head.get().cast_mut())?;
        // SAFETY: D1.
        self.head.set(unsafe { block.as_ref() }.free_next.get());
        let left = self.count.get() - 1;
        self.count.set(left);
        self.low.set(self.low.get().min(left));
        Some(block)
    }

    /// Gives back half of what was not needed since the last time. True: a later call may give back more.
    pub(crate) fn trim(&self) -> bool {
        let surplus = self.low.get().div_ceil(2).min(TRIMMED);
        self.shrink(self.count.get() - surplus);
        self.low.set(self.count.get());
        self.count.get() > 0
    }

    /// Gives all but `keep` back to the depot.
    #[cold]
    fn shrink(&self, keep: usize) {
        if self.count.get() > keep {
            let mut depot = lock(&DEPOT);
            while self.count.get() > keep
                && let Some(block) = self.pop()
            {
                depot.put(block);
            }
        }
    }
}

impl Drop for Cache {
    fn drop(&mut self) {
        self.shrink(0);
    }
}

impl Depot {
    fn put(&mut self, block: NonNull<Green>) {
        // SAFETY: D1.
        let green = unsafe { block.as_ref() };
        let Some(chunk) = NonNull::new(green.chunk.get().cast::<Chunk>()) else {
            return;
        };
        // SAFETY: D3, a chunk outlives its blocks.
        let home = unsafe { chunk.as_ref() };
        green.free_next.set(home.free.replace(block.as_ptr()));
        home.count.set(home.count.get() + 1);
        self.free += 1;
        if !home.listed.replace(true) {
            self.partial.push(chunk);
        }
    }

    fn get(&mut self) -> io::Result<NonNull<Green>> {
        loop {
            let Some(&chunk) = self.partial.last() else {
                self.grow()?;
                continue;
            };
            // SAFETY: D3.
            let home = unsafe { chunk.as_ref() };
            let Some(block) = NonNull::new(home.free.get().cast_mut()) else {
                home.listed.set(false);
                self.partial.pop();
                continue;
            };
            // SAFETY: D1.
            home.free.set(unsafe { block.as_ref() }.free_next.get());
            home.count.set(home.count.get() - 1);
            self.free -= 1;
            self.low = self.low.min(self.free);
            return Ok(block);
        }
    }

    fn grow(&mut self) -> io::Result<()> {
        let address = mem::reserve(CHUNK_BYTES).map_err(|error| {
            io::Error::new(
                error.kind(),
                format!(
                    "no memory for the control blocks of further green threads: mmap of {CHUNK_BYTES} bytes failed: \
                     {error}; see `ulimit -v`, vm.max_map_count and vm.overcommit_memory"
                ),
            )
        })?;
        let Some(first) = NonNull::new(ptr::with_exposed_provenance_mut::<Green>(address)) else {
            return Err(io::ErrorKind::OutOfMemory.into());
        };
        // All of it is written below; faults one after the other cost more.
        mem::populate(iter::once(address), CHUNK_BYTES);
        let leaked = NonNull::from(Box::leak(Box::new(Chunk {
            free: Cell::new(ptr::null()),
            count: Cell::new(0),
            listed: Cell::new(true),
            blocks: NonNull::slice_from_raw_parts(first, PER_CHUNK),
        })));
        for index in 0..PER_CHUNK {
            let green = Green::empty();
            green.chunk.set(leaked.as_ptr().cast());
            // SAFETY: within the mapping.
            let block = unsafe { first.add(index) };
            // SAFETY: fresh memory, aligned, because pages are.
            unsafe { block.write(green) };
        }
        self.chunks.push(leaked);
        self.partial.push(leaked);
        // SAFETY: D3, written in full just now.
        for block in unsafe { leaked.as_ref() }.blocks().iter().rev() {
            self.put(NonNull::from(block));
        }
        Ok(())
    }

    /// Frees chunks that nobody needed since the last time, down to half of what is too much. True: a later
    /// call may free more.
    fn trim(&mut self) -> bool {
        let mut surplus = self.low.div_ceil(2);
        // What has come back since the last call is not surplus before the next one.
        let more_next_time = self.low < self.free && self.free >= 2 * PER_CHUNK;
        self.low = self.free;
        if surplus < PER_CHUNK {
            return more_next_time;
        }
        let mut freed = 0;
        self.partial.retain(|&chunk| {
            // SAFETY: D3.
            let whole = unsafe { chunk.as_ref() }.count.get() == PER_CHUNK;
            if !whole || surplus < PER_CHUNK {
                return true;
            }
            surplus -= PER_CHUNK;
            freed += PER_CHUNK;
            // SAFETY: D2; the mark tells `chunks.retain` below.
            unsafe { chunk.as_ref() }.count.set(usize::MAX);
            false
        });
        self.chunks.retain(|&chunk| {
            // SAFETY: D3, not freed yet.
            if unsafe { chunk.as_ref() }.count.get() != usize::MAX {
                return true;
            }
            // SAFETY: `grow` leaked it, and it is in no list any more.
            let chunk = unsafe { Box::from_raw(chunk.as_ptr()) };
            let address = chunk.blocks.cast::<Green>().addr().get();
            // SAFETY: D3: all of its blocks were in its free list, so none has references.
            let _unmapped = unsafe { mem::unmap(address, CHUNK_BYTES) };
            false
        });
        self.free -= freed;
        self.low = self.free;
        // Chunks with a block in use cannot go: give up when a call frees nothing.
        more_next_time || freed > 0
    }
}

/// A free block, the caller's alone. `cache` is that of the calling OS thread's worker.
///
/// # Errors
///
/// There is no memory for more; the text names the limits.
#[inline]
pub(super) fn take(cache: Option<&Cache>) -> io::Result<NonNull<Green>> {
    match cache {
        Some(cache) => match cache.pop() {
            Some(block) => Ok(block),
            None => refill(cache),
        },
        None => lock(&DEPOT).get(),
    }
}

#[cold]
fn refill(cache: &Cache) -> io::Result<NonNull<Green>> {
    let mut depot = lock(&DEPOT);
    let block = depot.get()?;
    for _ in 1..BATCH {
        match depot.get() {
            Ok(spare) => cache.push(spare),
            Err(_) => break,
        }
    }
    Ok(block)
}

/// A block without references comes back. `cache` is as for [`take`].
#[inline]
pub(super) fn give(block: NonNull<Green>, cache: Option<&Cache>) {
    match cache {
        Some(cache) => {
            cache.push(block);
            if cache.count.get() > CACHED {
                cache.shrink(CACHED - BATCH);
            }
        }
        None => give_elsewhere(block),
    }
}

#[cold]
fn give_elsewhere(block: NonNull<Green>) {
    lock(&DEPOT).put(block);
}

/// Called by workers about once a second: memory follows demand. True: call again.
pub(crate) fn trim() -> bool {
    lock(&DEPOT).trim()
}

/// Every green thread of the process that has not been forgotten by everybody.
pub(crate) fn all() -> Vec<GreenRef> {
    let depot = lock(&DEPOT);
    let mut found = Vec::new();
    for chunk in &depot.chunks {
        // SAFETY: D3, under the lock.
        let blocks = unsafe { chunk.as_ref() }.blocks();
        found.extend(blocks.iter().filter_map(Green::try_ref));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_come_back_and_chunks_are_freed() {
        let mut depot = Depot {
            chunks: Vec::new(),
            partial: Vec::new(),
            free: 0,
            low: 0,
        };
        let taken: Vec<_> = (0..3 * PER_CHUNK).map(|_| depot.get().unwrap()).collect();
        assert_eq!((depot.chunks.len(), depot.free), (3, 0));
        for block in taken {
            depot.put(block);
        }
        assert_eq!(depot.free, 3 * PER_CHUNK);
        depot.trim();
        assert_eq!(
            depot.chunks.len(),
            3,
            "they were needed since the last trim"
        );
        while depot.chunks.len() > 1 {
            let before = depot.chunks.len();
            depot.trim();
            assert!(depot.chunks.len() < before);
            assert_eq!(depot.free, depot.chunks.len() * PER_CHUNK);
        }
        let again = depot.get().unwrap();
        depot.put(again);
    }

    #[test]
    fn a_block_is_small() {
        assert!(size_of::<Green>() <= 448, "{}", size_of::<Green>());
    }
}
