//! What an arm of `select!` takes: a receiver or a sender, or something that dereferences to one.
//! The compiler's message for anything else says what to pass, and points to the arm.
//!
//! It points to the arm because the arm's own word `recv` or `send` is the name of the method that
//! has the bound. It would point to the whole of `select!` if the bound were on a type that is in
//! the method's receiver, so [`Same`] takes it out of there.

use std::fmt;
use std::ops::Deref;

use crate::channel::{Receiver, Sender};

/// A type that `recv(..)` can wait for.
#[doc(hidden)]
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a receiver, so `select!` cannot wait for it",
    label = "this arm needs a `rustlet::channel::Receiver`",
    note = "pass its receiver instead: `.done()` of a join handle, `.receiver()` of an event, a \
            `Notify` or a oneshot, broadcast or watch receiver, `.exited()` of a child, \
            `.readable()` of an `io::Watch`",
    note = "for a time pass `after(duration)`, `at(instant)` or `tick(period)` of `rustlet::channel`"
)]
pub trait SelectRecv<T> {
    fn operand(&self) -> &Receiver<T>;
}

/// A type that `send(..)` can wait for.
#[doc(hidden)]
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a sender, so `select!` cannot send through it",
    label = "this arm needs a `rustlet::channel::Sender`",
    note = "pass the sender of a channel of `rustlet::channel`, by value or by reference"
)]
pub trait SelectSend<T> {
    fn operand(&self) -> &Sender<T>;
}

impl<T> SelectRecv<T> for Receiver<T> {
    #[inline(always)]
    fn operand(&self) -> &Receiver<T> {
        self
    }
}

impl<T> SelectSend<T> for Sender<T> {
    #[inline(always)]
    fn operand(&self) -> &Sender<T> {
        self
    }
}

#[diagnostic::do_not_recommend]
impl<T, D: Deref<Target: SelectRecv<T>> + ?Sized> SelectRecv<T> for D {
    #[inline(always)]
    fn operand(&self) -> &Receiver<T> {
        (**self).operand()
    }
}

#[diagnostic::do_not_recommend]
impl<T, D: Deref<Target: SelectSend<T>> + ?Sized> SelectSend<T> for D {
    #[inline(always)]
    fn operand(&self) -> &Sender<T> {
        (**self).operand()
    }
}

/// Every type is the same as itself.
#[doc(hidden)]
pub trait Same<Q: ?Sized> {
    fn same(&self) -> &Q;
}

impl<Q: ?Sized> Same<Q> for Q {
    #[inline(always)]
    fn same(&self) -> &Q {
        self
    }
}

/// The channel of an arm.
#[doc(hidden)]
pub struct Operand<'a, C: ?Sized>(&'a C);

impl<'a, C: ?Sized> Operand<'a, C> {
    #[inline(always)]
    pub fn of(channel: &'a C) -> Operand<'a, C> {
        Operand(channel)
    }

    #[inline(always)]
    pub fn recv<T, Q>(self) -> &'a Receiver<T>
    where
        C: Same<Q>,
        Q: SelectRecv<T> + ?Sized + 'a,
    {
        self.0.same().operand()
    }

    #[inline(always)]
    pub fn send<T, Q>(self) -> &'a Sender<T>
    where
        C: Same<Q>,
        Q: SelectSend<T> + ?Sized + 'a,
    {
        self.0.same().operand()
    }
}

impl<C: ?Sized> fmt::Debug for Operand<'_, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad("Operand { .. }")
    }
}
