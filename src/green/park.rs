#![allow(unsafe_code, reason = "suspends the running fiber")]
//! The one place where a green thread waits.
//!
//! Everything that waits registers an [`Unparker`](super::unparker::Unparker) with whatever will
//! make its condition true, and then loops: look at the condition; [`park`]. A wake-up may be
//! spurious or stale (meant for an earlier wait), so the loop is not optional. A guard withdraws
//! the registration on the way out, because `park` may unwind: that is how a cancellation is
//! raised.
//!
//! A cancelled green thread is told when it *enters* a wait: a condition that came true is never
//! lost to a cancellation that came with it. It is told again at each wait (level-triggered) until
//! it has ended. It is never raised in a thread that is unwinding already, which would abort the
//! process: there a wait either reports ([`OnCancel::Report`]) or goes on. Whether a thread
//! unwinds, std knows: `panic_count.rs` makes its answer exact for each green thread.
//!
//! What cancels, the thread itself or a scope around the call, and how far it unwinds, `cancel.rs`
//! says. A scope with a deadline is seen to here: a wait within it is woken when the earlier of the
//! two has come, the wait's own or the scope's. If it is the scope's, the wait ends as by a wake-up
//! that means nothing; so its caller looks at its condition once more, and is told when it enters
//! the next. If both have come, the wait has elapsed, and the scope is told of at the next wait.
//!
//! K1. `park` and `yield_now` suspend the fiber that they run on: `WorkerContext::current` is that
//!     fiber's thread.

use std::panic::Location;
use std::sync::PoisonError;
use std::thread::panicking;
use std::time::Duration;

use super::cancel::payload::UnwindGuard;
use super::cancel::scopes::Cause;
use super::cancel::{assert_unwinding, of_os_thread};
use super::context::worker_context::WorkerContext;
use super::fiber::panic_count;
use super::os_thread::OsThread;
use super::reason::Reason;
use super::{Cancelled, State, ThreadInner};
use crate::sys::clock::{self, NEVER, Tick};

/// What a cancelled thread does at this wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OnCancel {
    /// Unwind; if it unwinds already, wait on.
    Unwind,
    /// Unwind; if it unwinds already, return [`Wake::Cancelled`].
    Report,
    /// Wait on: what is waited for must be exact.
    Shield,
    /// Return [`Wake::Cancelled`] where `Raise` would unwind: the caller first settles whether what
    /// it waits for has come, then calls [`unwind_if_cancelled`]. If it unwinds already, wait on.
    Defer,
}

/// A wait: for an event that somebody will signal, for at most so long, unless cancelled. One for
/// each operation, however often it parks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wait {
    pub(crate) reason: Reason,
    pub(crate) at: &'static Location<'static>,
    pub(crate) deadline: Tick,
    pub(crate) on_cancel: OnCancel,
    /// What is waited for, for dumps and deadlock reports: see `ThreadInner::subject`.
    pub(crate) subject: usize,
}

impl Wait {
    /// For an event alone, called for at the caller's caller.
    #[track_caller]
    #[inline(always)]
    pub(crate) fn new(reason: Reason) -> Wait {
        Wait::at(reason, Location::caller())
    }

    /// For an event alone.
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

    /// Names what is waited for: see `ThreadInner::subject`.
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
    /// Somebody called `unpark`, for this wait or for an earlier one.
    Event,
    /// The deadline has passed (and perhaps the event has come as well).
    Elapsed,
    /// The thread is cancelled, and unwinding ([`OnCancel::Report`]) or to be unwound
    /// ([`OnCancel::Defer`]).
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
    /// Blocks the calling OS thread, which is this one.
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
                parking.count();
                parking = self
                    .wakes
                    .wait(parking)
                    .unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            let left = until.saturating_sub(clock::now());
            if left == 0 {
                // If it is not its own deadline, the caller looks at its condition, and is told at
                // its next wait.
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
    }
    if green.pending.replace(false) {
        return Wake::Event;
    }
    let kind = (wait.reason, deadline != NEVER);
    green.note_wait(kind, wait.at, wait.subject, cx.moment());
    green.deadline.set(deadline);
    green.set_state(State::Parked);
    suspend(green);
    green.deadline.set(NEVER);
    if green.elapsed.replace(false) {
        elapsed(cx, wait)
    } else {
        Wake::Event
    }
}

/// Whose deadline it was that has passed: the worker has looked at the clock, and found one of them
/// behind.
#[inline]
fn elapsed(cx: &WorkerContext, wait: &Wait) -> Wake {
    if wait.deadline <= cx.now.get() {
        Wake::Elapsed
    } else {
        Wake::Event
    }
}

/// What a wait does that may be ended before its time.
enum CancelCheck {
    /// It waits, until this at the latest.
    Until(Tick),
    /// It ends as [`Wake::Cancelled`].
    Cancelled,
}

/// Looks at what may end the wait, and unwinds if something does.
// Returns before the switch, so it may be a call of its own: nobody returns through it after a
// suspension.
#[cold]
fn check_cancel(cx: &WorkerContext, green: &ThreadInner, wait: &Wait) -> CancelCheck {
    let until = CancelCheck::Until(wait.deadline);
    let unwinds = panicking();
    let can_end = match wait.on_cancel {
        OnCancel::Shield => return until,
        OnCancel::Report => true,
        OnCancel::Unwind | OnCancel::Defer => !unwinds,
    };
    match green.cause() {
        None if can_end => CancelCheck::Until(green.scopes.next().min(wait.deadline)),
        Some(cause) if !unwinds && wait.on_cancel != OnCancel::Defer => {
            unwind_cancelled(cx, green, &cause)
        }
        Some(_) if can_end => CancelCheck::Cancelled,
        // It may be that the thread does not unwind, and is only not known not to.
        _ if !panic_count::is_exact() => {
            CancelCheck::Until(wait.deadline.min(clock::now().saturating_add(LOOK_EVERY)))
        }
        _ => until,
    }
}

/// What [`check_cancel`] does on an OS thread. Gives until when to wait, or how the wait ends.
///
/// # Errors
///
/// The wait ends before it begins.
pub(crate) fn check_cancel_os(wait: &Wait) -> Result<OsLimit, Wake> {
    let unwinds = panicking();
    let can_end = match wait.on_cancel {
        OnCancel::Shield => false,
        OnCancel::Report => true,
        OnCancel::Unwind | OnCancel::Defer => !unwinds,
    };
    if !can_end {
        return Ok(OsLimit {
            until: wait.deadline,
            is_flagged: false,
        });
    }
    let limit = of_os_thread(|scopes| match scopes.cause(false) {
        None => Ok(OsLimit {
            until: scopes.next().min(wait.deadline),
            is_flagged: scopes.is_flagged(),
        }),
        Some(_) if unwinds || wait.on_cancel == OnCancel::Defer => Err(None),
        Some(cause) => Err(Some(cause.payload(UnwindGuard::on_os_thread()))),
    });
    match limit {
        Ok(limit) => Ok(limit),
        Err(None) => Err(Wake::Cancelled),
        Err(Some(payload)) => unwind(payload),
    }
}

/// Until when an OS thread may wait.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OsLimit {
    pub(crate) until: Tick,
    /// A flag may end the wait, and whoever sets it unparks the thread.
    pub(crate) is_flagged: bool,
}

/// How often a flag is looked at where nobody's unparking is noticed.
pub(crate) const LOOK_EVERY: Tick = 10_000_000;

impl OsLimit {
    /// Until when to wait for something that an `unpark` does not interrupt; then the limit is
    /// asked for again.
    pub(crate) fn look_again(&self) -> Tick {
        if self.is_flagged {
            self.until.min(clock::now().saturating_add(LOOK_EVERY))
        } else {
            self.until
        }
    }
}

/// Whether something may end the waits of the calling OS thread before their time.
pub(crate) fn is_limited_os() -> bool {
    of_os_thread(|scopes| scopes.next() != NEVER || scopes.is_flagged())
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

/// A call of its own, so that the usual case has nothing to remember across the switch.
#[cold]
#[inline(never)]
fn suspend_unwinding(green: &ThreadInner) {
    let aside = panic_count::set_aside();
    // SAFETY: K1.
    unsafe { green.suspend() };
    panic_count::put_back(aside);
}

/// Lets the other ready threads of this worker run first; on an OS thread,
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
    if green.needs_attention() && !panicking() {
        unwind_if_due(cx, green);
    }
    requeue(cx, green, at);
}

/// Goes to the end of the run queue.
#[inline(always)]
fn requeue(cx: &WorkerContext, green: &ThreadInner, at: &'static Location<'static>) {
    green.note(Reason::Yield, at, cx.moment());
    cx.make_ready(green);
    suspend(green);
}

/// As [`yield_now`], and raises nothing.
#[cold]
pub(super) fn yield_quietly(cx: &WorkerContext, at: &'static Location<'static>) {
    requeue(cx, cx.current(), at);
}

/// Raises a cancellation, if the calling thread is cancelled and may be unwound. For operations
/// that have found what they wait for, and would rather not give it to a thread that ends.
pub(crate) fn unwind_if_cancelled() {
    let Some(cx) = WorkerContext::get() else {
        return unwind_if_due_os();
    };
    if cx.current().needs_attention() && !panicking() {
        unwind_if_due(cx, cx.current());
    }
}

#[cold]
fn unwind_if_due_os() {
    if panicking() {
        return;
    }
    let payload = of_os_thread(|scopes| {
        let cause = scopes.cause(false)?;
        Some(cause.payload(UnwindGuard::on_os_thread()))
    });
    if let Some(payload) = payload {
        unwind(payload);
    }
}

#[cold]
fn unwind_if_due(cx: &WorkerContext, green: &ThreadInner) {
    if let Some(cause) = green.cause() {
        unwind_cancelled(cx, green, &cause);
    }
}

/// After so many raises that somebody caught, each is preceded by a turn for the others.
const MAX_PROMPT_UNWINDS: u32 = 100;

/// Unwinds a cancelled thread, up to where `due` says.
#[cold]
fn unwind_cancelled(cx: &WorkerContext, green: &ThreadInner, cause: &Cause<'_>) -> ! {
    let cancel_count = green.cancel_count.get().saturating_add(1);
    green.cancel_count.set(cancel_count);
    if cancel_count > MAX_PROMPT_UNWINDS {
        cx.make_ready(green);
        // SAFETY: K1.
        unsafe { green.suspend() };
    }
    unwind(cause.payload(UnwindGuard::new(green, cancel_count)))
}

#[cold]
fn unwind(payload: Box<Cancelled>) -> ! {
    // Without unwinding nothing can be cancelled, and nobody asks for it: the calls that would
    // refuse.
    assert_unwinding("a cancellation");
    std::panic::resume_unwind(payload)
}
