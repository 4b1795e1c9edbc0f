#![allow(unsafe_code, reason = "memory that the last of two owners frees")]
//! A channel with its reference counts: disconnection and deallocation.
//!
//! HU1. A counter exists as long as a sender or a receiver does. The last handle of a side
//!      disconnects that side, and then sets `released`; if it was set already, the thread frees
//!      the counter.

use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::core::chan::Chan;
use super::core::outcome::Op;
use crate::sync::wait::waiting_thread::WaitingThread;
use crate::sys::exit;

/// See the module documentation.
// Two cache lines for the lock and its data; the counts come after them.
#[derive(Debug)]
#[repr(C, align(64))]
pub(super) struct Counter<T> {
    pub(super) chan: Chan<T, WaitingThread>,
    senders: AtomicUsize,
    receivers: AtomicUsize,
    released: AtomicBool,
}

/// Far more handles than memory can hold, unless handles were forgotten.
const MAX_HANDLES: usize = isize::MAX as usize;

#[cold]
fn too_many_handles() -> ! {
    exit::abort(format_args!(
        "more than {MAX_HANDLES} handles to one side of a channel: they are leaked somewhere, with mem::forget for example"
    ))
}

impl<T> Counter<T> {
    /// Creates a channel with one handle on each side.
    pub(super) fn open(capacity: usize) -> NonNull<Counter<T>> {
        NonNull::from(Box::leak(Box::new(Counter {
            chan: Chan::new(capacity),
            senders: AtomicUsize::new(1),
            receivers: AtomicUsize::new(1),
            released: AtomicBool::new(false),
        })))
    }

    fn count(&self, op: Op) -> &AtomicUsize {
        match op {
            Op::Send => &self.senders,
            Op::Recv => &self.receivers,
        }
    }

    /// Adds a handle to a side that has one.
    pub(super) fn add_handle(&self, op: Op) {
        if self.count(op).fetch_add(1, Ordering::Relaxed) > MAX_HANDLES {
            too_many_handles();
        }
    }

    /// Removes a handle.
    ///
    /// # Safety
    ///
    /// The handle is counted on that side, and is not used again.
    pub(super) unsafe fn drop_handle(counter: NonNull<Counter<T>>, op: Op) {
        // SAFETY: HU1.
        let this = unsafe { counter.as_ref() };
        // AcqRel: actions through other handles of this side happen before the disconnection.
        if this.count(op).fetch_sub(1, Ordering::AcqRel) > 1 {
            return;
        }
        // Also when the destructor of an item panics.
        struct Release<T>(NonNull<Counter<T>>);
        impl<T> Drop for Release<T> {
            fn drop(&mut self) {
                // SAFETY: HU1.
                let this = unsafe { self.0.as_ref() };
                // AcqRel: the other side's last action happens before the deallocation.
                if this.released.swap(true, Ordering::AcqRel) {
                    // SAFETY: HU1; `open` made it.
                    drop(unsafe { Box::from_raw(self.0.as_ptr()) });
                }
            }
        }
        let _release = Release(counter);
        match op {
            Op::Send => this.chan.disconnect_senders(),
            Op::Recv => this.chan.disconnect_receivers(),
        }
    }
}
