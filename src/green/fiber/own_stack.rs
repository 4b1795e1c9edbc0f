//! A stack that was reserved for one thread, with its reservation.

use std::cell::Cell;
use std::fmt;
use std::io;

use crate::stack::{self, Stack, StackSize};

/// A stack taken at spawn, for sizes that the pools do not keep, and its reservation. The stack is
/// dropped before the reservation.
pub(crate) struct OwnStack {
    /// In a `Cell`: the worker takes the stack out while a dump may read the fields beside it.
    pub(crate) stack: Cell<Option<Stack>>,
    size: StackSize,
}

impl fmt::Debug for OwnStack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnStack")
            .field("size", &self.size)
            .finish_non_exhaustive()
    }
}

impl OwnStack {
    /// Reserves and takes a stack of the given size.
    ///
    /// # Errors
    ///
    /// The stack cannot be reserved or mapped.
    pub(crate) fn take(size: StackSize) -> io::Result<OwnStack> {
        stack::reserve_shared(size)?;
        let own = OwnStack {
            stack: Cell::new(None),
            size,
        };
        own.stack.set(Some(stack::take_sized(size)?));
        Ok(own)
    }
}

impl Drop for OwnStack {
    fn drop(&mut self) {
        drop(self.stack.take());
        stack::unreserve_shared(self.size);
    }
}
