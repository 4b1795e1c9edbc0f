//! The counter of the cooperative budget; `budget.rs` says what is charged, and what comes when it
//! is used up.

use std::cell::Cell;

/// How many operations that did not have to wait come between two turns of the others.
pub(super) const COOP_BUDGET: i32 = 128;

thread_local! {
    /// What is left until the next turn. Of the OS thread, whatever runs on it: that costs two
    /// instructions, and no look at who runs.
    static LEFT: Cell<i32> = const { Cell::new(COOP_BUDGET) };
}

/// Puts another budget in the place of the OS thread's: each home has its own, so that what others
/// did before does not decide where its threads take turns.
pub(super) fn exchange(left: i32) -> i32 {
    LEFT.replace(left)
}

/// Charges one operation. True: the budget is used up.
#[inline(always)]
pub(crate) fn charge() -> bool {
    let left = LEFT.get() - 1;
    LEFT.set(left);
    left <= 0
}

/// Whether it is used up.
#[inline(always)]
pub(crate) fn is_used_up() -> bool {
    LEFT.get() <= 0
}

/// As [`charge`], without a look at what is left.
#[inline(always)]
pub(crate) fn charge_unseen() {
    LEFT.set(LEFT.get() - 1);
}

/// Starts a new budget.
#[inline(always)]
pub(crate) fn renew() {
    LEFT.set(COOP_BUDGET);
}

/// Returns what is left of the calling OS thread's budget.
pub(crate) fn left() -> i32 {
    LEFT.get()
}
