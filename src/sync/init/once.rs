//! [`Once`]. Its protocol is in `sync/raw/once.rs`.

use std::cell::Cell;
use std::fmt;
use std::marker::PhantomData;
use std::panic::{
    AssertUnwindSafe, Location, RefUnwindSafe, UnwindSafe, catch_unwind, resume_unwind,
};

use crate::green::park::unwind_if_cancelled;
use crate::green::{Cancelled, OnCancel, Reason, Wait};
use crate::sync::raw::once::{Begin, End, RawOnce};
use crate::sync::wait::wait_in_queue::note_failed_try;
use crate::sync::wait::waiting_thread::WaitingThread;

/// Runs an initialiser once; other callers wait until it has run. See [`std::sync::Once`].
///
/// The initialiser may wait: other green threads run meanwhile. If it panics, the `Once` is
/// poisoned. An initialiser that calls the same `Once` never returns.
///
/// # Cancellation
///
/// If the initialiser is [cancelled](crate::Cancelled), the `Once` is as if it had not been called,
/// and the next caller, or one that is already waiting, runs its own initialiser.
///
/// # Examples
///
/// ```
/// static START: rustlet::sync::Once = rustlet::sync::Once::new();
///
/// let mut ran = 0;
/// START.call_once(|| ran += 1);
/// START.call_once(|| ran += 1);
/// assert_eq!(ran, 1);
/// ```
#[doc(alias = "OnceFunc")]
pub struct Once {
    raw: RawOnce<WaitingThread>,
}

impl UnwindSafe for Once {}
impl RefUnwindSafe for Once {}

/// State passed to the initialiser of [`Once::call_once_force`]; see [`std::sync::OnceState`].
///
/// # Examples
///
/// ```
/// rustlet::sync::Once::new().call_once_force(|state| assert!(!state.is_poisoned()));
/// ```
pub struct OnceState {
    poisoned: bool,
    // Not shared between threads, as std's.
    private: PhantomData<Cell<()>>,
}

impl OnceState {
    /// Returns `true` if an earlier initialiser panicked.
    ///
    /// # Examples
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

/// The state that remains after the initialiser was unwound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unwound {
    /// A panic poisons; after a cancellation the next caller may try.
    MayRetry,
    /// Poison in either case: the initialiser is consumed.
    IsLost,
}

impl Once {
    /// Creates a `Once` that has not run anything.
    ///
    /// # Examples
    ///
    /// ```
    /// static START: rustlet::sync::Once = rustlet::sync::Once::new();
    /// START.call_once(|| println!("once"));
    /// ```
    #[allow(clippy::new_without_default, reason = "std has none either")]
    #[inline]
    #[must_use]
    pub const fn new() -> Once {
        Once {
            raw: RawOnce::new(),
        }
    }

    /// Runs `f` if no initialiser has run, and waits for one that is running. When it returns, an
    /// initialiser has run and its effects are visible.
    ///
    /// # Panics
    ///
    /// Panics if `f` panics or the `Once` is poisoned.
    ///
    /// # Suspends
    ///
    /// Suspends the calling green thread while another thread runs an initialiser; blocks an OS
    /// thread.
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::sync::Once;
    ///
    /// let once = Once::new();
    /// let mut runs = 0;
    /// once.call_once(|| runs += 1);
    /// once.call_once(|| runs += 1);
    /// assert_eq!(runs, 1);
    /// ```
    #[doc(alias = "Do")]
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

    /// Runs `f` like [`call_once`](Once::call_once), also if an earlier initialiser panicked.
    ///
    /// # Panics
    ///
    /// Panics if `f` panics.
    ///
    /// # Examples
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

    /// Returns `true` if an initialiser has completed. Does not wait.
    ///
    /// # Examples
    ///
    /// ```
    /// assert!(!rustlet::sync::Once::new().is_completed());
    /// ```
    #[inline]
    #[track_caller]
    pub fn is_completed(&self) -> bool {
        let complete = self.is_done();
        if !complete {
            note_failed_try(Location::caller());
        }
        complete
    }

    #[inline(always)]
    pub(super) fn is_done(&self) -> bool {
        self.raw.is_complete()
    }

    /// Waits until an initialiser has completed.
    ///
    /// # Panics
    ///
    /// Panics if an initialiser has panicked.
    ///
    /// # Suspends
    ///
    /// Suspends the calling green thread until then; blocks an OS thread.
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::sync::Once;
    ///
    /// rustlet::run(|| {
    ///     let once = Once::new();
    ///     rustlet::scope(|s| {
    ///         s.spawn(|| once.call_once(|| ()));
    ///         once.wait();
    ///     });
    ///     assert!(once.is_completed());
    /// });
    /// ```
    #[track_caller]
    pub fn wait(&self) {
        if !self.is_done() {
            let complete = self.wait_for(true, Location::caller());
            assert!(complete, "Once instance has previously been poisoned");
        }
    }

    /// Waits until an initialiser has completed; after a panic it keeps waiting for one that
    /// succeeds.
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::sync::Once;
    ///
    /// let once = Once::new();
    /// once.call_once(|| ());
    /// once.wait_force();
    /// ```
    #[track_caller]
    pub fn wait_force(&self) {
        if !self.is_done() {
            self.wait_for(false, Location::caller());
        }
    }

    /// Returns `false` if it is poisoned.
    #[cold]
    fn wait_for(&self, minds_poison: bool, at: &'static Location<'static>) -> bool {
        let wait = Wait::at(Reason::Once, at).on_cancel(OnCancel::Defer);
        loop {
            match self.raw.wait(minds_poison, &wait) {
                Begin::GaveUp => unwind_if_cancelled(),
                found => return found == Begin::Complete,
            }
        }
    }

    /// Returns `false` if it is poisoned and `minds_poison` is set.
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
                Begin::GaveUp => unwind_if_cancelled(),
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

    /// Returns the state; the caller has exclusive access.
    pub(super) fn state(&mut self) -> End {
        self.raw.state()
    }

    /// Sets the state; the caller has exclusive access.
    pub(super) fn set_state(&mut self, end: End) {
        self.raw.set_state(end);
    }
}

impl fmt::Debug for Once {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Once").finish_non_exhaustive()
    }
}
