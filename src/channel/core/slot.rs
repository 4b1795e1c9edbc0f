#![allow(unsafe_code, reason = "moves values between stack frames")]
//! The slot of a waiter, in its own frame: a place for a value to receive, or a value to send.
//!
//! SL1. A slot is accessed by its owner before it is queued and after it has seen `done` or has
//!      unlinked itself, and in between only by its claimer. `done` orders the two (L4 in
//!      `sync/wait/wait_queue.rs`).
//! SL2. A [`RecvSlot`] is filled exactly if its owner has seen `done` and `state` is `Served`, and
//!      has not taken the value yet.
//! SL3. The value of an [`SendSlot`] exists unless it is deferred or a claimer has taken it, as
//!      `state` says.

use std::cell::{Cell, UnsafeCell};
use std::fmt;
use std::mem::MaybeUninit;

use super::channel_thread::ChannelThread;
use crate::sync::wait::wait_queue::Dequeued;

/// How a claim ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SlotState {
    /// Not claimed yet.
    Open,
    /// The value was received or sent.
    Served,
    /// The other side of the channel is gone.
    Disconnected,
    /// The sender with the reservation has released it: begin again.
    Again,
}

/// The slot of a receiver.
pub(crate) struct RecvSlot<T> {
    state: Cell<SlotState>,
    value: UnsafeCell<MaybeUninit<T>>,
}

impl<T> RecvSlot<T> {
    #[inline(always)]
    pub(crate) const fn new() -> RecvSlot<T> {
        RecvSlot {
            state: Cell::new(SlotState::Open),
            value: UnsafeCell::new(MaybeUninit::uninit()),
        }
    }

    /// Returns the slot for its node.
    #[inline(always)]
    pub(crate) fn slot(&self) -> *mut () {
        std::ptr::from_ref(self).cast_mut().cast()
    }

    #[inline(always)]
    pub(crate) fn state(&self) -> SlotState {
        self.state.get()
    }

    /// Returns where the value goes: for the claimer, or for the owner before it is shared. Then it
    /// must be [settled](RecvSlot::settle) as served.
    #[inline(always)]
    pub(crate) fn value(&self) -> *mut T {
        self.value.get().cast()
    }

    /// Stores a value in the same way.
    pub(crate) fn fill(&self, value: T) {
        // SAFETY: SL1.
        unsafe { self.value().write(value) };
        self.settle(SlotState::Served);
    }

    /// Sets the outcome: for the claimer, or for the owner before it is shared.
    #[inline(always)]
    pub(crate) fn settle(&self, state: SlotState) {
        self.state.set(state);
    }

    /// Resets it before another try, by the owner.
    pub(crate) fn reset(&self) {
        self.state.set(SlotState::Open);
    }

    /// Takes the received value, by the owner.
    #[inline(always)]
    pub(crate) fn take(&self) -> Option<T> {
        if self.state.get() != SlotState::Served {
            return None;
        }
        self.state.set(SlotState::Open);
        // SAFETY: SL1, SL2, once.
        Some(unsafe { self.value().read() })
    }

    /// Takes the value, by the owner, right after it was received.
    ///
    /// # Safety
    ///
    /// SL2, and this is the last access.
    #[inline(always)]
    pub(crate) unsafe fn take_unchecked(&self) -> T {
        // SAFETY: by the contract.
        unsafe { self.value().read() }
    }
}

impl<T> fmt::Debug for RecvSlot<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Place").field(&self.state.get()).finish()
    }
}

/// The reservation to send one value, which a select gets before it knows the value. It must be
/// committed or given back.
#[derive(Debug)]
pub(crate) enum Reservation<S: ChannelThread> {
    /// None: the select chose another operation.
    None,
    /// Room in the channel.
    Room,
    /// A claimed receiver that waits for it.
    Receiver(Dequeued<'static, S>),
    /// For the error that all receivers are gone.
    Disconnected,
}

/// The slot of a sender without its value: for a deferred sender, whose value is not known yet,
/// this is all.
pub(crate) struct SendHeader<S: ChannelThread> {
    pub(super) deferred: bool,
    state: Cell<SlotState>,
    reservation: Cell<Reservation<S>>,
}

impl<S: ChannelThread> SendHeader<S> {
    /// Creates the slot of a select.
    pub(crate) const fn deferred() -> SendHeader<S> {
        SendHeader {
            deferred: true,
            state: Cell::new(SlotState::Open),
            reservation: Cell::new(Reservation::None),
        }
    }

    pub(crate) fn slot(&self) -> *mut () {
        std::ptr::from_ref(self).cast_mut().cast()
    }

    #[inline(always)]
    pub(crate) fn state(&self) -> SlotState {
        self.state.get()
    }

    #[inline(always)]
    pub(crate) fn settle(&self, state: SlotState) {
        self.state.set(state);
    }

    /// Sets the reservation: for the claimer of a deferred sender, or its owner before it is
    /// shared.
    pub(crate) fn reserve(&self, reservation: Reservation<S>) {
        self.reservation.set(reservation);
    }

    /// Returns whether there is something to redeem, or an error to report, to the owner.
    pub(crate) fn is_reserved(&self) -> bool {
        let reservation = self.reservation.replace(Reservation::None);
        let pledged = !matches!(reservation, Reservation::None)
            || self.state.get() == SlotState::Disconnected;
        self.reservation.set(reservation);
        pledged
    }

    /// Takes the reservation, by the owner.
    pub(crate) fn take_reservation(&self) -> Reservation<S> {
        match (
            self.reservation.replace(Reservation::None),
            self.state.get(),
        ) {
            (Reservation::None, SlotState::Disconnected) => {
                self.state.set(SlotState::Open);
                Reservation::Disconnected
            }
            (reservation, _) => reservation,
        }
    }
}

/// A value that a sender waits with.
#[repr(C)]
pub(crate) struct SendSlot<T, S: ChannelThread> {
    /// First, so that a pointer to the whole is a pointer to the head.
    pub(super) header: SendHeader<S>,
    value: UnsafeCell<MaybeUninit<T>>,
}

impl<T, S: ChannelThread> SendSlot<T, S> {
    #[inline(always)]
    pub(crate) fn new(value: T) -> SendSlot<T, S> {
        SendSlot {
            header: SendHeader {
                deferred: false,
                state: Cell::new(SlotState::Open),
                reservation: Cell::new(Reservation::None),
            },
            value: UnsafeCell::new(MaybeUninit::new(value)),
        }
    }

    #[inline(always)]
    pub(crate) fn slot(&self) -> *mut () {
        std::ptr::from_ref(self).cast_mut().cast()
    }

    /// Returns where the value is.
    #[inline(always)]
    pub(super) fn value(&self) -> *mut T {
        self.value.get().cast()
    }

    /// Takes the value back, by the owner: it was not sent.
    ///
    /// # Safety
    ///
    /// SL3: it exists, and this is the last access.
    #[inline(always)]
    pub(crate) unsafe fn take(&self) -> T {
        // SAFETY: by the contract.
        unsafe { self.value().read() }
    }
}
