//! What is decided about a green thread before it starts.

use std::cell::Cell;
use std::io;
use std::num::NonZeroU64;
use std::panic::Location;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::scope::ScopeState;
use crate::stack::{self, Stack, StackSize};

/// Ids are given out in batches, so that spawning does not share a counter.
pub(crate) fn next_id() -> NonZeroU64 {
    const BATCH: u64 = 1024;
    static NEXT: AtomicU64 = AtomicU64::new(1);
    thread_local! {
        static MINE: Cell<(u64, u64)> = const { Cell::new((0, 0)) };
    }
    let (next, end) = MINE.get();
    let (next, end) = if next < end {
        (next, end)
    } else {
        let start = NEXT.fetch_add(BATCH, Ordering::Relaxed);
        (start, start + BATCH)
    };
    MINE.set((next + 1, end));
    NonZeroU64::new(next).unwrap_or(NonZeroU64::MIN)
}

/// What most threads do without.
pub(super) struct Rare {
    pub(super) name: Option<Box<str>>,
    pub(super) scope: Option<Arc<ScopeState>>,
    pub(super) own_stack: Option<OwnStack>,
}

/// A stack taken at spawn, for sizes that the pools do not keep, and the right to it. The stack goes first.
#[derive(Debug)]
pub(crate) struct OwnStack {
    pub(super) stack: Option<Stack>,
    size: StackSize,
}

impl OwnStack {
    /// # Errors
    ///
    /// Those of the reserve.
    pub(crate) fn take(size: StackSize) -> io::Result<OwnStack> {
        stack::reserve_shared(size)?;
        let mut own = OwnStack { stack: None, size };
        own.stack = Some(stack::take_sized(size)?);
        Ok(own)
    }
}

impl Drop for OwnStack {
    fn drop(&mut self) {
        drop(self.stack.take());
        stack::unreserve_shared(self.size);
    }
}

/// What a spawner decides about a thread.
#[derive(Debug)]
pub(crate) struct Birth {
    pub(crate) name: Option<Box<str>>,
    pub(crate) at: &'static Location<'static>,
    pub(crate) group: usize,
    pub(crate) scope: Option<Arc<ScopeState>>,
    pub(crate) own_stack: Option<OwnStack>,
}

impl Birth {
    #[inline]
    pub(crate) fn plain(at: &'static Location<'static>, group: usize) -> Birth {
        Birth {
            name: None,
            at,
            group,
            scope: None,
            own_stack: None,
        }
    }
}
