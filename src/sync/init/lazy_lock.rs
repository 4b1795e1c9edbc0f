#![allow(unsafe_code, reason = "a union of a closure and its value")]
//! [`LazyLock`].
//!
//! LL1. `data` holds the closure while `once` is incomplete, the value when it is complete, and
//!      nothing when it is poisoned. While an initialiser runs, only its thread touches `data`.

use std::cell::UnsafeCell;
use std::fmt;
use std::mem::ManuallyDrop;
use std::ops::{Deref, DerefMut};
use std::panic::{Location, RefUnwindSafe, UnwindSafe};

use super::once::{Once, Unwound};
use crate::green::budget::poll_budget_quietly;
use crate::sync::raw::once::End;

union Data<T, F> {
    value: ManuallyDrop<T>,
    closure: ManuallyDrop<F>,
}

/// A value that is initialised on first use; see [`std::sync::LazyLock`].
///
/// The closure may wait: other green threads run meanwhile, and threads that need the value wait
/// for it. If the closure panics, the lock is poisoned and later uses panic too.
///
/// # Cancellation
///
/// The closure runs at most once, so a [cancellation](crate::Cancelled) inside it poisons the lock.
/// Use [`OnceLock`](crate::sync::OnceLock) if that can happen.
///
/// # Examples
///
/// ```
/// use rustlet::sync::LazyLock;
///
/// static TABLE: LazyLock<Vec<u32>> = LazyLock::new(|| (0..10).map(|n| n * n).collect());
///
/// assert_eq!(TABLE[3], 9);
/// ```
#[doc(alias = "lazy_static")]
#[doc(alias = "Lazy")]
pub struct LazyLock<T, F = fn() -> T> {
    once: Once,
    data: UnsafeCell<Data<T, F>>,
}

// SAFETY: LL1: the closure is called by one thread, perhaps not the one that made it; the value is
// shared.
unsafe impl<T: Sync + Send, F: Send> Sync for LazyLock<T, F> {}

impl<T: RefUnwindSafe + UnwindSafe, F: UnwindSafe> RefUnwindSafe for LazyLock<T, F> {}
impl<T: UnwindSafe, F: UnwindSafe> UnwindSafe for LazyLock<T, F> {}

#[cold]
#[track_caller]
fn poisoned() -> ! {
    panic!("LazyLock instance has previously been poisoned")
}

impl<T, F: FnOnce() -> T> LazyLock<T, F> {
    /// Creates a value that `f` will initialise.
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::sync::LazyLock;
    ///
    /// static NAME: LazyLock<String> = LazyLock::new(|| "name".to_uppercase());
    /// assert_eq!(*NAME, "NAME");
    /// ```
    #[inline]
    pub const fn new(f: F) -> LazyLock<T, F> {
        LazyLock {
            once: Once::new(),
            data: UnsafeCell::new(Data {
                closure: ManuallyDrop::new(f),
            }),
        }
    }

    /// Initialises the value if necessary and returns a reference to it; `*` does the same.
    ///
    /// # Panics
    ///
    /// Panics if the closure panics or has panicked.
    ///
    /// # Suspends
    ///
    /// Suspends the calling green thread while another thread runs the closure; blocks an OS
    /// thread.
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::sync::LazyLock;
    /// let lazy = LazyLock::new(|| 92);
    /// assert_eq!(LazyLock::force(&lazy), &92);
    /// ```
    #[inline]
    #[track_caller]
    pub fn force(this: &LazyLock<T, F>) -> &T {
        if !this.once.is_done() {
            this.init(Location::caller());
        }
        // SAFETY: LL1, the value is not written any more.
        let data = unsafe { &*this.data.get() };
        // SAFETY: LL1.
        unsafe { &data.value }
    }

    #[cold]
    #[track_caller]
    fn init(&self, at: &'static Location<'static>) {
        let made = self.once.call(true, Unwound::IsLost, at, |_| {
            // SAFETY: LL1, this is the initialiser.
            let data = unsafe { &mut *self.data.get() };
            // SAFETY: LL1; `once` never becomes incomplete again.
            let closure = unsafe { ManuallyDrop::take(&mut data.closure) };
            data.value = ManuallyDrop::new(closure());
        });
        if !made {
            poisoned();
        }
    }

    /// Initialises the value if necessary and returns a mutable reference to it.
    ///
    /// # Panics
    ///
    /// Panics if the closure panics or has panicked.
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::sync::LazyLock;
    /// let mut lazy = LazyLock::new(|| 92);
    /// *LazyLock::force_mut(&mut lazy) = 44;
    /// assert_eq!(*lazy, 44);
    /// ```
    #[inline]
    #[track_caller]
    pub fn force_mut(this: &mut LazyLock<T, F>) -> &mut T {
        match this.once.state() {
            End::Complete => {}
            End::Poisoned => poisoned(),
            End::Incomplete => this.init_exclusive(),
        }
        // SAFETY: LL1.
        unsafe { &mut this.data.get_mut().value }
    }

    #[cold]
    fn init_exclusive(&mut self) {
        let data = self.data.get_mut();
        // The state that stays if the closure panics.
        self.once.set_state(End::Poisoned);
        // SAFETY: LL1; it is not incomplete any more.
        let closure = unsafe { ManuallyDrop::take(&mut data.closure) };
        data.value = ManuallyDrop::new(closure());
        self.once.set_state(End::Complete);
    }
}

impl<T, F> LazyLock<T, F> {
    /// Returns the value if it is initialised. Does not wait.
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::sync::LazyLock;
    /// let lazy = LazyLock::new(|| 92);
    /// assert_eq!(LazyLock::get(&lazy), None);
    /// LazyLock::force(&lazy);
    /// assert_eq!(LazyLock::get(&lazy), Some(&92));
    /// ```
    #[inline]
    #[track_caller]
    pub fn get(this: &LazyLock<T, F>) -> Option<&T> {
        if !this.once.is_done() {
            poll_budget_quietly(Location::caller());
        }
        this.peek()
    }

    #[inline]
    fn peek(&self) -> Option<&T> {
        if !self.once.is_done() {
            return None;
        }
        // SAFETY: LL1, the value is not written any more.
        let data = unsafe { &*self.data.get() };
        // SAFETY: LL1.
        Some(unsafe { &data.value })
    }

    /// Returns a mutable reference to the value if it is initialised. Never suspends.
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::sync::LazyLock;
    ///
    /// let mut lazy = LazyLock::new(|| 1);
    /// assert_eq!(LazyLock::get_mut(&mut lazy), None);
    /// LazyLock::force(&lazy);
    /// assert_eq!(LazyLock::get_mut(&mut lazy), Some(&mut 1));
    /// ```
    #[inline]
    pub fn get_mut(this: &mut LazyLock<T, F>) -> Option<&mut T> {
        if this.once.state() != End::Complete {
            return None;
        }
        // SAFETY: LL1.
        Some(unsafe { &mut this.data.get_mut().value })
    }
}

impl<T, F> Drop for LazyLock<T, F> {
    fn drop(&mut self) {
        let data = self.data.get_mut();
        match self.once.state() {
            // SAFETY: LL1; never used again.
            End::Incomplete => unsafe { ManuallyDrop::drop(&mut data.closure) },
            // SAFETY: LL1; never used again.
            End::Complete => unsafe { ManuallyDrop::drop(&mut data.value) },
            End::Poisoned => {}
        }
    }
}

impl<T, F: FnOnce() -> T> Deref for LazyLock<T, F> {
    type Target = T;

    #[inline]
    #[track_caller]
    fn deref(&self) -> &T {
        LazyLock::force(self)
    }
}

impl<T, F: FnOnce() -> T> DerefMut for LazyLock<T, F> {
    #[inline]
    #[track_caller]
    fn deref_mut(&mut self) -> &mut T {
        LazyLock::force_mut(self)
    }
}

impl<T: Default> Default for LazyLock<T> {
    fn default() -> LazyLock<T> {
        LazyLock::new(T::default)
    }
}

impl<T: fmt::Debug, F> fmt::Debug for LazyLock<T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_tuple("LazyLock");
        match self.peek() {
            Some(value) => shown.field(value),
            None => shown.field(&format_args!("<uninit>")),
        };
        shown.finish()
    }
}
