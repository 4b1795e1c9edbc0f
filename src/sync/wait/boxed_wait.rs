#![allow(
    unsafe_code,
    reason = "nodes in boxes that are shared under a queue's lock"
)]
//! A wait in a queue without a frame: its parts are in a box, for futures, which move.
//!
//! BW1. The box stays where it is until its `BoxedWait` is dropped. The owner of a `BoxedWait` that
//!      it has queued removes it from its queue, under the queue's lock, before it drops it. If it
//!      is leaked, its box is leaked too, so L1 holds. Both sides only take shared references to
//!      the parts.
//! BW2. Claims of these nodes are finished under the lock of the queue. So if a thread that holds
//!      the lock finds a node unlinked, no other thread uses the box any more.

use std::cell::OnceCell;
use std::ptr::{self, NonNull};

use super::wait_queue::{Sleeper, WaitNode, WaitQueue, Waiter};

struct Parts<T, S> {
    waiter: Waiter<S>,
    /// Points to the waiter and the slot in the same box.
    node: OnceCell<WaitNode<S>>,
    slot: T,
}

/// See the module documentation.
pub(crate) struct BoxedWait<T, S> {
    parts: NonNull<Parts<T, S>>,
}

/// Futures move between OS threads while they wait.
#[cfg(not(loom))]
mod threads {
    use super::BoxedWait;
    use crate::sync::wait::waiting_thread::WaitingThread;

    // SAFETY: the slot moves with it. The sleeper is a pointer or counted, so any thread may drop
    // it, and the threads that claim it reach it under the lock (BW2).
    unsafe impl<T: Send> Send for BoxedWait<T, WaitingThread> {}
}

impl<T, S: Sleeper> BoxedWait<T, S> {
    /// Creates the wait of `sleeper`, with `slot` for the claimer.
    pub(crate) fn new(sleeper: S, slot: T) -> BoxedWait<T, S> {
        let parts = Box::new(Parts {
            waiter: Waiter::single(sleeper),
            node: OnceCell::new(),
            slot,
        });
        BoxedWait {
            parts: NonNull::from(Box::leak(parts)),
        }
    }

    fn parts(&self) -> &Parts<T, S> {
        // SAFETY: BW1.
        unsafe { self.parts.as_ref() }
    }

    fn node(&self) -> &WaitNode<S> {
        let parts = self.parts();
        let slot = ptr::from_ref(&parts.slot).cast_mut().cast();
        parts
            .node
            .get_or_init(|| WaitNode::new(&parts.waiter, 0, slot))
    }

    pub(crate) fn slot(&self) -> &T {
        &self.parts().slot
    }

    /// Enters the queue, at its front or its end.
    ///
    /// # Safety
    ///
    /// The caller calls it once, and keeps BW1.
    pub(crate) unsafe fn enter(&self, queue: &mut WaitQueue<S>, at_front: bool) {
        if at_front {
            // SAFETY: L1 by BW1.
            unsafe { queue.push_front(self.node()) }
        } else {
            // SAFETY: L1 by BW1.
            unsafe { queue.push(self.node()) }
        }
    }

    /// Leaves the queue. Returns `false` if the wait is not in it any more, that is, was claimed.
    pub(crate) fn leave(&self, queue: &mut WaitQueue<S>) -> bool {
        queue.remove(self.node())
    }

    /// Returns whether it was claimed (L4).
    pub(crate) fn is_done(&self) -> bool {
        self.parts().waiter.is_done()
    }
}

impl<T, S> Drop for BoxedWait<T, S> {
    fn drop(&mut self) {
        // SAFETY: BW1 and BW2; it was leaked by `new`, and the node is not linked.
        drop(unsafe { Box::from_raw(self.parts.as_ptr()) });
    }
}
