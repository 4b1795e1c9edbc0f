#![allow(unsafe_code, reason = "a list through the frames of the waiters")]
//! A FIFO wait queue, and how a waiter is dequeued and given what it waits for.
//!
//! A wait allocates nothing: its [`Waiter`] and one [`WaitNode`] for each [`WaitQueue`] that it has
//! joined are in its own frame. The owner of a queue (a lock, a channel) guards it with a
//! [`Spin`](super::spin::Spin). A thread that has something to give *claims* a waiter under that
//! lock: it unlinks the node, writes the result into the waiter's frame, marks it done, and
//! wakes the waiter after the lock is released. So a claimed waiter has what it waited for, and a
//! waiter that gives up finds out under the lock which of the two came first. Nothing is ever given
//! to a waiter that has left.
//!
//! A wait for several things (select) has one `Waiter` and several nodes. There a claim is a
//! compare-and-swap on the waiter, because the queues are under different locks.
//!
//! L1. A node is linked and unlinked under the lock of its queue. It stays where it is, and its
//!     waiter too, until it is unlinked: its owner does not leave its frame before (a guard sees to
//!     it when it unwinds).
//! L2. A claim happens under the lock of a queue in which the waiter has a linked node, so the
//!     waiter and its thread still exist. `done` is the last thing that the claimer touches in the
//!     waiter's frame.
//! L3. Of all threads that claim a shared waiter, and its owner that gives up, one wins: `claimed`
//!     leaves 0 once. The slot points to an `UnsafeCell` (or an atomic): both sides touch it.
//! L4. The claimer writes into the waiter's frame before it sets `done` (Release); the waiter reads
//!     it after it has seen `done` (Acquire).
//! L5. An owner that could not give up waits for `done`, which comes soon: its claimer is past its
//!     claim, in a critical section, or (see [`Dequeued::detach`]) computes the result.

use std::cell::Cell;
use std::marker::PhantomData;
#[cfg(not(loom))]
use std::mem::offset_of;
use std::ptr;

use crate::shim::{AtomicUsize, Ordering};

/// A waiting thread, as a queue knows it: borrowed, not counted.
pub(crate) trait Sleeper {
    /// The handle that wakes it; valid after the thread has left its wait.
    type Waker;
    /// # Safety
    ///
    /// The thread has not left its wait yet, and the returned handle is used before the calling
    /// green thread waits.
    unsafe fn waker(&self) -> Self::Waker;
}

const OPEN: usize = 0;
const GONE: usize = usize::MAX;

/// One wait.
#[derive(Debug)]
pub(crate) struct Waiter<S> {
    /// L3; used by a shared waiter only.
    claimed: AtomicUsize,
    /// 0, or the number of the completed case plus 1.
    done: AtomicUsize,
    shared: bool,
    sleeper: S,
}

impl<S: Sleeper> Waiter<S> {
    /// Creates the waiter of a wait in one queue.
    #[inline(always)]
    pub(crate) fn single(sleeper: S) -> Waiter<S> {
        Waiter {
            claimed: AtomicUsize::new(OPEN),
            done: AtomicUsize::new(OPEN),
            shared: false,
            sleeper,
        }
    }

    /// Creates the waiter of a wait in several queues.
    pub(crate) fn shared(sleeper: S) -> Waiter<S> {
        Waiter {
            shared: true,
            ..Waiter::single(sleeper)
        }
    }

    /// Returns the completed case, if any (L4).
    #[inline(always)]
    pub(crate) fn done(&self) -> Option<usize> {
        self.done.load(Ordering::Acquire).checked_sub(1)
    }

    #[inline(always)]
    pub(crate) fn is_done(&self) -> bool {
        self.done.load(Ordering::Acquire) != OPEN
    }

    /// Ends the wait of a shared waiter by its owner. Returns `false` if it has been claimed: then
    /// `done` follows (L5).
    pub(crate) fn give_up(&self) -> bool {
        self.claimed
            .compare_exchange(OPEN, GONE, Ordering::AcqRel, Ordering::Acquire)
            .is_ok()
    }

    #[inline(always)]
    fn try_claim(&self, case: usize) -> bool {
        !self.shared
            || self
                .claimed
                .compare_exchange(OPEN, case + 1, Ordering::AcqRel, Ordering::Acquire)
                .is_ok()
    }

    /// Returns whether the waiter can be claimed: a hint, unless the caller holds the locks of all
    /// its queues.
    fn is_open(&self) -> bool {
        !self.shared || self.claimed.load(Ordering::Relaxed) == OPEN
    }

    /// For the models.
    #[cfg(loom)]
    pub(crate) fn sleeper(&self) -> &S {
        &self.sleeper
    }
}

/// An entry in a wait queue.
// A dump reads the first two words (`runtime/inspect/channel_words.rs`).
#[derive(Debug)]
#[repr(C)]
pub(crate) struct WaitNode<S> {
    previous: Cell<*const WaitNode<S>>,
    next: Cell<*const WaitNode<S>>,
    linked: Cell<bool>,
    waiter: *const Waiter<S>,
    case: usize,
    /// Points to what is given or taken, in the waiter's frame; the queue's owner knows its type.
    slot: *mut (),
}

#[cfg(not(loom))]
impl<S> WaitNode<S> {
    /// Where the links are, in bytes from the start: to the node before, to the node behind.
    pub(crate) const LINK_OFFSETS: [usize; 2] = [
        offset_of!(WaitNode<S>, previous),
        offset_of!(WaitNode<S>, next),
    ];
}

#[cfg(not(loom))]
impl<S> WaitQueue<S> {
    /// Where the link to the first node is, in bytes from the start.
    pub(crate) const HEAD_OFFSET: usize = offset_of!(WaitQueue<S>, head);
}

impl<S> WaitNode<S> {
    /// Creates the node for case number `case` of the wait.
    #[inline(always)]
    pub(crate) fn new(waiter: &Waiter<S>, case: usize, slot: *mut ()) -> WaitNode<S> {
        WaitNode {
            previous: Cell::new(ptr::null()),
            next: Cell::new(ptr::null()),
            linked: Cell::new(false),
            waiter,
            case,
            slot,
        }
    }
}

/// A wait queue; it lives under a lock.
// A dump reads the first word (`runtime/inspect/channel_words.rs`).
#[derive(Debug)]
#[repr(C)]
pub(crate) struct WaitQueue<S> {
    head: *const WaitNode<S>,
    tail: *const WaitNode<S>,
}

// SAFETY: L1; what it points to is reached under the lock only.
unsafe impl<S> Send for WaitQueue<S> {}

impl<S> WaitQueue<S> {
    pub(crate) const fn new() -> WaitQueue<S> {
        WaitQueue {
            head: ptr::null(),
            tail: ptr::null(),
        }
    }

    #[inline(always)]
    pub(crate) fn is_empty(&self) -> bool {
        self.head.is_null()
    }

    /// Returns whether the queue has exactly one waiter.
    #[inline(always)]
    pub(crate) fn is_single(&self) -> bool {
        !self.is_empty() && ptr::eq(self.head, self.tail)
    }

    /// Counts the waiters, one by one.
    pub(crate) fn count(&self) -> usize {
        let mut count = 0;
        let mut next = self.head;
        // SAFETY: L1.
        while let Some(node) = unsafe { next.as_ref() } {
            count += 1;
            next = node.next.get();
        }
        count
    }

    /// Returns the slot of the first waiter.
    #[inline(always)]
    pub(crate) fn first_slot(&self) -> Option<*mut ()> {
        // SAFETY: L1.
        unsafe { self.head.as_ref() }.map(|node| node.slot)
    }

    /// Appends a node.
    ///
    /// # Safety
    ///
    /// L1: the node and its waiter stay where they are until the node is unlinked. It is not
    /// linked.
    #[inline(always)]
    pub(crate) unsafe fn push(&mut self, node: &WaitNode<S>) {
        node.previous.set(self.tail);
        node.next.set(ptr::null());
        node.linked.set(true);
        // SAFETY: L1.
        match unsafe { self.tail.as_ref() } {
            Some(tail) => tail.next.set(node),
            None => self.head = node,
        }
        self.tail = node;
    }

    /// Inserts a node at the front: for a waiter that has waited already.
    ///
    /// # Safety
    ///
    /// As [`push`](WaitQueue::push).
    pub(crate) unsafe fn push_front(&mut self, node: &WaitNode<S>) {
        node.previous.set(ptr::null());
        node.next.set(self.head);
        node.linked.set(true);
        // SAFETY: L1.
        match unsafe { self.head.as_ref() } {
            Some(head) => head.previous.set(node),
            None => self.tail = node,
        }
        self.head = node;
    }

    /// Unlinks the node if it is in this queue. Returns `false` if it was unlinked before, that is,
    /// claimed.
    #[inline(always)]
    pub(crate) fn remove(&mut self, node: &WaitNode<S>) -> bool {
        if !node.linked.replace(false) {
            return false;
        }
        // SAFETY: L1.
        match unsafe { node.previous.get().as_ref() } {
            Some(previous) => previous.next.set(node.next.get()),
            None => self.head = node.next.get(),
        }
        // SAFETY: L1.
        match unsafe { node.next.get().as_ref() } {
            Some(next) => next.previous.set(node.previous.get()),
            None => self.tail = node.previous.get(),
        }
        true
    }
}

impl<S: Sleeper> WaitQueue<S> {
    /// Claims the first waiter that can be claimed. Waiters whose wait has ended otherwise are
    /// unlinked on the way.
    #[inline(always)]
    pub(crate) fn dequeue(&mut self) -> Option<Dequeued<'_, S>> {
        self.dequeue_if(|_, _| true)
    }

    /// Claims the first waiter for whose slot `may` returns `true`; the others stay.
    #[inline(always)]
    pub(crate) fn dequeue_if(
        &mut self,
        may: impl Fn(*mut (), &S) -> bool,
    ) -> Option<Dequeued<'_, S>> {
        let mut next = self.head;
        // SAFETY: L1.
        while let Some(node) = unsafe { next.as_ref() } {
            next = node.next.get();
            // SAFETY: L1.
            let waiter = unsafe { &*node.waiter };
            if !may(node.slot, &waiter.sleeper) {
                continue;
            }
            self.remove(node);
            if waiter.try_claim(node.case) {
                return Some(Dequeued {
                    slot: node.slot,
                    case: node.case,
                    waiter,
                    queue: PhantomData,
                });
            }
        }
        None
    }

    /// Returns whether a waiter's wait has not ended yet.
    pub(crate) fn can_dequeue(&self) -> bool {
        let mut next = self.head;
        // SAFETY: L1.
        while let Some(node) = unsafe { next.as_ref() } {
            // SAFETY: L1.
            if unsafe { &*node.waiter }.is_open() {
                return true;
            }
            next = node.next.get();
        }
        false
    }
}

/// A claimed waiter: the owner must give it the result and call [`finish`](Dequeued::finish).
#[derive(Debug)]
#[must_use]
pub(crate) struct Dequeued<'a, S> {
    slot: *mut (),
    case: usize,
    waiter: *const Waiter<S>,
    queue: PhantomData<&'a mut WaitQueue<S>>,
}

impl<'a, S: Sleeper> Dequeued<'a, S> {
    /// Claims a waiter that no other thread can claim: of a thread in no queue that waits for one
    /// partner.
    pub(crate) fn of(waiter: &'a Waiter<S>, slot: *mut ()) -> Dequeued<'a, S> {
        debug_assert!(!waiter.shared);
        Dequeued {
            slot,
            case: 0,
            waiter,
            queue: PhantomData,
        }
    }

    /// Extends the claim beyond the lock; the waiter waits for `finish` (L5).
    ///
    /// # Safety
    ///
    /// The caller finishes it on every path, and soon.
    pub(crate) unsafe fn detach(self) -> Dequeued<'static, S> {
        Dequeued {
            slot: self.slot,
            case: self.case,
            waiter: self.waiter,
            queue: PhantomData,
        }
    }

    /// Returns the slot of the waiter's node.
    #[inline(always)]
    pub(crate) fn slot(&self) -> *mut () {
        self.slot
    }

    /// Marks it done. The caller wakes the returned handle after it has released the lock and
    /// before it waits itself.
    #[inline(always)]
    pub(crate) fn finish(self) -> S::Waker {
        // SAFETY: L2.
        let waiter = unsafe { &*self.waiter };
        // SAFETY: L2, not done yet; the caller passes the condition on.
        let waker = unsafe { waiter.sleeper.waker() };
        // L4.
        waiter.done.store(self.case + 1, Ordering::Release);
        waker
    }
}
