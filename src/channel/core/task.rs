#![allow(
    unsafe_code,
    reason = "nodes in boxes that are shared under the channel's lock"
)]
//! Waits of tasks at a channel: the nodes that a future keeps in the queues while it is pending.
//!
//! A sender is queued like a thread, with its value. A receiver is a *watcher*: it is woken when
//! there may be a message, and takes one when it is polled. So a future that is dropped after it
//! was woken holds no message that another receiver would have to get.
//!
//! TW1. The parts of a wait are in their own box, because futures move. The drop of the wait
//!      unlinks the node and then frees the parts. If a wait is leaked, its parts are leaked too,
//!      so L1 holds. Both sides only take shared references to the parts.
//! TW2. Claims of these nodes are finished under the channel's lock. So if a thread that holds the
//!      lock finds a node unlinked, the node has been claimed, its waiter is done, and no other
//!      thread uses the node any more.
//! TW3. The value of a send wait is in its slot unless the slot was served, as SL3 states for all
//!      slots.

use std::cell::OnceCell;
use std::ptr::NonNull;

use super::chan::Chan;
use super::channel_thread::ChannelThread;
use super::outcome::SendOutcome;
use super::slot::{SendSlot, SlotState};
use crate::sync::wait::wait_queue::{WaitNode, Waiter};

/// The parts of a wait (TW1).
struct Parts<T, S> {
    waiter: Waiter<S>,
    /// Points to the waiter and the slot in the same box.
    node: OnceCell<WaitNode<S>>,
    slot: T,
}

impl<T, S> Parts<T, S> {
    fn new(sleeper: Waiter<S>, slot: T) -> NonNull<Parts<T, S>> {
        let parts = Box::new(Parts {
            waiter: sleeper,
            node: OnceCell::new(),
            slot,
        });
        NonNull::from(Box::leak(parts))
    }

    fn node(&self, slot: *mut ()) -> &WaitNode<S> {
        self.node
            .get_or_init(|| WaitNode::new(&self.waiter, 0, slot))
    }
}

/// The result of [`SendWait::start`].
pub(crate) enum SendStart<'c, T, S: ChannelThread> {
    Sent,
    Disconnected(T),
    Waiting(SendWait<'c, T, S>),
}

/// A queued send of a task. Dropping it withdraws the value, unless that was received.
pub(crate) struct SendWait<'c, T, S: ChannelThread> {
    chan: &'c Chan<T, S>,
    /// `None` once the value was taken out.
    parts: Option<NonNull<Parts<SendSlot<T, S>, S>>>,
}

impl<'c, T, S: ChannelThread> SendWait<'c, T, S> {
    /// Sends `value`, or queues the task with it if there is no room.
    pub(crate) fn start(chan: &'c Chan<T, S>, value: T, sleeper: S) -> SendStart<'c, T, S> {
        let parts = Parts::new(Waiter::single(sleeper), SendSlot::new(value));
        // From here on `wait` owns the parts.
        let mut wait = SendWait {
            chan,
            parts: Some(parts),
        };
        // SAFETY: TW1.
        let parts = unsafe { parts.as_ref() };
        let mut core = chan.core().lock();
        match chan.put(&mut core, &parts.slot) {
            SendOutcome::Done(after) => {
                drop(core);
                parts.slot.header.settle(SlotState::Served);
                chan.conclude(after);
                SendStart::Sent
            }
            SendOutcome::Disconnected => {
                drop(core);
                match wait.withdraw() {
                    Some(value) => SendStart::Disconnected(value),
                    None => unreachable!("it was not served"),
                }
            }
            SendOutcome::Full => {
                // SAFETY: L1 by TW1.
                unsafe { core.senders.push(parts.node(parts.slot.slot())) };
                let has_observers = core.waits_are_observed();
                drop(core);
                if has_observers {
                    chan.notify_observers();
                }
                SendStart::Waiting(wait)
            }
        }
    }

    /// Returns whether the wait is over: the value was received, or the receivers are gone.
    pub(crate) fn is_done(&self) -> bool {
        // SAFETY: TW1.
        self.parts
            .is_none_or(|parts| unsafe { parts.as_ref() }.waiter.is_done())
    }

    /// Ends the wait. Returns the value if it was not received.
    pub(crate) fn withdraw(&mut self) -> Option<T> {
        let owned = self.parts.take()?;
        // SAFETY: TW1.
        let parts = unsafe { owned.as_ref() };
        if let Some(node) = parts.node.get() {
            // TW2: after this, no other thread accesses the parts.
            self.chan.core().lock().senders.remove(node);
        }
        // SL3: either the slot was served, or the value still belongs to this wait.
        let is_ours = parts.slot.header.state() != SlotState::Served;
        // SAFETY: TW3, once, because `parts` was taken.
        let value = is_ours.then(|| unsafe { parts.slot.take() });
        // SAFETY: TW1; it was leaked by `Parts::new`, and the node is not linked.
        drop(unsafe { Box::from_raw(owned.as_ptr()) });
        value
    }
}

impl<T, S: ChannelThread> Drop for SendWait<'_, T, S> {
    fn drop(&mut self) {
        drop(self.withdraw());
    }
}

/// A receiver that is a task, as a watcher of the channel.
pub(crate) struct ReadyWait<'c, T, S: ChannelThread> {
    chan: &'c Chan<T, S>,
    parts: NonNull<Parts<(), S>>,
}

impl<'c, T, S: ChannelThread> ReadyWait<'c, T, S> {
    /// Registers the task, which is woken when there may be a message. The caller must check for a
    /// message after this.
    pub(crate) fn start(chan: &'c Chan<T, S>, sleeper: S) -> ReadyWait<'c, T, S> {
        let parts = Parts::new(Waiter::single(sleeper), ());
        let wait = ReadyWait { chan, parts };
        // SAFETY: TW1.
        let node = unsafe { parts.as_ref() }.node(std::ptr::null_mut());
        let mut core = chan.core().lock();
        // SAFETY: L1 by TW1.
        unsafe { core.observers.push(node) };
        drop(core);
        wait
    }

    /// Returns whether the task was woken; then it is not registered any more.
    pub(crate) fn is_done(&self) -> bool {
        // SAFETY: TW1.
        unsafe { self.parts.as_ref() }.waiter.is_done()
    }
}

impl<T, S: ChannelThread> Drop for ReadyWait<'_, T, S> {
    fn drop(&mut self) {
        // SAFETY: TW1.
        if let Some(node) = unsafe { self.parts.as_ref() }.node.get() {
            // TW2: after this, no other thread accesses the parts.
            self.chan.core().lock().observers.remove(node);
        }
        // SAFETY: TW1; it was leaked by `Parts::new`, and the node is not linked.
        drop(unsafe { Box::from_raw(self.parts.as_ptr()) });
    }
}

/// Futures move between OS threads while they wait.
#[cfg(not(loom))]
mod threads {
    use super::{ReadyWait, SendWait};
    use crate::sync::wait::waiting_thread::WaitingThread;

    // SAFETY: the value moves with it. The sleeper is a pointer or counted, so any thread may drop
    // it, and the threads that claim it reach it under the lock (TW2).
    unsafe impl<T: Send> Send for SendWait<'_, T, WaitingThread> {}
    // SAFETY: as above; it has no value.
    unsafe impl<T: Send> Send for ReadyWait<'_, T, WaitingThread> {}
}
