//! One slab: a mapping cut into slots, and the table of all slabs that a signal handler may read.
//!
//! A [`Slab`] is owned by the reserve and touched under its mutex. [`find`] may be called from a
//! signal handler; it takes no lock and allocates nothing.
//!
//! Free slots are of three kinds: *warm* ones have pages in memory, *cold* ones had theirs
//! released, *new* ones were never used. A fourth list holds slots whose guard could not be
//! installed.
//!
//! Core files have the slots that were used since the slab was last wholly cold, and some of those
//! that follow them: an address range of gigabytes without content would make them hard to move. A
//! system call on each use would cost too much, so the part that they have doubles when it grows.
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
use super::size::{GUARD_BYTES, StackSize};
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
    /// Slots `[0, dumped)` are part of core files.
    dumped: u32,
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
        let dumped = match mem::dump_in_cores(start, bytes, false) {
            Ok(()) => 0,
            Err(_) => slots,
        };
        Ok(Slab {
            start,
            size,
            slots,
            guarding,
            begun: 0,
            dumped,
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
            let highest = self.cold[keep..].iter().max();
            self.dump_until(highest.map_or(0, |index| index + 1));
            out.extend(self.cold.drain(keep..).map(slot));
            return Taken::Ready { warm: 0 };
        }
        if let Some(index) = self.unguarded.pop() {
            self.dump_until(index + 1);
            return self.bare(index..index + 1);
        }
        let until = self.slots.min(self.begun.saturating_add(want as u32));
        let new = self.begun..until;
        self.begun = until;
        self.dump_until(until);
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
            let start = self.limit(run.first().copied().unwrap_or_default()) + GUARD_BYTES;
            let bytes = run.len() * self.size.stride() - GUARD_BYTES;
            // SAFETY: the slots were in a list of this slab (S1), and a free slot holds nothing of
            // value. If the call fails, the pages stay: nothing is lost but memory.
            let _released = unsafe { mem::release(start, bytes) };
        }
        self.cold.extend(slots);
        let begun = self.cold.len() + self.unguarded.len();
        if begun == self.begun as usize && self.dumped > 0 {
            let bytes = self.dumped as usize * self.size.stride();
            if mem::dump_in_cores(self.start, bytes, false).is_ok() {
                self.dumped = 0;
            }
        }
        count
    }

    /// Makes slots `[0, until)` part of core files.
    fn dump_until(&mut self, until: u32) {
        if until <= self.dumped {
            return;
        }
        let until = until.max(self.slots.min(self.dumped.saturating_mul(2)));
        let start = self.limit(self.dumped);
        // If it fails, the next call tries again.
        if mem::dump_in_cores(start, self.limit(until) - start, true).is_ok() {
            self.dumped = until;
        }
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

const ENTRIES_PER_CHUNK: usize = 64;

#[derive(Debug)]
struct Entry {
    start: AtomicUsize,
    slot: AtomicUsize,
    slots: AtomicUsize,
}

struct Chunk {
    entries: [Entry; ENTRIES_PER_CHUNK],
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
            }; ENTRIES_PER_CHUNK],
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
                in_guard: offset % bytes < GUARD_BYTES,
            });
        }
        chunk = here.next();
    }
    None
}

#[cfg(all(test, target_os = "linux"))]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    /// How many bytes of the range are part of core files, according to the kernel.
    fn dumped_bytes(range: Range<usize>) -> usize {
        let maps = std::fs::read_to_string("/proc/self/smaps").unwrap();
        let mut here = 0..0;
        let mut bytes = 0;
        for line in maps.lines() {
            let mut words = line.split_whitespace();
            let first = words.next().unwrap_or_default();
            if let Some((start, end)) = first.split_once('-') {
                let [start, end] = [start, end].map(|word| usize::from_str_radix(word, 16));
                here = start.unwrap().max(range.start)..end.unwrap().min(range.end);
            } else if first == "VmFlags:" && words.all(|flag| flag != "dd") {
                bytes += here.end.saturating_sub(here.start);
            }
        }
        bytes
    }

    #[test]
    fn core_files_have_the_slots_that_are_used_and_no_reserved_ones() {
        const SLOTS: u32 = 64;
        let size = StackSize::DEFAULT;
        let mut slab = Slab::map(size, SLOTS, Guarding::Light).unwrap();
        let stride = size.stride();
        let range = slab.limit(0)..slab.limit(SLOTS);
        if dumped_bytes(range.clone()) != 0 {
            println!("skipped: MADV_DONTDUMP has no effect here, as in an emulator");
            return;
        }
        let mut out = Vec::new();
        let mut lengths = Vec::new();
        let mut used = Vec::new();
        for taken in 1..=SLOTS as usize {
            let Taken::Bare { slots, .. } = slab.take(0, 1, &mut out) else {
                panic!("slots that were never used");
            };
            let dumped = dumped_bytes(range.clone());
            assert!(dumped >= taken * stride && dumped <= (2 * taken * stride).max(2 * stride));
            assert_eq!(
                dumped,
                dumped_bytes(range.start..range.start + dumped),
                "a prefix"
            );
            lengths.push(dumped);
            used.extend(slots);
        }
        slab.warm = used;
        lengths.dedup();
        assert!(lengths.len() <= 8, "one call for many slots: {lengths:?}");
        assert_eq!(slab.release(SLOTS as usize - 1), SLOTS as usize - 1);
        assert_eq!(
            dumped_bytes(range.clone()),
            SLOTS as usize * stride,
            "one is still warm"
        );
        slab.release(1);
        assert_eq!(dumped_bytes(range.clone()), 0, "all are cold");
        let Taken::Ready { warm: 0 } = slab.take(0, 1, &mut out) else {
            panic!("a cold slot");
        };
        let index = slab.index(out[0]);
        let slot = slab.limit(index)..slab.limit(index + 1);
        assert_eq!(dumped_bytes(slot), stride, "it is used again");
        slab.cold.push(index);
        let (start, bytes) = slab.retire();
        // SAFETY: no slot of it is in use.
        unsafe { mem::unmap(start, bytes) }.unwrap();
    }
}
