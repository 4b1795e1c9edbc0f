//! The counter of the cooperative budget; `budget.rs` says what is charged, and what happens when
//! it is used up.

use std::cell::Cell;

/// The budget that an operation takes, in units. A lock that was free takes one: where threads of
/// several workers contend for it, each yield lets the next waiter of the worker retry, so that
/// more of them wake each other.
const OPERATION: i32 = 8;
/// How much a thread may do before it yields, in units: 128 operations that did not have to wait.
pub(super) const COOP_BUDGET: i32 = 128 * OPERATION;

thread_local! {
    /// The remaining units until the next yield. One counter for each OS thread, whatever runs
    /// on it: that costs two instructions, and no check of what runs.
    static REMAINING: Cell<i32> = const { Cell::new(COOP_BUDGET) };
}

/// Replaces the OS thread's budget and returns the old one. Each worker has its own budget, so that
/// earlier work of other code does not decide where its threads yield.
pub(super) fn exchange(left: i32) -> i32 {
    REMAINING.replace(left)
}

/// Charges one operation. Returns true if the budget is used up.
#[inline(always)]
pub(crate) fn charge() -> bool {
    let left = REMAINING.get() - OPERATION;
    REMAINING.set(left);
    left <= 0
}

/// Charges one poll of a future. Returns true if it should give up its turn: the budget is used up,
/// and the last poll was not refused for that. So a loop that polls by hand, and never yields,
/// makes progress in every second poll.
#[inline(always)]
pub(crate) fn charge_poll() -> bool {
    let left = REMAINING.get() - OPERATION;
    let was_refused = left <= -OPERATION;
    REMAINING.set(if was_refused { OPERATION } else { left });
    left <= 0 && !was_refused
}

/// Returns whether the budget is used up.
#[inline(always)]
pub(crate) fn is_used_up() -> bool {
    REMAINING.get() <= 0
}

/// Charges one lock that was free without checking what is left.
#[inline(always)]
pub(crate) fn charge_lock() {
    REMAINING.set(REMAINING.get() - 1);
}

/// Starts a new budget.
#[inline(always)]
pub(crate) fn renew() {
    REMAINING.set(COOP_BUDGET);
}

/// Makes the next operation find the budget used up: in a simulation each operation is a switch
/// point, and no operation has a branch of its own for that.
#[cfg(feature = "testing")]
pub(crate) fn use_up() {
    REMAINING.set(0);
}

/// Returns how many operations are left of the calling OS thread's budget.
pub(crate) fn remaining() -> i32 {
    REMAINING.get().div_euclid(OPERATION)
}
