#![allow(unsafe_code, reason = "values change frames under a lock")]
//! A channel as a select sees it: attempts under its lock, and pledges, which are redeemed with a value or given back.
//!
//! The invariants are those of `chan.rs` (CH), `slot.rs` (SL) and `sync/line.rs` (L).

use super::chan::{Chan, Core};
use super::outcome::{After, Put, Side, Take, Unsent};
use super::sleep::Waits;
use super::slot::{Fate, Head, Offer, Place, Pledge};
use crate::sync::wait::line::{Claimed, Ticket};
use crate::sync::wait::spin::Spin;

/// What a select finds at one of its channels.
#[derive(Debug)]
pub(crate) enum Attempt<S: Waits> {
    Nothing,
    Done(After<S>),
    /// A lazy sender: to be met when no lock is held.
    Meet(Claimed<'static, S>),
}

/// A channel, for a select that does not know the type of its items.
///
/// # Safety
///
/// `attempt` and `meet` fill slots as their contracts say, `side` is the line that the nodes with such slots stand in.
pub(crate) unsafe trait Meeting<S: Waits> {
    fn core(&self) -> &Spin<Core<S>>;

    /// # Safety
    ///
    /// `core` is what [`core`](Meeting::core) guards, `slot` fits the side: an open `Place<T>`, or a lazy `Head<S>`.
    unsafe fn attempt(&self, side: Side, core: &mut Core<S>, slot: *mut ()) -> Attempt<S>;

    /// After an attempt of a receiver. False: begin again.
    ///
    /// # Safety
    ///
    /// `slot` is that of the attempt.
    unsafe fn meet(&self, sender: Claimed<'static, S>, slot: *mut ()) -> bool;

    fn is_ready(&self, side: Side, core: &mut Core<S>) -> bool;

    fn conclude(&self, after: After<S>);

    fn tell_watchers(&self);

    /// Whether a receiver that has waited has something to say: a value, or that there is none to come.
    ///
    /// # Safety
    ///
    /// `slot` is that of a `Place<T>` whose ticket is done.
    unsafe fn has_come(&self, slot: *mut ()) -> bool;

    /// Makes a `Place<T>` open again.
    ///
    /// # Safety
    ///
    /// `slot` is that of a `Place<T>` that nobody else knows.
    unsafe fn reset(&self, slot: *mut ());
}

impl<T, S: Waits> Chan<T, S> {
    /// Receives from a lazy sender, face to face: it has been chosen, and works out its value. False: it has
    /// thought better of it.
    #[cold]
    #[inline(never)]
    pub(super) fn meet(sender: Claimed<'static, S>, place: &Place<T>) -> bool {
        let ticket = Ticket::single(S::current());
        // SAFETY: L2, SL1, CH3.
        let head = unsafe { &*sender.slot().cast::<Head<S>>() };
        // SAFETY: it is finished by `redeem` or `renounce`, which the sender's pledge sees to.
        let me = unsafe { Claimed::of(&ticket, place.slot()).detach() };
        head.pledge(Pledge::Partner(me));
        S::wake(sender.finish());
        S::wait_out(&ticket);
        let served = place.fate() == Fate::Served;
        if !served {
            place.reset();
        }
        served
    }

    /// Receives into the place, or says that it is disconnected, if that needs no wait.
    ///
    /// # Safety
    ///
    /// `slot` is that of an open `Place<T>` of the caller's.
    pub(super) unsafe fn attempt_recv(&self, core: &mut Core<S>, slot: *mut ()) -> Attempt<S> {
        // SAFETY: by the contract.
        let place = unsafe { &*slot.cast::<Place<T>>() };
        match self.take(core, place) {
            Take::Done(after) => Attempt::Done(after),
            Take::Nothing => Attempt::Nothing,
            Take::Disconnected => {
                place.settle(Fate::Disconnected);
                Attempt::Done(After {
                    waker: None,
                    watched: false,
                })
            }
            Take::Meet(sender) => Attempt::Meet(sender),
        }
    }

    /// Finishes an attempt that came upon a lazy sender. False: it has thought better of it.
    ///
    /// # Safety
    ///
    /// As [`attempt_recv`](Chan::attempt_recv).
    #[cold]
    pub(super) unsafe fn attempt_meeting(
        &self,
        sender: Claimed<'static, S>,
        slot: *mut (),
    ) -> bool {
        // SAFETY: by the contract.
        let place = unsafe { &*slot.cast::<Place<T>>() };
        Self::meet(sender, place)
    }

    /// Gets a pledge, if that needs no wait.
    ///
    /// # Safety
    ///
    /// `slot` is that of a lazy `Head<S>` of the caller's.
    pub(super) unsafe fn attempt_send(&self, core: &mut Core<S>, slot: *mut ()) -> Attempt<S> {
        // SAFETY: by the contract.
        let head = unsafe { &*slot.cast::<Head<S>>() };
        let pledge = if core.receivers_gone {
            Pledge::Disconnected
        } else if core.capacity == 0 {
            match core.receivers.claim() {
                // SAFETY: by `redeem` or `renounce`.
                Some(receiver) => Pledge::Partner(unsafe { receiver.detach() }),
                None => return Attempt::Nothing,
            }
        } else if self.has_room(core) {
            core.reserved += 1;
            Pledge::Room
        } else {
            return Attempt::Nothing;
        };
        head.pledge(pledge);
        Attempt::Done(After {
            waker: None,
            watched: false,
        })
    }

    /// Sends what was pledged. Never waits. After an error the value is still there.
    pub(crate) fn redeem(&self, pledge: Pledge<S>, offer: &Offer<T, S>) -> Result<(), Unsent> {
        match pledge {
            Pledge::Partner(receiver) => {
                S::wake(Self::hand_over(receiver, offer));
                Ok(())
            }
            Pledge::Room => {
                let mut core = self.core().lock();
                core.reserved -= 1;
                let put = self.put(&mut core, offer);
                // If a receiver that waited has it, the room is still there.
                let others = !core.senders.is_empty();
                let watched = !core.watchers.is_empty();
                drop(core);
                let result = match put {
                    Put::Done(After { waker, .. }) => {
                        waker.into_iter().for_each(S::wake);
                        Ok(())
                    }
                    Put::Disconnected => Err(Unsent::Disconnected),
                    Put::Full => Err(Unsent::Full),
                };
                if others {
                    self.admit();
                }
                if watched {
                    self.tell_watchers();
                }
                result
            }
            Pledge::None | Pledge::Disconnected => Err(Unsent::Disconnected),
        }
    }

    /// Gives a pledge back.
    #[cold]
    pub(crate) fn renounce(&self, pledge: Pledge<S>) {
        match pledge {
            Pledge::Partner(receiver) => {
                // CH3.
                let place = receiver.slot().cast::<Place<T>>();
                // SAFETY: L2, SL1.
                unsafe { &*place }.settle(Fate::Again);
                S::wake(receiver.finish());
            }
            Pledge::Room => {
                let mut core = self.core().lock();
                core.reserved -= 1;
                let watched = !core.watchers.is_empty();
                drop(core);
                self.admit();
                if watched {
                    self.tell_watchers();
                }
            }
            Pledge::None | Pledge::Disconnected => {}
        }
    }

    /// Restores CH2 when a place has become free otherwise than by a receiver.
    #[cold]
    fn admit(&self) {
        loop {
            let mut core = self.core().lock();
            // When the receivers are gone, those who wait are told so, and nothing is put in any more.
            if core.receivers_gone || !self.has_room(&mut core) {
                return;
            }
            let Some(claimed) = core.senders.claim() else {
                return;
            };
            // SAFETY: it is finished below.
            let claimed = unsafe { claimed.detach() };
            // SAFETY: L2, SL1, CH3.
            let offer = unsafe { &*claimed.slot().cast::<Offer<T, S>>() };
            if offer.head.lazy || core.receivers.is_empty() {
                let waker = Some(self.let_in(&mut core, claimed));
                let watched = !core.watchers.is_empty();
                drop(core);
                self.conclude(After { waker, watched });
                continue;
            }
            // There is room, so it goes somewhere: perhaps to a receiver that waits for what was pledged before.
            let put = self.put(&mut core, offer);
            offer.head.settle(match put {
                Put::Done(_) => Fate::Served,
                Put::Full | Put::Disconnected => Fate::Disconnected,
            });
            let waker = claimed.finish();
            drop(core);
            S::wake(waker);
            if let Put::Done(after) = put {
                self.conclude(after);
            }
        }
    }

    pub(super) fn is_ready_to_recv(&self, core: &mut Core<S>) -> bool {
        self.queue(core).len() > 0
            || core.senders_gone
            || (core.capacity == 0 && core.senders.is_claimable())
    }

    pub(super) fn is_ready_to_send(&self, core: &mut Core<S>) -> bool {
        core.receivers_gone
            || self.has_room(core)
            || (core.capacity == 0 && core.receivers.is_claimable())
    }
}

// SAFETY: see each.
unsafe impl<T, S: Waits> Meeting<S> for Chan<T, S> {
    fn core(&self) -> &Spin<Core<S>> {
        self.core()
    }

    unsafe fn attempt(&self, side: Side, core: &mut Core<S>, slot: *mut ()) -> Attempt<S> {
        match side {
            // SAFETY: by the contract.
            Side::Send => unsafe { self.attempt_send(core, slot) },
            // SAFETY: by the contract.
            Side::Recv => unsafe { self.attempt_recv(core, slot) },
        }
    }

    unsafe fn meet(&self, sender: Claimed<'static, S>, slot: *mut ()) -> bool {
        // SAFETY: by the contract.
        unsafe { self.attempt_meeting(sender, slot) }
    }

    fn is_ready(&self, side: Side, core: &mut Core<S>) -> bool {
        match side {
            Side::Send => self.is_ready_to_send(core),
            Side::Recv => self.is_ready_to_recv(core),
        }
    }

    fn conclude(&self, after: After<S>) {
        Chan::conclude(self, after);
    }

    fn tell_watchers(&self) {
        Chan::tell_watchers(self);
    }

    unsafe fn has_come(&self, slot: *mut ()) -> bool {
        // SAFETY: by the contract.
        let place = unsafe { &*slot.cast::<Place<T>>() };
        matches!(place.fate(), Fate::Served | Fate::Disconnected)
    }

    unsafe fn reset(&self, slot: *mut ()) {
        // SAFETY: by the contract.
        unsafe { &*slot.cast::<Place<T>>() }.reset();
    }
}
