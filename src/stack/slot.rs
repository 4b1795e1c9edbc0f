//! The location of one slot of a slab.

use std::num::NonZeroUsize;

use super::size::{GUARD_BYTES, StackSize};

/// Tops of neighbouring slots differ by this many bytes …
const CACHE_LINE_BYTES: usize = 64;

/// … up to this. The stagger spreads the busy lines of the stacks over half of a cache way, and
/// leaves half of a small page.
const MAX_STAGGER_BYTES: usize = 2048;

/// The smallest page of any supported system.
const MIN_PAGE_BYTES: usize = 4096;

/// The location of one slot: plain data, independent of the slot's owner.
///
/// Two whole words, because a pool's list writes and reads them back to back: reading a word whole
/// after it was written in halves waits for the write to leave the processor (6 ns instead of 1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slot {
    pub(super) top: NonZeroUsize,
    /// The number of the slab and, in the lower half, the units of the size; the highest bit is
    /// [`HAS_COROUTINE`].
    pub(super) tag: u64,
}

/// The bit of a tag that marks an inhabited slot (S7).
pub(super) const HAS_COROUTINE: u64 = 1 << 63;

impl Slot {
    pub(super) fn new(limit: usize, index: u32, slab: u32, size: StackSize) -> Slot {
        let lowered = index as usize * CACHE_LINE_BYTES % MAX_STAGGER_BYTES;
        let top = limit + size.stride() - lowered;
        Slot {
            // Nothing is mapped at 0; a handle without that value fits a `Result` into two
            // registers.
            top: NonZeroUsize::new(top).unwrap_or(NonZeroUsize::MIN),
            tag: u64::from(slab) << 32 | u64::from(size.units),
        }
    }

    #[inline]
    pub(super) fn slab(self) -> u32 {
        ((self.tag & !HAS_COROUTINE) >> 32) as u32
    }

    #[inline]
    pub(super) fn size(self) -> StackSize {
        StackSize {
            units: self.tag as u32,
        }
    }

    /// Returns the end of the slot. The top was lowered by less than the least page (S6).
    #[inline]
    pub(super) fn end(self) -> usize {
        self.top.get().next_multiple_of(MIN_PAGE_BYTES)
    }

    #[inline]
    pub(super) fn limit(self) -> usize {
        self.end() - self.size().stride()
    }

    /// Returns the lowest address that can be read and written.
    #[inline]
    pub(super) fn usable_from(self) -> usize {
        self.limit() + GUARD_BYTES
    }
}

const _: () = assert!(
    MAX_STAGGER_BYTES < MIN_PAGE_BYTES && MAX_STAGGER_BYTES.is_multiple_of(CACHE_LINE_BYTES)
);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::mem;

    #[test]
    fn tops_are_staggered_within_the_highest_page() {
        let size = StackSize::DEFAULT;
        let limit = |index: u32| size.stride() * (1 + index as usize);
        let slot = |index| Slot::new(limit(index), index, 0, size);
        let slots: Vec<Slot> = (0..64).map(slot).collect();
        let lowered = |slot: &Slot| slot.end() - slot.top.get();
        let mut offsets: Vec<usize> = slots.iter().map(lowered).collect();
        for (index, slot) in slots.iter().enumerate() {
            assert_eq!(slot.limit(), limit(index as u32));
            assert_eq!(slot.top.get() % 16, 0);
        }
        offsets.sort_unstable();
        offsets.dedup();
        assert_eq!(offsets.len(), MAX_STAGGER_BYTES / CACHE_LINE_BYTES);
        assert!(offsets.iter().all(|offset| *offset <= mem::page_size() / 2));
    }
}
