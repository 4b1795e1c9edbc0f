#![allow(
    unsafe_code,
    reason = "stores values of any type by the address of their key"
)]
//! Thread-local storage of green threads, with the names of `std::thread_local!`.
//!
//! Each green thread has a list of the values that it has used, found by the address of the key: it
//! has few entries, so the list is searched from its start. An OS thread keeps its value of a key
//! in a `std::thread_local!` of that key, so that std itself decides when and in which order the
//! values of OS threads are destroyed.
//!
//! V1. A value is boxed: growing the list does not move it. Its owner takes it out of the list, or
//!     out of the [`OsValue`], before it drops it, so no `with` finds it any more. `borrows` counts
//!     the calls of `with` that have not returned. A value whose count is not zero then is leaked:
//!     its borrower is suspended in a coroutine of another crate, which may go on after the thread
//!     has ended.
//! V2. An entry under the address of a `LocalKey<T>` holds a `T`: a static has one type and one
//!     address.
//! V3. The list is borrowed for a look-up or a push only; no code of the user runs meanwhile.
//! V4. Only one OS thread touches a value and its count: a started green thread never leaves its OS
//!     thread, and the value's address is kept on stacks of that OS thread and in its
//!     thread-locals.
//! V5. The box of an [`OsValue`] is freed by [`OsEnd`]'s destructor, or when another value replaces
//!     it. Both take the pointer out first.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::fmt;
use std::ptr::{self, NonNull};
use std::thread::LocalKey as StdLocalKey;

use crate::green::{LocalStorage, WorkerContext, catch_and_discard};

/// Stands for the address of a key: marks a value that is kept only until its thread ends.
const NO_KEY: usize = 0;

/// A key of storage that has a separate value in each thread, green or not; see
/// [`std::thread::LocalKey`]. It is declared with [`thread_local!`](crate::thread_local).
///
/// Unlike with std's keys, an initialiser that suspends is sound: another green thread has its own
/// value.
///
/// # Examples
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
    os_value: &'static StdLocalKey<OsValue<T>>,
    os_end: &'static StdLocalKey<OsEnd<T>>,
}

/// Error of [`LocalKey::try_with`]: the thread's value has been destroyed; see
/// [`std::thread::AccessError`].
///
/// # Examples
///
/// ```
/// use rustlet::thread::AccessError;
///
/// rustlet::thread_local! {
///     static DEPTH: u32 = const { 7 };
/// }
/// let depth: Result<u32, AccessError> = DEPTH.try_with(|depth| *depth);
/// assert_eq!(depth, Ok(7));
/// ```
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

/// A value of a key, and the number of running calls of `with` that use it (V1).
struct Value<V: ?Sized> {
    borrows: Cell<usize>,
    value: V,
}

impl<T> Value<T> {
    fn new(value: T) -> NonNull<Value<T>> {
        NonNull::from(Box::leak(Box::new(Value {
            borrows: Cell::new(0),
            value,
        })))
    }
}

/// Drops a value that no `with` finds any more, or leaks it while it is borrowed (V1). A panic of
/// its destructor is discarded.
///
/// # Safety
///
/// V1: the caller is its owner and has taken it out.
unsafe fn release<V: ?Sized>(value: NonNull<Value<V>>) {
    // SAFETY: it is allocated: its owner has not freed it.
    if unsafe { value.as_ref() }.borrows.get() == 0 {
        // SAFETY: from `Value::new`, and there are no references to it.
        catch_and_discard(|| drop(unsafe { Box::from_raw(value.as_ptr()) }));
    }
}

/// A call of `with` that has not returned.
struct Borrow<T>(NonNull<Value<T>>);

impl<T> Borrow<T> {
    /// # Safety
    ///
    /// The calling thread has just found the value (V1).
    #[inline(always)]
    unsafe fn new(value: NonNull<Value<T>>) -> Borrow<T> {
        let borrow = Borrow(value);
        let borrows = &borrow.get().borrows;
        borrows.set(borrows.get() + 1);
        borrow
    }

    #[inline(always)]
    fn get(&self) -> &Value<T> {
        // SAFETY: V1: it is not freed while it is counted as borrowed, which `new` did before
        // anything else ran.
        unsafe { self.0.as_ref() }
    }
}

impl<T> Drop for Borrow<T> {
    #[inline(always)]
    fn drop(&mut self) {
        let borrows = &self.get().borrows;
        borrows.set(borrows.get() - 1);
    }
}

enum Slot {
    Alive(NonNull<Value<dyn Any>>),
    /// Its destructor runs or has run: from then on std returns `AccessError`.
    Destroyed,
}

#[derive(Default)]
struct Locals {
    entries: Vec<(usize, Slot)>,
}

/// A green thread's values: destroyed when it ends, in reverse order of creation.
struct ThreadLocals(RefCell<Locals>);

impl Drop for ThreadLocals {
    fn drop(&mut self) {
        self.destroy();
    }
}

impl LocalStorage for ThreadLocals {
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
            if let Slot::Alive(value) = value {
                // SAFETY: just taken out.
                unsafe { release(value) };
            }
        }
    }
}

impl ThreadLocals {
    fn find<T: 'static>(&self, key: usize) -> Result<Option<NonNull<Value<T>>>, AccessError> {
        let locals = self.0.borrow();
        match locals.entries.iter().find(|(entry, _)| *entry == key) {
            None => Ok(None),
            Some((_, Slot::Alive(value))) => {
                // SAFETY: V1: values in the list have not been freed.
                let is_ours = unsafe { value.as_ref() }.value.is::<T>();
                // V2: it always is.
                is_ours.then(|| Some(value.cast())).ok_or(AccessError)
            }
            Some((_, Slot::Destroyed)) => Err(AccessError),
        }
    }

    /// Keeps a value, replacing one that its own initialiser has made meanwhile. Returns `false` if
    /// the key is destroyed.
    fn insert(&self, key: usize, value: NonNull<Value<dyn Any>>) -> bool {
        let entries = &mut self.0.borrow_mut().entries;
        match entries.iter_mut().find(|(entry, _)| *entry == key) {
            None => entries.push((key, Slot::Alive(value))),
            Some((_, Slot::Destroyed)) => return false,
            Some((_, slot)) => {
                // V1: there may be a reference to it, in a coroutine of another crate that the
                // initialiser has left suspended.
                let before = std::mem::replace(slot, Slot::Alive(value));
                entries.push((NO_KEY, before));
            }
        }
        true
    }
}

/// Calls `f` with the green thread's list, which is kept in its control block; dropping that runs
/// the destructors. `f` calls no code of the user.
fn with_thread_locals<R>(cx: &WorkerContext, f: impl FnOnce(&ThreadLocals) -> R) -> R {
    let storage = cx.current().locals();
    // SAFETY: the caller runs on that thread, and the reference ends before the next statement.
    let storage =
        unsafe { &mut *storage }.get_or_insert_with(|| Box::new(ThreadLocals(RefCell::default())));
    let storage: *const dyn LocalStorage = &raw const **storage;
    // SAFETY: the keeper is boxed, and is dropped by this thread at its end only.
    let storage: &dyn Any = unsafe { &*storage };
    let Some(storage) = storage.downcast_ref::<ThreadLocals>() else {
        unreachable!("the keeper of a green thread is made here only");
    };
    f(storage)
}

/// The value of an OS thread, for one key. It has no destructor, so it can be accessed at any time.
#[doc(hidden)]
pub struct OsValue<T: 'static>(Cell<OsState<T>>);

enum OsState<T> {
    Vacant,
    Alive(NonNull<Value<T>>),
    Destroyed,
}

impl<T> Clone for OsState<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for OsState<T> {}

impl<T: 'static> OsValue<T> {
    #[doc(hidden)]
    #[must_use]
    pub const fn new() -> OsValue<T> {
        OsValue(Cell::new(OsState::Vacant))
    }

    /// Frees a value that was taken out of an [`OsState`].
    fn free(before: OsState<T>) {
        if let OsState::Alive(value) = before {
            // SAFETY: V5.
            unsafe { release(value) };
        }
    }
}

/// Destroys the value of an OS thread when that thread ends. It is registered with std when the
/// value is made.
#[doc(hidden)]
pub struct OsEnd<T: 'static>(&'static StdLocalKey<OsValue<T>>);

impl<T: 'static> OsEnd<T> {
    #[doc(hidden)]
    #[must_use]
    pub const fn new(value: &'static StdLocalKey<OsValue<T>>) -> OsEnd<T> {
        OsEnd(value)
    }
}

impl<T: 'static> Drop for OsEnd<T> {
    fn drop(&mut self) {
        OsValue::free(self.0.with(|value| value.0.replace(OsState::Destroyed)));
    }
}

macro_rules! debug {
    ($($name:ident)*) => {$(
        impl<T: 'static> fmt::Debug for $name<T> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($name)).finish_non_exhaustive()
            }
        }
    )*};
}

debug!(LocalKey OsValue OsEnd);

impl<T: 'static> LocalKey<T> {
    #[doc(hidden)]
    #[must_use]
    pub const fn __new(
        init: fn() -> T,
        os_value: &'static StdLocalKey<OsValue<T>>,
        os_end: &'static StdLocalKey<OsEnd<T>>,
    ) -> LocalKey<T> {
        LocalKey {
            init,
            os_value,
            os_end,
        }
    }

    fn key(&'static self) -> usize {
        ptr::from_ref(self).addr()
    }

    /// Returns the calling thread's value, or `None` if it has not been made.
    #[inline]
    fn find(&'static self) -> Result<Option<NonNull<Value<T>>>, AccessError> {
        match WorkerContext::get() {
            Some(cx) => with_thread_locals(cx, |storage| storage.find(self.key())),
            None => match self.os_value.with(|value| value.0.get()) {
                OsState::Vacant => Ok(None),
                OsState::Alive(value) => Ok(Some(value)),
                OsState::Destroyed => Err(AccessError),
            },
        }
    }

    /// Keeps a value of the calling thread, replacing one that its own initialiser has made
    /// meanwhile.
    #[cold]
    fn insert(&'static self, value: T) -> Result<NonNull<Value<T>>, AccessError> {
        let value = Value::new(value);
        let is_kept = match WorkerContext::get() {
            Some(cx) => with_thread_locals(cx, |storage| storage.insert(self.key(), value)),
            None => self.insert_os(value),
        };
        if !is_kept {
            // SAFETY: from `Value::new`, and it was not kept.
            drop(unsafe { Box::from_raw(value.as_ptr()) });
            return Err(AccessError);
        }
        Ok(value)
    }

    fn insert_os(&'static self, value: NonNull<Value<T>>) -> bool {
        // As in std, only now: values that the initialiser has used are destroyed after this value.
        let is_registered = self.os_end.try_with(|_| ()).is_ok();
        if is_registered {
            let set = |os_value: &OsValue<T>| os_value.0.replace(OsState::Alive(value));
            OsValue::free(self.os_value.with(set));
        }
        is_registered
    }

    /// Calls `f` with the thread's value, which is initialised at its first use.
    ///
    /// # Panics
    ///
    /// Panics if the value has been destroyed because the thread is ending.
    ///
    /// # Suspends
    ///
    /// Only if the initialiser or `f` does.
    ///
    /// # Examples
    ///
    /// ```
    /// rustlet::thread_local! {
    ///     static NAME: String = "name".into();
    /// }
    /// assert_eq!(NAME.with(|name| name.len()), 4);
    /// ```
    #[track_caller]
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

    /// Calls `f` with the thread's value like [`LocalKey::with`], with an error instead of a panic.
    ///
    /// # Errors
    ///
    /// Returns an error if the value has been destroyed because the thread is ending.
    ///
    /// # Examples
    ///
    /// ```
    /// rustlet::thread_local! {
    ///     static NAME: String = "name".into();
    /// }
    /// assert_eq!(NAME.try_with(String::len), Ok(4));
    /// ```
    pub fn try_with<F, R>(&'static self, f: F) -> Result<R, AccessError>
    where
        F: FnOnce(&T) -> R,
    {
        let value = match self.find()? {
            Some(value) => value,
            // It may suspend and may use this very key: the value that is made last counts, as in
            // std.
            None => self.insert((self.init)())?,
        };
        // SAFETY: found, or kept, in the statement before.
        let borrow = unsafe { Borrow::new(value) };
        Ok(f(&borrow.get().value))
    }

    /// As in std, `set` skips the initialiser: stores the value, or returns it if there is one
    /// already.
    fn start_with<V>(&'static self, value: V, wrap: fn(V) -> T) -> Option<V> {
        if !matches!(self.find(), Ok(None)) {
            return Some(value);
        }
        let _kept = self.insert(wrap(value));
        None
    }
}

impl<T: 'static> LocalKey<Cell<T>> {
    /// Sets the value, as [`Cell::set`].
    ///
    /// # Panics
    ///
    /// As [`LocalKey::with`].
    ///
    /// # Examples
    ///
    /// ```
    /// use std::cell::Cell;
    ///
    /// rustlet::thread_local! {
    ///     static DEPTH: Cell<u32> = Cell::new(0);
    /// }
    /// DEPTH.set(2);
    /// assert_eq!(DEPTH.get(), 2);
    /// ```
    #[track_caller]
    pub fn set(&'static self, value: T) {
        if let Some(value) = self.start_with(value, Cell::new) {
            self.with(|cell| cell.set(value));
        }
    }

    /// Returns a copy of the value, as [`Cell::get`].
    ///
    /// # Panics
    ///
    /// As [`LocalKey::with`].
    ///
    /// # Examples
    ///
    /// ```
    /// use std::cell::Cell;
    ///
    /// rustlet::thread_local! {
    ///     static DEPTH: Cell<u32> = const { Cell::new(1) };
    /// }
    /// assert_eq!(DEPTH.get(), 1);
    /// ```
    #[track_caller]
    pub fn get(&'static self) -> T
    where
        T: Copy,
    {
        self.with(Cell::get)
    }

    /// Takes the value and leaves the default, as [`Cell::take`].
    ///
    /// # Panics
    ///
    /// As [`LocalKey::with`].
    ///
    /// # Examples
    ///
    /// ```
    /// use std::cell::Cell;
    ///
    /// rustlet::thread_local! {
    ///     static DEPTH: Cell<u32> = Cell::new(1);
    /// }
    /// assert_eq!((DEPTH.take(), DEPTH.get()), (1, 0));
    /// ```
    #[track_caller]
    pub fn take(&'static self) -> T
    where
        T: Default,
    {
        self.with(Cell::take)
    }

    /// Replaces the value and returns the old one, as [`Cell::replace`].
    ///
    /// # Panics
    ///
    /// As [`LocalKey::with`].
    ///
    /// # Examples
    ///
    /// ```
    /// use std::cell::Cell;
    ///
    /// rustlet::thread_local! {
    ///     static DEPTH: Cell<u32> = Cell::new(1);
    /// }
    /// assert_eq!((DEPTH.replace(5), DEPTH.get()), (1, 5));
    /// ```
    #[track_caller]
    pub fn replace(&'static self, value: T) -> T {
        self.with(|cell| cell.replace(value))
    }
}

impl<T: 'static> LocalKey<RefCell<T>> {
    /// Calls `f` with a shared borrow of the value.
    ///
    /// # Panics
    ///
    /// Panics if the value is mutably borrowed, and as [`LocalKey::with`].
    ///
    /// # Examples
    ///
    /// ```
    /// use std::cell::RefCell;
    ///
    /// rustlet::thread_local! {
    ///     static LINES: RefCell<Vec<u8>> = RefCell::new(vec![1, 2]);
    /// }
    /// assert_eq!(LINES.with_borrow(|lines| lines.len()), 2);
    /// ```
    #[track_caller]
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
    /// Panics if the value is borrowed, and as [`LocalKey::with`].
    ///
    /// # Examples
    ///
    /// ```
    /// use std::cell::RefCell;
    ///
    /// rustlet::thread_local! {
    ///     static LINES: RefCell<Vec<u8>> = RefCell::new(Vec::new());
    /// }
    /// LINES.with_borrow_mut(|lines| lines.push(1));
    /// assert_eq!(LINES.take(), [1]);
    /// ```
    #[track_caller]
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
    /// Panics if the value is borrowed, and as [`LocalKey::with`].
    ///
    /// # Examples
    ///
    /// ```
    /// use std::cell::RefCell;
    ///
    /// rustlet::thread_local! {
    ///     static LINES: RefCell<Vec<u8>> = RefCell::new(Vec::new());
    /// }
    /// LINES.set(vec![1]);
    /// assert_eq!(LINES.take(), [1]);
    /// ```
    #[track_caller]
    pub fn set(&'static self, value: T) {
        if let Some(value) = self.start_with(value, RefCell::new) {
            self.with(|cell| *cell.borrow_mut() = value);
        }
    }

    /// Takes the value and leaves the default, as [`RefCell::take`].
    ///
    /// # Panics
    ///
    /// Panics if the value is borrowed, and as [`LocalKey::with`].
    ///
    /// # Examples
    ///
    /// ```
    /// use std::cell::RefCell;
    ///
    /// rustlet::thread_local! {
    ///     static LINES: RefCell<Vec<u8>> = RefCell::new(vec![1]);
    /// }
    /// assert_eq!(LINES.take(), [1]);
    /// assert!(LINES.take().is_empty());
    /// ```
    #[track_caller]
    pub fn take(&'static self) -> T
    where
        T: Default,
    {
        self.with(RefCell::take)
    }

    /// Replaces the value and returns the old one, as [`RefCell::replace`].
    ///
    /// # Panics
    ///
    /// Panics if the value is borrowed, and as [`LocalKey::with`].
    ///
    /// # Examples
    ///
    /// ```
    /// use std::cell::RefCell;
    ///
    /// rustlet::thread_local! {
    ///     static LINES: RefCell<Vec<u8>> = RefCell::new(vec![1]);
    /// }
    /// assert_eq!(LINES.replace(vec![2]), [1]);
    /// assert_eq!(LINES.take(), [2]);
    /// ```
    #[track_caller]
    pub fn replace(&'static self, value: T) -> T {
        self.with(|cell| cell.replace(value))
    }
}

/// Declares thread-local storage of green threads, with the syntax of [`std::thread_local!`].
///
/// Destructors run at the end of the green thread, on its own stack: they may suspend.
///
/// # Examples
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
#[doc(alias = "task_local")]
#[doc(alias = "greenlet_local")]
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
            // Names that no item in the initialiser has: items are not hygienic.
            fn __rustlet_init() -> $t {
                $init
            }
            ::std::thread_local! {
                static __RUSTLET_VALUE: $crate::thread::__OsValue<$t> = const { $crate::thread::__OsValue::new() };
                static __RUSTLET_END: $crate::thread::__OsEnd<$t> = const { $crate::thread::__OsEnd::new(&__RUSTLET_VALUE) };
            }
            $crate::thread::LocalKey::__new(__rustlet_init, &__RUSTLET_VALUE, &__RUSTLET_END)
        };
    };
}
