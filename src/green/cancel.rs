#![allow(unsafe_code, reason = "a list through the stacks of those who wait")]
//! Cancel scopes: what ends a wait before its time, and up to which call it unwinds.
//!
//! `timeout`, `deadline`, `shield` and `scope_cancelling` each put a [`CancelScope`] on the caller's stack and link it in
//! front of those that are open already. The list starts in the control block of a green thread, in a thread-local of an
//! OS thread. Nothing is allocated, and threads without an open scope have one flag to look at in each wait, the
//! one that `cancel` sets too ([`Green::needs_attention`]).
//!
//! **What is due.** A wait looks from the innermost scope outwards, as far as the first shield. Of the scopes that have
//! elapsed or failed on the way the *outermost* counts: it will end the others. Beyond the last scope, if no shield stood in
//! the way, is the cancellation of the thread itself, which counts most. A scope has elapsed when the clock has passed its deadline, so
//! nothing has to be kept, and it stays so: cancellation is level-triggered.
//!
//! **Who catches.** The payload [`Cancelled`] carries the number of the scope that is due, or none for the thread. `within`
//! catches what carries its own number, and lets everything else pass. A number is given at the first raise and
//! never again in this process: a payload that somebody keeps, and throws where its scope is long gone, passes everywhere.
//!
//! - **X1** A scope is in its thread's list exactly while its `within` runs `f`. Calls nest, and `within` catches
//!   every unwinding, so scopes leave in the reverse order, and whoever runs on that thread may look at all of them. (A thread
//!   that never ends is leaked with its stack.) A coroutine of another crate can break the nesting: it is suspended inside
//!   a `within`, whose scope then stays in the list. So the end of each `within`, and of each green thread, looks whether
//!   the list is as it should be, and aborts the process if not, before the scope of a frame that has gone is looked at.
//! - **X2** Only its own thread touches a list. A flag is written from elsewhere; it is borrowed for as long as `within` runs.
//! - **X3** `SCOPED` is set in the attention of a green thread whenever its list is not empty. It is taken away by
//!   the first wait that finds the list empty, so that a loop of timeouts does not set and clear it all the time.

use std::any::Any;
use std::cell::Cell;
use std::fmt;
use std::io;
use std::num::NonZeroU64;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::{Green, Home, next_id, panic_count};
use crate::sys::clock::{self, NEVER, Tick};
use crate::sys::exit;

/// The payload with which a cancelled wait unwinds; what [`join`](crate::JoinHandle::join) gives of a thread that was cancelled.
///
/// A green thread is cancelled by [`JoinHandle::cancel`](crate::JoinHandle::cancel), or when the [`run`](crate::run) that it belongs to has ended. Up to a boundary,
/// any thread is cancelled by an elapsed [`timeout`](crate::timeout) or [`deadline`](crate::deadline), or a
/// [`scope_cancelling`](crate::thread::scope_cancelling) that has failed; then this payload ends there.
///
/// It is no panic: no message is printed, and locks of this crate are not poisoned by it. Code that catches panics should
/// let it pass. If it does not, the next wait raises it again.
///
/// ```
/// use std::panic::{catch_unwind, resume_unwind};
///
/// let thread = rustlet::spawn(|| {
///     if let Err(payload) = catch_unwind(rustlet::park) {
///         if rustlet::Cancelled::is(&payload) {
///             resume_unwind(payload);
///         }
///         println!("a panic, which we survive");
///     }
/// });
/// thread.cancel();
/// assert!(rustlet::Cancelled::is(&thread.join().unwrap_err()));
/// ```
pub struct Cancelled {
    /// The number of the scope that catches it; none for the thread's own end.
    scope: Option<NonZeroU64>,
    /// Kept for its drop.
    _raised: Option<Raised>,
}

impl Cancelled {
    /// One that nobody was unwound with.
    pub(crate) const fn new() -> Cancelled {
        Cancelled {
            scope: None,
            _raised: None,
        }
    }

    /// Whether the payload of an unwinding, as [`catch_unwind`] or [`join`](crate::JoinHandle::join) gives it, is a
    /// cancellation and not a panic.
    ///
    /// ```
    /// let panicked = rustlet::spawn(|| std::panic::resume_unwind(Box::new("oh"))).join();
    /// assert!(!rustlet::Cancelled::is(&panicked.unwrap_err()));
    /// ```
    #[must_use]
    pub fn is(payload: &(dyn Any + Send)) -> bool {
        payload.is::<Cancelled>()
            // `&payload` of a `Box<dyn Any + Send>` coerces to the box as `Any`, not to what is in it.
            || payload
                .downcast_ref::<Box<dyn Any + Send>>()
                .is_some_and(|inner| inner.is::<Cancelled>())
    }
}

impl fmt::Debug for Cancelled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cancelled")
    }
}

impl fmt::Display for Cancelled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the green thread was cancelled")
    }
}

impl std::error::Error for Cancelled {}

/// How many threads have unwound cancelled and are not known to have been caught. Nearly always 0,
/// and then a lock has nothing to ask ([`forget_caught`]).
static UNWINDS: AtomicUsize = AtomicUsize::new(0);

/// A part of every payload that a cancellation unwinds with. When it is dropped the unwinding is
/// over: it has been caught.
#[derive(Debug)]
pub(super) enum Raised {
    Green { thread: NonZeroU64, number: u32 },
    Os { number: NonZeroU64 },
}

impl Raised {
    /// The raise that `green`, the running thread, is about to make.
    pub(super) fn new(green: &Green, number: u32) -> Raised {
        if green.raising.replace(number) == 0 {
            UNWINDS.fetch_add(1, Ordering::Relaxed);
        }
        Raised::Green {
            thread: green.id(),
            number,
        }
    }

    /// The raise that the calling OS thread is about to make.
    pub(super) fn on_os_thread() -> Raised {
        let number = next_id();
        if OS_THREAD_RAISES.replace(Some(number)).is_none() {
            UNWINDS.fetch_add(1, Ordering::Relaxed);
        }
        Raised::Os { number }
    }
}

impl Drop for Raised {
    fn drop(&mut self) {
        match *self {
            Raised::Green { thread, number } => {
                if let Some(home) = Home::get()
                    && home.current().id() == thread
                    && home.current().raising.get() == number
                {
                    home.current().end_raise();
                }
            }
            Raised::Os { number } => {
                if OS_THREAD_RAISES.get() == Some(number) {
                    end_os_raise();
                }
            }
        }
    }
}

fn end_os_raise() {
    if OS_THREAD_RAISES.take().is_some() {
        UNWINDS.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The number of the last cancellation that the calling thread has unwound with, 0 if it is over. It
/// is over when the payload is dropped; when the `timeout` that it was for has returned; and when
/// the panic hook sees a panic begin in a thread that did not unwind. So it is not over while the
/// payload is kept, and may be thrown on.
#[cold]
pub(crate) fn last_raise() -> u32 {
    match Home::get() {
        Some(home) => home.current().raising.get(),
        // Its low half tells two of one thread apart.
        None => OS_THREAD_RAISES
            .get()
            .map_or(0, |number| number.get() as u32 | 1 << 31),
    }
}

/// Whether [`last_raise`] may be other than 0.
#[inline(always)]
pub(crate) fn may_have_raised() -> bool {
    UNWINDS.load(Ordering::Relaxed) != 0
}

/// The last cancellation of the calling thread was caught for good.
#[cold]
fn forget_caught() {
    match Home::get() {
        Some(home) => home.current().end_raise(),
        None => end_os_raise(),
    }
}

/// The panic hook: a panic of the calling thread has begun. If it is the only one in flight, the
/// thread was not unwinding, and so an earlier cancellation of it was caught.
#[cold]
pub(crate) fn note_panic() {
    if may_have_raised() && last_raise() != 0 && panic_count::depth() == Some(1) {
        forget_caught();
    }
}

/// The time of a [`timeout`](crate::timeout) or a [`deadline`](crate::deadline) was up before the work was done.
///
/// As an [`io::Error`] its kind is [`TimedOut`](io::ErrorKind::TimedOut), so `?` takes it in functions that return `io::Result`:
///
/// ```
/// use std::io;
/// use std::time::Duration;
///
/// fn wait() -> io::Result<()> {
///     rustlet::timeout(Duration::from_millis(1), rustlet::park)?;
///     Ok(())
/// }
/// let error = rustlet::run(wait).unwrap_err();
/// assert_eq!(error.kind(), io::ErrorKind::TimedOut);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Elapsed;

impl fmt::Display for Elapsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("deadline has elapsed")
    }
}

impl std::error::Error for Elapsed {}

impl From<Elapsed> for io::Error {
    fn from(elapsed: Elapsed) -> io::Error {
        io::Error::new(io::ErrorKind::TimedOut, elapsed)
    }
}

/// What a scope does to the waits within it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Limit<'a> {
    /// It ends them when this moment has come.
    Until(Tick),
    /// It ends them when this is true. Who sets it then wakes the thread.
    Flag(&'a AtomicBool),
    /// It holds off what would end them from further out.
    Shield,
}

/// The scope itself has ended a wait within it, and nothing has stopped the unwinding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Caught;

/// See the module's text.
#[derive(Debug)]
pub(crate) struct CancelScope {
    outer: *const CancelScope,
    deadline: Tick,
    /// Null: none.
    flag: *const AtomicBool,
    is_shield: bool,
    /// The earliest deadline of this one and of those outside of it, up to a shield.
    next: Tick,
    /// Whether one of the same has a flag.
    is_flagged: bool,
    /// Whether one of all of them is a shield.
    is_sealed: bool,
    number: Cell<Option<NonZeroU64>>,
}

impl CancelScope {
    fn new(limit: Limit<'_>, outer: *const CancelScope) -> CancelScope {
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
            number: Cell::new(None),
        };
        match limit {
            Limit::Until(deadline) => CancelScope {
                deadline,
                next: next.min(deadline),
                ..plain
            },
            Limit::Flag(flag) => CancelScope {
                flag,
                is_flagged: true,
                ..plain
            },
            Limit::Shield => CancelScope {
                is_shield: true,
                next: NEVER,
                is_flagged: false,
                is_sealed: true,
                ..plain
            },
        }
    }

    fn has_ended(&self, now: Tick) -> bool {
        if self.deadline != NEVER {
            return self.deadline <= now;
        }
        // SAFETY: X2.
        let flag = unsafe { self.flag.as_ref() };
        // Acquire: pairs with the Release of whoever sets it, and so with what made it fail.
        flag.is_some_and(|flag| flag.load(Ordering::Acquire))
    }

    /// Whether `payload` was raised for this one.
    fn is_named_by(&self, payload: &(dyn Any + Send)) -> bool {
        self.number.get().is_some()
            && payload
                .downcast_ref::<Cancelled>()
                .is_some_and(|cancelled| cancelled.scope == self.number.get())
    }
}

/// What ends a wait.
#[derive(Debug)]
pub(super) enum Due<'a> {
    Thread,
    Scope(&'a CancelScope),
}

impl Due<'_> {
    /// What to unwind with.
    pub(super) fn payload(&self, raised: Raised) -> Box<Cancelled> {
        let scope = match self {
            Due::Thread => None,
            Due::Scope(scope) => {
                let number = scope.number.get().unwrap_or_else(next_id);
                scope.number.set(Some(number));
                Some(number)
            }
        };
        Box::new(Cancelled {
            scope,
            _raised: Some(raised),
        })
    }
}

/// The scopes of one thread: the innermost, or null.
#[derive(Debug)]
pub(crate) struct Scopes(Cell<*const CancelScope>);

impl Scopes {
    pub(super) const fn new() -> Scopes {
        Scopes(Cell::new(ptr::null()))
    }

    #[inline]
    fn innermost(&self) -> Option<&CancelScope> {
        // SAFETY: X1.
        unsafe { self.0.get().as_ref() }
    }

    /// When the first of those in view elapses.
    #[inline]
    pub(super) fn next(&self) -> Tick {
        self.innermost().map_or(NEVER, |scope| scope.next)
    }

    /// Whether a wait may be ended by a flag, and so has to be woken for it.
    pub(super) fn is_flagged(&self) -> bool {
        self.innermost().is_some_and(|scope| scope.is_flagged)
    }

    /// What ends the waits of this thread now. `cancelled`: the thread itself is.
    pub(super) fn due(&self, cancelled: bool) -> Option<Due<'_>> {
        let Some(innermost) = self.innermost() else {
            return cancelled.then_some(Due::Thread);
        };
        let now = match innermost.next {
            NEVER => 0,
            _ => clock::now(),
        };
        let from_outside = cancelled && !innermost.is_sealed;
        if innermost.next > now && !innermost.is_flagged && !from_outside {
            return None;
        }
        let mut due = None;
        let mut scope = innermost;
        while !scope.is_shield {
            if scope.has_ended(now) {
                due = Some(Due::Scope(scope));
            }
            // SAFETY: X1.
            match unsafe { scope.outer.as_ref() } {
                Some(outer) => scope = outer,
                None if cancelled => return Some(Due::Thread),
                None => break,
            }
        }
        due
    }
}

/// The thread itself is cancelled.
const CANCELLED: u8 = 1;
/// It has open scopes, or had some at its last wait (X3).
const SCOPED: u8 = 2;

impl Green {
    /// Whether there is anything that could end a wait of this thread.
    #[inline(always)]
    pub(crate) fn needs_attention(&self) -> bool {
        self.attention.load(Ordering::Relaxed) != 0
    }

    /// Whether the thread itself was cancelled.
    #[inline]
    pub(crate) fn is_cancelled(&self) -> bool {
        self.attention.load(Ordering::Relaxed) & CANCELLED != 0
    }

    pub(super) fn note_cancelled(&self) {
        self.attention.fetch_or(CANCELLED, Ordering::Relaxed);
    }

    /// What ends the waits of this thread, on which the caller runs.
    pub(super) fn due(&self) -> Option<Due<'_>> {
        if self.scopes.innermost().is_none() && self.attention.load(Ordering::Relaxed) == SCOPED {
            // X3.
            self.attention.fetch_and(!SCOPED, Ordering::Relaxed);
        }
        self.scopes.due(self.is_cancelled() && !self.ending.get())
    }

    /// The unwinding of its cancellation is over.
    pub(super) fn end_raise(&self) {
        if self.raising.replace(0) != 0 {
            UNWINDS.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Its closure has ended. Nothing cuts off the destructors that are left.
    #[inline(always)]
    pub(super) fn end_cancellation(&self) {
        self.ending.set(true);
        if self.attention.load(Ordering::Relaxed) != 0 {
            self.end_scopes();
        }
    }

    #[cold]
    fn end_scopes(&self) {
        self.end_raise();
        if self.scopes.innermost().is_some() {
            // X1.
            not_nested();
        }
    }

    /// X3.
    #[inline]
    fn note_scoped(&self) {
        if self.attention.load(Ordering::Relaxed) & SCOPED == 0 {
            self.attention.fetch_or(SCOPED, Ordering::Relaxed);
        }
    }
}

thread_local! {
    static OF_OS_THREAD: Scopes = const { Scopes::new() };
    static OS_THREAD_RAISES: Cell<Option<NonZeroU64>> = const { Cell::new(None) };
}

/// The scopes of the calling OS thread, for `f`.
pub(super) fn of_os_thread<R>(f: impl FnOnce(&Scopes) -> R) -> R {
    OF_OS_THREAD.with(f)
}

/// Calls `f` within a scope.
///
/// # Errors
///
/// The scope has ended a wait of `f`, which was unwound up to here.
#[inline]
pub(crate) fn within<T>(limit: Limit<'_>, f: impl FnOnce() -> T) -> Result<T, Caught> {
    match Home::get() {
        Some(home) => {
            let green = home.current();
            green.note_scoped();
            within_list(&green.scopes, limit, f)
        }
        None => OF_OS_THREAD.with(|scopes| within_list(scopes, limit, f)),
    }
}

#[inline]
fn within_list<T>(scopes: &Scopes, limit: Limit<'_>, f: impl FnOnce() -> T) -> Result<T, Caught> {
    let scope = CancelScope::new(limit, scopes.0.get());
    // X1 begins.
    scopes.0.set(&raw const scope);
    let result = catch_unwind(AssertUnwindSafe(f));
    if !ptr::eq(scopes.0.get(), &raw const scope) {
        not_nested();
    }
    scopes.0.set(scope.outer);
    match result {
        Ok(value) => {
            if scope.number.get().is_some() {
                // It was raised, and caught within.
                forget_caught();
            }
            Ok(value)
        }
        Err(payload) => caught(&scope, payload),
    }
}

/// X1 does not hold: aborts before anything follows a link into a frame that has gone.
#[cold]
#[inline(never)]
fn not_nested() -> ! {
    exit::abort(format_args!(
        "a timeout, deadline, shield or scope_cancelling has ended while one that was entered later has not: \
         a coroutine of another crate was suspended inside such a call, and its thread went on"
    ))
}

#[cold]
fn caught<T>(scope: &CancelScope, payload: Box<dyn Any + Send>) -> Result<T, Caught> {
    if scope.is_named_by(&*payload) {
        Err(Caught)
    } else {
        resume_unwind(payload)
    }
}

/// Whether the next wait of the calling thread would be ended.
pub(crate) fn is_cancelled() -> bool {
    match Home::get() {
        Some(home) => home.current().needs_attention() && home.current().due().is_some(),
        None => of_os_thread(|scopes| scopes.due(false).is_some()),
    }
}

/// Where nothing can be unwound, what would have to must not begin.
#[track_caller]
pub(crate) fn assert_unwinding(what: &str) {
    if cfg!(not(panic = "unwind")) {
        panic!(
            "{what} ends waits by unwinding them, which a program that is built with panic = \"abort\" cannot do"
        );
    }
}
