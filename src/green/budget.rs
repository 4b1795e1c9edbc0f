//! The cooperative budget: a green thread that never waits gives way after
//! [`COOP_BUDGET`](coop::COOP_BUDGET) operations.
//!
//! Each operation of this crate that returns without waiting is charged to the budget of its OS
//! thread: one decrement of a thread-local counter. The operation that uses the budget up first
//! lets the other ready green threads of the worker run. It does so *before* it has any effect,
//! with no lock of ours held.
//!
//! Two kinds of operation are charged, and differ in what a cancellation does there:
//!
//! - [`spend`]: an operation that waits when it has to (`recv`, `read`, `park`). Its budget's end
//!   is a wait like any other: a cancelled thread unwinds from it.
//! - [`poll_budget_quietly`]: a question (`is_finished`, `len`), a signal (`notify_all`, `unpark`),
//!   or a lock that was free. Code does not expect an unwinding there, so there is none; except
//!   that a cancelled thread that has given way [`MAX_QUIET_YIELDS`] times in a row, and still only
//!   asks, is unwound: otherwise its loop would never end.
//!
//! A destructor is not charged, nor is what only reads or changes data of the caller's own.

use std::panic::Location;

use super::context::coop;
use super::{WorkerContext, park};

/// How many times in a row a cancelled thread gives way in [`poll_budget_quietly`] before it is
/// unwound there.
const MAX_QUIET_YIELDS: u8 = 100;

/// Charges one operation that waits when it has to; may raise a cancellation.
#[inline(always)]
pub(crate) fn poll_budget(at: &'static Location<'static>) {
    if coop::charge() {
        used_up(at);
    }
}

/// Charges one operation that never waits; see the module's text for when a cancellation is raised.
#[inline(always)]
pub(crate) fn poll_budget_quietly(at: &'static Location<'static>) {
    if coop::charge() {
        used_up_quietly(at);
    }
}

/// The first half of [`poll_budget_quietly`] for a lock: gives way if the budget is used up, before
/// the lock is taken. The other half is [`charge_locked`].
#[inline(always)]
pub(crate) fn before_lock(at: &'static Location<'static>) {
    if coop::is_used_up() {
        used_up_quietly(at);
    }
}

/// Charges an operation that has just taken a lock. A store before the atomic operation that takes
/// it would have to reach the cache first; after it, it goes there together with what the caller
/// stores.
#[inline(always)]
pub(crate) fn charge_locked() {
    coop::charge_unseen();
}

impl WorkerContext {
    /// As [`spend`].
    #[inline(always)]
    pub(crate) fn poll_budget(&self, at: &'static Location<'static>) {
        poll_budget(at);
    }

    /// As [`spend`], for an operation that must come to its end: a cancellation is never raised.
    pub(super) fn poll_budget_shielded(&self, at: &'static Location<'static>) {
        if coop::charge() {
            coop::renew();
            park::yield_quietly(self, at);
        }
    }
}

#[cold]
#[inline(never)]
fn used_up(at: &'static Location<'static>) {
    coop::renew();
    // An OS thread, and a worker's own code, has nobody to give way to.
    if let Some(cx) = WorkerContext::get() {
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
