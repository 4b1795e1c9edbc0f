//! [`Once`]. Its protocol is `raw/once.rs`.

use std::cell::Cell;
use std::fmt;
use std::marker::PhantomData;
use std::panic::{
    AssertUnwindSafe, Location, RefUnwindSafe, UnwindSafe, catch_unwind, resume_unwind,
};

use crate::green::park::raise_if_cancelled;
use crate::green::{Cancelled, OnCancel, Reason, Wait};
use crate::sync::raw::once::{Begin, End, RawOnce};
use crate::sync::wait::stand::in_vain;
use crate::sync::wait::waiting::Thread;

/// Runs an initialiser once, whoever comes first; the others wait until it has run. As [`std::sync::Once`].
///
/// The initialiser may wait: other green threads run meanwhile. If it panics the `Once` is poisoned. If it is [cancelled](crate::Cancelled),
/// the `Once` is as if it had not been called, and the next caller, perhaps one that waits already, runs its own initialiser.
/// An initialiser that calls the same `Once` waits for itself, for ever.
///
/// ```
/// static START: rustlet::sync::Once = rustlet::sync::Once::new();
///
/// let mut ran = 0;
/// START.call_once(|| ran += 1);
/// START.call_once(|| ran += 1);
/// assert_eq!(ran, 1);
/// ```
pub struct Once {
    raw: RawOnce<Thread>,
}

impl UnwindSafe for Once {}
impl RefUnwindSafe for Once {}

/// What the initialiser of [`Once::call_once_force`] is told. As [`std::sync::OnceState`].
pub struct OnceState {
    poisoned: bool,
    // Not shared between threads, as std's.
    private: PhantomData<Cell<()>>,
}

impl OnceState {
    /// Whether an earlier initialiser panicked.
    ///
    /// ```
    /// rustlet::sync::Once::new().call_once_force(|state| assert!(!state.is_poisoned()));
    /// ```
    #[must_use]
    pub fn is_poisoned(&self) -> bool {
        self.poisoned
    }
}

impl fmt::Debug for OnceState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OnceState")
            .field("poisoned", &self.is_poisoned())
            .finish()
    }
}

/// What an unwinding of the initialiser leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unwound {
    /// A panic poisons; a cancellation leaves the way free for the next.
    MayRetry,
    /// Poison in either case: the initialiser is used up.
    IsLost,
}

impl Once {
    /// One that has not run anything.
    #[allow(clippy::new_without_default, reason = "std's has none either")]
    #[inline]
    #[must_use]
    pub const fn new() -> Once {
        Once {
            raw: RawOnce::new(),
        }
    }

    /// Runs `f` if no initialiser has run; waits for one that is running. When it returns, one has run, and what it did is
    /// visible. Suspends the calling green thread, or blocks the calling OS thread.
    ///
    /// # Panics
    ///
    /// `f` panics, or an earlier one did.
    #[inline]
    #[track_caller]
    pub fn call_once<F>(&self, f: F)
    where
        F: FnOnce(),
    {
        if !self.is_done() {
            let ran = self.call(true, Unwound::MayRetry, Location::caller(), |_| f());
            assert!(ran, "Once instance has previously been poisoned");
        }
    }

    /// As [`call_once`](Once::call_once), but also after an initialiser that has panicked.
    ///
    /// # Panics
    ///
    /// `f` panics.
    ///
    /// ```
    /// use rustlet::sync::Once;
    /// use std::panic::{catch_unwind, resume_unwind};
    ///
    /// let once = Once::new();
    /// assert!(catch_unwind(|| once.call_once(|| resume_unwind(Box::new("no")))).is_err());
    /// assert!(catch_unwind(|| once.call_once(|| ())).is_err());
    /// once.call_once_force(|state| assert!(state.is_poisoned()));
    /// once.call_once(|| unreachable!());
    /// ```
    #[inline]
    #[track_caller]
    pub fn call_once_force<F>(&self, f: F)
    where
        F: FnOnce(&OnceState),
    {
        if !self.is_done() {
            self.call(false, Unwound::MayRetry, Location::caller(), f);
        }
    }

    /// Whether an initialiser has run to its end. Does not wait; but a green thread that asks in vain again and again gives way from time to
    /// time.
    ///
    /// ```
    /// assert!(!rustlet::sync::Once::new().is_completed());
    /// ```
    #[inline]
    #[track_caller]
    pub fn is_completed(&self) -> bool {
        let complete = self.is_done();
        if !complete {
            in_vain(Location::caller());
        }
        complete
    }

    #[inline(always)]
    pub(super) fn is_done(&self) -> bool {
        self.raw.is_complete()
    }

    /// Waits until somebody has run an initialiser. Suspends the calling green thread, or blocks the calling OS thread.
    ///
    /// # Panics
    ///
    /// An initialiser has panicked.
    #[track_caller]
    pub fn wait(&self) {
        if !self.is_done() {
            let complete = self.wait_for(true, Location::caller());
            assert!(complete, "Once instance has previously been poisoned");
        }
    }

    /// As [`wait`](Once::wait), and after a panic waits on, for an initialiser that does better.
    #[track_caller]
    pub fn wait_force(&self) {
        if !self.is_done() {
            self.wait_for(false, Location::caller());
        }
    }

    /// False: it is poisoned.
    #[cold]
    fn wait_for(&self, minds_poison: bool, at: &'static Location<'static>) -> bool {
        let wait = Wait::at(Reason::Once, at).on_cancel(OnCancel::Defer);
        loop {
            match self.raw.wait(minds_poison, &wait) {
                Begin::GaveUp => raise_if_cancelled(),
                found => return found == Begin::Complete,
            }
        }
    }

    /// False: it is poisoned, which the caller minds.
    #[cold]
    pub(super) fn call(
        &self,
        minds_poison: bool,
        unwound: Unwound,
        at: &'static Location<'static>,
        f: impl FnOnce(&OnceState),
    ) -> bool {
        let wait = Wait::at(Reason::Once, at).on_cancel(OnCancel::Defer);
        loop {
            match self.raw.begin(minds_poison, &wait) {
                Begin::Complete => return true,
                Begin::Poisoned => return false,
                Begin::GaveUp => raise_if_cancelled(),
                Begin::Run { poisoned } => {
                    let state = OnceState {
                        poisoned,
                        private: PhantomData,
                    };
                    let result = catch_unwind(AssertUnwindSafe(|| f(&state)));
                    self.raw.end(match &result {
                        Ok(()) => End::Complete,
                        Err(payload)
                            if unwound == Unwound::MayRetry && payload.is::<Cancelled>() =>
                        {
                            End::Incomplete
                        }
                        Err(_) => End::Poisoned,
                    });
                    match result {
                        Ok(()) => return true,
                        Err(payload) => resume_unwind(payload),
                    }
                }
            }
        }
    }

    /// What has become of it; nobody else has it.
    pub(super) fn state(&mut self) -> End {
        self.raw.state()
    }

    /// See `state`.
    pub(super) fn set_state(&mut self, end: End) {
        self.raw.set_state(end);
    }
}

impl fmt::Debug for Once {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Once").finish_non_exhaustive()
    }
}
