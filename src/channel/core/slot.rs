#![allow(unsafe_code, reason = "values change frames")]
//! What a waiter brings to the line, in its own frame: a place for a value to come, or a value to be taken.
//!
//! SL1. What lies in a slot is touched by its owner before it stands in line and after it has seen that it is done or
//!      has unlinked itself, and in between by its claimer alone. `done` orders the two (L4 in `sync/line.rs`).
//! SL2. A [`Place`] is filled exactly if its owner has seen `done` and `fate` says `Served`, and has not taken the value yet.
//! SL3. The value of an [`Offer`] is there unless it is lazy or a claimer has taken it, which `fate` says.

use std::cell::{Cell, UnsafeCell};
use std::fmt;
use std::mem::MaybeUninit;

use super::sleep::Waits;
use crate::sync::wait::line::Claimed;

/// How a claim ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Nothing has happened yet.
    Open,
    /// The value has come, or was taken.
    Served,
    /// The other side of the channel is gone.
    Disconnected,
    /// The sender that would have brought a value has thought better of it: begin again.
    Again,
}

/// Where a receiver wants its value.
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

    /// As its node knows it.
    #[inline(always)]
    pub(crate) fn slot(&self) -> *mut () {
        std::ptr::from_ref(self).cast_mut().cast()
    }

    #[inline(always)]
    pub(crate) fn fate(&self) -> Fate {
        self.fate.get()
    }

    /// Where the value goes: for the claimer, or for the owner before anybody else knows it. Then it is to be
    /// [settled](Place::settle) as served.
    #[inline(always)]
    pub(crate) fn value(&self) -> *mut T {
        self.value.get().cast()
    }

    /// The same, with a value.
    pub(crate) fn fill(&self, value: T) {
        // SAFETY: SL1.
        unsafe { self.value().write(value) };
        self.settle(Fate::Served);
    }

    /// The claimer, or the owner before anybody else knows it: what has come of it.
    #[inline(always)]
    pub(crate) fn settle(&self, fate: Fate) {
        self.fate.set(fate);
    }

    /// The owner: before another try.
    pub(crate) fn reset(&self) {
        self.fate.set(Fate::Open);
    }

    /// The owner: what has come.
    #[inline(always)]
    pub(crate) fn take(&self) -> Option<T> {
        if self.fate.get() != Fate::Served {
            return None;
        }
        self.fate.set(Fate::Open);
        // SAFETY: SL1, SL2, once.
        Some(unsafe { self.value().read() })
    }

    /// The owner, at once when it has come.
    ///
    /// # Safety
    ///
    /// SL2, and this is the last time that anybody asks for it.
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

/// The right to send one value, which a select has got before it knows the value. It is to be redeemed or given back.
#[derive(Debug)]
pub(crate) enum Pledge<S: Waits> {
    /// No right: the select chose something else.
    None,
    /// There is room for it in the channel.
    Room,
    /// A receiver was claimed and waits for it.
    Partner(Claimed<'static, S>),
    /// To find that nobody will receive it.
    Disconnected,
}

/// What a sender brings, without the value: all there is of it if the value is not known yet.
pub(crate) struct Head<S: Waits> {
    pub(super) lazy: bool,
    fate: Cell<Fate>,
    pledge: Cell<Pledge<S>>,
}

impl<S: Waits> Head<S> {
    /// Of a select.
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

    /// The claimer of a lazy one, or its owner before anybody else knows it.
    pub(crate) fn pledge(&self, pledge: Pledge<S>) {
        self.pledge.set(pledge);
    }

    /// The owner: whether there is something to redeem, or to find.
    pub(crate) fn is_pledged(&self) -> bool {
        let pledge = self.pledge.replace(Pledge::None);
        let pledged = !matches!(pledge, Pledge::None) || self.fate.get() == Fate::Disconnected;
        self.pledge.set(pledge);
        pledged
    }

    /// The owner.
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
    /// First, so that a pointer to the whole is one to the head.
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

    /// Where the value lies.
    #[inline(always)]
    pub(super) fn value(&self) -> *mut T {
        self.value.get().cast()
    }

    /// The value, by the owner: it was not sent.
    ///
    /// # Safety
    ///
    /// SL3: it is there, and this is the last time that anybody asks for it.
    #[inline(always)]
    pub(crate) unsafe fn take(&self) -> T {
        // SAFETY: by the contract.
        unsafe { self.value().read() }
    }
}
