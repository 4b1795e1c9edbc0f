//! What is decided about a green thread before it starts, and the payload of one that is cancelled.

use std::cell::Cell;
use std::fmt;
use std::io;
use std::num::NonZeroU64;
use std::panic::Location;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::scope::ScopeState;
use super::{Green, Home};
use crate::stack::{self, Stack, StackSize};

/// The payload with which a cancelled green thread unwinds, and which its `join` gives.
///
/// A green thread is cancelled when the [`run`](crate::run) that it belongs to has ended.
///
/// ```
/// let result = rustlet::run(|| {
///     rustlet::spawn(|| 5).join()
/// });
/// assert!(!result.is_err_and(|payload| payload.is::<rustlet::Cancelled>()));
/// ```
pub struct Cancelled {
    /// Lives as long as the payload.
    _raised: Option<Raised>,
}

impl Cancelled {
    /// One that nobody was unwound with.
    pub(crate) fn new() -> Cancelled {
        Cancelled { _raised: None }
    }

    /// The payload of a raise.
    pub(super) fn raised(raised: Raised) -> Cancelled {
        Cancelled {
            _raised: Some(raised),
        }
    }
}

impl fmt::Debug for Cancelled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cancelled")
    }
}

impl fmt::Display for Cancelled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the green thread was cancelled")
    }
}

impl std::error::Error for Cancelled {}

/// A part of every payload that a raise unwinds with: while it lives, its thread's unwinding is that of a cancellation, and
/// when it is dropped the raise is over: somebody has caught it.
#[derive(Debug)]
pub(super) struct Raised {
    thread: NonZeroU64,
    number: u32,
}

impl Raised {
    /// The raise that `green`, the running thread, is about to make.
    pub(super) fn new(green: &Green, number: u32) -> Raised {
        green.raising.set(number);
        Raised {
            thread: green.id(),
            number,
        }
    }
}

impl Drop for Raised {
    fn drop(&mut self) {
        if let Some(home) = Home::get()
            && home.current().id() == self.thread
            && home.current().raising.get() == self.number
        {
            home.current().raising.set(0);
        }
    }
}

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
