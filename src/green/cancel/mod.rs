//! The cancellation of a thread: which causes end its waits, which of them has unwound, and when
//! that unwinding is over.
//!
//! The scopes that end waits are in `cancel/scopes.rs`, whose invariants X1 to X3 are referred to
//! here too.

pub(super) mod payload;
pub(super) mod scopes;

use std::any::Any;
use std::cell::Cell;
use std::mem::ManuallyDrop;
use std::num::NonZeroU64;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::block::HOOKED;
use super::cancel::payload::UnwindGuard;
pub(crate) use super::cancel::scopes::CancelLimit;
use super::cancel::scopes::{CancelScope, Cause, Scopes, not_nested};
use super::fiber::panic_count;
use super::ids::next_id;
use super::{ThreadInner, WorkerContext};

/// The number of threads that have unwound because of a cancellation that is not known to have been
/// caught. It is nearly always 0, and then a lock has nothing to check ([`forget_caught`]).
static UNWINDS: AtomicUsize = AtomicUsize::new(0);

impl UnwindGuard {
    /// Creates the guard of the raise that `green`, the running thread, is about to make.
    pub(super) fn new(green: &ThreadInner, number: u32) -> UnwindGuard {
        if green.unwind_number.replace(number) == 0 {
            UNWINDS.fetch_add(1, Ordering::Relaxed);
        }
        UnwindGuard::Green {
            thread: green.id(),
            number,
        }
    }

    /// Creates the guard of the raise that the calling OS thread is about to make.
    pub(super) fn on_os_thread() -> UnwindGuard {
        let number = next_id();
        let mark = OS_THREAD_UNWIND_MARK.get();
        OS_THREAD_UNWIND_MARK.set((mark.0, mark.1.wrapping_add(1)));
        if OS_THREAD_UNWINDS.replace(Some(number)).is_none() {
            UNWINDS.fetch_add(1, Ordering::Relaxed);
        }
        UnwindGuard::Os { number }
    }
}

impl Drop for UnwindGuard {
    fn drop(&mut self) {
        match *self {
            UnwindGuard::Green { thread, number } => {
                if let Some(cx) = WorkerContext::get()
                    && cx.current().id() == thread
                    && cx.current().unwind_number.get() == number
                {
                    cx.current().end_unwind();
                }
            }
            UnwindGuard::Os { number } => {
                if OS_THREAD_UNWINDS.get() == Some(number) {
                    end_os_unwind();
                }
            }
        }
    }
}

fn end_os_unwind() {
    if OS_THREAD_UNWINDS.take().is_some() {
        UNWINDS.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Returns the number of the last cancellation that the calling thread has unwound with, 0 if it is
/// over. It is over when the payload is dropped; when the `timeout` that raised it has returned;
/// and when the panic hook sees a panic begin in a thread that did not unwind. So it is not over
/// while the payload is kept and may be thrown again.
#[cold]
pub(crate) fn last_unwind() -> u32 {
    match WorkerContext::get() {
        Some(cx) => cx.current().unwind_number.get(),
        // The low half tells two cancellations of one thread apart.
        None => OS_THREAD_UNWINDS
            .get()
            .map_or(0, |number| number.get() as u32 | 1 << 31),
    }
}

/// Returns whether [`last_unwind`] may be other than 0.
#[inline(always)]
pub(crate) fn may_have_unwound() -> bool {
    UNWINDS.load(Ordering::Relaxed) != 0
}

/// Notes that the last cancellation of the calling thread was caught for good.
#[cold]
fn forget_caught() {
    match WorkerContext::get() {
        Some(cx) => cx.current().end_unwind(),
        None => end_os_unwind(),
    }
}

/// Notes, for the panic hook, that a panic of the calling thread has begun. If it is the only one
/// in flight, the thread was not unwinding, and so an earlier cancellation of it was caught.
#[cold]
pub(crate) fn note_panic() {
    if may_have_unwound() && last_unwind() != 0 && panic_count::depth() == Some(1) {
        forget_caught();
    }
}

/// Shows that the scope itself has ended a wait within it, and that the unwinding reached the
/// scope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CaughtToken;

/// Flag: the thread itself is cancelled.
const CANCELLED: u8 = 1;
/// Flag: the thread has open scopes, or had some at its last wait (X3).
const SCOPED: u8 = 2;
/// Flag: the thread has entered something that it must leave before it is suspended (H4 in
/// `context/worker_context.rs`).
const AMBIENT: u8 = 4;

impl ThreadInner {
    /// Returns whether a wait of this thread may have to end early.
    #[inline(always)]
    pub(crate) fn needs_attention(&self) -> bool {
        self.attention.load(Ordering::Relaxed) != 0
    }

    /// Returns whether the thread itself was cancelled.
    #[inline]
    pub(crate) fn is_cancelled(&self) -> bool {
        self.attention.load(Ordering::Relaxed) & CANCELLED != 0
    }

    pub(super) fn note_cancelled(&self) {
        self.attention.fetch_or(CANCELLED, Ordering::Relaxed);
    }

    /// Returns the cause that ends the waits of this thread, on which the caller runs.
    pub(super) fn cause(&self) -> Option<Cause<'_>> {
        if self.scopes.innermost().is_none()
            && self.attention.load(Ordering::Relaxed) & !(AMBIENT | HOOKED) == SCOPED
        {
            // X3.
            self.attention.fetch_and(!SCOPED, Ordering::Relaxed);
        }
        self.scopes.cause(self.is_cancelled() && !self.ending.get())
    }

    /// Notes that the unwinding of the thread's cancellation is over.
    pub(super) fn end_unwind(&self) {
        if self.unwind_number.replace(0) != 0 {
            UNWINDS.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Notes that the closure has ended. No cancellation interrupts the destructors that are left.
    /// Returns whether there is something left to end, which is rare: see `complete` in
    /// `block/finish.rs`.
    #[inline(always)]
    pub(super) fn end_cancellation(&self) -> bool {
        self.ending.set(true);
        let is_rare = self.attention.load(Ordering::Relaxed) != 0;
        if is_rare {
            self.end_scopes();
        }
        is_rare
    }

    #[cold]
    fn end_scopes(&self) {
        self.end_unwind();
        let is_within = self.attention.load(Ordering::Relaxed) & AMBIENT != 0;
        if self.scopes.innermost().is_some() || is_within {
            // X1, H4 in `context/worker_context.rs`.
            not_nested();
        }
    }

    /// Sets or clears `AMBIENT`.
    #[cfg_attr(
        not(any(feature = "tokio", feature = "tracing")),
        allow(dead_code, reason = "what only features enter")
    )]
    pub(super) fn note_ambient(&self, has_ambient: bool) {
        if has_ambient {
            self.attention.fetch_or(AMBIENT, Ordering::Relaxed);
        } else {
            self.attention.fetch_and(!AMBIENT, Ordering::Relaxed);
        }
    }

    /// Sets `SCOPED` (X3).
    #[inline]
    fn note_scoped(&self) {
        if self.attention.load(Ordering::Relaxed) & SCOPED == 0 {
            self.attention.fetch_or(SCOPED, Ordering::Relaxed);
        }
    }
}

thread_local! {
    static OS_THREAD_SCOPES: Scopes = const { Scopes::new() };
    static OS_THREAD_UNWINDS: Cell<Option<NonZeroU64>> = const { Cell::new(None) };
    /// For [`UnwindMark`]: the number of the thread, once it was needed, and how often the thread
    /// has unwound.
    static OS_THREAD_UNWIND_MARK: Cell<(Option<NonZeroU64>, u32)> = const { Cell::new((None, 0)) };
}

/// How often a thread had unwound because of a cancellation, at some moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct UnwindMark {
    thread: NonZeroU64,
    unwinds: u32,
}

impl UnwindMark {
    /// Returns the mark of the calling thread, now.
    pub(crate) fn now() -> UnwindMark {
        let (thread, unwinds) = match WorkerContext::get() {
            Some(cx) => (cx.current().id(), cx.current().cancel_count.get()),
            None => {
                let (thread, unwinds) = OS_THREAD_UNWIND_MARK.get();
                let thread = thread.unwrap_or_else(next_id);
                OS_THREAD_UNWIND_MARK.set((Some(thread), unwinds));
                (thread, unwinds)
            }
        };
        UnwindMark { thread, unwinds }
    }

    /// Returns whether the calling thread made the mark, and has unwound since.
    pub(crate) fn has_unwound_since(self) -> bool {
        let now = UnwindMark::now();
        now.thread == self.thread && now.unwinds != self.unwinds
    }
}

/// Calls `f` with the scopes of the calling OS thread.
pub(super) fn with_os_thread_scopes<R>(f: impl FnOnce(&Scopes) -> R) -> R {
    OS_THREAD_SCOPES.with(f)
}

/// Calls `f` within a cancel scope.
///
/// # Errors
///
/// The scope has ended a wait of `f`, which was unwound up to here.
#[inline]
pub(crate) fn within<T>(limit: CancelLimit<'_>, f: impl FnOnce() -> T) -> Result<T, CaughtToken> {
    match WorkerContext::get() {
        Some(cx) => {
            let green = cx.current();
            green.note_scoped();
            within_list(&green.scopes, limit, f)
        }
        None => OS_THREAD_SCOPES.with(|scopes| within_list(scopes, limit, f)),
    }
}

#[inline]
fn within_list<T>(
    scopes: &Scopes,
    limit: CancelLimit<'_>,
    f: impl FnOnce() -> T,
) -> Result<T, CaughtToken> {
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
            if scope.number.get().is_some() && !scope.is_of_destructor() {
                // It was raised, and caught within `f`.
                forget_caught();
            }
            Ok(value)
        }
        Err(payload) => caught(&scope, payload),
    }
}

#[cold]
fn caught<T>(scope: &CancelScope, payload: Box<dyn Any + Send>) -> Result<T, CaughtToken> {
    if scope.is_named_by(&*payload) {
        Err(CaughtToken)
    } else {
        resume_unwind(payload)
    }
}

/// Runs a destructor of the user's and discards its panic. The message was printed; the payload is
/// leaked, because dropping it might panic again. The destructor runs to its end: no cancellation
/// ends its waits.
pub(crate) fn catch_and_discard(f: impl FnOnce()) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(|| within(CancelLimit::Shield, f))) {
        let _leaked = ManuallyDrop::new(payload);
    }
}

/// Returns whether the next wait of the calling thread would be cancelled.
pub(crate) fn is_cancelled() -> bool {
    match WorkerContext::get() {
        Some(cx) => cx.current().needs_attention() && cx.current().cause().is_some(),
        None => with_os_thread_scopes(|scopes| scopes.cause(false).is_some()),
    }
}

/// Panics in a program that cannot unwind, so that an operation that relies on unwinding does not
/// begin.
#[track_caller]
pub(crate) fn assert_unwinding(what: &str) {
    if cfg!(not(panic = "unwind")) {
        panic!(
            "{what} ends waits by unwinding them, which a program that is built with panic = \"abort\" cannot do"
        );
    }
}
