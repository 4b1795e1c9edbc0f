#![allow(unsafe_code, reason = "a list through the stack frames of waiters")]
//! Cancel scopes: they end waits early, and bound how far a cancellation unwinds.
//!
//! `timeout`, `deadline`, `shield` and `scope_cancelling` each put a [`CancelScope`] on the
//! caller's stack and link it in front of those that are already open. The list starts in the
//! control block of a green thread, in a thread-local of an OS thread. Nothing is allocated, and a
//! thread without an open scope checks one flag in each wait, the one that `cancel` sets too
//! (`needs_attention` in `cancel/mod.rs`).
//!
//! **Which scope applies.** A wait looks from the innermost scope outwards, as far as the first
//! shield. Of the scopes that have elapsed or failed on the way the *outermost* counts: it will end
//! the others. Beyond the last scope, if no shield stood in the way, is the cancellation of the
//! thread itself, which takes precedence. A scope has elapsed when the clock has passed its
//! deadline, so no state is stored, and it stays elapsed: cancellation is level-triggered.
//!
//! **Which call catches.** The payload [`Cancelled`] carries the number of the scope that is due,
//! or none for the thread. `within` catches a payload with its own number, and lets everything else
//! pass. A number is assigned at the first raise and never reused in this process: a payload that
//! is kept, and thrown after its scope has ended, passes everywhere.
//!
//! **While a thread unwinds**, a wait in a destructor must not unwind out of that destructor. A
//! scope that the destructor itself has opened may still end the wait, because its `within` catches
//! the unwinding there. Such a scope knows how many panics of its thread were in flight when it was
//! opened ([`UnwindDepth`]). If as many are in flight at a wait, no frame between the two unwinds,
//! and the scope applies. Scopes further out do not.
//!
//! - **X1** A scope is in its thread's list exactly while its `within` runs `f`. Calls nest, and
//!   `within` catches every unwinding, so scopes leave in the reverse order, and any code that runs
//!   on that thread may read all of them. (A thread that never ends is leaked with its stack.) A
//!   coroutine of another crate can break the nesting: it is suspended inside a `within`, whose
//!   scope then stays in the list. So the end of each `within`, and of each green thread, checks
//!   the list, and aborts the process if it is not nested, before a scope in a frame that is gone
//!   is read.
//! - **X2** Only its own thread touches a list. A flag is written by other threads; it is borrowed
//!   for as long as `within` runs.
//! - **X3** `SCOPED` is set in the attention of a green thread whenever its list is not empty. The
//!   first wait that finds the list empty clears it, so that a loop of timeouts does not set and
//!   clear it all the time.

use std::any::Any;
use std::cell::Cell;
use std::num::NonZeroU64;
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::panicking;

use super::payload::{Cancelled, UnwindGuard};
use crate::green::fiber::panic_count;
use crate::green::ids::next_id;
use crate::sys::clock::{self, NEVER, Tick};
use crate::sys::exit;

/// How a scope affects the waits within it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum CancelLimit<'a> {
    /// Ends them at this time.
    Until(Tick),
    /// Ends them when this is true. The thread that sets it then wakes the waiter.
    Flag(&'a AtomicBool),
    /// Blocks cancellations from further out.
    Shield,
}

/// How many panics of a thread are in flight; a cancellation that unwinds counts as one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::green) struct UnwindDepth(u32);

impl UnwindDepth {
    /// The depth of a thread that does not unwind.
    const NONE: UnwindDepth = UnwindDepth(0);
    /// The depth of a thread that unwinds, but it is not known how often.
    const UNKNOWN: UnwindDepth = UnwindDepth(u32::MAX);

    /// Returns the depth of the calling thread. That costs some microseconds if it unwinds.
    #[inline(always)]
    fn current() -> UnwindDepth {
        match panicking() {
            false => UnwindDepth::NONE,
            true => panic_count::depth().map_or(UnwindDepth::UNKNOWN, UnwindDepth),
        }
    }

    fn is_known_unwinding(self) -> bool {
        self != UnwindDepth::NONE && self != UnwindDepth::UNKNOWN
    }
}

/// An open cancel scope; see the module documentation.
#[derive(Debug)]
pub(crate) struct CancelScope {
    pub(super) outer: *const CancelScope,
    deadline: Tick,
    /// Null if there is none.
    flag: *const AtomicBool,
    is_shield: bool,
    /// The earliest deadline of this scope and of those outside of it, up to a shield.
    next: Tick,
    /// Whether one of these scopes has a flag.
    is_flagged: bool,
    /// Whether this scope or any scope outside of it is a shield.
    is_sealed: bool,
    /// The depth of the thread when the scope was opened; `NONE` for a shield, which needs none.
    opened_at: UnwindDepth,
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
            opened_at: UnwindDepth::NONE,
            number: Cell::new(None),
        };
        match limit {
            CancelLimit::Until(deadline) => CancelScope {
                deadline,
                next: next.min(deadline),
                opened_at: UnwindDepth::current(),
                ..plain
            },
            CancelLimit::Flag(flag) => CancelScope {
                flag,
                is_flagged: true,
                opened_at: UnwindDepth::current(),
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

    /// Returns whether the scope was opened by a destructor while its thread unwound.
    pub(super) fn is_of_destructor(&self) -> bool {
        self.opened_at != UnwindDepth::NONE
    }

    fn has_ended(&self, now: Tick) -> bool {
        if self.deadline != NEVER {
            return self.deadline <= now;
        }
        // SAFETY: X2.
        let flag = unsafe { self.flag.as_ref() };
        // Acquire: pairs with the Release store of the flag, and so with the writes that preceded
        // it.
        flag.is_some_and(|flag| flag.load(Ordering::Acquire))
    }

    /// Returns whether `payload` was raised for this scope.
    pub(super) fn is_named_by(&self, payload: &(dyn Any + Send)) -> bool {
        self.number.get().is_some()
            && payload
                .downcast_ref::<Cancelled>()
                .is_some_and(|cancelled| cancelled.scope == self.number.get())
    }
}

/// The cause that ends a wait.
#[derive(Debug)]
pub(crate) enum Cause<'a> {
    Thread,
    Scope(&'a CancelScope),
}

impl Cause<'_> {
    /// Creates the payload to unwind with. It has no guard if the thread unwinds already: what the
    /// thread unwinds with remains the outer cause.
    pub(crate) fn payload(&self, raised: Option<UnwindGuard>) -> Box<Cancelled> {
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
            _guard: raised,
        })
    }
}

/// The scopes of one thread: a pointer to the innermost, or null.
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

    /// Returns the earliest deadline of the scopes up to the first shield.
    #[inline]
    pub(crate) fn next(&self) -> Tick {
        self.innermost().map_or(NEVER, |scope| scope.next)
    }

    /// Returns whether a flag may end a wait, which then has to be woken for it.
    pub(crate) fn is_flagged(&self) -> bool {
        self.innermost().is_some_and(|scope| scope.is_flagged)
    }

    /// Returns the innermost scope if it applies although the calling thread unwinds: a destructor
    /// has opened it, and no unwinding that began since is in flight.
    #[cold]
    pub(crate) fn of_destructor(&self) -> Option<DestructorScopes<'_>> {
        let innermost = self.innermost()?;
        (innermost.opened_at.is_known_unwinding() && innermost.opened_at == UnwindDepth::current())
            .then_some(DestructorScopes(innermost))
    }

    /// Returns the cause that ends the waits of this thread now. `cancelled`: the thread itself is.
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

/// The scopes that the destructor has opened which the thread is in: the innermost, and those
/// outside of it that were opened at the same depth.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DestructorScopes<'a>(&'a CancelScope);

impl<'a> DestructorScopes<'a> {
    fn iter(self) -> impl Iterator<Item = &'a CancelScope> {
        let first = (!self.0.is_shield).then_some(self.0);
        std::iter::successors(first, |scope| {
            // SAFETY: X1.
            let outer = unsafe { scope.outer.as_ref() }?;
            (!outer.is_shield && outer.opened_at == scope.opened_at).then_some(outer)
        })
    }

    /// Returns the outermost of them that has ended.
    pub(crate) fn cause(self) -> Option<Cause<'a>> {
        let now = clock::now();
        self.iter()
            .filter(|scope| scope.has_ended(now))
            .last()
            .map(Cause::Scope)
    }

    /// Returns their earliest deadline.
    pub(crate) fn next(self) -> Tick {
        self.iter()
            .map(|scope| scope.deadline)
            .min()
            .unwrap_or(NEVER)
    }
}

/// Reports that X1 does not hold: aborts before a link into a frame that is gone is followed.
#[cold]
#[inline(never)]
pub(in crate::green) fn not_nested() -> ! {
    exit::abort(format_args!(
        "a timeout, deadline, shield or scope_cancelling has ended while one that was entered later has not: \
         a coroutine of another crate was suspended inside such a call, and its thread went on"
    ))
}
