//! One owned stack, and the access to the reserve for callers that are on no worker.

use std::fmt;
use std::io;
use std::mem::ManuallyDrop;

use super::mark::StackUse;
use super::size::StackSize;
use super::slot::{HAS_COROUTINE, Slot};
use super::{mark, reserve};

/// One owned stack: guarded (S2), and exclusive to its owner (S1).
///
/// Dropping it gives it back to the process-wide reserve under a lock; a worker gives it to its
/// `StackPool` instead.
#[must_use = "a stack that is dropped goes back to the reserve"]
pub(crate) struct Stack {
    pub(super) slot: Slot,
}

impl Stack {
    /// Returns the address to start at: stacks grow downwards from it. Aligned to 16 bytes (S6).
    #[inline]
    pub(crate) fn top(&self) -> usize {
        self.slot.top.get()
    }

    /// Returns the lowest address, which is the lowest of the guard. Identifies the stack in
    /// reports.
    #[inline]
    pub(crate) fn limit(&self) -> usize {
        self.slot.limit()
    }

    /// Returns the size that the stack was taken with.
    #[inline]
    pub(crate) fn size(&self) -> StackSize {
        self.slot.size()
    }

    /// Returns whether a former thread has left data there that the next one may use (S7): see
    /// `green/fiber/mod.rs`.
    #[inline]
    pub(crate) fn has_coroutine(&self) -> bool {
        self.slot.tag & HAS_COROUTINE != 0
    }

    /// Marks the stack as inhabited, until it goes to the reserve. For `green/fiber/mod.rs` only,
    /// which trusts the mark (F6 there).
    #[inline]
    pub(crate) fn mark_has_coroutine(&mut self) {
        self.slot.tag |= HAS_COROUTINE;
    }

    /// Gives the stack back to the process-wide reserve, as a drop does. Returns how much of it was
    /// used, if it was deep.
    #[cold]
    pub(crate) fn retire(self) -> Option<StackUse> {
        match mark::is_marked(self.slot) {
            true => None,
            false => mark::measure(self.slot, false),
        }
    }

    /// Returns whether a thread went below the highest page, as far as the mark tells (P2 in
    /// `mark.rs`).
    #[inline]
    pub(crate) fn was_deep(&self) -> bool {
        !mark::is_marked(self.slot)
    }

    /// Writes the mark that shows at the end whether a thread went deep (P2 in `mark.rs`). Called
    /// before the first thread runs on the stack, which touches the page of the mark anyway.
    pub(crate) fn mark(&self) {
        mark::write_mark(self.slot);
    }

    #[inline]
    pub(super) fn into_slot(self) -> Slot {
        ManuallyDrop::new(self).slot
    }
}

impl Drop for Stack {
    #[cold]
    fn drop(&mut self) {
        mark::release_unpooled(self.slot);
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

/// Gives a credit back. The caller has already returned its stack to a pool or to the reserve.
pub(crate) fn unreserve_shared(size: StackSize) {
    reserve::lock(&reserve::RESERVE).ungrant(size, 1);
}

/// Takes a stack of any size straight from the process-wide reserve. The caller has a credit for
/// it.
///
/// # Errors
///
/// As `StackPool::take`.
pub(crate) fn take_sized(size: StackSize) -> io::Result<Stack> {
    let mut one = Vec::with_capacity(1);
    reserve::take(&reserve::RESERVE, size, 1, &mut one)?;
    one.pop()
        .map(|slot| Stack { slot })
        .ok_or_else(|| io::Error::from(io::ErrorKind::OutOfMemory))
}

#[cfg(test)]
mod tests {
    use super::super::size::GUARD_BYTES;
    use super::*;
    use crate::sys::mem;

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
        assert!(mem::faults(stack.limit() + GUARD_BYTES - 1).unwrap());
        assert!(!mem::faults(stack.limit() + GUARD_BYTES).unwrap());
        assert!(!mem::faults(stack.top() - 1).unwrap());
        let page = mem::page_size();
        assert_eq!(
            stack.slot.end() - stack.limit(),
            GUARD_BYTES + size.usable() + page
        );
        drop(stack);
        unreserve_shared(size);
    }
}
