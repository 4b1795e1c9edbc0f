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
//! What cancels, the thread itself or a scope around the call, and how far it unwinds, `cancel.rs` says. A scope with a deadline
//! is seen to here: a wait within it is woken when the earlier of the two has come, the wait's own or the scope's. If it is the scope's,
//! the wait ends as by a wake-up that means nothing; so its caller looks at its condition once more, and is told
//! when it enters the next. If both have come, the wait has elapsed, and the scope is told of at the next wait.
//!
//! Whether a thread is unwinding, std tells for the OS thread only. While no green thread of the worker is
//! suspended in the middle of an unwinding, that is the running one; while some are, it is unknown for operations
//! that begin in that time. What was known when an operation began stays true for all its waits, because no
//! code of the user runs in between: so it is kept in the [`Wait`]. Where it is unknown the thread is not
//! unwound, and is told again when it can be known (`Home::tell_again`).
//!
//! A worker that is stepped by hand may be stepped, or dropped, by a destructor while the OS thread itself unwinds. Then std's
//! mark is set all the time, and a thread is taken to unwind if it was raised in, or was seen to before.
//!
//! K1. `park` and `yield_now` suspend the fiber that they run on: `Home::current` is that fiber's thread.

use std::cell::Cell;
use std::panic::Location;

use super::cancel::{self, Due, Raised, assert_unwinding, of_os_thread};
use super::home::Home;
use super::reason::Reason;
use super::unparker::OsThread;
use super::{Cancelled, Green, State};
use crate::sys::clock::{self, NEVER, Tick};

/// What a cancelled thread does at this wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OnCancel {
    /// Unwind; if it unwinds already, wait on.
    Raise,
    /// Unwind; if it unwinds already, return [`Wake::Cancelled`].
    Report,
    /// Wait on: what is waited for must be exact.
    Shield,
    /// Return [`Wake::Cancelled`] where `Raise` would unwind: the caller first settles whether what it waits for
    /// has come, then calls [`raise_if_cancelled`]. If it unwinds already, wait on.
    Defer,
}

/// Whether the thread was unwinding when its operation began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Temper {
    /// Nobody has asked yet.
    Unasked,
    Calm,
    Unwinding,
    /// Others of the worker are suspended while they unwind.
    Unknown,
}

/// A wait: for an event that somebody will signal, for at most so long, unless cancelled. One for each
/// operation, however often it parks.
#[derive(Debug)]
pub(crate) struct Wait {
    pub(crate) reason: Reason,
    pub(crate) at: &'static Location<'static>,
    pub(crate) deadline: Tick,
    pub(crate) on_cancel: OnCancel,
    temper: Cell<Temper>,
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
            on_cancel: OnCancel::Raise,
            temper: Cell::new(Temper::Unasked),
        }
    }

    #[inline(always)]
    pub(crate) fn until(self, deadline: Tick) -> Wait {
        Wait { deadline, ..self }
    }

    pub(crate) fn on_cancel(self, on_cancel: OnCancel) -> Wait {
        Wait { on_cancel, ..self }
    }

    /// What is known, asked once; asked again as long as it is unknown.
    #[inline(always)]
    fn temper(&self, home: &Home) -> Temper {
        match self.temper.get() {
            Temper::Unasked if !std::thread::panicking() => {
                self.temper.set(Temper::Calm);
                Temper::Calm
            }
            Temper::Unasked | Temper::Unknown => self.ask(home),
            known => known,
        }
    }

    #[cold]
    fn ask(&self, home: &Home) -> Temper {
        let temper = match (std::thread::panicking(), home.others_unwind()) {
            (false, _) => Temper::Calm,
            (true, true) => Temper::Unknown,
            // A worker stepped by a destructor: std's mark says nothing, what was seen of the thread decides.
            (true, false) if home.is_within_unwinding() && !home.current().has_unwound() => {
                Temper::Calm
            }
            (true, false) => Temper::Unwinding,
        };
        self.temper.set(temper);
        temper
    }
}

/// Why a wait has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wake {
    /// Somebody called `unpark`, for this wait or for an earlier one.
    Event,
    /// The deadline has passed (and perhaps the event has come as well).
    Elapsed,
    /// The thread is cancelled, and unwinding ([`OnCancel::Report`]) or to be unwound ([`OnCancel::Defer`]).
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
    let temper = wait.temper(home);
    let mut deadline = wait.deadline;
    if green.needs_attention() {
        match attend(home, green, wait, temper) {
            Attended::Until(earlier) => deadline = earlier,
            Attended::Cancelled => return Wake::Cancelled,
        }
    }
    if green.pending.replace(false) {
        return Wake::Event;
    }
    green.note(wait.reason, wait.at, home.moment());
    green.deadline.set(deadline);
    green.set_state(State::Parked);
    suspend(home, green, temper);
    green.deadline.set(NEVER);
    if green.elapsed.replace(false) {
        elapsed(home, wait)
    } else {
        Wake::Event
    }
}

/// Whose deadline it was that has passed: the worker has looked at the clock, and found one of them behind.
#[inline]
fn elapsed(home: &Home, wait: &Wait) -> Wake {
    if wait.deadline <= home.now.get() {
        Wake::Elapsed
    } else {
        Wake::Event
    }
}

/// What a wait does that may be ended before its time.
enum Attended {
    /// It waits, until this at the latest.
    Until(Tick),
    /// It ends as [`Wake::Cancelled`].
    Cancelled,
}

/// Looks at what may end the wait, and unwinds if something does.
// Returns before the switch, so it may be a call of its own: nobody returns through it after a suspension.
#[cold]
fn attend(home: &Home, green: &Green, wait: &Wait, temper: Temper) -> Attended {
    let until = Attended::Until(wait.deadline);
    let can_end = match wait.on_cancel {
        OnCancel::Shield => return until,
        OnCancel::Report => true,
        OnCancel::Raise | OnCancel::Defer => temper == Temper::Calm,
    };
    let Some(due) = green.due() else {
        let next = green.scopes.next();
        if can_end {
            return Attended::Until(next.min(wait.deadline));
        }
        if temper == Temper::Unknown && (next != NEVER || green.scopes.is_flagged()) {
            home.hold_off();
        }
        return until;
    };
    if temper == Temper::Calm && wait.on_cancel != OnCancel::Defer {
        raise(home, green, &due);
    }
    if can_end {
        return Attended::Cancelled;
    }
    if temper == Temper::Unknown {
        home.hold_off();
    }
    until
}

/// What [`attend`] does on an OS thread. Gives until when to wait, or how the wait ends.
///
/// # Errors
///
/// The wait ends before it begins.
pub(crate) fn attend_os(wait: &Wait) -> Result<OsLimit, Wake> {
    let unwinds = std::thread::panicking();
    let can_end = match wait.on_cancel {
        OnCancel::Shield => false,
        OnCancel::Report => true,
        OnCancel::Raise | OnCancel::Defer => !unwinds,
    };
    if !can_end {
        return Ok(OsLimit {
            until: wait.deadline,
            is_flagged: false,
        });
    }
    let limit = of_os_thread(|scopes| match scopes.due(false) {
        None => Ok(OsLimit {
            until: scopes.next().min(wait.deadline),
            is_flagged: scopes.is_flagged(),
        }),
        Some(_) if unwinds || wait.on_cancel == OnCancel::Defer => Err(None),
        Some(due) => Err(Some(due.payload(Raised::on_os_thread()))),
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
    /// Until when to wait for something that an `unpark` does not interrupt; then the limit is asked for again.
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
fn suspend(home: &Home, green: &Green, temper: Temper) {
    if temper == Temper::Calm {
        // SAFETY: K1.
        unsafe { green.suspend() };
    } else {
        suspend_unwinding(home, green, temper);
    }
}

/// A call of its own, so that the usual case has nothing to remember across the switch.
#[cold]
#[inline(never)]
fn suspend_unwinding(home: &Home, green: &Green, temper: Temper) {
    if green.raising.get() == 0 {
        green.unwound.set(true);
    }
    let era = home.suspended_unwinding();
    if temper == Temper::Unwinding {
        green.unwound_since.set(green.since());
    }
    // SAFETY: K1.
    unsafe { green.suspend() };
    home.resumed_unwinding(era);
}

/// Lets the other ready threads of this worker run first; on an OS thread, `std::thread::yield_now`.
#[inline(always)]
pub(crate) fn yield_now(at: &'static Location<'static>) {
    match Home::get() {
        Some(home) => yield_green(home, at),
        None => {
            raise_if_cancelled(&Wait::at(Reason::Yield, at));
            std::thread::yield_now();
        }
    }
}

#[inline(always)]
fn yield_green(home: &Home, at: &'static Location<'static>) {
    let green = home.current();
    if green.needs_attention() || std::thread::panicking() {
        return yield_attentively(home, green, at);
    }
    turn(home, green, at, Temper::Calm);
}

/// Of a thread that something may end, or on an OS thread that unwinds.
#[cold]
#[inline(never)]
fn yield_attentively(home: &Home, green: &Green, at: &'static Location<'static>) {
    let temper = Wait::at(Reason::Yield, at).temper(home);
    if green.needs_attention() && temper == Temper::Calm {
        raise_due(home, green);
    }
    turn(home, green, at, temper);
}

/// Goes to the end of the run queue.
#[inline(always)]
fn turn(home: &Home, green: &Green, at: &'static Location<'static>, temper: Temper) {
    green.note(Reason::Yield, at, home.moment());
    home.make_ready(green);
    suspend(home, green, temper);
}

/// As [`yield_now`], and raises nothing.
#[cold]
pub(super) fn give_way(home: &Home, at: &'static Location<'static>) {
    let temper = Wait::at(Reason::Yield, at).temper(home);
    turn(home, home.current(), at, temper);
}

/// Raises a cancellation, if the calling thread is cancelled and may be unwound. For operations that have found
/// what they wait for, and would rather not give it to a thread that ends.
pub(crate) fn raise_if_cancelled(wait: &Wait) {
    let Some(home) = Home::get() else {
        return raise_due_os();
    };
    if home.current().needs_attention() && wait.temper(home) == Temper::Calm {
        raise_due(home, home.current());
    }
}

#[cold]
fn raise_due_os() {
    if std::thread::panicking() {
        return;
    }
    let payload = of_os_thread(|scopes| {
        let due = scopes.due(false)?;
        Some(due.payload(Raised::on_os_thread()))
    });
    if let Some(payload) = payload {
        unwind(payload);
    }
}

#[cold]
fn raise_due(home: &Home, green: &Green) {
    if let Some(due) = green.due() {
        raise(home, green, &due);
    }
}

/// After so many raises that somebody caught, each is preceded by a turn for the others.
const PATIENCE: u32 = 100;

/// Unwinds a cancelled thread, up to where `due` says.
#[cold]
fn raise(home: &Home, green: &Green, due: &Due<'_>) -> ! {
    let raises = green.raises.get().saturating_add(1);
    green.raises.set(raises);
    if raises > PATIENCE {
        home.make_ready(green);
        // SAFETY: K1.
        unsafe { green.suspend() };
    }
    unwind(due.payload(Raised::new(green, raises)))
}

#[cold]
fn unwind(payload: Box<Cancelled>) -> ! {
    // Without unwinding nothing can be cancelled, and nobody asks for it: the calls that would refuse.
    assert_unwinding("a cancellation");
    std::panic::resume_unwind(payload)
}

/// Whether the calling thread unwinds, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unwinding {
    No,
    /// It panics.
    Panic,
    /// It is cancelled; or it was, and has kept the payload.
    Cancel,
    /// Another thread of the worker is suspended while it unwinds, or may be, or the worker is stepped by a destructor: no telling
    /// whether this one does too.
    Unknown,
}

/// Asks; for what may be wrong in the strangest cases, as poisoning. (Raising a cancellation may not, and asks [`Wait::temper`].)
///
/// `No` is always right, and so is every answer while no other thread of the worker is suspended in the middle of an unwinding, but for a thread
/// that has caught its cancellation, keeps the payload, and then panics: that is a `Cancel`. While others are:
///
/// - a thread that was known to unwind when it waited last is taken to do so still. It is a wrong `Panic` only if it has caught its panic and
///   has not waited since.
/// - else it is `Unknown`, until the worker has seen between two threads that nobody unwinds.
#[cold]
pub(crate) fn unwinding() -> Unwinding {
    if !std::thread::panicking() {
        return Unwinding::No;
    }
    let Some(home) = Home::get() else {
        return if cancel::os_thread_is_raising() {
            Unwinding::Cancel
        } else {
            Unwinding::Panic
        };
    };
    let green = home.current();
    if green.raising.get() != 0 {
        Unwinding::Cancel
    } else if green.unwound_since.get() == green.since()
        || !home.others_unwind() && !home.is_within_unwinding()
    {
        Unwinding::Panic
    } else {
        Unwinding::Unknown
    }
}

/// Whether the calling thread, which unwinds, does so because it is cancelled. Right but for the payload that is kept, as above.
pub(crate) fn unwinds_cancelled() -> bool {
    match Home::get() {
        Some(home) => home.current().raising.get() != 0,
        None => cancel::os_thread_is_raising(),
    }
}
