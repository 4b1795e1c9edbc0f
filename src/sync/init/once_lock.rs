#![allow(unsafe_code, reason = "a value that is initialised once")]
//! [`OnceLock`].
//!
//! OL1. The value exists exactly when `once` is complete; it is written by the thread that runs the
//!      initialiser of `once`, or by an owner with exclusive access, and is shared from then on.

use std::cell::UnsafeCell;
use std::fmt;
use std::panic::{Location, RefUnwindSafe, UnwindSafe};

use super::once::{Once, Unwound};
use crate::sync::raw::once::End;
use crate::sync::wait::wait_in_queue::note_failed_try;

/// A cell that is written at most once; see [`std::sync::OnceLock`].
///
/// An initialiser may wait: other green threads run meanwhile. If it panics or is
/// [cancelled](crate::Cancelled), the cell stays empty for the next one.
///
/// # Examples
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
#[doc(alias = "OnceCell")]
#[doc(alias = "once_cell")]
pub struct OnceLock<T> {
    once: Once,
    // Dropped by itself: a destructor of ours would require more of the borrows in `T` than std's
    // does.
    value: UnsafeCell<Option<T>>,
}

// SAFETY: OL1: it is shared by the threads that have the cell, and may be dropped by another thread
// than the one that wrote it.
unsafe impl<T: Sync + Send> Sync for OnceLock<T> {}
// SAFETY: the value moves with the cell.
unsafe impl<T: Send> Send for OnceLock<T> {}

impl<T: RefUnwindSafe + UnwindSafe> RefUnwindSafe for OnceLock<T> {}
impl<T: UnwindSafe> UnwindSafe for OnceLock<T> {}

impl<T> OnceLock<T> {
    /// Creates an empty cell.
    ///
    /// # Examples
    ///
    /// ```
    /// static CELL: rustlet::sync::OnceLock<u32> = rustlet::sync::OnceLock::new();
    /// assert_eq!(CELL.get(), None);
    /// ```
    #[inline]
    #[must_use]
    pub const fn new() -> OnceLock<T> {
        OnceLock {
            once: Once::new(),
            value: UnsafeCell::new(None),
        }
    }

    /// Returns the value if it is initialised. Does not wait.
    ///
    /// # Examples
    ///
    /// ```
    /// let cell = rustlet::sync::OnceLock::new();
    /// assert_eq!(cell.get(), None);
    /// cell.set(1).unwrap();
    /// assert_eq!(cell.get(), Some(&1));
    /// ```
    #[inline]
    #[track_caller]
    pub fn get(&self) -> Option<&T> {
        let found = self.peek();
        if found.is_none() {
            note_failed_try(Location::caller());
        }
        found
    }

    #[inline(always)]
    fn peek(&self) -> Option<&T> {
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
        // SAFETY: OL1, the value is not written any more.
        let value = unsafe { &*self.value.get() };
        // SAFETY: by the contract.
        unsafe { value.as_ref().unwrap_unchecked() }
    }

    /// Returns a mutable reference to the value if it is initialised. Never suspends.
    ///
    /// # Examples
    ///
    /// ```
    /// let mut cell = rustlet::sync::OnceLock::from(1);
    /// *cell.get_mut().unwrap() += 1;
    /// assert_eq!(cell.get(), Some(&2));
    /// ```
    #[inline]
    pub fn get_mut(&mut self) -> Option<&mut T> {
        self.value.get_mut().as_mut()
    }

    /// Waits until the cell is initialised and returns the value.
    ///
    /// # Suspends
    ///
    /// Suspends the calling green thread until then; blocks an OS thread.
    ///
    /// # Examples
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

    /// Initialises the cell with `value`. Waits for an initialiser that is running.
    ///
    /// # Errors
    ///
    /// Returns `value` if the cell is already initialised.
    ///
    /// # Suspends
    ///
    /// Suspends the calling green thread while another thread runs an initialiser; blocks an OS
    /// thread.
    ///
    /// # Examples
    ///
    /// ```
    /// let place = rustlet::sync::OnceLock::new();
    /// assert_eq!(place.set(1), Ok(()));
    /// assert_eq!(place.set(2), Err(2));
    /// ```
    #[inline]
    #[track_caller]
    pub fn set(&self, value: T) -> Result<(), T> {
        note_failed_try(Location::caller());
        let mut value = Some(value);
        self.initialise(Location::caller(), || value.take());
        match value {
            None => Ok(()),
            Some(value) => Err(value),
        }
    }

    /// Returns the value, initialising it with `f` if the cell is empty. At most one thread at a
    /// time runs an initialiser.
    ///
    /// # Panics
    ///
    /// Panics if `f` panics; the cell stays empty.
    ///
    /// # Suspends
    ///
    /// Suspends the calling green thread while another thread runs an initialiser; blocks an OS
    /// thread.
    ///
    /// # Examples
    ///
    /// ```
    /// let cell = rustlet::sync::OnceLock::new();
    /// assert_eq!(*cell.get_or_init(|| 1), 1);
    /// assert_eq!(*cell.get_or_init(|| 2), 1);
    /// ```
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

    /// Initialises the cell if it is empty. `make` is called at most once and returns a value then.
    #[cold]
    fn initialise(&self, at: &'static Location<'static>, init: impl FnOnce() -> Option<T>) {
        if self.once.is_done() {
            return;
        }
        self.once.call(false, Unwound::MayRetry, at, |_| {
            let Some(value) = init() else {
                unreachable!("called once");
            };
            // SAFETY: OL1; there was nothing to drop.
            unsafe { *self.value.get() = Some(value) };
        });
    }

    /// Consumes the cell and returns the value if it is initialised.
    ///
    /// # Examples
    ///
    /// ```
    /// assert_eq!(rustlet::sync::OnceLock::from(1).into_inner(), Some(1));
    /// ```
    #[inline]
    pub fn into_inner(mut self) -> Option<T> {
        self.take()
    }

    /// Takes the value out, if it is initialised, and leaves the cell empty.
    ///
    /// # Examples
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
        match self.peek() {
            Some(value) => shown.field(value),
            None => shown.field(&format_args!("<uninit>")),
        };
        shown.finish()
    }
}

impl<T: Clone> Clone for OnceLock<T> {
    fn clone(&self) -> OnceLock<T> {
        match self.peek() {
            Some(value) => OnceLock::from(value.clone()),
            None => OnceLock::new(),
        }
    }
}

impl<T> From<T> for OnceLock<T> {
    fn from(value: T) -> OnceLock<T> {
        let mut lock = OnceLock::new();
        *lock.value.get_mut() = Some(value);
        lock.once.set_state(End::Complete);
        lock
    }
}

impl<T: PartialEq> PartialEq for OnceLock<T> {
    fn eq(&self, other: &OnceLock<T>) -> bool {
        self.peek() == other.peek()
    }
}

impl<T: Eq> Eq for OnceLock<T> {}
