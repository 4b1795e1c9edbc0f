#![allow(unsafe_code, reason = "suspends the running fiber")]
//! The one place where a green thread waits.
//!
//! A waiter registers an [`Unparker`](super::unparker::Unparker) with the object that will make its
//! condition true, and then loops: check the condition; [`park`]. A wake-up may be spurious or
//! stale (meant for an earlier wait), so the loop is not optional. A guard withdraws the
//! registration on the way out, because `park` may unwind: that is how a cancellation is raised.
//!
//! A cancelled green thread observes the cancellation when it *enters* a wait, so a condition that
//! became true is never lost to a cancellation that arrived with it. The cancellation is raised
//! again at each wait (level-triggered) until the thread has ended. In a thread that is already
//! unwinding it must not leave the destructor that waits, because that would abort the process:
//! there a wait either reports the cancellation ([`OnCancel::Report`]) or continues. Only a scope
//! that this destructor has opened, and so catches the unwinding inside of it, is raised
//! ([`Scopes::of_destructor`]). std knows whether a thread unwinds; `panic_count.rs` makes its
//! answer exact for each green thread.
//!
//! `cancel/mod.rs` and `cancel/scopes.rs` decide what cancels, the thread itself or a scope around
//! the call, and how far the cancellation unwinds. Deadlines of scopes are enforced here: a wait
//! within a scope is woken at the earlier of the wait's own deadline and the scope's. If it is the
//! scope's, the wait ends like a spurious wake-up; the caller checks its condition once more and
//! observes the cancellation when it enters the next wait. If both deadlines have passed, the wait
//! reports `Elapsed`, and the scope's cancellation is raised at the next wait.
//!
//! K1. `park` and `yield_now` suspend the fiber that they run on: `WorkerContext::current` is that
//!     fiber's thread.

use std::panic::Location;
use std::sync::PoisonError;
use std::thread::panicking;
use std::time::Duration;

use super::cancel::payload::UnwindGuard;
use super::cancel::scopes::{Cause, Scopes};
use super::cancel::{assert_unwinding, with_os_thread_scopes};
use super::context::worker_context::WorkerContext;
use super::fiber::panic_count;
use super::hooks;
use super::os_thread::OsThread;
use super::reason::Reason;
use super::{Cancelled, State, ThreadInner};
#[cfg(feature = "testing")]
use crate::simulation;
use crate::sys::clock::{self, NEVER, Tick};

/// The reaction of a cancelled thread at a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OnCancel {
    /// Unwind; if the thread already unwinds, continue to wait.
    Unwind,
    /// Unwind; if the thread already unwinds, return [`Wake::Cancelled`].
    Report,
    /// Continue to wait: the result of the wait must be exact.
    Shield,
    /// Return [`Wake::Cancelled`] where `Unwind` would unwind: the caller first settles whether the
    /// awaited event has occurred, then calls [`unwind_if_cancelled`]. If the thread already
    /// unwinds, continue to wait.
    Defer,
}

/// A wait for an event that another thread will signal, with an optional deadline. One `Wait`
/// serves a whole operation, however often the operation parks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wait {
    pub(crate) reason: Reason,
    pub(crate) at: &'static Location<'static>,
    pub(crate) deadline: Tick,
    pub(crate) on_cancel: OnCancel,
    /// The object of the wait, for dumps and deadlock reports: see `ThreadInner::subject`.
    pub(crate) subject: usize,
}

impl Wait {
    /// Creates a wait without a deadline, located at the caller's caller.
    #[track_caller]
    #[inline(always)]
    pub(crate) fn new(reason: Reason) -> Wait {
        Wait::at(reason, Location::caller())
    }

    /// Creates a wait without a deadline.
    #[inline(always)]
    pub(crate) fn at(reason: Reason, at: &'static Location<'static>) -> Wait {
        Wait {
            reason,
            at,
            deadline: NEVER,
            on_cancel: OnCancel::Unwind,
            subject: 0,
        }
    }

    /// Sets the object of the wait: see `ThreadInner::subject`.
    #[inline(always)]
    pub(crate) fn on(self, subject: usize) -> Wait {
        Wait { subject, ..self }
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
    /// Another thread called `unpark`, for this wait or for an earlier one.
    Event,
    /// The deadline has passed (and perhaps the event has occurred as well).
    Elapsed,
    /// The thread is cancelled, and is unwinding already ([`OnCancel::Report`]) or must be unwound
    /// by the caller ([`OnCancel::Defer`]).
    Cancelled,
}

/// Suspends the calling green thread, or blocks the calling OS thread, until a wake-up.
#[inline(always)]
pub(crate) fn park(wait: &Wait) -> Wake {
    match WorkerContext::get() {
        Some(cx) => park_green(cx, wait),
        None => park_os(wait),
    }
}

#[cold]
fn park_os(wait: &Wait) -> Wake {
    OsThread::current().park(wait)
}

impl OsThread {
    /// Blocks the calling OS thread, which must be `self`.
    pub(crate) fn park(&self, wait: &Wait) -> Wake {
        let until = match check_cancel_os(wait) {
            Ok(limit) => limit.until,
            Err(wake) => return wake,
        };
        let mut parking = self.parking.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if std::mem::take(&mut parking.woken) {
                return Wake::Event;
            }
            if until == NEVER {
                // A future may wait for a socket or a time, which needs no other thread.
                if wait.reason != Reason::Future {
                    parking.count();
                }
                parking = self
                    .wakes
                    .wait(parking)
                    .unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            let left = until.saturating_sub(clock::now());
            if left == 0 {
                // If the deadline is a scope's and not the wait's own, the caller checks its
                // condition, and the cancellation is raised at its next wait.
                return match until == wait.deadline {
                    true => Wake::Elapsed,
                    false => Wake::Event,
                };
            }
            let left = Duration::from_nanos(left);
            let waited = self.wakes.wait_timeout(parking, left);
            parking = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

#[inline(always)]
fn park_green(cx: &WorkerContext, wait: &Wait) -> Wake {
    let green = cx.current();
    let mut deadline = wait.deadline;
    if green.needs_attention() {
        match check_cancel(cx, green, wait) {
            CancelCheck::Until(earlier) => deadline = earlier,
            CancelCheck::Cancelled => return Wake::Cancelled,
        }
        if cx.has_ambient() || green.is_hooked() {
            return park_aside(cx, wait, deadline);
        }
    }
    park_until(cx, wait, deadline)
}

/// Parks a thread that has entered something which it must leave meanwhile, or that has hooks.
#[cold]
#[inline(never)]
fn park_aside(cx: &WorkerContext, wait: &Wait, deadline: Tick) -> Wake {
    cx.has_parked_aside.set(false);
    let wake = aside(cx, || {
        if cx.has_parked_aside.get() {
            // A hook has parked, and may have consumed the wake-up.
            return Wake::Event;
        }
        park_until(cx, wait, deadline)
    });
    cx.has_parked_aside.set(true);
    wake
}

/// Calls `f`, which suspends the running thread, without what the thread has entered, and between
/// the calls of its hooks.
fn aside<R>(cx: &WorkerContext, f: impl FnOnce() -> R) -> R {
    let suspended = || {
        // Other threads use these meanwhile.
        let has_parked = cx.has_parked_aside.get();
        let depth = cx.hook_depth.replace(0);
        let result = f();
        cx.hook_depth.set(depth);
        cx.has_parked_aside.set(has_parked);
        result
    };
    cx.without_ambient(|| {
        let depth = cx.hook_depth.get();
        if !cx.current().is_hooked() || depth >= MAX_HOOK_DEPTH {
            return suspended();
        }
        cx.hook_depth.set(depth + 1);
        let result = hooks::around(suspended);
        cx.hook_depth.set(depth);
        result
    })
}

/// How often waits of hooks within waits of hooks call the hooks again. Hooks that always wait
/// would do so without end.
const MAX_HOOK_DEPTH: u8 = 8;

/// Parks until `deadline` at the latest.
#[inline(always)]
fn park_until(cx: &WorkerContext, wait: &Wait, deadline: Tick) -> Wake {
    let green = cx.current();
    if green.pending.replace(false) {
        return Wake::Event;
    }
    green.note_wait(wait.reason, wait.at, wait.subject, cx.moment());
    green.set_deadline(deadline);
    green.set_state(State::Parked);
    suspend(green);
    green.set_deadline(NEVER);
    if green.elapsed.replace(false) {
        elapsed(cx, wait)
    } else {
        Wake::Event
    }
}

/// Decides whether the deadline that has passed is the wait's own or a scope's. The worker has read
/// the clock and found one of them in the past.
#[inline]
fn elapsed(cx: &WorkerContext, wait: &Wait) -> Wake {
    // The context's time runs ahead of a virtual clock, which stands still.
    #[cfg(feature = "testing")]
    let now = if simulation::is_on() {
        clock::now()
    } else {
        cx.now.get()
    };
    #[cfg(not(feature = "testing"))]
    let now = cx.now.get();
    if wait.deadline <= now {
        Wake::Elapsed
    } else {
        Wake::Event
    }
}

/// Result of the check for cancellation at the start of a wait.
enum CancelCheck {
    /// The wait proceeds, until this deadline at the latest.
    Until(Tick),
    /// The wait ends as [`Wake::Cancelled`].
    Cancelled,
}

/// Checks for causes that end the wait, and unwinds if one applies.
// Returns before the switch, so it may be a call of its own: no return through it follows a
// suspension.
#[cold]
fn check_cancel(cx: &WorkerContext, green: &ThreadInner, wait: &Wait) -> CancelCheck {
    if wait.on_cancel == OnCancel::Shield {
        return CancelCheck::Until(wait.deadline);
    }
    let unwinds = panicking();
    let destructor = unwinds.then(|| green.scopes.of_destructor()).flatten();
    let mut deadline = wait.deadline;
    if let Some(scopes) = destructor {
        match scopes.cause() {
            Some(_) if wait.on_cancel == OnCancel::Defer => return CancelCheck::Cancelled,
            Some(cause) => unwind_cancelled(cx, green, &cause),
            None => deadline = deadline.min(scopes.next()),
        }
    }
    let until = CancelCheck::Until(deadline);
    let can_end = match wait.on_cancel {
        OnCancel::Report => true,
        OnCancel::Unwind | OnCancel::Defer | OnCancel::Shield => !unwinds,
    };
    match green.cause() {
        None if can_end => CancelCheck::Until(green.scopes.next().min(deadline)),
        Some(cause) if !unwinds && wait.on_cancel != OnCancel::Defer => {
            unwind_cancelled(cx, green, &cause)
        }
        Some(_) if can_end => CancelCheck::Cancelled,
        // Perhaps the thread does not unwind, and `panicking()` is only inexact.
        _ if !panic_count::is_exact() => {
            CancelCheck::Until(deadline.min(clock::now().saturating_add(CANCEL_POLL_EVERY_NS)))
        }
        _ => until,
    }
}

/// Does the same as [`check_cancel`] on an OS thread. Returns how long to wait, or how the wait
/// ends.
///
/// # Errors
///
/// The wait ends before it begins.
pub(crate) fn check_cancel_os(wait: &Wait) -> Result<OsLimit, Wake> {
    let unwinds = panicking();
    let mut until = wait.deadline;
    let mut is_flagged = false;
    if unwinds && wait.on_cancel != OnCancel::Shield {
        let limit = with_os_thread_scopes(|scopes| {
            let scopes = scopes.of_destructor()?;
            let cause = scopes.cause();
            Some((cause.map(|cause| cause.payload(None)), scopes.next()))
        });
        match limit {
            Some((Some(_), _)) if wait.on_cancel == OnCancel::Defer => return Err(Wake::Cancelled),
            Some((Some(payload), _)) => unwind(payload),
            Some((None, next)) => {
                until = until.min(next);
                is_flagged = with_os_thread_scopes(Scopes::is_flagged);
            }
            None => {}
        }
    }
    let can_end = match wait.on_cancel {
        OnCancel::Shield => false,
        OnCancel::Report => true,
        OnCancel::Unwind | OnCancel::Defer => !unwinds,
    };
    if !can_end {
        return Ok(OsLimit { until, is_flagged });
    }
    let limit = with_os_thread_scopes(|scopes| match scopes.cause(false) {
        None => Ok(OsLimit {
            until: scopes.next().min(until),
            is_flagged: scopes.is_flagged(),
        }),
        Some(_) if unwinds || wait.on_cancel == OnCancel::Defer => Err(None),
        Some(cause) => Err(Some(cause.payload(Some(UnwindGuard::on_os_thread())))),
    });
    match limit {
        Ok(limit) => Ok(limit),
        Err(None) => Err(Wake::Cancelled),
        Err(Some(payload)) => unwind(payload),
    }
}

/// How long an OS thread may wait.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OsLimit {
    pub(crate) until: Tick,
    /// A flag may end the wait; the thread that sets the flag unparks this one.
    pub(crate) is_flagged: bool,
}

/// How often a cancellation is polled for where an `unpark` does not interrupt the wait, in ns.
pub(crate) const CANCEL_POLL_EVERY_NS: Tick = 10_000_000;

impl OsLimit {
    /// Returns the deadline for a wait that an `unpark` does not interrupt; afterwards the caller
    /// asks for the limit again.
    pub(crate) fn recheck(&self) -> Tick {
        if self.is_flagged {
            self.until
                .min(clock::now().saturating_add(CANCEL_POLL_EVERY_NS))
        } else {
            self.until
        }
    }
}

/// Returns whether a scope may end the waits of the calling OS thread early.
pub(crate) fn is_limited_os() -> bool {
    with_os_thread_scopes(|scopes| scopes.next() != NEVER || scopes.is_flagged())
}

#[inline(always)]
fn suspend(green: &ThreadInner) {
    if panicking() {
        suspend_unwinding(green);
    } else {
        // SAFETY: K1.
        unsafe { green.suspend() };
    }
}

/// A call of its own, so that the common case saves no state across the switch.
#[cold]
#[inline(never)]
fn suspend_unwinding(green: &ThreadInner) {
    let aside = panic_count::set_aside();
    // SAFETY: K1.
    unsafe { green.suspend() };
    panic_count::put_back(aside);
}

/// Lets the other ready threads of this worker run first; on an OS thread, calls
/// `std::thread::yield_now`.
#[inline(always)]
pub(crate) fn yield_now(at: &'static Location<'static>) {
    match WorkerContext::get() {
        Some(cx) => yield_green(cx, at),
        None => {
            unwind_if_cancelled();
            std::thread::yield_now();
        }
    }
}

#[inline(always)]
fn yield_green(cx: &WorkerContext, at: &'static Location<'static>) {
    let green = cx.current();
    if green.needs_attention() {
        return yield_attentive(cx, at);
    }
    requeue(cx, green, at);
}

/// Yields in a thread that may be cancelled, has entered something which it must leave meanwhile,
/// or has hooks.
#[cold]
#[inline(never)]
fn yield_attentive(cx: &WorkerContext, at: &'static Location<'static>) {
    unwind_if_due(cx, cx.current());
    yield_quietly(cx, at);
}

/// Moves the running thread to the end of the run queue.
#[inline(always)]
fn requeue(cx: &WorkerContext, green: &ThreadInner, at: &'static Location<'static>) {
    green.note(Reason::Yield, at, cx.moment());
    cx.make_ready(green);
    suspend(green);
}

/// Like [`yield_now`], but never raises a cancellation.
#[cold]
pub(super) fn yield_quietly(cx: &WorkerContext, at: &'static Location<'static>) {
    aside(cx, || requeue(cx, cx.current(), at));
}

/// Raises a cancellation if the calling thread is cancelled and may be unwound. For operations that
/// have completed their wait and prefer not to hand the result to a thread that is ending.
pub(crate) fn unwind_if_cancelled() {
    let Some(cx) = WorkerContext::get() else {
        return unwind_if_due_os();
    };
    if cx.current().needs_attention() {
        unwind_if_due(cx, cx.current());
    }
}

#[cold]
fn unwind_if_due_os() {
    let payload = with_os_thread_scopes(|scopes| {
        if panicking() {
            return Some(scopes.of_destructor()?.cause()?.payload(None));
        }
        let cause = scopes.cause(false)?;
        Some(cause.payload(Some(UnwindGuard::on_os_thread())))
    });
    if let Some(payload) = payload {
        unwind(payload);
    }
}

#[cold]
fn unwind_if_due(cx: &WorkerContext, green: &ThreadInner) {
    let cause = match panicking() {
        false => green.cause(),
        true => green
            .scopes
            .of_destructor()
            .and_then(|scopes| scopes.cause()),
    };
    if let Some(cause) = cause {
        unwind_cancelled(cx, green, &cause);
    }
}

/// After this many raises that were caught, the thread yields before each further one.
const MAX_PROMPT_UNWINDS: u32 = 100;

/// Unwinds a cancelled thread up to the boundary that `cause` names.
#[cold]
fn unwind_cancelled(cx: &WorkerContext, green: &ThreadInner, cause: &Cause<'_>) -> ! {
    let cancel_count = green.cancel_count.get().saturating_add(1);
    green.cancel_count.set(cancel_count);
    if cancel_count > MAX_PROMPT_UNWINDS {
        aside(cx, || {
            cx.make_ready(green);
            suspend(green);
        });
    }
    // A destructor's scope leaves alone what the thread unwinds with.
    let guard = (!panicking()).then(|| UnwindGuard::new(green, cancel_count));
    unwind(cause.payload(guard))
}

#[cold]
fn unwind(payload: Box<Cancelled>) -> ! {
    // Without unwinding nothing can be cancelled, and every call that could cancel refuses; so this
    // check never fires.
    assert_unwinding("a cancellation");
    std::panic::resume_unwind(payload)
}
