#![allow(
    unsafe_code,
    reason = "nodes in boxes that are shared under the channel's lock"
)]
//! Waits of tasks at a channel: what a future keeps in the queues while it is pending.
//!
//! A sender is queued like a thread, with its value. A receiver is an *observer*: it is woken when
//! there may be a message, and takes one when it is polled. So a future that is dropped after it
//! was woken holds no message that another receiver would have to get.
//!
//! TW1. A wait enters its [`BoxedWait`] into a queue once, and its drop removes it from there,
//!      under the channel's lock, before it frees the box (BW1).
//! TW2. Claims of these waits are finished under the channel's lock (BW2).
//! TW3. The value of a send wait is in its slot unless the slot was served, as SL3 states for all
//!      slots.

use super::chan::Chan;
use super::channel_thread::ChannelThread;
use super::outcome::SendOutcome;
use super::slot::{SendSlot, SlotState};
use crate::sync::wait::boxed_wait::BoxedWait;

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
    wait: Option<BoxedWait<SendSlot<T, S>, S>>,
}

impl<'c, T, S: ChannelThread> SendWait<'c, T, S> {
    /// Sends `value`, or queues the task with it if there is no room.
    pub(crate) fn start(chan: &'c Chan<T, S>, value: T, sleeper: S) -> SendStart<'c, T, S> {
        let wait = BoxedWait::new(sleeper, SendSlot::new(value));
        let mut core = chan.core().lock();
        match chan.put(&mut core, wait.slot()) {
            SendOutcome::Done(after) => {
                drop(core);
                chan.conclude(after);
                SendStart::Sent
            }
            SendOutcome::Disconnected => {
                drop(core);
                // SAFETY: TW3; it was not served, and is taken once.
                SendStart::Disconnected(unsafe { wait.slot().take() })
            }
            SendOutcome::Full => {
                // SAFETY: TW1.
                unsafe { wait.enter(&mut core.senders, false) };
                let has_observers = core.waits_are_observed();
                drop(core);
                if has_observers {
                    chan.notify_observers();
                }
                SendStart::Waiting(SendWait {
                    chan,
                    wait: Some(wait),
                })
            }
        }
    }

    /// Returns whether the wait is over: the value was received, or the receivers are gone.
    pub(crate) fn is_done(&self) -> bool {
        self.wait.as_ref().is_none_or(BoxedWait::is_done)
    }

    /// Ends the wait. Returns the value if it was not received.
    pub(crate) fn withdraw(&mut self) -> Option<T> {
        let wait = self.wait.take()?;
        // TW2: after this, no other thread accesses the slot.
        wait.leave(&mut self.chan.core().lock().senders);
        // SL3: either the slot was served, or the value still belongs to this wait.
        let is_ours = wait.slot().header.state() != SlotState::Served;
        // SAFETY: TW3, once, because the wait was taken.
        is_ours.then(|| unsafe { wait.slot().take() })
    }
}

impl<T, S: ChannelThread> Drop for SendWait<'_, T, S> {
    fn drop(&mut self) {
        drop(self.withdraw());
    }
}

/// A receiver that is a task, as an observer of the channel.
pub(crate) struct ReadyWait<'c, T, S: ChannelThread> {
    chan: &'c Chan<T, S>,
    wait: BoxedWait<(), S>,
}

impl<'c, T, S: ChannelThread> ReadyWait<'c, T, S> {
    /// Registers the task, which is woken when there may be a message. The caller must check for a
    /// message after this.
    pub(crate) fn start(chan: &'c Chan<T, S>, sleeper: S) -> ReadyWait<'c, T, S> {
        let wait = BoxedWait::new(sleeper, ());
        // SAFETY: TW1.
        unsafe { wait.enter(&mut chan.core().lock().observers, false) };
        ReadyWait { chan, wait }
    }

    /// Returns whether the task was woken; then it is not registered any more.
    pub(crate) fn is_done(&self) -> bool {
        self.wait.is_done()
    }
}

impl<T, S: ChannelThread> Drop for ReadyWait<'_, T, S> {
    fn drop(&mut self) {
        // TW2: after this, no other thread accesses the wait.
        self.wait.leave(&mut self.chan.core().lock().observers);
    }
}

/// Futures move between OS threads while they wait.
#[cfg(not(loom))]
mod threads {
    use super::SendWait;
    use crate::sync::wait::waiting_thread::WaitingThread;

    // SAFETY: the value moves with it. The sleeper is a pointer or counted, so any thread may drop
    // it, and the threads that claim it reach it under the lock (TW2).
    unsafe impl<T: Send> Send for SendWait<'_, T, WaitingThread> {}
}
