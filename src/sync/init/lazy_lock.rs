#![allow(unsafe_code, reason = "a closure, then its value, in one place")]
//! [`LazyLock`].
//!
//! LL1. The place holds the closure while `once` is incomplete, the value when it is complete, and nothing when it is poisoned. While an
//!      initialiser runs, its thread alone touches the place.

use std::cell::UnsafeCell;
use std::fmt;
use std::mem::ManuallyDrop;
use std::ops::{Deref, DerefMut};
use std::panic::{Location, RefUnwindSafe, UnwindSafe};

use super::once::{Once, Unwound};
use crate::green::budget::spend_quietly;
use crate::sync::raw::once::End;

union Data<T, F> {
    value: ManuallyDrop<T>,
    closure: ManuallyDrop<F>,
}

/// A value that is made when it is first used. As [`std::sync::LazyLock`].
///
/// The closure may wait: other green threads run meanwhile, and those that want the value wait for it. If it panics the value is poisoned: later uses
/// panic too. So it is when a thread is [cancelled](crate::Cancelled) inside the closure, which is used up then; where
/// that may happen, [`OnceLock`](crate::sync::OnceLock) is the better choice.
///
/// ```
/// use rustlet::sync::LazyLock;
///
/// static TABLE: LazyLock<Vec<u32>> = LazyLock::new(|| (0..10).map(|n| n * n).collect());
///
/// assert_eq!(TABLE[3], 9);
/// ```
pub struct LazyLock<T, F = fn() -> T> {
    once: Once,
    data: UnsafeCell<Data<T, F>>,
}

// SAFETY: LL1: the closure is called by one thread, perhaps not the one that made it; the value is shared.
unsafe impl<T: Sync + Send, F: Send> Sync for LazyLock<T, F> {}

impl<T: RefUnwindSafe + UnwindSafe, F: UnwindSafe> RefUnwindSafe for LazyLock<T, F> {}
impl<T: UnwindSafe, F: UnwindSafe> UnwindSafe for LazyLock<T, F> {}

#[cold]
#[track_caller]
fn poisoned() -> ! {
    panic!("LazyLock instance has previously been poisoned")
}

impl<T, F: FnOnce() -> T> LazyLock<T, F> {
    /// One whose value `f` will make.
    #[inline]
    pub const fn new(f: F) -> LazyLock<T, F> {
        LazyLock {
            once: Once::new(),
            data: UnsafeCell::new(Data {
                closure: ManuallyDrop::new(f),
            }),
        }
    }

    /// The value, made now if it is not there yet; what `*` does, by a name. Suspends the calling green thread while another one makes it,
    /// or blocks the calling OS thread.
    ///
    /// # Panics
    ///
    /// The closure panics, or has panicked.
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
            this.make(Location::caller());
        }
        // SAFETY: LL1, nobody writes any more.
        let data = unsafe { &*this.data.get() };
        // SAFETY: LL1.
        unsafe { &data.value }
    }

    #[cold]
    #[track_caller]
    fn make(&self, at: &'static Location<'static>) {
        let made = self.once.call(true, Unwound::IsLost, at, |_| {
            // SAFETY: LL1, this is the initialiser.
            let data = unsafe { &mut *self.data.get() };
            // SAFETY: LL1; whatever happens, `once` is not incomplete again.
            let closure = unsafe { ManuallyDrop::take(&mut data.closure) };
            data.value = ManuallyDrop::new(closure());
        });
        if !made {
            poisoned();
        }
    }

    /// The value, made now if it is not there yet, to be changed.
    ///
    /// # Panics
    ///
    /// The closure panics, or has panicked.
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
            End::Incomplete => this.make_alone(),
        }
        // SAFETY: LL1.
        unsafe { &mut this.data.get_mut().value }
    }

    #[cold]
    fn make_alone(&mut self) {
        let data = self.data.get_mut();
        // What stays if the closure panics.
        self.once.set_state(End::Poisoned);
        // SAFETY: LL1; it is not incomplete any more.
        let closure = unsafe { ManuallyDrop::take(&mut data.closure) };
        data.value = ManuallyDrop::new(closure());
        self.once.set_state(End::Complete);
    }
}

impl<T, F> LazyLock<T, F> {
    /// The value, if it has been made. Does not wait.
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
            spend_quietly(Location::caller());
        }
        this.look()
    }

    #[inline]
    fn look(&self) -> Option<&T> {
        if !self.once.is_done() {
            return None;
        }
        // SAFETY: LL1, nobody writes any more.
        let data = unsafe { &*self.data.get() };
        // SAFETY: LL1.
        Some(unsafe { &data.value })
    }

    /// The value, if it has been made, to be changed. Never suspends.
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
        match self.look() {
            Some(value) => shown.field(value),
            None => shown.field(&format_args!("<uninit>")),
        };
        shown.finish()
    }
}
