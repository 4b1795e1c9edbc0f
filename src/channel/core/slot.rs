#![allow(unsafe_code, reason = "values change frames")]
//! The slot of a waiter, in its own frame: a place for a value to receive, or a value to send.
//!
//! SL1. A slot is accessed by its owner before it is queued and after it has seen `done` or has
//!      unlinked itself, and in between only by its claimer. `done` orders the two (L4 in
//!      `sync/wait/line.rs`).
//! SL2. A [`Place`] is filled exactly if its owner has seen `done` and `fate` is `Served`, and has
//!      not taken the value yet.
//! SL3. The value of an [`Offer`] exists unless it is lazy or a claimer has taken it, as `fate`
//!      says.

use std::cell::{Cell, UnsafeCell};
use std::fmt;
use std::mem::MaybeUninit;

use super::sleep::Waits;
use crate::sync::wait::line::Claimed;

/// How a claim ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
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
pub(crate) struct Place<T> {
    fate: Cell<Fate>,
    value: UnsafeCell<MaybeUninit<T>>,
}

impl<T> Place<T> {
    #[inline(always)]
    pub(crate) const fn new() -> Place<T> {
        Place {
            fate: Cell::new(Fate::Open),
            value: UnsafeCell::new(MaybeUninit::uninit()),
        }
    }

    /// Returns the slot for its node.
    #[inline(always)]
    pub(crate) fn slot(&self) -> *mut () {
        std::ptr::from_ref(self).cast_mut().cast()
    }

    #[inline(always)]
    pub(crate) fn fate(&self) -> Fate {
        self.fate.get()
    }

    /// Returns where the value goes: for the claimer, or for the owner before it is shared. Then it
    /// must be [settled](Place::settle) as served.
    #[inline(always)]
    pub(crate) fn value(&self) -> *mut T {
        self.value.get().cast()
    }

    /// Stores a value in the same way.
    pub(crate) fn fill(&self, value: T) {
        // SAFETY: SL1.
        unsafe { self.value().write(value) };
        self.settle(Fate::Served);
    }

    /// Sets the outcome: for the claimer, or for the owner before it is shared.
    #[inline(always)]
    pub(crate) fn settle(&self, fate: Fate) {
        self.fate.set(fate);
    }

    /// Resets it before another try, by the owner.
    pub(crate) fn reset(&self) {
        self.fate.set(Fate::Open);
    }

    /// Takes the received value, by the owner.
    #[inline(always)]
    pub(crate) fn take(&self) -> Option<T> {
        if self.fate.get() != Fate::Served {
            return None;
        }
        self.fate.set(Fate::Open);
        // SAFETY: SL1, SL2, once.
        Some(unsafe { self.value().read() })
    }

    /// Takes the value, by the owner, right after it was received.
    ///
    /// # Safety
    ///
    /// SL2, and this is the last access.
    #[inline(always)]
    pub(crate) unsafe fn come(&self) -> T {
        // SAFETY: by the contract.
        unsafe { self.value().read() }
    }
}

impl<T> fmt::Debug for Place<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Place").field(&self.fate.get()).finish()
    }
}

/// The reservation to send one value, which a select gets before it knows the value. It must be
/// redeemed or given back.
#[derive(Debug)]
pub(crate) enum Pledge<S: Waits> {
    /// None: the select chose another operation.
    None,
    /// Room in the channel.
    Room,
    /// A claimed receiver that waits for it.
    Partner(Claimed<'static, S>),
    /// For the error that all receivers are gone.
    Disconnected,
}

/// The slot of a sender without its value: for a lazy sender, whose value is not known yet, this is
/// all.
pub(crate) struct Head<S: Waits> {
    pub(super) lazy: bool,
    fate: Cell<Fate>,
    pledge: Cell<Pledge<S>>,
}

impl<S: Waits> Head<S> {
    /// Creates the slot of a select.
    pub(crate) const fn lazy() -> Head<S> {
        Head {
            lazy: true,
            fate: Cell::new(Fate::Open),
            pledge: Cell::new(Pledge::None),
        }
    }

    pub(crate) fn slot(&self) -> *mut () {
        std::ptr::from_ref(self).cast_mut().cast()
    }

    #[inline(always)]
    pub(crate) fn fate(&self) -> Fate {
        self.fate.get()
    }

    #[inline(always)]
    pub(crate) fn settle(&self, fate: Fate) {
        self.fate.set(fate);
    }

    /// Sets the reservation: for the claimer of a lazy sender, or its owner before it is shared.
    pub(crate) fn pledge(&self, pledge: Pledge<S>) {
        self.pledge.set(pledge);
    }

    /// Returns whether there is something to redeem, or an error to report, to the owner.
    pub(crate) fn is_pledged(&self) -> bool {
        let pledge = self.pledge.replace(Pledge::None);
        let pledged = !matches!(pledge, Pledge::None) || self.fate.get() == Fate::Disconnected;
        self.pledge.set(pledge);
        pledged
    }

    /// Takes the reservation, by the owner.
    pub(crate) fn take_pledge(&self) -> Pledge<S> {
        match (self.pledge.replace(Pledge::None), self.fate.get()) {
            (Pledge::None, Fate::Disconnected) => {
                self.fate.set(Fate::Open);
                Pledge::Disconnected
            }
            (pledge, _) => pledge,
        }
    }
}

/// A value that a sender waits with.
#[repr(C)]
pub(crate) struct Offer<T, S: Waits> {
    /// First, so that a pointer to the whole is a pointer to the head.
    pub(super) head: Head<S>,
    value: UnsafeCell<MaybeUninit<T>>,
}

impl<T, S: Waits> Offer<T, S> {
    #[inline(always)]
    pub(crate) fn new(value: T) -> Offer<T, S> {
        Offer {
            head: Head {
                lazy: false,
                fate: Cell::new(Fate::Open),
                pledge: Cell::new(Pledge::None),
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
