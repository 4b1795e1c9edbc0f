#![allow(unsafe_code, reason = "suspends the running fiber")]
//! The one place where a green thread waits.
//!
//! Everything that waits registers an [`Unparker`](super::unparker::Unparker) with whatever will make its
//! condition true, and then loops: look at the condition; [`park`]. A wake-up may be spurious or stale
//! (meant for an earlier wait), so the loop is not optional. A guard withdraws the registration on the
//! way out, because `park` may unwind: that is how a cancellation is raised.
//!
//! A cancelled green thread is told when it *enters* a wait: a condition that came true is never lost to a
//! cancellation that came with it. It is told again at each wait (level-triggered) until it has ended.
//! It is never raised in a thread that is unwinding already, which would abort the process: there a wait
//! either reports ([`OnCancel::Report`]) or goes on.
//!
//! K1. `park` and `yield_now` suspend the fiber that they run on: `Home::current` is that fiber's thread.

use std::panic::Location;

use super::home::Home;
use super::reason::Reason;
use super::unparker::OsThread;
use super::{Cancelled, Green, State};
use crate::sys::clock::{NEVER, Tick};

/// What a cancelled thread does at this wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OnCancel {
    /// Unwind; if it unwinds already, wait on.
    Raise,
    /// Unwind; if it unwinds already, return [`Wake::Cancelled`].
    Report,
    /// Wait on: what is waited for must be exact.
    Shield,
}

/// A wait: for an event that somebody will signal, for at most so long, unless cancelled.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wait {
    pub(crate) reason: Reason,
    pub(crate) at: &'static Location<'static>,
    pub(crate) deadline: Tick,
    pub(crate) on_cancel: OnCancel,
}

impl Wait {
    /// For an event alone, called for at the caller's caller.
    #[track_caller]
    #[inline(always)]
    pub(crate) fn new(reason: Reason) -> Wait {
        Wait {
            reason,
            at: Location::caller(),
            deadline: NEVER,
            on_cancel: OnCancel::Raise,
        }
    }

    #[inline(always)]
    pub(crate) fn until(self, deadline: Tick) -> Wait {
        Wait { deadline, ..self }
    }

    pub(crate) fn on_cancel(self, on_cancel: OnCancel) -> Wait {
        Wait { on_cancel, ..self }
    }
}

/// Why a wait has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wake {
    /// Somebody called `unpark`, for this wait or for an earlier one.
    Event,
    /// The deadline has passed (and perhaps the event has come as well).
    Elapsed,
    /// The thread is cancelled and unwinding ([`OnCancel::Report`] only).
    Cancelled,
}

/// Suspends the calling green thread, or blocks the calling OS thread, until a wake-up.
#[inline(always)]
pub(crate) fn park(wait: &Wait) -> Wake {
    match Home::get() {
        Some(home) => park_green(home, wait),
        None => park_os(wait),
    }
}

#[cold]
fn park_os(wait: &Wait) -> Wake {
    OsThread::current().park(wait)
}

#[inline(always)]
fn park_green(home: &Home, wait: &Wait) -> Wake {
    let green = home.current();
    if green.is_cancelled()
        && wait.on_cancel != OnCancel::Shield
        && raise(home, green)
        && wait.on_cancel == OnCancel::Report
    {
        return Wake::Cancelled;
    }
    if green.pending.replace(false) {
        return Wake::Event;
    }
    green.note(wait.reason, wait.at, home.now.get());
    green.deadline.set(wait.deadline);
    green.set_state(State::Parked);
    // SAFETY: K1.
    unsafe { green.suspend() };
    green.deadline.set(NEVER);
    if green.elapsed.replace(false) {
        Wake::Elapsed
    } else {
        Wake::Event
    }
}

/// Lets the other ready threads of this worker run first; on an OS thread, `std::thread::yield_now`.
#[inline(always)]
pub(crate) fn yield_now(at: &'static Location<'static>) {
    match Home::get() {
        Some(home) => yield_green(home, at),
        None => std::thread::yield_now(),
    }
}

#[inline(always)]
fn yield_green(home: &Home, at: &'static Location<'static>) {
    let green = home.current();
    if green.is_cancelled() {
        raise(home, green);
    }
    green.note(Reason::Yield, at, home.now.get());
    home.make_ready(green);
    // SAFETY: K1.
    unsafe { green.suspend() };
}

/// After so many raises that somebody caught, each is preceded by a turn for the others.
const PATIENCE: u32 = 100;

/// Unwinds a cancelled thread; returns true, with nothing done, if it may not be unwound now.
#[cold]
fn raise(home: &Home, green: &Green) -> bool {
    if std::thread::panicking() || green.shield.get() > 0 {
        return true;
    }
    let raises = green.raises.get().saturating_add(1);
    green.raises.set(raises);
    if raises > PATIENCE {
        home.make_ready(green);
        // SAFETY: K1.
        unsafe { green.suspend() };
    }
    std::panic::resume_unwind(Box::new(Cancelled(())))
}
