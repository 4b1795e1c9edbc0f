//! Stacks for green threads: guarded, lazily committed, thousands to a mapping.
//!
//! | file | owns |
//! |---|---|
//! | `mod.rs` | [`StackSize`], [`Stack`]: one slot and the right to use it |
//! | `pool.rs` | [`StackPool`]: the free stacks and the credits of one worker |
//! | `reserve.rs` | the process-wide reserve: slabs, free slots, credits, behind one mutex |
//! | `class.rs` | the account of one size of stack |
//! | `slab.rs` | one slab: its mapping, its free slots, its place in the table that the signal handler reads |
//! | `guard.rs` | how slots are guarded on this kernel |
//! | `shortage.rs` | the text of the error when address space or mappings have run out |
//! | `overflow.rs` | what happens when a stack overflows |
//!
//! A **slab** is one mapping cut into equal **slots**. A slot, from its lowest address: 64 KiB that fault
//! (the guard), then the usable bytes, then one page more, so that slots do not follow each other at a power of
//! two, which the caches and the TLB punish. The stack's **top** lies some cache lines below the slot's end.
//!
//! The invariants of this room:
//!
//! - **S1** A slot has exactly one owner at a time: a free list of its slab, the list of a pool, or
//!   a [`Stack`]. Only the owner touches its memory.
//! - **S2** Once a slot has been in a [`Stack`] or a pool, the lowest [`GUARD`] bytes of it fault on every
//!   access until its slab is unmapped. Releasing pages does not lift a guard.
//! - **S3** A slab is unmapped only when all its slots are in its own free lists, and it has left the
//!   reserve and the table before.
//! - **S4** For each size, the slots of all slabs are at least as many as were promised: credits in the
//!   hands of green threads and pools, and room in the lists of pools. So whoever has a credit
//!   finds a slot without a new mapping.
//! - **S5** The usable bytes of a slot are private, readable and writable. What they hold is unspecified.
//! - **S6** A top is aligned to 16 bytes, lies in the slot's highest page, and leaves at least
//!   a page less [`STAGGER`] bytes of that page below it.
//!
//! - **S7** Of a slot in a list or a [`Stack`] that is marked as inhabited, nobody else changes what is between the mark of the pool (P2) and the top.
//!   What comes out of the reserve is not inhabited.
//!
//! Everything may be called from any thread, but a [`StackPool`] belongs to one worker. Only
//! [`overflow`] is called from a signal handler. Reasons and measurements: `arch-notes/stacks.md`.

mod class;
mod guard;
pub(crate) mod overflow;
mod pool;
mod reserve;
mod shortage;
mod slab;

use std::fmt;
use std::io;
use std::mem::ManuallyDrop;
use std::num::NonZeroUsize;

pub(crate) use pool::StackPool;

use crate::sys::mem;

/// Sizes are multiples of this, so that a page of any supported kernel divides them.
const UNIT: usize = 64 << 10;

/// Bytes at the low end of a slot that fault. Rust's own frames touch every page on the way down;
/// 64 KiB catch most C frames that do not.
const GUARD: usize = UNIT;

/// Tops of neighbouring slots differ by this many bytes …
const CACHE_LINE: usize = 64;

/// … up to this: it spreads the busy lines of the stacks over half of a cache way, and half of a
/// small page is left.
const STAGGER: usize = 2048;

/// The smallest page of any supported system.
const LEAST_PAGE: usize = 4096;

/// The size of a stack, in bytes of address space: usable bytes and guard, a multiple of 64 KiB.
///
/// A stack of one size never serves for another.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct StackSize {
    units: u32,
}

impl StackSize {
    /// 256 KiB, of which 64 KiB are guard.
    pub(crate) const DEFAULT: StackSize = StackSize { units: 4 };

    /// For a thread of which a runtime has one: 2 MiB usable, what a thread of std has.
    pub(crate) const FIRST: StackSize = StackSize::from_usable(2 << 20);

    /// Room for a panic with its message and its backtrace on top of some frames of the program's own.
    const LEAST_USABLE: usize = UNIT;

    /// The smallest size with at least `bytes` usable bytes; never less than 64 KiB usable.
    ///
    /// A size that no machine has room for is not refused here but by the reserve.
    pub(crate) const fn from_usable(bytes: usize) -> StackSize {
        let usable = if bytes < Self::LEAST_USABLE {
            Self::LEAST_USABLE
        } else {
            bytes
        };
        let units = usable.div_ceil(UNIT).saturating_add(GUARD / UNIT);
        StackSize {
            units: if units > u32::MAX as usize {
                u32::MAX
            } else {
                units as u32
            },
        }
    }

    /// Bytes between the guard and the slot's end.
    #[cfg(test)]
    const fn usable(self) -> usize {
        self.bytes() - GUARD
    }

    /// Bytes of address space, guard included.
    const fn bytes(self) -> usize {
        self.units as usize * UNIT
    }

    /// From one slot to the next: a page more.
    fn stride(self) -> usize {
        self.bytes() + mem::page_size()
    }
}

impl fmt::Debug for StackSize {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "StackSize({} KiB)", self.bytes() >> 10)
    }
}

/// Where one slot is: plain data that says nothing of who owns it.
///
/// Two whole words, since a pool's list writes and reads them back to back: a word that is read whole after
/// it was written in halves waits for the write to leave the processor (6 ns instead of 1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Slot {
    top: NonZeroUsize,
    /// The number of the slab, and in the lower half the units of the size; the highest bit is [`INHABITED`].
    tag: u64,
}

/// In a tag: see S7.
const INHABITED: u64 = 1 << 63;

impl Slot {
    fn new(limit: usize, index: u32, slab: u32, size: StackSize) -> Slot {
        let lowered = index as usize * CACHE_LINE % STAGGER;
        let top = limit + size.stride() - lowered;
        Slot {
            // Nothing is mapped at 0; a handle without that value fits a `Result` into two registers.
            top: NonZeroUsize::new(top).unwrap_or(NonZeroUsize::MIN),
            tag: u64::from(slab) << 32 | u64::from(size.units),
        }
    }

    #[inline]
    fn slab(self) -> u32 {
        ((self.tag & !INHABITED) >> 32) as u32
    }

    #[inline]
    fn size(self) -> StackSize {
        StackSize {
            units: self.tag as u32,
        }
    }

    /// The end of the slot. The top was lowered by less than the least page (S6).
    #[inline]
    fn end(self) -> usize {
        self.top.get().next_multiple_of(LEAST_PAGE)
    }

    #[inline]
    fn limit(self) -> usize {
        self.end() - self.size().stride()
    }

    /// The lowest address that can be read and written.
    #[inline]
    fn usable_from(self) -> usize {
        self.limit() + GUARD
    }
}

const _: () = assert!(STAGGER < LEAST_PAGE && STAGGER.is_multiple_of(CACHE_LINE));

/// One stack, owned: guarded (S2) and nobody else's (S1).
///
/// Dropping it gives it back to the process-wide reserve under a lock; a worker gives it to its
/// [`StackPool`] instead.
#[must_use = "a stack that is dropped goes back to the reserve"]
pub(crate) struct Stack {
    slot: Slot,
}

impl Stack {
    /// The address to start at: stacks grow downwards from it. Aligned to 16 bytes (S6).
    #[inline]
    pub(crate) fn top(&self) -> usize {
        self.slot.top.get()
    }

    /// The lowest address, which is the lowest of the guard. Identifies the stack in reports.
    #[inline]
    pub(crate) fn limit(&self) -> usize {
        self.slot.limit()
    }

    /// The size it was taken with.
    #[inline]
    pub(crate) fn size(&self) -> StackSize {
        self.slot.size()
    }

    /// Whether somebody has left there what the next one may use (S7): see `green/fiber.rs`.
    #[inline]
    pub(crate) fn is_inhabited(&self) -> bool {
        self.slot.tag & INHABITED != 0
    }

    /// From now on it is, until it goes to the reserve. For `green/fiber.rs` only, which trusts the mark (F6 there).
    #[inline]
    pub(crate) fn inhabit(&mut self) {
        self.slot.tag |= INHABITED;
    }

    #[inline]
    fn into_slot(self) -> Slot {
        ManuallyDrop::new(self).slot
    }
}

impl Drop for Stack {
    #[cold]
    fn drop(&mut self) {
        pool::settle(self.slot);
        reserve::lock(&reserve::RESERVE).put(&[self.slot]);
    }
}

impl fmt::Debug for Stack {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "Stack({:#x}..{:#x})",
            self.limit(),
            self.slot.end()
        )
    }
}

/// Takes a credit: the right to one stack of `size`, so that running out shows here and not when
/// the stack is taken. For callers that are on no worker, and for sizes that are not a pool's.
///
/// # Errors
///
/// When the system gives no more address space or mappings; the text names the limit.
pub(crate) fn reserve_shared(size: StackSize) -> io::Result<()> {
    reserve::lock(&reserve::RESERVE).grant(size, 1).map(drop)
}

/// Gives a credit back, when its stack has gone back to a pool or to the reserve.
pub(crate) fn unreserve_shared(size: StackSize) {
    reserve::lock(&reserve::RESERVE).ungrant(size, 1);
}

/// Takes a stack of any size straight from the process-wide reserve. The caller has a credit for it.
///
/// # Errors
///
/// As [`StackPool::take`].
pub(crate) fn take_sized(size: StackSize) -> io::Result<Stack> {
    let mut one = Vec::with_capacity(1);
    reserve::take(&reserve::RESERVE, size, 1, &mut one)?;
    one.pop()
        .map(|slot| Stack { slot })
        .ok_or_else(|| io::Error::from(io::ErrorKind::OutOfMemory))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_round_up_to_units_and_saturate() {
        assert_eq!(StackSize::DEFAULT.usable(), 192 << 10);
        assert_eq!(StackSize::from_usable(192 << 10), StackSize::DEFAULT);
        assert_eq!(StackSize::from_usable(0).usable(), 64 << 10);
        assert_eq!(StackSize::from_usable((64 << 10) + 1).usable(), 128 << 10);
        assert!(StackSize::from_usable(usize::MAX).usable() >= 1 << 47);
    }

    #[test]
    fn an_impossible_size_is_an_error_that_says_so() {
        for bytes in [1 << 47, usize::MAX] {
            let error = reserve_shared(StackSize::from_usable(bytes)).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::OutOfMemory);
            assert!(error.to_string().contains("stack_size"), "{error}");
        }
    }

    #[test]
    fn a_handle_is_two_words() {
        assert_eq!(size_of::<Stack>(), 16);
        assert_eq!(size_of::<io::Result<Stack>>(), 16);
    }

    #[test]
    fn a_stack_of_another_size_is_guarded_and_usable_to_its_last_byte() {
        let size = StackSize::from_usable(1 << 20);
        reserve_shared(size).unwrap();
        let stack = take_sized(size).unwrap();
        assert_eq!(stack.size(), size);
        assert_eq!(stack.top() % 16, 0);
        assert!(mem::faults(stack.limit()).unwrap());
        assert!(mem::faults(stack.limit() + GUARD - 1).unwrap());
        assert!(!mem::faults(stack.limit() + GUARD).unwrap());
        assert!(!mem::faults(stack.top() - 1).unwrap());
        let page = mem::page_size();
        assert_eq!(
            stack.slot.end() - stack.limit(),
            GUARD + size.usable() + page
        );
        drop(stack);
        unreserve_shared(size);
    }

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
        assert_eq!(offsets.len(), STAGGER / CACHE_LINE);
        assert!(offsets.iter().all(|offset| *offset <= mem::page_size() / 2));
    }
}
