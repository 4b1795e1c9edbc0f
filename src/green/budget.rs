//! The cooperative budget: a green thread that never waits yields after 128 operations, or 1,024
//! locks that were free (`context/coop.rs`).
//!
//! Each operation of this crate that returns without waiting is charged to the budget of its OS
//! thread: one subtraction from a thread-local counter. The operation that uses the budget up first
//! lets the other ready green threads of the worker run. It does so *before* it has any effect,
//! with no lock of this crate held.
//!
//! Two kinds of operation are charged, and differ in how they handle a cancellation:
//!
//! - [`poll_budget`]: an operation that waits when it has to (`recv`, `read`, `park`). When the
//!   budget is used up, it yields in a wait like any other: a cancelled thread unwinds from it.
//! - [`poll_budget_quietly`]: a query (`is_finished`, `len`), a signal (`notify_all`, `unpark`), or
//!   a lock that was free. Code does not expect an unwinding there, so there is none; except that a
//!   cancelled thread that has yielded [`MAX_QUIET_YIELDS`] times in a row, and still only calls
//!   operations of this kind, is unwound: otherwise its loop would never end.
//!
//! A poll of a future is charged as well, but it never yields ([`poll_or_wake`]): its caller may
//! hold a lock of std, as HTTP/2 does of the crate h2. When the budget is used up, the poll returns
//! `Pending` and wakes its task, as in tokio, and `block_on` yields between two polls.
//!
//! A destructor is not charged, nor is an operation that only reads or changes the caller's own
//! data.

use std::panic::Location;
use std::task::{Context, Poll};

use super::context::coop;
#[cfg(feature = "testing")]
use super::switch_point;
use super::{WorkerContext, park};

/// How many times in a row a cancelled thread yields in [`poll_budget_quietly`] before it is
/// unwound there.
const MAX_QUIET_YIELDS: u8 = 100;

/// Charges one operation that waits when it has to; may raise a cancellation.
#[inline(always)]
pub(crate) fn poll_budget(at: &'static Location<'static>) {
    if coop::charge() {
        used_up(at);
    }
}

/// Charges one operation that never waits; the module documentation says when it raises a
/// cancellation.
#[inline(always)]
pub(crate) fn poll_budget_quietly(at: &'static Location<'static>) {
    if coop::charge() {
        used_up_quietly(at);
    }
}

/// Charges one poll of a future. If the budget of a green thread is used up, wakes the task and
/// returns `Pending`; the task then gives way, and polls again.
#[inline(always)]
pub(crate) fn poll_or_wake(context: &Context<'_>) -> Poll<()> {
    match coop::charge_poll() {
        true => used_up_in_poll(context),
        false => Poll::Ready(()),
    }
}

#[cold]
#[inline(never)]
fn used_up_in_poll(context: &Context<'_>) -> Poll<()> {
    // On an OS thread, and in a worker's own code, there is no other thread to yield to.
    if WorkerContext::get().is_none() {
        coop::renew();
        return Poll::Ready(());
    }
    // In a simulation the budget is always used up.
    #[cfg(feature = "testing")]
    if crate::simulation::is_on() {
        return Poll::Ready(());
    }
    context.waker().wake_by_ref();
    Poll::Pending
}

/// Yields if the budget is used up, before a lock is taken: the first half of
/// [`poll_budget_quietly`] for a lock. The other half is [`charge_locked`].
#[inline(always)]
pub(crate) fn before_lock(at: &'static Location<'static>) {
    if coop::is_used_up() {
        used_up_quietly(at);
    }
}

/// Charges an operation that has just taken a lock. A store before the atomic operation that takes
/// it would have to reach the cache first; after it, it goes there together with the caller's
/// stores.
#[inline(always)]
pub(crate) fn charge_locked(at: &'static Location<'static>) {
    coop::charge_lock();
    // A thread that tries the lock sees it held only if its holder is interrupted here.
    #[cfg(feature = "testing")]
    switch_point::locked_point(at);
    let _: &Location<'_> = at;
}

impl WorkerContext {
    /// Calls [`poll_budget`].
    #[inline(always)]
    pub(crate) fn poll_budget(&self, at: &'static Location<'static>) {
        poll_budget(at);
    }

    /// Like [`poll_budget`], for an operation that must complete: it never unwinds.
    pub(super) fn poll_budget_shielded(&self, at: &'static Location<'static>) {
        if coop::charge() {
            coop::renew();
            #[cfg(feature = "testing")]
            if !switch_point::is_budget_used_up(self, at, false) {
                return;
            }
            park::yield_quietly(self, at);
        }
    }
}

#[cold]
#[inline(never)]
fn used_up(at: &'static Location<'static>) {
    coop::renew();
    // On an OS thread, and in a worker's own code, there is no other thread to yield to.
    if let Some(cx) = WorkerContext::get() {
        #[cfg(feature = "testing")]
        if !switch_point::is_budget_used_up(cx, at, true) {
            return;
        }
        cx.exchanges.set(cx.exchanges.get().wrapping_add(1));
        park::yield_now(at);
    }
}

#[cold]
#[inline(never)]
fn used_up_quietly(at: &'static Location<'static>) {
    coop::renew();
    let Some(cx) = WorkerContext::get() else {
        return;
    };
    #[cfg(feature = "testing")]
    if !switch_point::is_budget_used_up(cx, at, true) {
        return;
    }
    let green = cx.current();
    if green.needs_attention() && green.cause().is_some() {
        let turns = green.quiet_yields.get() + 1;
        if turns >= MAX_QUIET_YIELDS {
            green.quiet_yields.set(0);
            return park::yield_now(at);
        }
        green.quiet_yields.set(turns);
    } else {
        green.quiet_yields.set(0);
    }
    park::yield_quietly(cx, at);
}
