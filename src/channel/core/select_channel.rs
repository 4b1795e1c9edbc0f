#![allow(
    unsafe_code,
    reason = "moves values between stack frames, under a lock"
)]
//! A channel as a select sees it: attempts under its lock, and reservations, which are committed
//! with a value or given back.
//!
//! The invariants are those of `chan.rs` (CH), `slot.rs` (SL) and `sync/wait/wait_queue.rs` (L).

use super::chan::{Chan, Core};
use super::channel_thread::ChannelThread;
use super::outcome::{Op, PostUnlock, RecvOutcome, SendOutcome, Unsent};
use super::slot::{RecvSlot, Reservation, SendHeader, SendSlot, SlotState};
use crate::sync::wait::spin::Spin;
use crate::sync::wait::wait_queue::{Dequeued, Waiter};

/// The result of an attempt of a select.
#[derive(Debug)]
pub(crate) enum TryOutcome<S: ChannelThread> {
    Nothing,
    Done(PostUnlock<S>),
    /// A deferred sender: to be met when no lock is held.
    Rendezvous(Dequeued<'static, S>),
}

/// A channel, for a select that does not know the type of its items.
///
/// # Safety
///
/// `try_select` and `rendezvous` fill slots as their contracts say; `op` is the queue of the nodes
/// with such slots.
pub(crate) unsafe trait SelectChannel<S: ChannelThread> {
    fn core(&self) -> &Spin<Core<S>>;

    /// # Safety
    ///
    /// `core` is the data that [`core`](SelectChannel::core) guards, `slot` fits the side: an open
    /// `RecvSlot<T>`, or a deferred `SendHeader<S>`.
    unsafe fn try_select(&self, op: Op, core: &mut Core<S>, slot: *mut ()) -> TryOutcome<S>;

    /// Completes an attempt of a receiver. Returns `false` if it must begin again.
    ///
    /// # Safety
    ///
    /// `slot` is that of the attempt.
    unsafe fn rendezvous(&self, sender: Dequeued<'static, S>, slot: *mut ()) -> bool;

    fn is_ready(&self, op: Op, core: &mut Core<S>) -> bool;

    fn conclude(&self, after: PostUnlock<S>);

    fn notify_observers(&self);

    /// Returns whether a receiver that has waited has a result: a value, or that there is none to
    /// come.
    ///
    /// # Safety
    ///
    /// `slot` is that of a `RecvSlot<T>` whose waiter is done.
    unsafe fn is_delivered(&self, slot: *mut ()) -> bool;

    /// Resets a `RecvSlot<T>`.
    ///
    /// # Safety
    ///
    /// `slot` is that of a `RecvSlot<T>` that is not shared.
    unsafe fn reset(&self, slot: *mut ());
}

impl<T, S: ChannelThread> Chan<T, S> {
    /// Receives directly from a deferred sender: it has been chosen, and computes its value.
    /// Returns `false` if it released its reservation instead.
    #[cold]
    #[inline(never)]
    pub(super) fn rendezvous(sender: Dequeued<'static, S>, recv_slot: &RecvSlot<T>) -> bool {
        let waiter = Waiter::single(S::current());
        // SAFETY: L2, SL1, CH3.
        let header = unsafe { &*sender.slot().cast::<SendHeader<S>>() };
        // SAFETY: it is finished by `commit` or `release`, which the sender's reservation
        // guarantees.
        let me = unsafe { Dequeued::of(&waiter, recv_slot.slot()).detach() };
        header.reserve(Reservation::Receiver(me));
        S::wake(sender.finish());
        S::wait_until_done(&waiter);
        let served = recv_slot.state() == SlotState::Served;
        if !served {
            recv_slot.reset();
        }
        served
    }

    /// Receives into the place, or reports that the channel is disconnected, if that needs no wait.
    ///
    /// # Safety
    ///
    /// `slot` is that of an open `RecvSlot<T>` of the caller.
    pub(super) unsafe fn try_select_recv(
        &self,
        core: &mut Core<S>,
        slot: *mut (),
    ) -> TryOutcome<S> {
        // SAFETY: by the contract.
        let recv_slot = unsafe { &*slot.cast::<RecvSlot<T>>() };
        match self.take(core, recv_slot) {
            RecvOutcome::Done(after) => TryOutcome::Done(after),
            RecvOutcome::Nothing => TryOutcome::Nothing,
            RecvOutcome::Disconnected => {
                recv_slot.settle(SlotState::Disconnected);
                TryOutcome::Done(PostUnlock {
                    waker: None,
                    has_observers: false,
                })
            }
            RecvOutcome::Rendezvous(sender) => TryOutcome::Rendezvous(sender),
        }
    }

    /// Completes an attempt that found a deferred sender. Returns `false` if the sender released
    /// its reservation.
    ///
    /// # Safety
    ///
    /// As [`try_select_recv`](Chan::try_select_recv).
    #[cold]
    pub(super) unsafe fn try_rendezvous(
        &self,
        sender: Dequeued<'static, S>,
        slot: *mut (),
    ) -> bool {
        // SAFETY: by the contract.
        let recv_slot = unsafe { &*slot.cast::<RecvSlot<T>>() };
        Self::rendezvous(sender, recv_slot)
    }

    /// Gets a reservation, if that needs no wait.
    ///
    /// # Safety
    ///
    /// `slot` is that of a deferred `SendHeader<S>` of the caller.
    pub(super) unsafe fn try_reserve(&self, core: &mut Core<S>, slot: *mut ()) -> TryOutcome<S> {
        // SAFETY: by the contract.
        let header = unsafe { &*slot.cast::<SendHeader<S>>() };
        let reservation = if core.receivers_gone {
            Reservation::Disconnected
        } else if core.capacity == 0 {
            match core.receivers.dequeue() {
                // SAFETY: by `commit` or `release`.
                Some(receiver) => Reservation::Receiver(unsafe { receiver.detach() }),
                None => return TryOutcome::Nothing,
            }
        } else if self.has_room(core) {
            core.reserved += 1;
            Reservation::Room
        } else {
            return TryOutcome::Nothing;
        };
        header.reserve(reservation);
        TryOutcome::Done(PostUnlock {
            waker: None,
            has_observers: false,
        })
    }

    /// Sends a value with a reservation. Never waits. After an error the value is still there.
    pub(crate) fn commit(
        &self,
        reservation: Reservation<S>,
        send_slot: &SendSlot<T, S>,
    ) -> Result<(), Unsent> {
        match reservation {
            Reservation::Receiver(receiver) => {
                S::wake(Self::deliver(receiver, send_slot));
                Ok(())
            }
            Reservation::Room => {
                let mut core = self.core().lock();
                core.reserved -= 1;
                let put = self.put(&mut core, send_slot);
                // If a waiting receiver has got it, the room is still there.
                let others = !core.senders.is_empty();
                let has_observers = !core.observers.is_empty();
                drop(core);
                let result = match put {
                    SendOutcome::Done(PostUnlock { waker, .. }) => {
                        waker.into_iter().for_each(S::wake);
                        Ok(())
                    }
                    SendOutcome::Disconnected => Err(Unsent::Disconnected),
                    SendOutcome::Full => Err(Unsent::Full),
                };
                if others {
                    self.admit_senders();
                }
                if has_observers {
                    self.notify_observers();
                }
                result
            }
            Reservation::None | Reservation::Disconnected => Err(Unsent::Disconnected),
        }
    }

    /// Gives a reservation back.
    #[cold]
    pub(crate) fn release(&self, reservation: Reservation<S>) {
        match reservation {
            Reservation::Receiver(receiver) => {
                // CH3.
                let recv_slot = receiver.slot().cast::<RecvSlot<T>>();
                // SAFETY: L2, SL1.
                unsafe { &*recv_slot }.settle(SlotState::Again);
                S::wake(receiver.finish());
            }
            Reservation::Room => {
                let mut core = self.core().lock();
                core.reserved -= 1;
                let has_observers = !core.observers.is_empty();
                drop(core);
                self.admit_senders();
                if has_observers {
                    self.notify_observers();
                }
            }
            Reservation::None | Reservation::Disconnected => {}
        }
    }

    /// Restores CH2 when a place has become free otherwise than by a receiver.
    #[cold]
    fn admit_senders(&self) {
        loop {
            let mut core = self.core().lock();
            // When the receivers are gone, the waiters are notified, and nothing is added any more.
            if core.receivers_gone || !self.has_room(&mut core) {
                return;
            }
            let Some(claimed) = core.senders.dequeue() else {
                return;
            };
            // SAFETY: it is finished below.
            let claimed = unsafe { claimed.detach() };
            // SAFETY: L2, SL1, CH3.
            let send_slot = unsafe { &*claimed.slot().cast::<SendSlot<T, S>>() };
            if send_slot.header.deferred || core.receivers.is_empty() {
                let waker = Some(self.unpark_sender(&mut core, claimed));
                let has_observers = !core.observers.is_empty();
                drop(core);
                self.conclude(PostUnlock {
                    waker,
                    has_observers,
                });
                continue;
            }
            // There is room, so it goes somewhere: perhaps to a receiver that waits for an earlier
            // reservation.
            let put = self.put(&mut core, send_slot);
            send_slot.header.settle(match put {
                SendOutcome::Done(_) => SlotState::Served,
                SendOutcome::Full | SendOutcome::Disconnected => SlotState::Disconnected,
            });
            let waker = claimed.finish();
            drop(core);
            S::wake(waker);
            if let SendOutcome::Done(after) = put {
                self.conclude(after);
            }
        }
    }

    pub(super) fn is_ready_to_recv(&self, core: &mut Core<S>) -> bool {
        self.queue(core).len() > 0
            || core.senders_gone
            || (core.capacity == 0 && core.senders.can_dequeue())
    }

    pub(super) fn is_ready_to_send(&self, core: &mut Core<S>) -> bool {
        core.receivers_gone
            || self.has_room(core)
            || (core.capacity == 0 && core.receivers.can_dequeue())
    }
}

// SAFETY: see each.
unsafe impl<T, S: ChannelThread> SelectChannel<S> for Chan<T, S> {
    fn core(&self) -> &Spin<Core<S>> {
        self.core()
    }

    unsafe fn try_select(&self, op: Op, core: &mut Core<S>, slot: *mut ()) -> TryOutcome<S> {
        match op {
            // SAFETY: by the contract.
            Op::Send => unsafe { self.try_reserve(core, slot) },
            // SAFETY: by the contract.
            Op::Recv => unsafe { self.try_select_recv(core, slot) },
        }
    }

    unsafe fn rendezvous(&self, sender: Dequeued<'static, S>, slot: *mut ()) -> bool {
        // SAFETY: by the contract.
        unsafe { self.try_rendezvous(sender, slot) }
    }

    fn is_ready(&self, op: Op, core: &mut Core<S>) -> bool {
        match op {
            Op::Send => self.is_ready_to_send(core),
            Op::Recv => self.is_ready_to_recv(core),
        }
    }

    fn conclude(&self, after: PostUnlock<S>) {
        Chan::conclude(self, after);
    }

    fn notify_observers(&self) {
        Chan::notify_observers(self);
    }

    unsafe fn is_delivered(&self, slot: *mut ()) -> bool {
        // SAFETY: by the contract.
        let recv_slot = unsafe { &*slot.cast::<RecvSlot<T>>() };
        matches!(
            recv_slot.state(),
            SlotState::Served | SlotState::Disconnected
        )
    }

    unsafe fn reset(&self, slot: *mut ()) {
        // SAFETY: by the contract.
        unsafe { &*slot.cast::<RecvSlot<T>>() }.reset();
    }
}
