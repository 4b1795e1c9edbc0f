//! Atomics, cells and locks, real or loom's, so that the protocols are model-checked on their real
//! source.
//!
//! Only files with a protocol between OS threads import from here; under `--cfg loom` only those
//! files are built (see `lib.rs`). It has no policy.

#[cfg(loom)]
pub(crate) use loom::{
    cell::Cell,
    sync::Mutex,
    sync::atomic::{AtomicBool, AtomicPtr, AtomicU8, AtomicUsize, Ordering, fence},
};

#[cfg(not(loom))]
pub(crate) use std::{
    cell::Cell,
    sync::Mutex,
    sync::atomic::{AtomicBool, AtomicPtr, AtomicU8, AtomicUsize, Ordering, fence},
};

/// Takes a lock whose holders never leave broken state behind: a panic in one of them is not passed
/// on.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> impl std::ops::DerefMut<Target = T> + '_ {
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Defines a function that is `const`, except under loom, whose atomics and locks cannot be made at
/// compile time.
macro_rules! const_unless_loom {
    ($(#[$attr:meta])* $vis:vis fn $name:ident($($arg:tt)*) -> $ret:ty $body:block) => {
        #[cfg(not(loom))]
        $(#[$attr])*
        $vis const fn $name($($arg)*) -> $ret $body
        #[cfg(loom)]
        $(#[$attr])*
        $vis fn $name($($arg)*) -> $ret $body
    };
}
pub(crate) use const_unless_loom;
