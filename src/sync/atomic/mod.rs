//! Atomic types, as in [`std::sync::atomic`]: std's own, except with the feature `testing`.
//!
//! With that feature each type wraps std's and dereferences to it, and each operation on it is a
//! switch point of a run of [`testing`](crate::testing): another thread may run in between, as if
//! it ran on another worker. Outside of such a run an operation costs one more branch.
//!
//! In a run all threads see all operations in one order, whatever their [`Ordering`] is. So a test
//! finds lost updates and forgotten checks, and not an ordering that is too weak.
//!
//! So a thread of a run must not call an operation while it holds a lock of std, or a borrow of a
//! `RefCell` in a `std::thread_local!`, that another one wants: the test would hang or panic. Use
//! the locks and the `thread_local!` of this crate there.
//!
//! # Examples
//!
//! ```
//! use rustlet::sync::atomic::{AtomicUsize, Ordering};
//!
//! static COUNT: AtomicUsize = AtomicUsize::new(0);
//!
//! COUNT.fetch_add(1, Ordering::Relaxed);
//! assert_eq!(COUNT.load(Ordering::Relaxed), 1);
//! ```

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::panic::Location;
use std::sync::atomic;

pub use std::sync::atomic::{Ordering, compiler_fence};

use crate::green::switch_point::switch_point;

/// An atomic fence, as [`std::sync::atomic::fence`]; a switch point.
///
/// # Examples
///
/// ```
/// use rustlet::sync::atomic::{Ordering, fence};
///
/// fence(Ordering::SeqCst);
/// ```
#[inline]
#[track_caller]
pub fn fence(order: Ordering) {
    switch_point(Location::caller());
    atomic::fence(order);
}

/// Defines the operations of a type that have the same shape: `name(value, order) -> old`.
macro_rules! fetch {
    ($value:ty: $($name:ident)*) => {$(
        #[doc = concat!("Does what std's `", stringify!($name), "` does; a switch point.")]
        ///
        /// # Examples
        ///
        /// ```
        /// use rustlet::sync::atomic::{AtomicUsize, Ordering};
        ///
        /// assert_eq!(AtomicUsize::new(1).swap(2, Ordering::SeqCst), 1);
        /// ```
        #[inline]
        #[track_caller]
        pub fn $name(&self, value: $value, order: Ordering) -> $value {
            switch_point(Location::caller());
            self.0.$name(value, order)
        }
    )*};
}

/// Defines a type around std's of the same name.
macro_rules! wrap {
    ($name:ident $(<$of:ident>)?, $value:ty, $example:literal: $($fetch:ident)*) => {
        #[doc = concat!("Wraps [`std::sync::atomic::", stringify!($name), "`].")]
        ///
        /// # Examples
        ///
        /// ```
        #[doc = $example]
        /// ```
        #[repr(transparent)]
        pub struct $name $(<$of>)? (atomic::$name $(<$of>)?);

        impl $(<$of>)? $name $(<$of>)? {
            /// Creates it with a value.
            ///
            /// # Examples
            ///
            /// ```
            #[doc = $example]
            /// ```
            #[must_use]
            pub const fn new(value: $value) -> Self {
                $name(atomic::$name::new(value))
            }

            /// Returns the value.
            ///
            /// # Examples
            ///
            /// ```
            #[doc = $example]
            /// ```
            #[must_use]
            pub fn into_inner(self) -> $value {
                self.0.into_inner()
            }

            /// Does what std's `load` does; a switch point.
            ///
            /// # Examples
            ///
            /// ```
            #[doc = $example]
            /// ```
            #[inline]
            #[track_caller]
            pub fn load(&self, order: Ordering) -> $value {
                switch_point(Location::caller());
                self.0.load(order)
            }

            /// Does what std's `store` does; a switch point.
            ///
            /// # Examples
            ///
            /// ```
            #[doc = $example]
            /// ```
            #[inline]
            #[track_caller]
            pub fn store(&self, value: $value, order: Ordering) {
                switch_point(Location::caller());
                self.0.store(value, order);
            }

            /// Does what std's `compare_exchange` does; a switch point.
            ///
            /// # Errors
            ///
            /// Returns the value if it is not `current`.
            ///
            /// # Examples
            ///
            /// ```
            #[doc = $example]
            /// ```
            #[inline]
            #[track_caller]
            pub fn compare_exchange(
                &self,
                current: $value,
                new: $value,
                success: Ordering,
                failure: Ordering,
            ) -> Result<$value, $value> {
                switch_point(Location::caller());
                self.0.compare_exchange(current, new, success, failure)
            }

            /// Does what std's `compare_exchange_weak` does; a switch point.
            ///
            /// # Errors
            ///
            /// Returns the value if it is not `current`, and sometimes if it is.
            ///
            /// # Examples
            ///
            /// ```
            #[doc = $example]
            /// ```
            #[inline]
            #[track_caller]
            pub fn compare_exchange_weak(
                &self,
                current: $value,
                new: $value,
                success: Ordering,
                failure: Ordering,
            ) -> Result<$value, $value> {
                switch_point(Location::caller());
                self.0.compare_exchange_weak(current, new, success, failure)
            }

            /// Does what std's `fetch_update` does; each of its attempts has two switch points.
            ///
            /// # Errors
            ///
            /// Returns the value if `f` has returned `None`.
            ///
            /// # Examples
            ///
            /// ```
            #[doc = $example]
            /// ```
            #[track_caller]
            pub fn fetch_update(
                &self,
                set_order: Ordering,
                fetch_order: Ordering,
                mut f: impl FnMut($value) -> Option<$value>,
            ) -> Result<$value, $value> {
                let mut current = self.load(fetch_order);
                while let Some(new) = f(current) {
                    match self.compare_exchange_weak(current, new, set_order, fetch_order) {
                        Ok(before) => return Ok(before),
                        Err(now) => current = now,
                    }
                }
                Err(current)
            }

            fetch!($value: swap $($fetch)*);
        }

        impl $(<$of>)? Deref for $name $(<$of>)? {
            type Target = atomic::$name $(<$of>)?;

            fn deref(&self) -> &Self::Target {
                &self.0
            }
        }

        impl $(<$of>)? DerefMut for $name $(<$of>)? {
            fn deref_mut(&mut self) -> &mut Self::Target {
                &mut self.0
            }
        }

        impl $(<$of>)? Default for $name $(<$of>)? {
            fn default() -> Self {
                $name(atomic::$name::default())
            }
        }

        impl $(<$of>)? From<$value> for $name $(<$of>)? {
            fn from(value: $value) -> Self {
                $name::new(value)
            }
        }

        impl $(<$of>)? fmt::Debug for $name $(<$of>)? {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

wrap!(AtomicBool, bool, "assert!(rustlet::sync::atomic::AtomicBool::new(true).into_inner());":
    fetch_and fetch_nand fetch_or fetch_xor);

impl AtomicBool {
    /// Does what std's `fetch_not` does; a switch point.
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::sync::atomic::{AtomicBool, Ordering};
    ///
    /// assert!(AtomicBool::new(true).fetch_not(Ordering::SeqCst));
    /// ```
    #[inline]
    #[track_caller]
    pub fn fetch_not(&self, order: Ordering) -> bool {
        self.fetch_xor(true, order)
    }
}

wrap!(AtomicPtr<T>, *mut T,
    "let pointer = rustlet::sync::atomic::AtomicPtr::new(std::ptr::from_mut(&mut 5));
assert!(!pointer.into_inner().is_null());":);

/// Defines the integer types.
macro_rules! integers {
    ($($name:ident $value:ty, $example:literal;)*) => {$(
        wrap!($name, $value, $example:
            fetch_add fetch_sub fetch_and fetch_nand fetch_or fetch_xor fetch_max fetch_min);
    )*};
}

integers! {
    AtomicI8 i8, "assert_eq!(rustlet::sync::atomic::AtomicI8::new(5).into_inner(), 5);";
    AtomicI16 i16, "assert_eq!(rustlet::sync::atomic::AtomicI16::new(5).into_inner(), 5);";
    AtomicI32 i32, "assert_eq!(rustlet::sync::atomic::AtomicI32::new(5).into_inner(), 5);";
    AtomicI64 i64, "assert_eq!(rustlet::sync::atomic::AtomicI64::new(5).into_inner(), 5);";
    AtomicIsize isize, "assert_eq!(rustlet::sync::atomic::AtomicIsize::new(5).into_inner(), 5);";
    AtomicU8 u8, "assert_eq!(rustlet::sync::atomic::AtomicU8::new(5).into_inner(), 5);";
    AtomicU16 u16, "assert_eq!(rustlet::sync::atomic::AtomicU16::new(5).into_inner(), 5);";
    AtomicU32 u32, "assert_eq!(rustlet::sync::atomic::AtomicU32::new(5).into_inner(), 5);";
    AtomicU64 u64, "assert_eq!(rustlet::sync::atomic::AtomicU64::new(5).into_inner(), 5);";
    AtomicUsize usize, "assert_eq!(rustlet::sync::atomic::AtomicUsize::new(5).into_inner(), 5);";
}
