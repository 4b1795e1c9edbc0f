#![allow(
    unsafe_code,
    reason = "moves values between stack frames, under a lock"
)]
//! The one channel behind all capacities: 0, bounded, unbounded. After Go's `chan.c`.
//!
//! A [`Spin`] guards the waiters on either side and the items in between. A sender that finds a
//! waiting receiver writes the value into the receiver's frame; a receiver that makes room moves
//! the first waiting sender's value in; with capacity 0 values go from frame to frame. So a woken
//! thread has what it waited for, and nothing is tried twice.
//!
//! A select does not know the value that it will send before it has chosen. So there a sender is
//! *deferred*: it gets a [`Reservation`], a reserved place in the buffer or a waiting partner, and
//! redeems it with the value.
//!
//! CH1. The queue is accessed under the lock of the core only.
//! CH2. While claimable receivers wait, the queue is empty. While claimable senders wait, there is
//!      no room: `queue.len() + reserved >= capacity`.
//! CH3. Nodes in `receivers` have slots that are `RecvSlot<T>`, those in `senders` have slots that
//!      are `SendHeader<S>`, and, if it is not deferred, the head of an `SendSlot<T, S>`; those in
//!      `observers` have none.
//! CH4. Under the lock no user code runs and no thread is woken.
//! CH5. A wait does not unwind (ST1 in `sync/wait/wait_in_queue.rs`): a queued waiter leaves the
//!      queue by the code that follows.

use std::cell::UnsafeCell;

use super::channel_thread::ChannelThread;
use super::outcome::{Op, PostUnlock, RecvOutcome, SendOutcome, Unreceived, Unsent};
use super::queue::Queue;
use super::slot::{RecvSlot, Reservation, SendHeader, SendSlot, SlotState};
use crate::sync::wait::spin::{Spin, SpinGuard};
use crate::sync::wait::wait_in_queue::Ended;
use crate::sync::wait::wait_queue::{Dequeued, WaitNode, WaitQueue, Waiter};

/// No limit.
pub(crate) const UNBOUNDED: usize = usize::MAX;

/// The state of a channel that does not depend on the type of its items.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Core<S: ChannelThread> {
    pub(super) receivers: WaitQueue<S>,
    pub(super) senders: WaitQueue<S>,
    /// Waiters that are notified when the channel becomes ready, and check for themselves.
    pub(crate) observers: WaitQueue<S>,
    pub(super) capacity: usize,
    /// Reserved places in the buffer.
    pub(super) reserved: usize,
    pub(super) senders_gone: bool,
    pub(super) receivers_gone: bool,
}

/// See the module documentation.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Chan<T, S: ChannelThread> {
    core: Spin<Core<S>>,
    queue: UnsafeCell<Queue<T>>,
}

/// A dump reads these words (`runtime/inspect/channel_words.rs`).
#[cfg(not(loom))]
const _: () = {
    use crate::runtime::inspect::channel_words::words;
    use crate::sync::wait::waiting_thread::WaitingThread as Thread;
    use std::mem::offset_of;

    const WORD_BYTES: usize = size_of::<usize>();
    const CORE: usize = offset_of!(Chan<(), Thread>, core) + Spin::<Core<Thread>>::VALUE;
    const QUEUE: usize = WaitQueue::<Thread>::HEAD_OFFSET;
    assert!(CORE + offset_of!(Core<Thread>, receivers) + QUEUE == words::RECEIVERS * WORD_BYTES);
    assert!(CORE + offset_of!(Core<Thread>, senders) + QUEUE == words::SENDERS * WORD_BYTES);
    assert!(CORE + offset_of!(Core<Thread>, capacity) == words::CAPACITY * WORD_BYTES);
    assert!(offset_of!(Chan<(), Thread>, queue) + Queue::<()>::LEN == words::LEN * WORD_BYTES);
    assert!(size_of::<Chan<(), Thread>>() >= words::COUNT * WORD_BYTES);
    assert!(UNBOUNDED == usize::MAX);
    assert!(WaitNode::<Thread>::LINK_OFFSETS[0] == words::PREVIOUS * WORD_BYTES);
    assert!(WaitNode::<Thread>::LINK_OFFSETS[1] == words::NEXT * WORD_BYTES);
};

// SAFETY: CH1; values move from thread to thread, references to them do not.
unsafe impl<T: Send, S: ChannelThread> Sync for Chan<T, S> {}
// SAFETY: as above.
unsafe impl<T: Send, S: ChannelThread> Send for Chan<T, S> {}

/// Unwinds a cancelled thread whose offer was not taken.
#[cold]
#[inline(never)]
fn unwind_with<T, S: ChannelThread>(send_slot: &SendSlot<T, S>) {
    struct Unsent<'a, T, S: ChannelThread>(&'a SendSlot<T, S>);
    impl<T, S: ChannelThread> Drop for Unsent<'_, T, S> {
        fn drop(&mut self) {
            // SAFETY: SL3, it was not claimed, and its owner unwinds.
            drop(unsafe { self.0.take() });
        }
    }
    let unsent = Unsent(send_slot);
    S::unwind();
    // Not cancelled after all.
    let _kept = std::mem::ManuallyDrop::new(unsent);
}

/// How many waiters are woken at a time when there may be many.
const WAKE_BATCH: usize = 8;

impl<T, S: ChannelThread> Chan<T, S> {
    pub(crate) fn new(capacity: usize) -> Chan<T, S> {
        Chan {
            core: Spin::new(Core {
                receivers: WaitQueue::new(),
                senders: WaitQueue::new(),
                observers: WaitQueue::new(),
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
    #[allow(
        clippy::mut_from_ref,
        reason = "the exclusive reference to the core stands for the lock"
    )]
    pub(super) fn queue(&self, _core: &mut Core<S>) -> &mut Queue<T> {
        // SAFETY: CH1; a caller has one at a time.
        unsafe { &mut *self.queue.get() }
    }

    #[inline(always)]
    pub(super) fn has_room(&self, core: &mut Core<S>) -> bool {
        self.queue(core).len() + core.reserved < core.capacity
    }

    #[inline(always)]
    pub(super) fn take(&self, core: &mut Core<S>, recv_slot: &RecvSlot<T>) -> RecvOutcome<S> {
        // SAFETY: SL1, it is the caller's.
        if unsafe { self.queue(core).pop(recv_slot.value()) } {
            recv_slot.settle(SlotState::Served);
            let mut waker = None;
            if let Some(claimed) = core.senders.dequeue() {
                // SAFETY: `unpark_sender` finishes it.
                let claimed = unsafe { claimed.detach() };
                waker = Some(self.unpark_sender(core, claimed));
            }
            let has_observers = !core.observers.is_empty();
            return RecvOutcome::Done(PostUnlock {
                waker,
                has_observers,
            });
        }
        // A deferred sender has to run before its value is available: one that cannot run is
        // skipped.
        let may = |slot: *mut (), sender: &S| {
            // SAFETY: L1, SL1, CH3.
            let header = unsafe { &*slot.cast::<SendHeader<S>>() };
            // SAFETY: L1: it is queued.
            !header.deferred || unsafe { sender.can_run() }
        };
        if core.capacity == 0
            && let Some(claimed) = core.senders.dequeue_if(may)
        {
            // SAFETY: L2, SL1, CH3.
            let send_slot = unsafe { &*claimed.slot().cast::<SendSlot<T, S>>() };
            if send_slot.header.deferred {
                // SAFETY: `meet` finishes it.
                return RecvOutcome::Rendezvous(unsafe { claimed.detach() });
            }
            // SAFETY: SL3, claimed just now; SL1, the place is the caller's.
            unsafe {
                send_slot
                    .value()
                    .copy_to_nonoverlapping(recv_slot.value(), 1)
            };
            recv_slot.settle(SlotState::Served);
            send_slot.header.settle(SlotState::Served);
            return RecvOutcome::Done(PostUnlock {
                waker: Some(claimed.finish()),
                has_observers: false,
            });
        }
        if core.senders_gone {
            return RecvOutcome::Disconnected;
        }
        RecvOutcome::Nothing
    }

    /// Admits a sender that waited and has room now.
    #[inline(always)]
    pub(super) fn unpark_sender(
        &self,
        core: &mut Core<S>,
        claimed: Dequeued<'static, S>,
    ) -> S::Waker {
        // SAFETY: L2, SL1, CH3.
        let header = unsafe { &*claimed.slot().cast::<SendHeader<S>>() };
        if header.deferred {
            header.reserve(Reservation::Room);
            core.reserved += 1;
        } else {
            // SAFETY: CH3, it is not deferred.
            let send_slot = unsafe { &*claimed.slot().cast::<SendSlot<T, S>>() };
            // SAFETY: SL3, claimed just now.
            unsafe { self.queue(core).push(send_slot.value()) };
            header.settle(SlotState::Served);
        }
        claimed.finish()
    }

    #[inline(always)]
    pub(super) fn put(&self, core: &mut Core<S>, send_slot: &SendSlot<T, S>) -> SendOutcome<S> {
        if core.receivers_gone {
            return SendOutcome::Disconnected;
        }
        if let Some(claimed) = core.receivers.dequeue() {
            return SendOutcome::Done(PostUnlock {
                waker: Some(Self::deliver(claimed, send_slot)),
                has_observers: false,
            });
        }
        if self.has_room(core) {
            // SAFETY: SL3; a caller that gets `Done` does not access it again.
            unsafe { self.queue(core).push(send_slot.value()) };
            return SendOutcome::Done(PostUnlock {
                waker: None,
                has_observers: !core.observers.is_empty(),
            });
        }
        SendOutcome::Full
    }

    #[inline(always)]
    pub(super) fn deliver(claimed: Dequeued<'_, S>, send_slot: &SendSlot<T, S>) -> S::Waker {
        // SAFETY: L2, SL1, CH3.
        let recv_slot = unsafe { &*claimed.slot().cast::<RecvSlot<T>>() };
        // SAFETY: SL3; the caller does not access it again.
        unsafe {
            send_slot
                .value()
                .copy_to_nonoverlapping(recv_slot.value(), 1)
        };
        recv_slot.settle(SlotState::Served);
        claimed.finish()
    }

    // --- the operations ---

    /// Does the work that an operation under the lock has left.
    #[inline(always)]
    pub(super) fn conclude(&self, after: PostUnlock<S>) {
        if let Some(waker) = after.waker {
            S::wake(waker);
        }
        if after.has_observers {
            self.notify_observers();
        }
    }

    /// Sends the offer's value; waits for room (or a receiver) as `wait` says. After an error the
    /// value is still there.
    #[inline(always)]
    pub(crate) fn send(
        &self,
        send_slot: &SendSlot<T, S>,
        mut wait: impl FnMut() -> S::Wait,
    ) -> Result<(), Unsent> {
        let mut made = None;
        loop {
            let mut core = self.core.lock();
            match self.put(&mut core, send_slot) {
                SendOutcome::Done(after) => {
                    drop(core);
                    self.conclude(after);
                    return Ok(());
                }
                SendOutcome::Disconnected => return Err(Unsent::Disconnected),
                SendOutcome::Full => {}
            }
            let wait = made.get_or_insert_with(&mut wait);
            let waiter = Waiter::single(S::current());
            let node = WaitNode::new(&waiter, 0, send_slot.slot());
            // SAFETY: L1: CH5, and on all paths below it is unlinked.
            unsafe { core.senders.push(&node) };
            let has_observers = core.waits_are_observed();
            drop(core);
            if has_observers {
                self.notify_observers();
            }
            let ended = S::wait_for(&waiter, wait);
            if ended == Ended::Dequeued || !self.core.lock().senders.remove(&node) {
                if ended != Ended::Dequeued {
                    S::wait_until_done(&waiter);
                }
                return match send_slot.header.state() {
                    SlotState::Served => Ok(()),
                    _ => Err(Unsent::Disconnected),
                };
            }
            if ended == Ended::Elapsed {
                return Err(Unsent::Full);
            }
            unwind_with(send_slot);
        }
    }

    #[inline(always)]
    pub(crate) fn try_send(&self, send_slot: &SendSlot<T, S>) -> Result<(), Unsent> {
        let mut core = self.core.lock();
        let put = self.put(&mut core, send_slot);
        drop(core);
        match put {
            SendOutcome::Done(after) => {
                self.conclude(after);
                Ok(())
            }
            SendOutcome::Full => Err(Unsent::Full),
            SendOutcome::Disconnected => Err(Unsent::Disconnected),
        }
    }

    /// Receives into the place; waits for a value as `wait` says.
    #[inline(always)]
    pub(crate) fn recv(
        &self,
        recv_slot: &RecvSlot<T>,
        mut wait: impl FnMut() -> S::Wait,
    ) -> Result<(), Unreceived> {
        let mut made = None;
        loop {
            let mut core = self.core.lock();
            match self.take(&mut core, recv_slot) {
                RecvOutcome::Done(after) => {
                    drop(core);
                    self.conclude(after);
                    return Ok(());
                }
                RecvOutcome::Disconnected => return Err(Unreceived::Disconnected),
                RecvOutcome::Rendezvous(sender) => {
                    drop(core);
                    if Self::rendezvous(sender, recv_slot) {
                        return Ok(());
                    }
                    continue;
                }
                RecvOutcome::Nothing => {}
            }
            let wait = made.get_or_insert_with(&mut wait);
            let waiter = Waiter::single(S::current());
            let node = WaitNode::new(&waiter, 0, recv_slot.slot());
            // SAFETY: L1: CH5, and on all paths below it is unlinked.
            unsafe { core.receivers.push(&node) };
            let has_observers = core.waits_are_observed();
            drop(core);
            if has_observers {
                self.notify_observers();
            }
            let ended = S::wait_for(&waiter, wait);
            if ended == Ended::Dequeued || !self.core.lock().receivers.remove(&node) {
                if ended != Ended::Dequeued {
                    S::wait_until_done(&waiter);
                }
                match recv_slot.state() {
                    SlotState::Served => return Ok(()),
                    SlotState::Disconnected => return Err(Unreceived::Disconnected),
                    SlotState::Again | SlotState::Open => {
                        recv_slot.reset();
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
    pub(crate) fn try_recv(&self, recv_slot: &RecvSlot<T>) -> Result<(), Unreceived> {
        loop {
            let mut core = self.core.lock();
            let take = self.take(&mut core, recv_slot);
            drop(core);
            match take {
                RecvOutcome::Done(after) => {
                    self.conclude(after);
                    return Ok(());
                }
                RecvOutcome::Nothing => return Err(Unreceived::Empty),
                RecvOutcome::Disconnected => return Err(Unreceived::Disconnected),
                RecvOutcome::Rendezvous(sender) => {
                    if Self::rendezvous(sender, recv_slot) {
                        return Ok(());
                    }
                }
            }
        }
    }

    /// Wakes the current observers: they check for themselves, and may be back before the last has
    /// been woken.
    #[cold]
    pub(super) fn notify_observers(&self) {
        let mut left = self.core.lock().observers.count();
        self.wake_all(|core| {
            left = left.checked_sub(1)?;
            core.observers.dequeue().map(Dequeued::finish)
        });
    }

    // --- ends ---

    /// Disconnects the senders: waiting receivers are notified. The remaining items can still be
    /// received.
    #[cold]
    pub(crate) fn disconnect_senders(&self) {
        self.core.lock().senders_gone = true;
        self.wake_all(|core| {
            let claimed = core.receivers.dequeue()?;
            // CH3.
            let recv_slot = claimed.slot().cast::<RecvSlot<T>>();
            // SAFETY: L2, SL1.
            unsafe { &*recv_slot }.settle(SlotState::Disconnected);
            Some(claimed.finish())
        });
        self.notify_observers();
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
            let claimed = core.senders.dequeue()?;
            // CH3.
            let header = claimed.slot().cast::<SendHeader<S>>();
            // SAFETY: L2, SL1.
            unsafe { &*header }.settle(SlotState::Disconnected);
            Some(claimed.finish())
        });
        self.notify_observers();
        drop(left);
    }

    /// Claims until there is no waiter; wakes them without the lock, some at a time.
    fn wake_all(&self, mut claim: impl FnMut(&mut Core<S>) -> Option<S::Waker>) {
        loop {
            let mut core = self.core.lock();
            let wakers: [_; WAKE_BATCH] = std::array::from_fn(|_| claim(&mut core));
            drop(core);
            let all = wakers.last().is_some_and(Option::is_none);
            wakers.into_iter().flatten().for_each(S::wake);
            if all {
                return;
            }
        }
    }

    // --- state ---

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

impl<S: ChannelThread> Core<S> {
    #[inline]
    pub(crate) fn wait_queue(&mut self, op: Op) -> &mut WaitQueue<S> {
        match op {
            Op::Send => &mut self.senders,
            Op::Recv => &mut self.receivers,
        }
    }

    /// Returns whether a thread that begins to wait makes the other side ready, and there are
    /// observers.
    pub(crate) fn waits_are_observed(&self) -> bool {
        self.capacity == 0 && !self.observers.is_empty()
    }
}

/// A guard of a channel, for any type of items.
pub(crate) type CoreGuard<'a, S> = SpinGuard<'a, Core<S>>;
