//! One slab: a mapping cut into slots, and the table of all slabs that a signal handler may read.
//!
//! A [`Slab`] is owned by the reserve and touched under its mutex. [`find`] may be called from a
//! signal handler; it takes no lock and allocates nothing.
//!
//! Free slots are of three kinds: *warm* ones have pages in memory, *cold* ones had theirs
//! released, *new* ones were never used. A fourth list holds slots whose guard could not be
//! installed.
//!
//! - **T1** An entry of the table is claimed by changing its `start` from 0 to [`CLAIMED`]; then
//!   its geometry is written, then its address. Entries live as long as the process.
//! - **T2** An entry's `start` is 0 again before its slab is unmapped.
#![allow(unsafe_code, reason = "maps and unmaps slabs")]

use std::io;
use std::ops::Range;
use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};

use super::guard::{self, Guarding};
use super::size::{GUARD, StackSize};
use super::slot::Slot;
use crate::sys::mem;

#[derive(Debug)]
pub(super) struct Slab {
    start: usize,
    size: StackSize,
    slots: u32,
    guarding: Guarding,
    /// Slots `[0, begun)` have been taken at least once.
    begun: u32,
    /// Index of this slab in the reserve's list for its size.
    pub(super) position: usize,
    pub(super) warm: Vec<u32>,
    pub(super) cold: Vec<u32>,
    pub(super) unguarded: Vec<u32>,
    entry: &'static Entry,
}

/// The result of [`Slab::take`].
pub(super) enum Taken {
    Nothing,
    /// The slots are ready and appended to the caller's list; this many of them were warm.
    Ready {
        warm: usize,
    },
    /// The slots still need their guards; the first one is at `limit`.
    Bare {
        limit: usize,
        slots: Range<u32>,
    },
}

impl Slab {
    /// Maps a slab of `slots` slots and enters it into the table.
    pub(super) fn map(size: StackSize, slots: u32, guarding: Guarding) -> io::Result<Slab> {
        let bytes = (slots as usize)
            .checked_mul(size.stride())
            .ok_or(io::ErrorKind::OutOfMemory)?;
        let start = mem::reserve(bytes)?;
        if guarding == Guarding::Protected {
            for index in 0..slots {
                // SAFETY: the mapping was made above, and no other code uses it.
                let protected = unsafe { guard::protect(start + index as usize * size.stride()) };
                if let Err(error) = protected {
                    // SAFETY: as above. All of it is unmapped: the process needs some mappings for
                    // itself.
                    let _unmapped = unsafe { mem::unmap(start, bytes) };
                    return Err(error);
                }
            }
        }
        Ok(Slab {
            start,
            size,
            slots,
            guarding,
            begun: 0,
            position: 0,
            warm: Vec::new(),
            cold: Vec::new(),
            unguarded: Vec::new(),
            entry: enter(start, size.stride(), slots as usize),
        })
    }

    pub(super) fn size(&self) -> StackSize {
        self.size
    }

    pub(super) fn slots(&self) -> usize {
        self.slots as usize
    }

    pub(super) fn guarding(&self) -> Guarding {
        self.guarding
    }

    /// Returns how many slots, from the first on, have been taken at least once.
    pub(super) fn begun(&self) -> usize {
        self.begun as usize
    }

    pub(super) fn free(&self) -> usize {
        let begun = self.warm.len() + self.cold.len() + self.unguarded.len();
        begun + (self.slots - self.begun) as usize
    }

    pub(super) fn limit(&self, index: u32) -> usize {
        self.start + index as usize * self.size.stride()
    }

    pub(super) fn index(&self, slot: Slot) -> u32 {
        let index = (slot.limit() - self.start) / self.size.stride();
        debug_assert!(index < self.slots as usize, "a slot of another slab");
        index as u32
    }

    /// Takes up to `want` slots of one kind: warm before cold before new.
    pub(super) fn take(&mut self, number: u32, want: usize, out: &mut Vec<Slot>) -> Taken {
        let (start, size) = (self.start, self.size);
        let slot = |index: u32| {
            let limit = start + index as usize * size.stride();
            Slot::new(limit, index, number, size)
        };
        if !self.warm.is_empty() {
            let keep = self.warm.len().saturating_sub(want);
            let warm = self.warm.len() - keep;
            out.extend(self.warm.drain(keep..).map(slot));
            return Taken::Ready { warm };
        }
        if !self.cold.is_empty() {
            let keep = self.cold.len().saturating_sub(want);
            out.extend(self.cold.drain(keep..).map(slot));
            return Taken::Ready { warm: 0 };
        }
        if let Some(index) = self.unguarded.pop() {
            return self.bare(index..index + 1);
        }
        let until = self.slots.min(self.begun.saturating_add(want as u32));
        let new = self.begun..until;
        self.begun = until;
        match self.guarding {
            _ if new.is_empty() => Taken::Nothing,
            Guarding::Light => self.bare(new),
            Guarding::Protected => {
                // Popped from the end, so that neighbours are used in order.
                out.extend(new.rev().map(slot));
                Taken::Ready { warm: 0 }
            }
        }
    }

    /// Releases the pages of up to `most` warm slots, those that have been free longest.
    pub(super) fn release(&mut self, most: usize) -> usize {
        let count = most.min(self.warm.len());
        let mut slots: Vec<u32> = self.warm.drain(..count).collect();
        slots.sort_unstable();
        // Neighbours are released in one call: the guards between them stay (S2), and it costs a
        // third.
        for run in slots.chunk_by(|one, next| one + 1 == *next) {
            let start = self.limit(run.first().copied().unwrap_or_default()) + GUARD;
            let bytes = run.len() * self.size.stride() - GUARD;
            // SAFETY: the slots were in a list of this slab (S1), and a free slot holds nothing of
            // value. If the call fails, the pages stay: nothing is lost but memory.
            let _released = unsafe { mem::release(start, bytes) };
        }
        self.cold.extend(slots);
        count
    }

    fn bare(&self, slots: Range<u32>) -> Taken {
        Taken::Bare {
            limit: self.limit(slots.start),
            slots,
        }
    }

    /// Leaves the table (T2) and returns the range to unmap. All slots are free (S3).
    pub(super) fn retire(self) -> (usize, usize) {
        debug_assert_eq!(self.free(), self.slots());
        // Release: pairs with the loads of `find`; the caller unmaps afterwards.
        self.entry.start.store(0, Ordering::Release);
        (self.start, self.slots() * self.size.stride())
    }
}

/// An entry whose geometry is being written; no mapping starts at this address.
const CLAIMED: usize = 1;

const CHUNK: usize = 64;

#[derive(Debug)]
struct Entry {
    start: AtomicUsize,
    slot: AtomicUsize,
    slots: AtomicUsize,
}

struct Chunk {
    entries: [Entry; CHUNK],
    next: AtomicPtr<Chunk>,
}

impl Chunk {
    const fn new() -> Chunk {
        Chunk {
            entries: [const {
                Entry {
                    start: AtomicUsize::new(0),
                    slot: AtomicUsize::new(0),
                    slots: AtomicUsize::new(0),
                }
            }; CHUNK],
            next: AtomicPtr::new(ptr::null_mut()),
        }
    }

    fn next(&self) -> Option<&'static Chunk> {
        // Acquire: pairs with the exchange in `following`, which publishes the chunk's content.
        let next = self.next.load(Ordering::Acquire);
        // SAFETY: null, or a chunk that was leaked, so it lives forever.
        unsafe { next.as_ref() }
    }

    fn following(&self) -> &'static Chunk {
        if let Some(next) = self.next() {
            return next;
        }
        let fresh: &'static mut Chunk = Box::leak(Box::new(Chunk::new()));
        let pointer = ptr::from_mut(fresh);
        // Release: pairs with the load in `next`. If another thread was first, ours stays unused.
        match self.next.compare_exchange(
            ptr::null_mut(),
            pointer,
            Ordering::AcqRel,
            Ordering::Acquire,
        ) {
            // SAFETY: leaked above, and shared only from here on.
            Ok(_) => unsafe { &*pointer },
            // SAFETY: not null, and leaked by the thread that put it there.
            Err(other) => unsafe { &*other },
        }
    }
}

static TABLE: Chunk = Chunk::new();

fn enter(start: usize, slot: usize, slots: usize) -> &'static Entry {
    let mut chunk: &'static Chunk = &TABLE;
    loop {
        for entry in &chunk.entries {
            // Acquire: pairs with the release in `retire`, so the old geometry's readers come
            // first.
            if entry
                .start
                .compare_exchange(0, CLAIMED, Ordering::Acquire, Ordering::Relaxed)
                .is_ok()
            {
                // Relaxed: the release store of `start` below publishes both.
                entry.slot.store(slot, Ordering::Relaxed);
                entry.slots.store(slots, Ordering::Relaxed);
                entry.start.store(start, Ordering::Release);
                return entry;
            }
        }
        chunk = chunk.following();
    }
}

/// The slot that contains an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) limit: usize,
    /// Bytes of the slot, guard included.
    pub(super) bytes: usize,
    pub(super) in_guard: bool,
}

/// Finds the slot that contains `address`. Async-signal-safe.
///
/// The slab of a stack in use cannot retire meanwhile (S3), so its own entry is stable; others may
/// change under the reader, which is why `start` is read again.
pub(super) fn find(address: usize) -> Option<Found> {
    let mut chunk: Option<&'static Chunk> = Some(&TABLE);
    while let Some(here) = chunk {
        for entry in &here.entries {
            // Acquire: pairs with the release store in `enter`.
            let start = entry.start.load(Ordering::Acquire);
            if start <= CLAIMED || address < start {
                continue;
            }
            let bytes = entry.slot.load(Ordering::Acquire);
            let slots = entry.slots.load(Ordering::Acquire);
            let offset = address - start;
            if entry.start.load(Ordering::Relaxed) != start || offset >= bytes * slots {
                continue;
            }
            return Some(Found {
                limit: address - offset % bytes,
                bytes,
                in_guard: offset % bytes < GUARD,
            });
        }
        chunk = here.next();
    }
    None
}
