#![allow(
    unsafe_code,
    reason = "values of any type under the addresses of their keys"
)]
//! Storage of the *green* thread, with the names of `std::thread_local!`.
//!
//! Each green thread (and each OS thread) has a list of the values that it has used, found by the address of the key.
//! A green thread has a handful of them at most, so the list is searched from its start.
//!
//! V1. A value is boxed: growing the list does not move it. It is dropped only at the end of its thread, by that
//!     thread, after the list was taken away, so that no `with` finds it any more.
//! V2. An entry under the address of a `LocalKey<T>` holds a `T`: a static has one type and one address.
//! V3. The list is borrowed for a look or a push only; no code of the user runs meanwhile.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::fmt;
use std::ptr;

use crate::green::{Home, LocalStorage, contain};

/// In the place of a key, which has the address of something: of a value that only waits for the end of its thread.
const NOBODYS: usize = 0;

/// A key of storage that each thread, green or not, has its own value for. As [`std::thread::LocalKey`]; made by
/// [`thread_local!`](crate::thread_local).
///
/// Unlike with std's, an initialiser that suspends is sound: another green thread has a value of its own.
///
/// ```
/// use std::cell::Cell;
///
/// rustlet::thread_local! {
///     static VISITS: Cell<u32> = const { Cell::new(0) };
/// }
///
/// rustlet::run(|| {
///     VISITS.set(7);
///     rustlet::spawn(|| assert_eq!(VISITS.get(), 0)).join().unwrap();
///     assert_eq!(VISITS.get(), 7);
/// });
/// ```
pub struct LocalKey<T: 'static> {
    init: fn() -> T,
}

/// The thread's values are being dropped. As [`std::thread::AccessError`].
#[derive(Clone, Copy, Eq, PartialEq)]
#[non_exhaustive]
pub struct AccessError;

impl fmt::Debug for AccessError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessError").finish()
    }
}

impl fmt::Display for AccessError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("already destroyed")
    }
}

impl std::error::Error for AccessError {}

enum Slot {
    Alive(Box<dyn Any>),
    /// Its destructor runs or has run: std says `AccessError` from then on.
    Destroyed,
}

#[derive(Default)]
struct Locals {
    entries: Vec<(usize, Slot)>,
}

/// A thread's values: destroyed when it ends, last made first.
struct Keeper(RefCell<Locals>);

impl Drop for Keeper {
    fn drop(&mut self) {
        self.destroy();
    }
}

impl LocalStorage for Keeper {
    fn destroy(&self) {
        loop {
            let mut locals = self.0.borrow_mut();
            let alive = locals
                .entries
                .iter_mut()
                .rfind(|(_, slot)| matches!(slot, Slot::Alive(_)));
            let Some((_, slot)) = alive else {
                return;
            };
            let value = std::mem::replace(slot, Slot::Destroyed);
            drop(locals);
            // V3: the user's destructor may use other keys, and thereby add entries.
            contain(|| drop(value));
        }
    }
}

impl Keeper {
    fn find<T: 'static>(&self, key: usize) -> Option<Result<*const T, AccessError>> {
        let locals = self.0.borrow();
        let (_, slot) = locals.entries.iter().find(|(entry, _)| *entry == key)?;
        Some(match slot {
            // V2.
            Slot::Alive(value) => value
                .downcast_ref::<T>()
                .map(ptr::from_ref)
                .ok_or(AccessError),
            Slot::Destroyed => Err(AccessError),
        })
    }
}

/// A green thread's list goes where its control block keeps it; dropping that runs the destructors.
fn with_keeper<R>(f: impl FnOnce(&Keeper) -> R) -> Result<R, AccessError> {
    thread_local_of_os! {
        static OS: Keeper = const { Keeper(RefCell::new(Locals { entries: Vec::new() })) };
    }
    let Some(home) = Home::get() else {
        return OS.try_with(f).map_err(|_| AccessError);
    };
    let place = home.current().locals();
    // SAFETY: the caller runs on that thread, and the reference ends before the next statement.
    let keeper = unsafe { &mut *place }.get_or_insert_with(|| Box::new(Keeper(RefCell::default())));
    let keeper: *const dyn LocalStorage = &raw const **keeper;
    // SAFETY: V1: the keeper is boxed, and is dropped by this thread at its end only.
    let keeper: &dyn Any = unsafe { &*keeper };
    match keeper.downcast_ref::<Keeper>() {
        Some(keeper) => Ok(f(keeper)),
        None => Err(AccessError),
    }
}

use std::thread_local as thread_local_of_os;

impl<T: 'static> LocalKey<T> {
    #[doc(hidden)]
    #[must_use]
    pub const fn __new(init: fn() -> T) -> LocalKey<T> {
        LocalKey { init }
    }

    fn key(&'static self) -> usize {
        ptr::from_ref(self).addr()
    }

    /// Calls `f` with the thread's value, which is made at its first use.
    ///
    /// # Panics
    ///
    /// The value has been destroyed: the thread is ending.
    pub fn with<F, R>(&'static self, f: F) -> R
    where
        F: FnOnce(&T) -> R,
    {
        match self.try_with(f) {
            Ok(result) => result,
            Err(error) => panic!(
                "cannot access a green thread's local value during or after destruction: {error}"
            ),
        }
    }

    /// As [`LocalKey::with`], with an error instead of a panic.
    ///
    /// # Errors
    ///
    /// The value has been destroyed: the thread is ending.
    pub fn try_with<F, R>(&'static self, f: F) -> Result<R, AccessError>
    where
        F: FnOnce(&T) -> R,
    {
        let value = match with_keeper(|keeper| keeper.find::<T>(self.key()))? {
            Some(found) => found?,
            None => {
                // May suspend, may use this very key: the value that is made last counts, as in std.
                let fresh: Box<dyn Any> = Box::new((self.init)());
                self.insert(fresh)?
            }
        };
        // SAFETY: V1; the thread that could drop it is the one that runs `f`.
        Ok(f(unsafe { &*value }))
    }

    /// As std, `set` does without the initialiser: the value goes in, or comes back if there is one already.
    fn start_with<V>(&'static self, value: V, wrap: fn(V) -> T) -> Option<V> {
        let found = with_keeper(|keeper| keeper.find::<T>(self.key()).is_some());
        if !matches!(found, Ok(false)) {
            return Some(value);
        }
        let _kept = self.insert(Box::new(wrap(value)));
        None
    }

    /// Keeps a value, in the place of one that its own initialiser has made meanwhile.
    fn insert(&'static self, value: Box<dyn Any>) -> Result<*const T, AccessError> {
        with_keeper(|keeper| {
            let mut locals = keeper.0.borrow_mut();
            let entries = &mut locals.entries;
            match entries.iter_mut().find(|(entry, _)| *entry == self.key()) {
                None => entries.push((self.key(), Slot::Alive(value))),
                Some((_, Slot::Destroyed)) => {
                    drop(locals);
                    return Err(AccessError);
                }
                Some((_, slot)) => {
                    // V1: a reference to it may be out, in a coroutine of another crate that the initialiser has left suspended.
                    let before = std::mem::replace(slot, Slot::Alive(value));
                    entries.push((NOBODYS, before));
                }
            }
            drop(locals);
            keeper.find::<T>(self.key()).unwrap_or(Err(AccessError))
        })?
    }
}

impl<T: 'static> LocalKey<Cell<T>> {
    /// Sets the value, as [`Cell::set`].
    ///
    /// # Panics
    ///
    /// As [`LocalKey::with`].
    pub fn set(&'static self, value: T) {
        if let Some(value) = self.start_with(value, Cell::new) {
            self.with(|cell| cell.set(value));
        }
    }

    /// A copy of the value, as [`Cell::get`].
    ///
    /// # Panics
    ///
    /// As [`LocalKey::with`].
    pub fn get(&'static self) -> T
    where
        T: Copy,
    {
        self.with(Cell::get)
    }

    /// Takes the value, as [`Cell::take`].
    ///
    /// # Panics
    ///
    /// As [`LocalKey::with`].
    pub fn take(&'static self) -> T
    where
        T: Default,
    {
        self.with(Cell::take)
    }

    /// Replaces the value, as [`Cell::replace`].
    ///
    /// # Panics
    ///
    /// As [`LocalKey::with`].
    pub fn replace(&'static self, value: T) -> T {
        self.with(|cell| cell.replace(value))
    }
}

impl<T: 'static> LocalKey<RefCell<T>> {
    /// Calls `f` with a shared borrow of the value.
    ///
    /// # Panics
    ///
    /// The value is mutably borrowed, or as [`LocalKey::with`].
    pub fn with_borrow<F, R>(&'static self, f: F) -> R
    where
        F: FnOnce(&T) -> R,
    {
        self.with(|cell| f(&cell.borrow()))
    }

    /// Calls `f` with a mutable borrow of the value.
    ///
    /// # Panics
    ///
    /// The value is borrowed, or as [`LocalKey::with`].
    pub fn with_borrow_mut<F, R>(&'static self, f: F) -> R
    where
        F: FnOnce(&mut T) -> R,
    {
        self.with(|cell| f(&mut cell.borrow_mut()))
    }

    /// Sets the value.
    ///
    /// # Panics
    ///
    /// The value is borrowed, or as [`LocalKey::with`].
    pub fn set(&'static self, value: T) {
        if let Some(value) = self.start_with(value, RefCell::new) {
            self.with(|cell| *cell.borrow_mut() = value);
        }
    }

    /// Takes the value, as [`RefCell::take`].
    ///
    /// # Panics
    ///
    /// The value is borrowed, or as [`LocalKey::with`].
    pub fn take(&'static self) -> T
    where
        T: Default,
    {
        self.with(RefCell::take)
    }

    /// Replaces the value, as [`RefCell::replace`].
    ///
    /// # Panics
    ///
    /// The value is borrowed, or as [`LocalKey::with`].
    pub fn replace(&'static self, value: T) -> T {
        self.with(|cell| cell.replace(value))
    }
}

impl<T: 'static> fmt::Debug for LocalKey<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalKey").finish_non_exhaustive()
    }
}

/// Declares storage of the green thread, with the syntax of [`std::thread_local!`].
///
/// Destructors run at the end of the green thread, on its own stack: they may suspend.
///
/// ```
/// use std::cell::RefCell;
///
/// rustlet::thread_local! {
///     pub static LINES: RefCell<Vec<String>> = RefCell::new(Vec::new());
///     static DEPTH: std::cell::Cell<u8> = const { std::cell::Cell::new(1) };
/// }
///
/// rustlet::run(|| {
///     LINES.with_borrow_mut(|lines| lines.push("one".into()));
///     assert_eq!(LINES.take().len(), usize::from(DEPTH.get()));
/// });
/// ```
#[macro_export]
macro_rules! thread_local {
    () => {};
    ($(#[$attr:meta])* $vis:vis static $name:ident : $t:ty = const $init:block; $($rest:tt)*) => {
        $crate::thread_local!(@key $(#[$attr])* $vis $name, $t, $init);
        $crate::thread_local!($($rest)*);
    };
    ($(#[$attr:meta])* $vis:vis static $name:ident : $t:ty = const $init:block) => {
        $crate::thread_local!(@key $(#[$attr])* $vis $name, $t, $init);
    };
    ($(#[$attr:meta])* $vis:vis static $name:ident : $t:ty = $init:expr; $($rest:tt)*) => {
        $crate::thread_local!(@key $(#[$attr])* $vis $name, $t, $init);
        $crate::thread_local!($($rest)*);
    };
    ($(#[$attr:meta])* $vis:vis static $name:ident : $t:ty = $init:expr) => {
        $crate::thread_local!(@key $(#[$attr])* $vis $name, $t, $init);
    };
    (@key $(#[$attr:meta])* $vis:vis $name:ident, $t:ty, $init:expr) => {
        $(#[$attr])*
        $vis static $name: $crate::thread::LocalKey<$t> = {
            fn init() -> $t {
                $init
            }
            $crate::thread::LocalKey::__new(init)
        };
    };
}
