#![allow(unsafe_code, reason = "a lock around an `UnsafeCell`")]
//! [`Mutex`] and its guard. The lock itself is `sync/raw/mutex.rs`.
//!
//! MU1. The value is touched through a guard, and there is one guard at a time: it exists from a
//!      successful lock to its drop.

use std::cell::UnsafeCell;
use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::panic::{Location, RefUnwindSafe, UnwindSafe};
use std::sync::{LockResult, TryLockError, TryLockResult};

use super::poison::{Flag, PoisonGuard};
use crate::channel::wait_limit::WaitLimit;
use crate::green::budget::{before_lock, charge_locked, poll_budget_quietly};
use crate::green::park::unwind_if_cancelled;
use crate::green::{OnCancel, Reason, Wait, WorkerContext};
use crate::sync::raw::mutex::RawMutex;
use crate::sync::wait::waiting_thread::WaitingThread;
use crate::sys::clock;

/// Mutual exclusion for a value; see [`std::sync::Mutex`].
///
/// A green thread that waits for the mutex lets others of its worker run; an OS thread blocks. Both
/// kinds can share one mutex. Green threads may hold the guard across waits, because they stay on
/// their worker.
///
/// An uncontended lock is one atomic operation, and so is its release. The mutex is eventually
/// fair: a running thread may barge ahead of a waking one for at most 0.5 ms, or until a thread of
/// the same worker keeps the lock across a wait; then the next release hands the mutex to the first
/// waiter. A thread that locks and unlocks in an endless loop yields occasionally (see
/// [`yield_now`](crate::yield_now)).
///
/// # Poisoning
///
/// A thread that panics while it holds the guard poisons the mutex: later locks return a
/// [`PoisonError`](std::sync::PoisonError), which still holds the guard. A thread that is
/// [cancelled](crate::Cancelled) releases its guards without poisoning. While one green thread is
/// suspended in a destructor because it panics, a panic of another one of the same worker may go
/// unnoticed.
///
/// # Cancellation
///
/// A green thread that is cancelled while it waits in [`lock`](Mutex::lock) unwinds and does not
/// hold the mutex. A thread that is unwinding already keeps waiting.
///
/// # Examples
///
/// ```
/// use rustlet::sync::{Arc, Mutex};
///
/// rustlet::run(|| {
///     let sum = Arc::new(Mutex::new(0));
///     let threads: Vec<_> = (1..=10)
///         .map(|n| {
///             let sum = Arc::clone(&sum);
///             rustlet::spawn(move || *sum.lock().unwrap() += n)
///         })
///         .collect();
///     for thread in threads {
///         thread.join().unwrap();
///     }
///     assert_eq!(*sum.lock().unwrap(), 55);
/// });
/// ```
#[doc(alias = "Lock")]
pub struct Mutex<T: ?Sized> {
    raw: RawMutex<WaitingThread>,
    poison: Flag,
    data: UnsafeCell<T>,
}

// SAFETY: the thread that has the mutex has the value.
unsafe impl<T: ?Sized + Send> Send for Mutex<T> {}
// SAFETY: MU1: the value goes from thread to thread, and is not shared.
unsafe impl<T: ?Sized + Send> Sync for Mutex<T> {}

// Poisoning covers a value that a panic left half changed.
impl<T: ?Sized> UnwindSafe for Mutex<T> {}
impl<T: ?Sized> RefUnwindSafe for Mutex<T> {}

/// RAII guard of a locked [`Mutex`], which is released when the guard is dropped; see
/// [`std::sync::MutexGuard`].
///
/// It stays on its thread:
///
/// ```compile_fail,E0277
/// fn send<T: Send>(_: T) {}
/// send(rustlet::sync::Mutex::new(0).lock().unwrap());
/// ```
///
/// It is `Sync` only if the value is:
///
/// ```compile_fail,E0277
/// use rustlet::sync::MutexGuard;
/// use std::cell::Cell;
/// fn share<T: Sync>() {}
/// share::<MutexGuard<'_, Cell<u8>>>();
/// ```
///
/// # Examples
///
/// ```
/// use rustlet::sync::MutexGuard;
/// fn share<T: Sync>() {}
/// share::<MutexGuard<'_, u8>>();
/// ```
#[must_use = "if unused the Mutex will immediately unlock"]
pub struct MutexGuard<'a, T: ?Sized> {
    mutex: &'a Mutex<T>,
    poison_guard: PoisonGuard,
    not_send: PhantomData<*const ()>,
}

// SAFETY: sharing it shares `&T`.
unsafe impl<T: ?Sized + Sync> Sync for MutexGuard<'_, T> {}

impl<T> Mutex<T> {
    /// Creates an unlocked mutex.
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::sync::Mutex;
    /// static COUNT: Mutex<u32> = Mutex::new(0);
    /// *COUNT.lock().unwrap() += 1;
    /// ```
    #[inline]
    pub const fn new(value: T) -> Mutex<T> {
        Mutex {
            raw: RawMutex::new(),
            poison: Flag::new(),
            data: UnsafeCell::new(value),
        }
    }

    /// Consumes the mutex and returns the value.
    ///
    /// # Errors
    ///
    /// Returns an error that holds the value if the mutex is poisoned.
    ///
    /// # Examples
    ///
    /// ```
    /// assert_eq!(rustlet::sync::Mutex::new(1).into_inner().unwrap(), 1);
    /// ```
    pub fn into_inner(self) -> LockResult<T> {
        let Mutex { poison, data, .. } = self;
        poison.wrap(data.into_inner())
    }
}

impl<T: ?Sized> Mutex<T> {
    /// Takes the mutex, waiting until it is free.
    ///
    /// Locking a mutex that the calling thread already holds never returns.
    ///
    /// # Errors
    ///
    /// Returns an error that holds the guard if the mutex is poisoned.
    ///
    /// # Suspends
    ///
    /// Suspends the calling green thread while the mutex is held; blocks an OS thread.
    ///
    /// # Cancellation
    ///
    /// The caller unwinds without the mutex.
    ///
    /// # Examples
    ///
    /// ```
    /// let mutex = rustlet::sync::Mutex::new(1);
    /// *mutex.lock().unwrap() += 1;
    /// assert_eq!(*mutex.lock().unwrap(), 2);
    /// ```
    #[track_caller]
    #[inline]
    pub fn lock(&self) -> LockResult<MutexGuard<'_, T>> {
        before_lock(Location::caller());
        if !self.raw.lock_fast() {
            self.lock_slow(Location::caller(), OnCancel::Defer);
        }
        charge_locked();
        self.poison.wrap(self.guard())
    }

    #[cold]
    fn lock_slow(&self, at: &'static Location<'static>, on_cancel: OnCancel) {
        let wait = Wait::at(Reason::Mutex, at)
            .on(self.raw.subject())
            .on_cancel(on_cancel);
        while !WorkerContext::waiting_for_lock(|| self.raw.lock_slow(&wait)) {
            unwind_if_cancelled();
        }
    }

    /// Waits for the mutex within `limit`, after a fast try has failed. Returns whether it was
    /// taken.
    #[cold]
    fn lock_slow_within(&self, limit: WaitLimit, at: &'static Location<'static>) -> bool {
        let wait = Wait::at(Reason::Mutex, at)
            .on(self.raw.subject())
            .until(limit.tick())
            .on_cancel(OnCancel::Defer);
        while !WorkerContext::waiting_for_lock(|| self.raw.lock_slow(&wait)) {
            unwind_if_cancelled();
            if wait.deadline <= clock::now() {
                return false;
            }
        }
        true
    }

    /// Takes the mutex within `limit`: the methods of `timed.rs`.
    pub(super) fn lock_within(
        &self,
        limit: WaitLimit,
        at: &'static Location<'static>,
    ) -> TryLockResult<MutexGuard<'_, T>> {
        poll_budget_quietly(at);
        let taken = self.raw.lock_fast() || self.lock_slow_within(limit, at);
        self.poison.wrap_tried(taken.then(|| self.guard()))
    }

    /// Takes the mutex if it is free. Does not wait.
    ///
    /// # Errors
    ///
    /// `WouldBlock`: it is not free. `Poisoned`: it is poisoned; the error holds the guard.
    ///
    /// # Examples
    ///
    /// ```
    /// let mutex = rustlet::sync::Mutex::new(1);
    /// let guard = mutex.try_lock().unwrap();
    /// assert!(mutex.try_lock().is_err());
    /// # drop(guard);
    /// ```
    #[inline]
    #[track_caller]
    pub fn try_lock(&self) -> TryLockResult<MutexGuard<'_, T>> {
        poll_budget_quietly(Location::caller());
        self.try_once()
    }

    #[inline(always)]
    fn try_once(&self) -> TryLockResult<MutexGuard<'_, T>> {
        let guard = self.raw.try_lock().then(|| self.guard());
        self.poison.wrap_tried(guard)
    }

    /// MU1: the caller has just taken the lock.
    #[inline(always)]
    fn guard(&self) -> MutexGuard<'_, T> {
        MutexGuard {
            mutex: self,
            poison_guard: self.poison.guard(),
            not_send: PhantomData,
        }
    }

    /// Returns `true` if a thread has panicked while it held the mutex. Without the lock the answer
    /// may be stale.
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::sync::Mutex;
    ///
    /// let mutex = Mutex::new(1);
    /// rustlet::run(|| rustlet::scope(|s| {
    ///     let panicked = s.spawn(|| {
    ///         let _guard = mutex.lock();
    ///         std::panic::resume_unwind(Box::new("no"));
    ///     });
    ///     assert!(panicked.join().is_err());
    /// }));
    /// assert!(mutex.is_poisoned());
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
    /// use rustlet::sync::Mutex;
    /// use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
    ///
    /// let mutex = Mutex::new(1);
    /// let panicked = catch_unwind(AssertUnwindSafe(|| {
    ///     let _guard = mutex.lock();
    ///     resume_unwind(Box::new("no"));
    /// }));
    /// assert!(panicked.is_err() && mutex.is_poisoned());
    /// mutex.clear_poison();
    /// assert!(mutex.lock().is_ok());
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
    /// Returns an error that holds the reference if the mutex is poisoned.
    ///
    /// # Examples
    ///
    /// ```
    /// let mut mutex = rustlet::sync::Mutex::new(1);
    /// *mutex.get_mut().unwrap() = 2;
    /// assert_eq!(*mutex.lock().unwrap(), 2);
    /// ```
    pub fn get_mut(&mut self) -> LockResult<&mut T> {
        let data = self.data.get_mut();
        self.poison.wrap(data)
    }
}

impl<T: ?Sized> MutexGuard<'_, T> {
    /// Releases the mutex during a wait that begins and ends with the lock held, while the guard
    /// exists. Nothing may unwind in between.
    #[inline(always)]
    pub(super) fn release(&self) {
        self.mutex.raw.unlock();
    }

    /// Takes the mutex again after `release`. Not ended by a cancellation: the guard must be valid.
    #[inline(always)]
    pub(super) fn take_again(&self, at: &'static Location<'static>) {
        if !self.mutex.raw.lock_fast() {
            self.mutex.lock_slow(at, OnCancel::Shield);
        }
    }

    /// Returns the guard, as an error if its mutex is poisoned.
    #[inline(always)]
    pub(super) fn checked(self) -> LockResult<Self> {
        self.mutex.poison.wrap(self)
    }
}

impl<T: ?Sized> Deref for MutexGuard<'_, T> {
    type Target = T;

    #[inline(always)]
    fn deref(&self) -> &T {
        // SAFETY: MU1.
        unsafe { &*self.mutex.data.get() }
    }
}

impl<T: ?Sized> DerefMut for MutexGuard<'_, T> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: MU1.
        unsafe { &mut *self.mutex.data.get() }
    }
}

impl<T: ?Sized> Drop for MutexGuard<'_, T> {
    #[inline(always)]
    fn drop(&mut self) {
        self.mutex.poison.done(self.poison_guard);
        self.mutex.raw.unlock();
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for MutexGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: ?Sized + fmt::Display> fmt::Display for MutexGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T> From<T> for Mutex<T> {
    fn from(value: T) -> Mutex<T> {
        Mutex::new(value)
    }
}

impl<T: Default> Default for Mutex<T> {
    fn default() -> Mutex<T> {
        Mutex::new(T::default())
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for Mutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Mutex");
        match self.try_once() {
            Ok(guard) => shown.field("data", &&*guard),
            Err(TryLockError::Poisoned(error)) => shown.field("data", &&**error.get_ref()),
            // With quotes, unlike `RwLock`: as in std 1.95.
            Err(TryLockError::WouldBlock) => shown.field("data", &"<locked>"),
        };
        shown.field("poisoned", &self.poison.get());
        shown.finish_non_exhaustive()
    }
}
