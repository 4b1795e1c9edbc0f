#![allow(unsafe_code, reason = "a list through the frames of those who wait")]
//! Those who wait for one thing, in the order in which they came; and how one of them is given what it waits for.
//!
//! A wait allocates nothing: its [`Ticket`] and one [`Node`] for each [`Line`] that it stands in lie in its own frame. What a line
//! belongs to (a lock, a channel) guards it with a [`Spin`](super::spin::Spin), and whoever has something to give *claims* a waiter
//! under that lock: takes its node out, writes into its frame what it gets, marks its ticket done, and wakes it
//! when the lock is released. So a waiter that was claimed has what it waited for, and one that gives up finds out
//! under the lock which of the two came first. Nothing is ever given to somebody who has gone.
//!
//! A wait for several things (select) has one ticket and several nodes. There a claim is a
//! compare-and-swap on the ticket, because the lines are under different locks.
//!
//! L1. A node is linked and unlinked under the lock of its line. It stays where it is, and its ticket too, until it is unlinked:
//!     its owner does not leave its frame before (a guard sees to it when it unwinds).
//! L2. A claim happens under the lock of a line where the ticket has a linked node, so the ticket and its thread are
//!     still there. `done` is the last thing that the claimer touches in the waiter's frame.
//! L3. Of all who claim a shared ticket, and its owner who gives up, one wins: `claimed` leaves 0 once.
//!     What the slot points to is an `UnsafeCell` (or an atomic): both sides touch it.
//! L4. What the claimer writes into the waiter's frame comes before `done` (Release); the waiter reads it after it has seen
//!     `done` (Acquire).
//! L5. An owner that could not give up waits for `done`, which comes: its claimer is past its claim, in a critical section, or (see
//!     [`Claimed::detach`]) works out what it gives.

use std::cell::Cell;
use std::marker::PhantomData;
use std::ptr;

use crate::shim::{AtomicUsize, Ordering};

/// A thread that waits, as a line knows it: borrowed, not counted.
pub(crate) trait Sleeper {
    /// What wakes it, good after it has left its wait.
    type Waker;
    /// # Safety
    ///
    /// The thread has not left its wait yet, and what is returned is used before the calling green thread waits.
    unsafe fn waker(&self) -> Self::Waker;
}

const OPEN: usize = 0;
const GONE: usize = usize::MAX;

/// One wait.
#[derive(Debug)]
pub(crate) struct Ticket<S> {
    /// L3; only of use to a shared ticket.
    claimed: AtomicUsize,
    /// 0, or the case that came true plus 1.
    done: AtomicUsize,
    shared: bool,
    sleeper: S,
}

impl<S: Sleeper> Ticket<S> {
    /// For a wait in one line.
    #[inline(always)]
    pub(crate) fn single(sleeper: S) -> Ticket<S> {
        Ticket {
            claimed: AtomicUsize::new(OPEN),
            done: AtomicUsize::new(OPEN),
            shared: false,
            sleeper,
        }
    }

    /// For a wait in several lines.
    pub(crate) fn shared(sleeper: S) -> Ticket<S> {
        Ticket {
            shared: true,
            ..Ticket::single(sleeper)
        }
    }

    /// Which case came true, if any (L4).
    #[inline(always)]
    pub(crate) fn done(&self) -> Option<usize> {
        self.done.load(Ordering::Acquire).checked_sub(1)
    }

    #[inline(always)]
    pub(crate) fn is_done(&self) -> bool {
        self.done.load(Ordering::Acquire) != OPEN
    }

    /// The owner of a shared ticket gives up, or has found something itself. False: it has been claimed, and `done` comes (L5).
    pub(crate) fn give_up(&self) -> bool {
        self.claimed
            .compare_exchange(OPEN, GONE, Ordering::AcqRel, Ordering::Acquire)
            .is_ok()
    }

    #[inline(always)]
    fn claim(&self, case: usize) -> bool {
        !self.shared
            || self
                .claimed
                .compare_exchange(OPEN, case + 1, Ordering::AcqRel, Ordering::Acquire)
                .is_ok()
    }

    /// Whether it can be claimed: a hint, unless the caller holds the locks of all its lines.
    fn is_open(&self) -> bool {
        !self.shared || self.claimed.load(Ordering::Relaxed) == OPEN
    }

    /// For the models.
    #[cfg(loom)]
    pub(crate) fn sleeper(&self) -> &S {
        &self.sleeper
    }
}

/// A place in a line.
#[derive(Debug)]
pub(crate) struct Node<S> {
    previous: Cell<*const Node<S>>,
    next: Cell<*const Node<S>>,
    linked: Cell<bool>,
    ticket: *const Ticket<S>,
    case: usize,
    /// Where the thing lies that is given or taken, in the frame of the waiter; what it is, the line's owner knows.
    slot: *mut (),
}

impl<S> Node<S> {
    /// A place for case number `case` of the wait.
    #[inline(always)]
    pub(crate) fn new(ticket: &Ticket<S>, case: usize, slot: *mut ()) -> Node<S> {
        Node {
            previous: Cell::new(ptr::null()),
            next: Cell::new(ptr::null()),
            linked: Cell::new(false),
            ticket,
            case,
            slot,
        }
    }
}

/// Those who wait; lives under a lock.
#[derive(Debug)]
pub(crate) struct Line<S> {
    head: *const Node<S>,
    tail: *const Node<S>,
}

// SAFETY: L1; what it points to is reached under the lock only.
unsafe impl<S> Send for Line<S> {}

impl<S> Line<S> {
    pub(crate) const fn new() -> Line<S> {
        Line {
            head: ptr::null(),
            tail: ptr::null(),
        }
    }

    #[inline(always)]
    pub(crate) fn is_empty(&self) -> bool {
        self.head.is_null()
    }

    /// Whether exactly one stands here.
    #[inline(always)]
    pub(crate) fn is_single(&self) -> bool {
        !self.is_empty() && ptr::eq(self.head, self.tail)
    }

    /// How many stand here; counted one by one.
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

    /// What the first has given to its node.
    #[inline(always)]
    pub(crate) fn first_slot(&self) -> Option<*mut ()> {
        // SAFETY: L1.
        unsafe { self.head.as_ref() }.map(|node| node.slot)
    }

    /// At the end.
    ///
    /// # Safety
    ///
    /// L1: the node and its ticket stay where they are until the node is unlinked. It is not linked.
    #[inline(always)]
    pub(crate) unsafe fn push(&mut self, node: &Node<S>) {
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

    /// At the front: for one that has waited already.
    ///
    /// # Safety
    ///
    /// As [`push`](Line::push).
    pub(crate) unsafe fn push_front(&mut self, node: &Node<S>) {
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

    /// Takes the node out, if it stands here. False: it was taken out before, which is to say claimed.
    #[inline(always)]
    pub(crate) fn remove(&mut self, node: &Node<S>) -> bool {
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

impl<S: Sleeper> Line<S> {
    /// Claims the first that can be claimed. Those whose wait has ended otherwise are taken out on the way.
    #[inline(always)]
    pub(crate) fn claim(&mut self) -> Option<Claimed<'_, S>> {
        self.claim_if(|_, _| true)
    }

    /// As [`claim`](Line::claim), but leaves those in line whom `may`, which is given their slot, does not want.
    #[inline(always)]
    pub(crate) fn claim_if(&mut self, may: impl Fn(*mut (), &S) -> bool) -> Option<Claimed<'_, S>> {
        let mut next = self.head;
        // SAFETY: L1.
        while let Some(node) = unsafe { next.as_ref() } {
            next = node.next.get();
            // SAFETY: L1.
            let ticket = unsafe { &*node.ticket };
            if !may(node.slot, &ticket.sleeper) {
                continue;
            }
            self.remove(node);
            if ticket.claim(node.case) {
                return Some(Claimed {
                    slot: node.slot,
                    case: node.case,
                    ticket,
                    line: PhantomData,
                });
            }
        }
        None
    }

    /// Whether somebody waits whose wait has not ended yet.
    pub(crate) fn is_claimable(&self) -> bool {
        let mut next = self.head;
        // SAFETY: L1.
        while let Some(node) = unsafe { next.as_ref() } {
            // SAFETY: L1.
            if unsafe { &*node.ticket }.is_open() {
                return true;
            }
            next = node.next.get();
        }
        false
    }
}

/// A waiter that was claimed: give it what it waits for, then [`finish`](Claimed::finish). Not to be dropped otherwise.
#[derive(Debug)]
#[must_use]
pub(crate) struct Claimed<'a, S> {
    slot: *mut (),
    case: usize,
    ticket: *const Ticket<S>,
    line: PhantomData<&'a mut Line<S>>,
}

impl<'a, S: Sleeper> Claimed<'a, S> {
    /// One that nobody else can claim: the wait of a thread that stands in no line, for one partner.
    pub(crate) fn of(ticket: &'a Ticket<S>, slot: *mut ()) -> Claimed<'a, S> {
        debug_assert!(!ticket.shared);
        Claimed {
            slot,
            case: 0,
            ticket,
            line: PhantomData,
        }
    }

    /// To be finished after the lock is released: the waiter waits for that (L5).
    ///
    /// # Safety
    ///
    /// It is finished, whatever happens, and soon.
    pub(crate) unsafe fn detach(self) -> Claimed<'static, S> {
        Claimed {
            slot: self.slot,
            case: self.case,
            ticket: self.ticket,
            line: PhantomData,
        }
    }

    /// What the waiter gave to its node.
    #[inline(always)]
    pub(crate) fn slot(&self) -> *mut () {
        self.slot
    }

    /// Marks it done. Call what comes back when the lock is released, and before the caller waits itself.
    #[inline(always)]
    pub(crate) fn finish(self) -> S::Waker {
        // SAFETY: L2.
        let ticket = unsafe { &*self.ticket };
        // SAFETY: L2, not done yet; the caller passes the condition on.
        let waker = unsafe { ticket.sleeper.waker() };
        // L4.
        ticket.done.store(self.case + 1, Ordering::Release);
        waker
    }
}
