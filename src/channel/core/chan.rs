#![allow(unsafe_code, reason = "values change frames under a lock")]
//! The one channel behind all capacities: 0, bounded, unbounded. After Go's `chan.c`.
//!
//! A [`Spin`] guards the waiters on either side and the items in between. A sender that finds a
//! waiting receiver writes the value into the receiver's frame; a receiver that makes room moves
//! the first waiting sender's value in; with capacity 0 values go from frame to frame. So a woken
//! thread has what it waited for, and nothing is tried twice.
//!
//! A select does not know the value that it will send before it has chosen. So there a sender is
//! *lazy*: it gets a [`Pledge`], a reserved place in the buffer or a waiting partner, and redeems
//! it with the value.
//!
//! CH1. The queue is accessed under the lock of the core only.
//! CH2. While claimable receivers wait, the queue is empty. While claimable senders wait, there is
//!      no room: `queue.len() + reserved >= capacity`.
//! CH3. Nodes in `receivers` have slots that are `Place<T>`, those in `senders` have slots that are
//!      `Head<S>`, and, if it is not lazy, the head of an `Offer<T, S>`; those in `watchers` have
//!      none.
//! CH4. Under the lock no user code runs and no thread is woken.
//! CH5. A wait does not unwind (ST1 in `sync/wait/stand.rs`): a queued waiter leaves the queue by
//!      the code that follows.

use std::cell::UnsafeCell;

use super::outcome::{After, Put, Side, Take, Unreceived, Unsent};
use super::queue::Queue;
use super::sleep::Waits;
use super::slot::{Fate, Head, Offer, Place, Pledge};
use crate::sync::wait::line::{Claimed, Line, Node, Ticket};
use crate::sync::wait::spin::{Held, Spin};
use crate::sync::wait::stand::Ended;

/// No limit.
pub(crate) const UNBOUNDED: usize = usize::MAX;

/// The state of a channel that does not depend on the type of its items.
#[derive(Debug)]
pub(crate) struct Core<S: Waits> {
    pub(super) receivers: Line<S>,
    pub(super) senders: Line<S>,
    /// Waiters that are notified when the channel becomes ready, and check for themselves.
    pub(crate) watchers: Line<S>,
    pub(super) capacity: usize,
    /// Reserved places in the buffer.
    pub(super) reserved: usize,
    pub(super) senders_gone: bool,
    pub(super) receivers_gone: bool,
}

/// See the module documentation.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Chan<T, S: Waits> {
    core: Spin<Core<S>>,
    queue: UnsafeCell<Queue<T>>,
}

// SAFETY: CH1; values move from thread to thread, references to them do not.
unsafe impl<T: Send, S: Waits> Sync for Chan<T, S> {}
// SAFETY: as above.
unsafe impl<T: Send, S: Waits> Send for Chan<T, S> {}

/// Unwinds a cancelled thread whose offer was not taken.
#[cold]
#[inline(never)]
fn unwind_with<T, S: Waits>(offer: &Offer<T, S>) {
    struct Unsent<'a, T, S: Waits>(&'a Offer<T, S>);
    impl<T, S: Waits> Drop for Unsent<'_, T, S> {
        fn drop(&mut self) {
            // SAFETY: SL3, it was not claimed, and its owner unwinds.
            drop(unsafe { self.0.take() });
        }
    }
    let unsent = Unsent(offer);
    S::unwind();
    // Not cancelled after all.
    let _kept = std::mem::ManuallyDrop::new(unsent);
}

/// How many waiters are woken at a time when there may be many.
const BATCH: usize = 8;

impl<T, S: Waits> Chan<T, S> {
    pub(crate) fn new(capacity: usize) -> Chan<T, S> {
        Chan {
            core: Spin::new(Core {
                receivers: Line::new(),
                senders: Line::new(),
                watchers: Line::new(),
                capacity,
                reserved: 0,
                senders_gone: false,
                receivers_gone: false,
            }),
            queue: UnsafeCell::new(Queue::new(capacity)),
        }
    }

    pub(super) fn core(&self) -> &Spin<Core<S>> {
        &self.core
    }

    // --- under the lock ---

    #[inline(always)]
    #[allow(clippy::mut_from_ref, reason = "the core's guard stands for it")]
    pub(super) fn queue(&self, _core: &mut Core<S>) -> &mut Queue<T> {
        // SAFETY: CH1; a caller has one at a time.
        unsafe { &mut *self.queue.get() }
    }

    #[inline(always)]
    pub(super) fn has_room(&self, core: &mut Core<S>) -> bool {
        self.queue(core).len() + core.reserved < core.capacity
    }

    #[inline(always)]
    pub(super) fn take(&self, core: &mut Core<S>, place: &Place<T>) -> Take<S> {
        // SAFETY: SL1, it is the caller's.
        if unsafe { self.queue(core).pop(place.value()) } {
            place.settle(Fate::Served);
            let mut waker = None;
            if let Some(claimed) = core.senders.claim() {
                // SAFETY: `let_in` finishes it.
                let claimed = unsafe { claimed.detach() };
                waker = Some(self.let_in(core, claimed));
            }
            let watched = !core.watchers.is_empty();
            return Take::Done(After { waker, watched });
        }
        // A lazy sender has to run before its value is available: one that cannot run is skipped.
        let may = |slot: *mut (), sender: &S| {
            // SAFETY: L1, SL1, CH3.
            let head = unsafe { &*slot.cast::<Head<S>>() };
            // SAFETY: L1: it is queued.
            !head.lazy || unsafe { sender.can_come() }
        };
        if core.capacity == 0
            && let Some(claimed) = core.senders.claim_if(may)
        {
            // SAFETY: L2, SL1, CH3.
            let offer = unsafe { &*claimed.slot().cast::<Offer<T, S>>() };
            if offer.head.lazy {
                // SAFETY: `meet` finishes it.
                return Take::Meet(unsafe { claimed.detach() });
            }
            // SAFETY: SL3, claimed just now; SL1, the place is the caller's.
            unsafe { offer.value().copy_to_nonoverlapping(place.value(), 1) };
            place.settle(Fate::Served);
            offer.head.settle(Fate::Served);
            return Take::Done(After {
                waker: Some(claimed.finish()),
                watched: false,
            });
        }
        if core.senders_gone {
            return Take::Disconnected;
        }
        Take::Nothing
    }

    /// Admits a sender that waited and has room now.
    #[inline(always)]
    pub(super) fn let_in(&self, core: &mut Core<S>, claimed: Claimed<'static, S>) -> S::Waker {
        // SAFETY: L2, SL1, CH3.
        let head = unsafe { &*claimed.slot().cast::<Head<S>>() };
        if head.lazy {
            head.pledge(Pledge::Room);
            core.reserved += 1;
        } else {
            // SAFETY: CH3, it is not lazy.
            let offer = unsafe { &*claimed.slot().cast::<Offer<T, S>>() };
            // SAFETY: SL3, claimed just now.
            unsafe { self.queue(core).push(offer.value()) };
            head.settle(Fate::Served);
        }
        claimed.finish()
    }

    #[inline(always)]
    pub(super) fn put(&self, core: &mut Core<S>, offer: &Offer<T, S>) -> Put<S> {
        if core.receivers_gone {
            return Put::Disconnected;
        }
        if let Some(claimed) = core.receivers.claim() {
            return Put::Done(After {
                waker: Some(Self::hand_over(claimed, offer)),
                watched: false,
            });
        }
        if self.has_room(core) {
            // SAFETY: SL3; a caller that gets `Done` does not access it again.
            unsafe { self.queue(core).push(offer.value()) };
            return Put::Done(After {
                waker: None,
                watched: !core.watchers.is_empty(),
            });
        }
        Put::Full
    }

    #[inline(always)]
    pub(super) fn hand_over(claimed: Claimed<'_, S>, offer: &Offer<T, S>) -> S::Waker {
        // SAFETY: L2, SL1, CH3.
        let place = unsafe { &*claimed.slot().cast::<Place<T>>() };
        // SAFETY: SL3; the caller does not access it again.
        unsafe { offer.value().copy_to_nonoverlapping(place.value(), 1) };
        place.settle(Fate::Served);
        claimed.finish()
    }

    // --- the operations ---

    /// Does the work that an operation under the lock has left.
    #[inline(always)]
    pub(super) fn conclude(&self, after: After<S>) {
        if let Some(waker) = after.waker {
            S::wake(waker);
        }
        if after.watched {
            self.tell_watchers();
        }
    }

    /// Sends the offer's value; waits for room (or a receiver) as `wait` says. After an error the
    /// value is still there.
    #[inline(always)]
    pub(crate) fn send(
        &self,
        offer: &Offer<T, S>,
        mut wait: impl FnMut() -> S::Wait,
    ) -> Result<(), Unsent> {
        let mut made = None;
        loop {
            let mut core = self.core.lock();
            match self.put(&mut core, offer) {
                Put::Done(after) => {
                    drop(core);
                    self.conclude(after);
                    return Ok(());
                }
                Put::Disconnected => return Err(Unsent::Disconnected),
                Put::Full => {}
            }
            let wait = made.get_or_insert_with(&mut wait);
            let ticket = Ticket::single(S::current());
            let node = Node::new(&ticket, 0, offer.slot());
            // SAFETY: L1: CH5, and on all paths below it is unlinked.
            unsafe { core.senders.push(&node) };
            let watched = core.waits_are_watched();
            drop(core);
            if watched {
                self.tell_watchers();
            }
            let ended = S::wait_for(&ticket, wait);
            if ended == Ended::Claimed || !self.core.lock().senders.remove(&node) {
                if ended != Ended::Claimed {
                    S::wait_out(&ticket);
                }
                return match offer.head.fate() {
                    Fate::Served => Ok(()),
                    _ => Err(Unsent::Disconnected),
                };
            }
            if ended == Ended::Elapsed {
                return Err(Unsent::Full);
            }
            unwind_with(offer);
        }
    }

    #[inline(always)]
    pub(crate) fn try_send(&self, offer: &Offer<T, S>) -> Result<(), Unsent> {
        let mut core = self.core.lock();
        let put = self.put(&mut core, offer);
        drop(core);
        match put {
            Put::Done(after) => {
                self.conclude(after);
                Ok(())
            }
            Put::Full => Err(Unsent::Full),
            Put::Disconnected => Err(Unsent::Disconnected),
        }
    }

    /// Receives into the place; waits for a value as `wait` says.
    #[inline(always)]
    pub(crate) fn recv(
        &self,
        place: &Place<T>,
        mut wait: impl FnMut() -> S::Wait,
    ) -> Result<(), Unreceived> {
        let mut made = None;
        loop {
            let mut core = self.core.lock();
            match self.take(&mut core, place) {
                Take::Done(after) => {
                    drop(core);
                    self.conclude(after);
                    return Ok(());
                }
                Take::Disconnected => return Err(Unreceived::Disconnected),
                Take::Meet(sender) => {
                    drop(core);
                    if Self::meet(sender, place) {
                        return Ok(());
                    }
                    continue;
                }
                Take::Nothing => {}
            }
            let wait = made.get_or_insert_with(&mut wait);
            let ticket = Ticket::single(S::current());
            let node = Node::new(&ticket, 0, place.slot());
            // SAFETY: L1: CH5, and on all paths below it is unlinked.
            unsafe { core.receivers.push(&node) };
            let watched = core.waits_are_watched();
            drop(core);
            if watched {
                self.tell_watchers();
            }
            let ended = S::wait_for(&ticket, wait);
            if ended == Ended::Claimed || !self.core.lock().receivers.remove(&node) {
                if ended != Ended::Claimed {
                    S::wait_out(&ticket);
                }
                match place.fate() {
                    Fate::Served => return Ok(()),
                    Fate::Disconnected => return Err(Unreceived::Disconnected),
                    Fate::Again | Fate::Open => {
                        place.reset();
                        continue;
                    }
                }
            }
            if ended == Ended::Elapsed {
                return Err(Unreceived::Empty);
            }
            S::unwind();
        }
    }

    #[inline(always)]
    pub(crate) fn try_recv(&self, place: &Place<T>) -> Result<(), Unreceived> {
        loop {
            let mut core = self.core.lock();
            let take = self.take(&mut core, place);
            drop(core);
            match take {
                Take::Done(after) => {
                    self.conclude(after);
                    return Ok(());
                }
                Take::Nothing => return Err(Unreceived::Empty),
                Take::Disconnected => return Err(Unreceived::Disconnected),
                Take::Meet(sender) => {
                    if Self::meet(sender, place) {
                        return Ok(());
                    }
                }
            }
        }
    }

    /// Wakes the current watchers: they check for themselves, and may be back before the last has
    /// been woken.
    #[cold]
    pub(super) fn tell_watchers(&self) {
        let mut left = self.core.lock().watchers.count();
        self.wake_all(|core| {
            left = left.checked_sub(1)?;
            core.watchers.claim().map(Claimed::finish)
        });
    }

    // --- ends ---

    /// Disconnects the senders: waiting receivers are notified. The remaining items can still be
    /// received.
    #[cold]
    pub(crate) fn disconnect_senders(&self) {
        self.core.lock().senders_gone = true;
        self.wake_all(|core| {
            let claimed = core.receivers.claim()?;
            // CH3.
            let place = claimed.slot().cast::<Place<T>>();
            // SAFETY: L2, SL1.
            unsafe { &*place }.settle(Fate::Disconnected);
            Some(claimed.finish())
        });
        self.tell_watchers();
    }

    /// Disconnects the receivers: waiting senders are notified, and the remaining items are
    /// dropped.
    #[cold]
    pub(crate) fn disconnect_receivers(&self) {
        let mut core = self.core.lock();
        core.receivers_gone = true;
        let capacity = core.capacity;
        let left = std::mem::replace(self.queue(&mut core), Queue::new(capacity));
        drop(core);
        self.wake_all(|core| {
            let claimed = core.senders.claim()?;
            // CH3.
            let head = claimed.slot().cast::<Head<S>>();
            // SAFETY: L2, SL1.
            unsafe { &*head }.settle(Fate::Disconnected);
            Some(claimed.finish())
        });
        self.tell_watchers();
        drop(left);
    }

    /// Claims until there is no waiter; wakes them without the lock, some at a time.
    fn wake_all(&self, mut claim: impl FnMut(&mut Core<S>) -> Option<S::Waker>) {
        loop {
            let mut core = self.core.lock();
            let wakers: [_; BATCH] = std::array::from_fn(|_| claim(&mut core));
            drop(core);
            let all = wakers.last().is_some_and(Option::is_none);
            wakers.into_iter().flatten().for_each(S::wake);
            if all {
                return;
            }
        }
    }

    // --- questions ---

    pub(crate) fn len(&self) -> usize {
        self.queue(&mut self.core.lock()).len()
    }

    pub(crate) fn is_full(&self) -> bool {
        !self.has_room(&mut self.core.lock())
    }

    pub(crate) fn capacity(&self) -> Option<usize> {
        let capacity = self.core.lock().capacity;
        (capacity != UNBOUNDED).then_some(capacity)
    }
}

impl<S: Waits> Core<S> {
    #[inline]
    pub(crate) fn line(&mut self, side: Side) -> &mut Line<S> {
        match side {
            Side::Send => &mut self.senders,
            Side::Recv => &mut self.receivers,
        }
    }

    /// Returns whether a thread that begins to wait makes the other side ready, and there are
    /// watchers.
    pub(crate) fn waits_are_watched(&self) -> bool {
        self.capacity == 0 && !self.watchers.is_empty()
    }
}

/// A guard of a channel, for any type of items.
pub(crate) type HeldCore<'a, S> = Held<'a, Core<S>>;
