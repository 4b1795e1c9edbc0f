#![allow(unsafe_code, reason = "freed by the last of two sides")]
//! A channel with its reference counts: disconnection and deallocation.
//!
//! HU1. A hub exists as long as a sender or a receiver does. The last handle of a side disconnects
//!      that side, and then sets `released`; if it was set already, the thread frees the hub.

use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::core::chan::Chan;
use super::core::outcome::Side;
use crate::sync::wait::waiting::Thread;
use crate::sys::exit;

/// See the module documentation.
// Two cache lines for the lock and its data; the counts come after them.
#[derive(Debug)]
#[repr(C, align(64))]
pub(super) struct Hub<T> {
    pub(super) chan: Chan<T, Thread>,
    senders: AtomicUsize,
    receivers: AtomicUsize,
    released: AtomicBool,
}

/// Far more handles than memory can hold, unless handles were forgotten.
const MOST: usize = isize::MAX as usize;

#[cold]
fn too_many_handles() -> ! {
    exit::abort(format_args!(
        "more than {MOST} handles to one side of a channel: some are leaked, as by mem::forget"
    ))
}

impl<T> Hub<T> {
    /// Creates a channel with one handle on each side.
    pub(super) fn open(capacity: usize) -> NonNull<Hub<T>> {
        NonNull::from(Box::leak(Box::new(Hub {
            chan: Chan::new(capacity),
            senders: AtomicUsize::new(1),
            receivers: AtomicUsize::new(1),
            released: AtomicBool::new(false),
        })))
    }

    fn count(&self, side: Side) -> &AtomicUsize {
        match side {
            Side::Send => &self.senders,
            Side::Recv => &self.receivers,
        }
    }

    /// Adds a handle to a side that has one.
    pub(super) fn join(&self, side: Side) {
        if self.count(side).fetch_add(1, Ordering::Relaxed) > MOST {
            too_many_handles();
        }
    }

    /// Removes a handle.
    ///
    /// # Safety
    ///
    /// The handle is counted on that side, and is not used again.
    pub(super) unsafe fn leave(hub: NonNull<Hub<T>>, side: Side) {
        // SAFETY: HU1.
        let this = unsafe { hub.as_ref() };
        // AcqRel: actions through other handles of this side happen before the disconnection.
        if this.count(side).fetch_sub(1, Ordering::AcqRel) > 1 {
            return;
        }
        // Also when the destructor of an item panics.
        struct Release<T>(NonNull<Hub<T>>);
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
        let _release = Release(hub);
        match side {
            Side::Send => this.chan.disconnect_senders(),
            Side::Recv => this.chan.disconnect_receivers(),
        }
    }
}
