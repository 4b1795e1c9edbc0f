//! Sizes of stacks.

use std::fmt;

use crate::sys::mem;

/// Sizes are multiples of this, so that a page of any supported kernel divides them.
pub(super) const UNIT_BYTES: usize = 64 << 10;

/// Bytes at the low end of a slot that fault. Rust's own frames touch every page on the way down;
/// 64 KiB catch most C frames that do not.
pub(super) const GUARD_BYTES: usize = UNIT_BYTES;

/// The size of a stack, in bytes of address space: usable bytes and guard, a multiple of 64 KiB.
///
/// A stack of one size never serves for another.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct StackSize {
    pub(super) units: u32,
}

impl StackSize {
    /// 256 KiB, of which 64 KiB are guard; 1 MiB in debug builds, whose frames are several times
    /// larger.
    pub(crate) const DEFAULT: StackSize = StackSize {
        units: if cfg!(debug_assertions) { 16 } else { 4 },
    };

    /// For the one main thread of a runtime: 2 MiB usable, as a thread of std has.
    pub(crate) const FIRST: StackSize = StackSize::from_usable(2 << 20);

    /// Room for a panic with its message and its backtrace on top of some frames of the program.
    const MIN_USABLE_BYTES: usize = UNIT_BYTES;

    /// Returns the smallest size with at least `bytes` usable bytes; never less than 64 KiB usable.
    ///
    /// The reserve, not this function, refuses a size that no machine has room for.
    pub(crate) const fn from_usable(bytes: usize) -> StackSize {
        let usable = if bytes < Self::MIN_USABLE_BYTES {
            Self::MIN_USABLE_BYTES
        } else {
            bytes
        };
        let units = usable
            .div_ceil(UNIT_BYTES)
            .saturating_add(GUARD_BYTES / UNIT_BYTES);
        StackSize {
            units: if units > u32::MAX as usize {
                u32::MAX
            } else {
                units as u32
            },
        }
    }

    /// Returns the usable bytes, as the user counts them.
    pub(super) const fn usable(self) -> usize {
        self.bytes() - GUARD_BYTES
    }

    /// Returns the bytes of address space, guard included.
    pub(super) const fn bytes(self) -> usize {
        self.units as usize * UNIT_BYTES
    }

    /// Returns the distance from one slot to the next: one page more than the size.
    pub(super) fn stride(self) -> usize {
        self.bytes() + mem::page_size()
    }
}

impl fmt::Debug for StackSize {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "StackSize({} KiB)", self.bytes() >> 10)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_round_up_to_units_and_saturate() {
        let default = if cfg!(debug_assertions) { 960 } else { 192 };
        assert_eq!(StackSize::DEFAULT.usable(), default << 10);
        assert_eq!(StackSize::from_usable(default << 10), StackSize::DEFAULT);
        assert_eq!(StackSize::from_usable(0).usable(), 64 << 10);
        assert_eq!(StackSize::from_usable((64 << 10) + 1).usable(), 128 << 10);
        assert!(StackSize::from_usable(usize::MAX).usable() >= 1 << 47);
    }
}
