//! Switch points: the places where a simulation may let another thread run, although the running
//! one could go on. So races between threads that would run on two workers are found on one.
//!
//! The cooperative budget has them already: an operation that finds it used up yields before it has
//! an effect, with no lock of the library held (`budget.rs`). In a simulation the budget is always
//! used up. So each operation that is charged is a switch point, at no cost for it.
//!
//! Between two operations of a thread nothing happens that another thread could see, so one switch
//! point before each operation is enough. What a destructor releases (a lock, a permit, the end of
//! a channel) is an operation, too. One more switch point is where a lock has been taken: what the
//! lock guards may be the only thing that its holder touches.
//!
//! A thread that shares a `RefCell` with others of its worker may rely on destructors that do not
//! switch. So they are no switch points in a run that calls `spawn_local`, and never while the
//! thread unwinds.

use std::panic::Location;

use super::WorkerContext;
use super::context::coop;
use super::park::yield_quietly;
use crate::simulation;

/// Returns whether the budget of an operation that has found it used up really is, so that the
/// operation yields: always, unless a simulation runs. Then it may let another thread run.
///
/// `may_unwind`: see [`switch`].
pub(super) fn is_budget_used_up(
    cx: &WorkerContext,
    at: &'static Location<'static>,
    may_unwind: bool,
) -> bool {
    if !simulation::is_on() {
        return true;
    }
    coop::use_up();
    if simulation::count_charge() {
        return true;
    }
    switch(cx, at, may_unwind);
    false
}

/// Lets another thread run, if a simulation runs and chooses one.
#[inline(always)]
pub(crate) fn switch_point(at: &'static Location<'static>) {
    point(at, true);
}

/// Lets another thread run when a lock has been taken. It does not unwind: the guard that would
/// release the lock does not exist yet.
#[inline(always)]
pub(super) fn locked_point(at: &'static Location<'static>) {
    point(at, false);
}

#[inline(always)]
fn point(at: &'static Location<'static>, may_unwind: bool) {
    if simulation::is_on()
        && let Some(cx) = WorkerContext::get()
    {
        switch(cx, at, may_unwind);
    }
}

/// Lets another thread run before a destructor releases something that others can see.
#[inline(always)]
#[track_caller]
pub(crate) fn release_point() {
    if simulation::is_on() {
        release(Location::caller());
    }
}

#[cold]
fn release(at: &'static Location<'static>) {
    if !simulation::has_local_threads() {
        point(at, false);
    }
}

/// Lets another thread run, if the simulation chooses one.
///
/// If the run has passed too many switch points, the call panics, or yields to the end of the run
/// if it must not unwind (`may_unwind` is false): in a destructor, between a lock and its guard,
/// and in the wait for the threads of a scope, which borrow from the caller's frame.
#[cold]
#[inline(never)]
fn switch(cx: &WorkerContext, at: &'static Location<'static>, may_unwind: bool) {
    // Destructors run to their end: what they do is no part of what is tested.
    if std::thread::panicking() {
        return;
    }
    if !simulation::count_step() {
        assert!(
            !may_unwind,
            "livelock: this thread passes switch points and the run does not end"
        );
        return yield_quietly(cx, at);
    }
    let ready = cx.ready();
    if ready == 0 {
        return;
    }
    let ids = |index| cx.ready_at(index).map_or(0, |green| green.id().get());
    let mut threads = vec![cx.current().id().get()];
    threads.extend((0..ready).map(ids));
    if simulation::choose_at(&threads, at) != 0 {
        yield_quietly(cx, at);
    }
}
