#![allow(unsafe_code, reason = "a lock around an `UnsafeCell`")]
//! [`RwLock`] and its guards. The lock itself is `sync/raw/rwlock.rs`.
//!
//! RL1. The value is accessed through guards: it is read while there are read guards, and changed
//!      while there is a write guard, which is then the only guard. A guard exists from a
//!      successful lock to its drop.

use std::cell::UnsafeCell;
use std::fmt;
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::ops::{Deref, DerefMut};
use std::panic::{Location, RefUnwindSafe, UnwindSafe};
use std::ptr::NonNull;
use std::sync::{LockResult, TryLockError, TryLockResult};

use super::poison::{Flag, PoisonGuard};
use crate::channel::wait_limit::WaitLimit;
use crate::green::budget::{before_lock, charge_locked, poll_budget_quietly};
use crate::green::park::unwind_if_cancelled;
use crate::green::{OnCancel, Reason, Wait, WorkerContext};
use crate::sync::raw::rwlock::{Access, RawRwLock};
use crate::sync::wait::waiting_thread::WaitingThread;
use crate::sys::clock;

/// A lock that allows many readers or one writer at a time; see [`std::sync::RwLock`].
///
/// A green thread that waits for the lock lets others of its worker run; an OS thread blocks.
/// Waiters are served in first-in-first-out order, adjacent readers together, so neither kind
/// starves the other. As soon as a writer waits, new readers queue behind it. So a thread that
/// holds a read lock and takes another one may deadlock, as std's documentation warns too.
///
/// Poisoning and cancellation work as with [`Mutex`](crate::sync::Mutex); a panic poisons only if
/// it held the lock for writing.
///
/// # Examples
///
/// ```
/// use rustlet::sync::RwLock;
///
/// let lock = RwLock::new(1);
/// {
///     let (one, other) = (lock.read().unwrap(), lock.read().unwrap());
///     assert_eq!(*one, *other);
/// }
/// *lock.write().unwrap() = 2;
/// assert_eq!(*lock.read().unwrap(), 2);
/// ```
pub struct RwLock<T: ?Sized> {
    raw: RawRwLock<WaitingThread>,
    poison: Flag,
    data: UnsafeCell<T>,
}

// SAFETY: the thread that has the lock has the value.
unsafe impl<T: ?Sized + Send> Send for RwLock<T> {}
// SAFETY: RL1: the value goes from thread to thread, and is shared by those who read.
unsafe impl<T: ?Sized + Send + Sync> Sync for RwLock<T> {}

// As for `Mutex`.
impl<T: ?Sized> UnwindSafe for RwLock<T> {}
impl<T: ?Sized> RefUnwindSafe for RwLock<T> {}

/// RAII guard of a read lock of an [`RwLock`], released on drop; see
/// [`std::sync::RwLockReadGuard`].
///
/// It is not `Send`:
///
/// ```compile_fail,E0277
/// fn send<T: Send>(_: T) {}
/// send(rustlet::sync::RwLock::new(0).read().unwrap());
/// ```
#[must_use = "if unused the RwLock will immediately unlock"]
pub struct RwLockReadGuard<'a, T: ?Sized> {
    // A pointer, so that the guard is covariant and does not claim the value for the whole of a
    // call that drops it.
    data: NonNull<T>,
    raw: &'a RawRwLock<WaitingThread>,
}

// SAFETY: sharing it shares `&T`.
unsafe impl<T: ?Sized + Sync> Sync for RwLockReadGuard<'_, T> {}

/// RAII guard of the write lock of an [`RwLock`], released on drop; see
/// [`std::sync::RwLockWriteGuard`].
///
/// It is not `Send`:
///
/// ```compile_fail,E0277
/// fn send<T: Send>(_: T) {}
/// send(rustlet::sync::RwLock::new(0).write().unwrap());
/// ```
#[must_use = "if unused the RwLock will immediately unlock"]
pub struct RwLockWriteGuard<'a, T: ?Sized> {
    lock: &'a RwLock<T>,
    poison_guard: PoisonGuard,
    not_send: PhantomData<*const ()>,
}

// SAFETY: sharing it shares `&T`.
unsafe impl<T: ?Sized + Sync> Sync for RwLockWriteGuard<'_, T> {}

impl<T> RwLock<T> {
    /// Creates an unlocked lock.
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::sync::RwLock;
    /// static NAME: RwLock<&str> = RwLock::new("old");
    /// *NAME.write().unwrap() = "new";
    /// ```
    #[inline]
    pub const fn new(value: T) -> RwLock<T> {
        RwLock {
            raw: RawRwLock::new(),
            poison: Flag::new(),
            data: UnsafeCell::new(value),
        }
    }

    /// Consumes the lock and returns the value.
    ///
    /// # Errors
    ///
    /// Returns an error that holds the value if the lock is poisoned.
    ///
    /// # Examples
    ///
    /// ```
    /// assert_eq!(rustlet::sync::RwLock::new(1).into_inner().unwrap(), 1);
    /// ```
    pub fn into_inner(self) -> LockResult<T> {
        let RwLock { poison, data, .. } = self;
        poison.wrap(data.into_inner())
    }
}

impl<T: ?Sized> RwLock<T> {
    /// Takes the lock for reading, waiting until there is no writer and no earlier writer waits.
    ///
    /// # Errors
    ///
    /// Returns an error that holds the guard if the lock is poisoned.
    ///
    /// # Suspends
    ///
    /// Suspends the calling green thread while it has to wait; blocks an OS thread.
    ///
    /// # Cancellation
    ///
    /// The caller unwinds without the lock.
    ///
    /// # Examples
    ///
    /// ```
    /// let lock = rustlet::sync::RwLock::new(1);
    /// let (one, two) = (lock.read().unwrap(), lock.read().unwrap());
    /// assert_eq!(*one + *two, 2);
    /// ```
    #[track_caller]
    #[inline]
    pub fn read(&self) -> LockResult<RwLockReadGuard<'_, T>> {
        before_lock(Location::caller());
        if !self.raw.read_fast() {
            self.acquire_slow(Access::Read, Location::caller());
        }
        charge_locked();
        self.poison.wrap(self.read_guard())
    }

    /// Takes the lock for writing, waiting until it is free.
    ///
    /// # Errors
    ///
    /// Returns an error that holds the guard if the lock is poisoned.
    ///
    /// # Suspends
    ///
    /// Suspends the calling green thread while it has to wait; blocks an OS thread.
    ///
    /// # Cancellation
    ///
    /// The caller unwinds without the lock.
    ///
    /// # Examples
    ///
    /// ```
    /// let lock = rustlet::sync::RwLock::new(1);
    /// *lock.write().unwrap() = 2;
    /// assert_eq!(*lock.read().unwrap(), 2);
    /// ```
    #[track_caller]
    #[inline]
    pub fn write(&self) -> LockResult<RwLockWriteGuard<'_, T>> {
        before_lock(Location::caller());
        if !self.raw.write_fast() {
            self.acquire_slow(Access::Write, Location::caller());
        }
        charge_locked();
        self.poison.wrap(self.write_guard())
    }

    #[cold]
    fn acquire_slow(&self, access: Access, at: &'static Location<'static>) {
        let wait = Wait::at(Reason::RwLock, at)
            .on(self.raw.subject())
            .on_cancel(OnCancel::Defer);
        while !WorkerContext::waiting_for_lock(|| self.raw.acquire_slow(access, &wait)) {
            unwind_if_cancelled();
        }
    }

    /// Waits for the lock within `limit`, after a fast try has failed. Returns whether it was
    /// taken.
    #[cold]
    fn acquire_slow_within(
        &self,
        access: Access,
        limit: WaitLimit,
        at: &'static Location<'static>,
    ) -> bool {
        let wait = Wait::at(Reason::RwLock, at)
            .on(self.raw.subject())
            .until(limit.tick())
            .on_cancel(OnCancel::Defer);
        while !WorkerContext::waiting_for_lock(|| self.raw.acquire_slow(access, &wait)) {
            unwind_if_cancelled();
            if wait.deadline <= clock::now() {
                return false;
            }
        }
        true
    }

    /// Takes the lock for reading within `limit`: the methods of `timed.rs`.
    pub(super) fn read_within(
        &self,
        limit: WaitLimit,
        at: &'static Location<'static>,
    ) -> TryLockResult<RwLockReadGuard<'_, T>> {
        poll_budget_quietly(at);
        let taken = self.raw.read_fast() || self.acquire_slow_within(Access::Read, limit, at);
        self.poison.wrap_tried(taken.then(|| self.read_guard()))
    }

    /// Takes the lock for writing within `limit`: the methods of `timed.rs`.
    pub(super) fn write_within(
        &self,
        limit: WaitLimit,
        at: &'static Location<'static>,
    ) -> TryLockResult<RwLockWriteGuard<'_, T>> {
        poll_budget_quietly(at);
        let taken = self.raw.write_fast() || self.acquire_slow_within(Access::Write, limit, at);
        self.poison.wrap_tried(taken.then(|| self.write_guard()))
    }

    /// Takes the lock for reading if that needs no waiting.
    ///
    /// # Errors
    ///
    /// `WouldBlock`: a writer holds the lock or waits for it. `Poisoned`: the lock is poisoned; the
    /// error holds the guard.
    ///
    /// # Examples
    ///
    /// ```
    /// let lock = rustlet::sync::RwLock::new(1);
    /// let writes = lock.write().unwrap();
    /// assert!(lock.try_read().is_err());
    /// drop(writes);
    /// assert_eq!(*lock.try_read().unwrap(), 1);
    /// ```
    #[inline]
    #[track_caller]
    pub fn try_read(&self) -> TryLockResult<RwLockReadGuard<'_, T>> {
        poll_budget_quietly(Location::caller());
        self.try_read_once()
    }

    #[inline(always)]
    fn try_read_once(&self) -> TryLockResult<RwLockReadGuard<'_, T>> {
        let entered = self.raw.read_fast() || self.raw.try_acquire(Access::Read);
        self.poison.wrap_tried(entered.then(|| self.read_guard()))
    }

    /// Takes the lock for writing if it is free. Does not wait.
    ///
    /// # Errors
    ///
    /// `WouldBlock`: it is not free. `Poisoned`: it is poisoned; the error holds the guard.
    ///
    /// # Examples
    ///
    /// ```
    /// let lock = rustlet::sync::RwLock::new(1);
    /// let reads = lock.read().unwrap();
    /// assert!(lock.try_write().is_err());
    /// drop(reads);
    /// *lock.try_write().unwrap() = 2;
    /// ```
    #[inline]
    #[track_caller]
    pub fn try_write(&self) -> TryLockResult<RwLockWriteGuard<'_, T>> {
        poll_budget_quietly(Location::caller());
        let entered = self.raw.write_fast() || self.raw.try_acquire(Access::Write);
        self.poison.wrap_tried(entered.then(|| self.write_guard()))
    }

    /// RL1: the caller has just taken the lock.
    #[inline(always)]
    fn read_guard(&self) -> RwLockReadGuard<'_, T> {
        // SAFETY: the address of a field is not null.
        let data = unsafe { NonNull::new_unchecked(self.data.get()) };
        RwLockReadGuard {
            data,
            raw: &self.raw,
        }
    }

    /// RL1: the caller has just taken the lock.
    #[inline(always)]
    fn write_guard(&self) -> RwLockWriteGuard<'_, T> {
        RwLockWriteGuard {
            lock: self,
            poison_guard: self.poison.guard(),
            not_send: PhantomData,
        }
    }

    /// Returns `true` if a thread has panicked while it held the lock for writing. Without the lock
    /// the answer may be stale.
    ///
    /// # Examples
    ///
    /// ```
    /// let lock = rustlet::sync::RwLock::new(1);
    /// assert!(!lock.is_poisoned());
    /// ```
    #[inline]
    #[track_caller]
    pub fn is_poisoned(&self) -> bool {
        poll_budget_quietly(Location::caller());
        self.poison.get()
    }

    /// Clears the poisoned state: the value is consistent again.
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::sync::RwLock;
    /// use std::panic::{catch_unwind, resume_unwind};
    ///
    /// let lock = RwLock::new(1);
    /// let panicked = catch_unwind(|| {
    ///     let _guard = lock.write();
    ///     resume_unwind(Box::new("no"));
    /// });
    /// assert!(panicked.is_err() && lock.is_poisoned());
    /// lock.clear_poison();
    /// assert!(lock.read().is_ok());
    /// ```
    #[inline]
    #[track_caller]
    pub fn clear_poison(&self) {
        poll_budget_quietly(Location::caller());
        self.poison.clear();
    }

    /// Returns a mutable reference to the value; exclusive access makes a lock unnecessary. Never
    /// suspends.
    ///
    /// # Errors
    ///
    /// Returns an error that holds the reference if the lock is poisoned.
    ///
    /// # Examples
    ///
    /// ```
    /// let mut lock = rustlet::sync::RwLock::new(1);
    /// *lock.get_mut().unwrap() = 2;
    /// assert_eq!(*lock.read().unwrap(), 2);
    /// ```
    pub fn get_mut(&mut self) -> LockResult<&mut T> {
        let data = self.data.get_mut();
        self.poison.wrap(data)
    }
}

impl<'a, T: ?Sized> RwLockWriteGuard<'a, T> {
    /// Turns the write lock into a read lock, without letting a writer in between. Readers next in
    /// the queue are let in. Never suspends.
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::sync::{RwLock, RwLockWriteGuard};
    ///
    /// let lock = RwLock::new(1);
    /// let mut writes = lock.write().unwrap();
    /// *writes = 2;
    /// let reads = RwLockWriteGuard::downgrade(writes);
    /// assert_eq!((*reads, *lock.try_read().unwrap()), (2, 2));
    /// ```
    #[must_use = "if unused the RwLock will immediately unlock"]
    pub fn downgrade(s: RwLockWriteGuard<'a, T>) -> RwLockReadGuard<'a, T> {
        let guard = ManuallyDrop::new(s);
        let lock = guard.lock;
        // As its drop would: it cannot exclude writers any more.
        lock.poison.done(guard.poison_guard);
        lock.raw.downgrade();
        lock.read_guard()
    }
}

impl<T: ?Sized> Deref for RwLockReadGuard<'_, T> {
    type Target = T;

    #[inline(always)]
    fn deref(&self) -> &T {
        // SAFETY: RL1.
        unsafe { self.data.as_ref() }
    }
}

impl<T: ?Sized> Deref for RwLockWriteGuard<'_, T> {
    type Target = T;

    #[inline(always)]
    fn deref(&self) -> &T {
        // SAFETY: RL1.
        unsafe { &*self.lock.data.get() }
    }
}

impl<T: ?Sized> DerefMut for RwLockWriteGuard<'_, T> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: RL1.
        unsafe { &mut *self.lock.data.get() }
    }
}

impl<T: ?Sized> Drop for RwLockReadGuard<'_, T> {
    #[inline(always)]
    fn drop(&mut self) {
        self.raw.unlock_read();
    }
}

impl<T: ?Sized> Drop for RwLockWriteGuard<'_, T> {
    #[inline(always)]
    fn drop(&mut self) {
        self.lock.poison.done(self.poison_guard);
        self.lock.raw.unlock_write();
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for RwLockReadGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: ?Sized + fmt::Display> fmt::Display for RwLockReadGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for RwLockWriteGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: ?Sized + fmt::Display> fmt::Display for RwLockWriteGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T> From<T> for RwLock<T> {
    fn from(value: T) -> RwLock<T> {
        RwLock::new(value)
    }
}

impl<T: Default> Default for RwLock<T> {
    fn default() -> RwLock<T> {
        RwLock::new(T::default())
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for RwLock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("RwLock");
        match self.try_read_once() {
            Ok(guard) => shown.field("data", &&*guard),
            Err(TryLockError::Poisoned(error)) => shown.field("data", &&**error.get_ref()),
            Err(TryLockError::WouldBlock) => shown.field("data", &format_args!("<locked>")),
        };
        shown.field("poisoned", &self.poison.get());
        shown.finish_non_exhaustive()
    }
}
