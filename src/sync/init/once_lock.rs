#![allow(unsafe_code, reason = "a value that is there from some moment on")]
//! [`OnceLock`].
//!
//! OL1. The value is there exactly when `once` is complete; it is written by the one that runs the initialiser of `once`, or by an
//!      owner, and from then on shared.

use std::cell::UnsafeCell;
use std::fmt;
use std::panic::{Location, RefUnwindSafe, UnwindSafe};

use super::once::{Once, Unwound};
use crate::sync::raw::once::End;
use crate::sync::wait::stand::in_vain;

/// A place for a value that is written once, by whoever comes first. As [`std::sync::OnceLock`].
///
/// An initialiser may wait: other green threads run meanwhile. If it panics, or is [cancelled](crate::Cancelled), the place stays empty for the
/// next.
///
/// ```
/// use rustlet::sync::OnceLock;
///
/// static NAME: OnceLock<String> = OnceLock::new();
///
/// rustlet::run(|| {
///     let other = rustlet::spawn(|| NAME.get_or_init(|| "one".into()).clone());
///     let mine = NAME.get_or_init(|| "other".into());
///     assert_eq!(*mine, other.join().unwrap());
/// });
/// ```
pub struct OnceLock<T> {
    once: Once,
    // Dropped by itself: a destructor of ours would ask for more of what `T` borrows than std's does.
    value: UnsafeCell<Option<T>>,
}

// SAFETY: OL1: it is shared by those who have the place, and may be dropped by another thread than the one that wrote it.
unsafe impl<T: Sync + Send> Sync for OnceLock<T> {}
// SAFETY: the value goes with the place.
unsafe impl<T: Send> Send for OnceLock<T> {}

impl<T: RefUnwindSafe + UnwindSafe> RefUnwindSafe for OnceLock<T> {}
impl<T: UnwindSafe> UnwindSafe for OnceLock<T> {}

impl<T> OnceLock<T> {
    /// An empty one.
    #[inline]
    #[must_use]
    pub const fn new() -> OnceLock<T> {
        OnceLock {
            once: Once::new(),
            value: UnsafeCell::new(None),
        }
    }

    /// The value, if it is there. Does not wait; but a green thread that asks in vain again and again gives way from time to time.
    #[inline]
    #[track_caller]
    pub fn get(&self) -> Option<&T> {
        let found = self.look();
        if found.is_none() {
            in_vain(Location::caller());
        }
        found
    }

    #[inline(always)]
    fn look(&self) -> Option<&T> {
        if self.once.is_done() {
            // SAFETY: OL1.
            Some(unsafe { self.get_unchecked() })
        } else {
            None
        }
    }

    /// # Safety
    ///
    /// OL1: `once` is complete.
    #[inline]
    unsafe fn get_unchecked(&self) -> &T {
        // SAFETY: OL1, nobody writes any more.
        let value = unsafe { &*self.value.get() };
        // SAFETY: by the contract.
        unsafe { value.as_ref().unwrap_unchecked() }
    }

    /// The value, if it is there. Does not wait.
    #[inline]
    pub fn get_mut(&mut self) -> Option<&mut T> {
        self.value.get_mut().as_mut()
    }

    /// Waits until somebody has put a value in. Suspends the calling green thread, or blocks the calling OS thread.
    ///
    /// ```
    /// use rustlet::sync::{Arc, OnceLock};
    ///
    /// rustlet::run(|| {
    ///     let place = Arc::new(OnceLock::new());
    ///     let other = Arc::clone(&place);
    ///     rustlet::spawn(move || other.set(5));
    ///     assert_eq!(*place.wait(), 5);
    /// });
    /// ```
    #[track_caller]
    pub fn wait(&self) -> &T {
        self.once.wait_force();
        // SAFETY: OL1.
        unsafe { self.get_unchecked() }
    }

    /// Puts a value in. Waits for an initialiser that is running; suspends the calling green thread, or blocks the calling OS thread.
    ///
    /// # Errors
    ///
    /// There is one already; the new one comes back.
    ///
    /// ```
    /// let place = rustlet::sync::OnceLock::new();
    /// assert_eq!(place.set(1), Ok(()));
    /// assert_eq!(place.set(2), Err(2));
    /// ```
    #[inline]
    #[track_caller]
    pub fn set(&self, value: T) -> Result<(), T> {
        in_vain(Location::caller());
        let mut value = Some(value);
        self.initialise(Location::caller(), || value.take());
        match value {
            None => Ok(()),
            Some(value) => Err(value),
        }
    }

    /// The value; if there is none, that of `f`, which at most one thread runs at a time. Suspends the calling green thread while another one
    /// does, or blocks the calling OS thread.
    ///
    /// # Panics
    ///
    /// `f` panics; the place stays empty.
    #[inline]
    #[track_caller]
    pub fn get_or_init<F>(&self, f: F) -> &T
    where
        F: FnOnce() -> T,
    {
        if !self.once.is_done() {
            self.initialise(Location::caller(), || Some(f()));
        }
        // SAFETY: OL1.
        unsafe { self.get_unchecked() }
    }

    /// Makes the value, unless it is there. `make` gives one whenever it is called, which is once at most.
    #[cold]
    fn initialise(&self, at: &'static Location<'static>, make: impl FnOnce() -> Option<T>) {
        if self.once.is_done() {
            return;
        }
        self.once.call(false, Unwound::MayRetry, at, |_| {
            let Some(value) = make() else {
                unreachable!("called once");
            };
            // SAFETY: OL1; there was nothing to drop.
            unsafe { *self.value.get() = Some(value) };
        });
    }

    /// The value, if it is there.
    #[inline]
    pub fn into_inner(mut self) -> Option<T> {
        self.take()
    }

    /// Takes the value out, if it is there; the place is empty again.
    ///
    /// ```
    /// let mut place = rustlet::sync::OnceLock::from(1);
    /// assert_eq!((place.take(), place.take()), (Some(1), None));
    /// ```
    #[inline]
    pub fn take(&mut self) -> Option<T> {
        let value = self.value.get_mut().take()?;
        self.once.set_state(End::Incomplete);
        Some(value)
    }
}

impl<T> Default for OnceLock<T> {
    #[inline]
    fn default() -> OnceLock<T> {
        OnceLock::new()
    }
}

impl<T: fmt::Debug> fmt::Debug for OnceLock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_tuple("OnceLock");
        match self.look() {
            Some(value) => shown.field(value),
            None => shown.field(&format_args!("<uninit>")),
        };
        shown.finish()
    }
}

impl<T: Clone> Clone for OnceLock<T> {
    fn clone(&self) -> OnceLock<T> {
        match self.look() {
            Some(value) => OnceLock::from(value.clone()),
            None => OnceLock::new(),
        }
    }
}

impl<T> From<T> for OnceLock<T> {
    fn from(value: T) -> OnceLock<T> {
        let mut place = OnceLock::new();
        *place.value.get_mut() = Some(value);
        place.once.set_state(End::Complete);
        place
    }
}

impl<T: PartialEq> PartialEq for OnceLock<T> {
    fn eq(&self, other: &OnceLock<T>) -> bool {
        self.look() == other.look()
    }
}

impl<T: Eq> Eq for OnceLock<T> {}
