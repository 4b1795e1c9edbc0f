#![allow(unsafe_code, reason = "a list through the stacks of those who wait")]
//! Cancel scopes: what ends a wait before its time, and up to which call it unwinds.
//!
//! `timeout`, `deadline`, `shield` and `scope_cancelling` each put a [`CancelScope`] on the
//! caller's stack and link it in front of those that are open already. The list starts in the
//! control block of a green thread, in a thread-local of an OS thread. Nothing is allocated, and
//! threads without an open scope have one flag to look at in each wait, the one that `cancel` sets
//! too (`needs_attention` in `cancel.rs`).
//!
//! **What is due.** A wait looks from the innermost scope outwards, as far as the first shield. Of
//! the scopes that have elapsed or failed on the way the *outermost* counts: it will end the
//! others. Beyond the last scope, if no shield stood in the way, is the cancellation of the thread
//! itself, which counts most. A scope has elapsed when the clock has passed its deadline, so
//! nothing has to be kept, and it stays so: cancellation is level-triggered.
//!
//! **Who catches.** The payload [`Cancelled`] carries the number of the scope that is due, or none
//! for the thread. `within` catches what carries its own number, and lets everything else pass. A
//! number is given at the first raise and never again in this process: a payload that somebody
//! keeps, and throws where its scope is long gone, passes everywhere.
//!
//! - **X1** A scope is in its thread's list exactly while its `within` runs `f`. Calls nest, and
//!   `within` catches every unwinding, so scopes leave in the reverse order, and whoever runs on
//!   that thread may look at all of them. (A thread that never ends is leaked with its stack.) A
//!   coroutine of another crate can break the nesting: it is suspended inside a `within`, whose
//!   scope then stays in the list. So the end of each `within`, and of each green thread, looks
//!   whether the list is as it should be, and aborts the process if not, before the scope of a
//!   frame that has gone is looked at.
//! - **X2** Only its own thread touches a list. A flag is written from elsewhere; it is borrowed
//!   for as long as `within` runs.
//! - **X3** `SCOPED` is set in the attention of a green thread whenever its list is not empty. It
//!   is taken away by the first wait that finds the list empty, so that a loop of timeouts does not
//!   set and clear it all the time.

use std::any::Any;
use std::cell::Cell;
use std::num::NonZeroU64;
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};

use super::payload::{Cancelled, UnwindGuard};
use crate::green::ids::next_id;
use crate::sys::clock::{self, NEVER, Tick};
use crate::sys::exit;

/// What a scope does to the waits within it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum CancelLimit<'a> {
    /// It ends them when this moment has come.
    Until(Tick),
    /// It ends them when this is true. Who sets it then wakes the thread.
    Flag(&'a AtomicBool),
    /// It holds off what would end them from further out.
    Shield,
}

/// See the module's text.
#[derive(Debug)]
pub(crate) struct CancelScope {
    pub(super) outer: *const CancelScope,
    deadline: Tick,
    /// Null: none.
    flag: *const AtomicBool,
    is_shield: bool,
    /// The earliest deadline of this one and of those outside of it, up to a shield.
    next: Tick,
    /// Whether one of the same has a flag.
    is_flagged: bool,
    /// Whether one of all of them is a shield.
    is_sealed: bool,
    pub(super) number: Cell<Option<NonZeroU64>>,
}

impl CancelScope {
    pub(super) fn new(limit: CancelLimit<'_>, outer: *const CancelScope) -> CancelScope {
        // SAFETY: X1.
        let (next, is_flagged, is_sealed) = match unsafe { outer.as_ref() } {
            Some(outer) => (outer.next, outer.is_flagged, outer.is_sealed),
            None => (NEVER, false, false),
        };
        let plain = CancelScope {
            outer,
            deadline: NEVER,
            flag: ptr::null(),
            is_shield: false,
            next,
            is_flagged,
            is_sealed,
            number: Cell::new(None),
        };
        match limit {
            CancelLimit::Until(deadline) => CancelScope {
                deadline,
                next: next.min(deadline),
                ..plain
            },
            CancelLimit::Flag(flag) => CancelScope {
                flag,
                is_flagged: true,
                ..plain
            },
            CancelLimit::Shield => CancelScope {
                is_shield: true,
                next: NEVER,
                is_flagged: false,
                is_sealed: true,
                ..plain
            },
        }
    }

    fn has_ended(&self, now: Tick) -> bool {
        if self.deadline != NEVER {
            return self.deadline <= now;
        }
        // SAFETY: X2.
        let flag = unsafe { self.flag.as_ref() };
        // Acquire: pairs with the Release of whoever sets it, and so with what made it fail.
        flag.is_some_and(|flag| flag.load(Ordering::Acquire))
    }

    /// Whether `payload` was raised for this one.
    pub(super) fn is_named_by(&self, payload: &(dyn Any + Send)) -> bool {
        self.number.get().is_some()
            && payload
                .downcast_ref::<Cancelled>()
                .is_some_and(|cancelled| cancelled.scope == self.number.get())
    }
}

/// What ends a wait.
#[derive(Debug)]
pub(crate) enum Cause<'a> {
    Thread,
    Scope(&'a CancelScope),
}

impl Cause<'_> {
    /// What to unwind with.
    pub(crate) fn payload(&self, raised: UnwindGuard) -> Box<Cancelled> {
        let scope = match self {
            Cause::Thread => None,
            Cause::Scope(scope) => {
                let number = scope.number.get().unwrap_or_else(next_id);
                scope.number.set(Some(number));
                Some(number)
            }
        };
        Box::new(Cancelled {
            scope,
            _guard: Some(raised),
        })
    }
}

/// The scopes of one thread: the innermost, or null.
#[derive(Debug)]
pub(crate) struct Scopes(pub(super) Cell<*const CancelScope>);

impl Scopes {
    pub(crate) const fn new() -> Scopes {
        Scopes(Cell::new(ptr::null()))
    }

    #[inline]
    pub(super) fn innermost(&self) -> Option<&CancelScope> {
        // SAFETY: X1.
        unsafe { self.0.get().as_ref() }
    }

    /// When the first of those in view elapses.
    #[inline]
    pub(crate) fn next(&self) -> Tick {
        self.innermost().map_or(NEVER, |scope| scope.next)
    }

    /// Whether a wait may be ended by a flag, and so has to be woken for it.
    pub(crate) fn is_flagged(&self) -> bool {
        self.innermost().is_some_and(|scope| scope.is_flagged)
    }

    /// What ends the waits of this thread now. `cancelled`: the thread itself is.
    pub(crate) fn cause(&self, cancelled: bool) -> Option<Cause<'_>> {
        let Some(innermost) = self.innermost() else {
            return cancelled.then_some(Cause::Thread);
        };
        let now = match innermost.next {
            NEVER => 0,
            _ => clock::now(),
        };
        let from_outside = cancelled && !innermost.is_sealed;
        if innermost.next > now && !innermost.is_flagged && !from_outside {
            return None;
        }
        let mut cause = None;
        let mut scope = innermost;
        while !scope.is_shield {
            if scope.has_ended(now) {
                cause = Some(Cause::Scope(scope));
            }
            // SAFETY: X1.
            match unsafe { scope.outer.as_ref() } {
                Some(outer) => scope = outer,
                None if cancelled => return Some(Cause::Thread),
                None => break,
            }
        }
        cause
    }
}

/// X1 does not hold: aborts before anything follows a link into a frame that has gone.
#[cold]
#[inline(never)]
pub(super) fn not_nested() -> ! {
    exit::abort(format_args!(
        "a timeout, deadline, shield or scope_cancelling has ended while one that was entered later has not: \
         a coroutine of another crate was suspended inside such a call, and its thread went on"
    ))
}
