//! What is decided about a green thread before it starts.

use std::cell::Cell;
use std::fmt;
use std::io;
use std::num::NonZeroU64;
use std::panic::Location;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::Green;
use super::scope::ScopeState;
use crate::stack::{self, Stack, StackSize};

/// Where ids come from, in batches, so that spawning does not share a counter: each home has one, each other OS thread too.
pub(crate) struct Ids {
    /// The last one given out; a multiple of `BATCH` if there is none left of the batch.
    last: Cell<u64>,
}

impl Ids {
    const BATCH: u64 = 1024;

    pub(crate) const fn new() -> Ids {
        Ids { last: Cell::new(0) }
    }

    /// An id that nobody else has.
    #[inline]
    pub(crate) fn next(&self) -> NonZeroU64 {
        let mut last = self.last.get();
        if last.is_multiple_of(Self::BATCH) {
            last = Self::batch();
        }
        self.last.set(last + 1);
        NonZeroU64::MIN.saturating_add(last)
    }

    #[cold]
    fn batch() -> u64 {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        NEXT.fetch_add(Self::BATCH, Ordering::Relaxed)
    }
}

/// An id for something that is made on no worker, or seldom.
pub(crate) fn next_id() -> NonZeroU64 {
    thread_local! {
        static MINE: Ids = const { Ids::new() };
    }
    MINE.with(Ids::next)
}

/// What most threads do without.
pub(super) struct Rare {
    pub(super) name: Option<Box<str>>,
    pub(super) scope: Option<Arc<ScopeState>>,
    /// The next one in the list of the scope (RF1 in `reference.rs`).
    pub(super) scope_link: Cell<*mut Green>,
    pub(super) own_stack: Option<OwnStack>,
}

/// A stack taken at spawn, for sizes that the pools do not keep, and the right to it. The stack goes first.
pub(crate) struct OwnStack {
    /// The worker takes it out while a dump may look at what lies beside it.
    pub(super) stack: Cell<Option<Stack>>,
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
    /// # Errors
    ///
    /// Those of the reserve.
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

/// What a spawner decides about a thread that has wishes.
#[derive(Debug)]
pub(crate) struct Birth {
    pub(crate) name: Option<Box<str>>,
    pub(crate) at: &'static Location<'static>,
    pub(crate) group: usize,
    pub(crate) scope: Option<Arc<ScopeState>>,
    pub(crate) own_stack: Option<OwnStack>,
}
