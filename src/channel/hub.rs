#![allow(unsafe_code, reason = "freed by the last of two sides")]
//! A channel and its two sides: who counts them, who disconnects, who frees.
//!
//! HU1. A hub is there as long as a sender or a receiver is. The last of either side disconnects that side, and then sets
//!      `released`; who finds it set already frees the hub.

use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::core::chan::Chan;
use super::core::outcome::Side;
use crate::sync::wait::waiting::Thread;
use crate::sys::exit;

/// See the module's text.
// Two lines of the cache for the lock and what it guards; the counts come after them.
#[derive(Debug)]
#[repr(C, align(64))]
pub(super) struct Hub<T> {
    pub(super) chan: Chan<T, Thread>,
    senders: AtomicUsize,
    receivers: AtomicUsize,
    released: AtomicBool,
}

/// Far more handles than memory can hold, short of some that were forgotten.
const MOST: usize = isize::MAX as usize;

#[cold]
fn too_many_handles() -> ! {
    exit::abort(format_args!(
        "more than {MOST} handles to one side of a channel: they are leaked somewhere, with mem::forget for example"
    ))
}

impl<T> Hub<T> {
    /// With one handle on each side.
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

    /// One more handle on a side that has one.
    pub(super) fn join(&self, side: Side) {
        if self.count(side).fetch_add(1, Ordering::Relaxed) > MOST {
            too_many_handles();
        }
    }

    /// One handle less.
    ///
    /// # Safety
    ///
    /// The handle is counted on that side, and not used again.
    pub(super) unsafe fn leave(hub: NonNull<Hub<T>>, side: Side) {
        // SAFETY: HU1.
        let this = unsafe { hub.as_ref() };
        // AcqRel: what other handles of this side did comes before the disconnection.
        if this.count(side).fetch_sub(1, Ordering::AcqRel) > 1 {
            return;
        }
        // Also when the destructor of an item panics.
        struct Release<T>(NonNull<Hub<T>>);
        impl<T> Drop for Release<T> {
            fn drop(&mut self) {
                // SAFETY: HU1.
                let this = unsafe { self.0.as_ref() };
                // AcqRel: the other side's last deed comes before the end.
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
