//! Locks with a time limit, under parking_lot's names, with std's poisoning.

use std::panic::Location;
use std::sync::TryLockResult;
use std::time::{Duration, Instant};

use super::mutex::{Mutex, MutexGuard};
use super::rwlock::{RwLock, RwLockReadGuard, RwLockWriteGuard};
use crate::channel::wait_limit::WaitLimit;

impl<T: ?Sized> Mutex<T> {
    /// Takes the mutex, waiting for at most `timeout`; otherwise like [`lock`](Mutex::lock).
    ///
    /// # Errors
    ///
    /// `WouldBlock`: the time has passed. `Poisoned`: it is poisoned; the error holds the guard.
    ///
    /// # Suspends
    ///
    /// Suspends the calling green thread until then; blocks an OS thread.
    ///
    /// # Cancellation
    ///
    /// The caller unwinds without the lock.
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::sync::{TryLockError, Mutex};
    /// use std::time::Duration;
    ///
    /// let lock = Mutex::new(1);
    /// let guard = lock.lock().unwrap();
    /// let late = lock.try_lock_for(Duration::from_millis(1));
    /// assert!(matches!(late, Err(TryLockError::WouldBlock)));
    /// drop(late);
    /// drop(guard);
    /// assert_eq!(*lock.try_lock_for(Duration::ZERO).unwrap(), 1);
    /// ```
    #[track_caller]
    pub fn try_lock_for(&self, timeout: Duration) -> TryLockResult<MutexGuard<'_, T>> {
        self.lock_within(WaitLimit::For(timeout), Location::caller())
    }

    /// Takes the mutex, waiting until `deadline` at the latest; otherwise like
    /// [`try_lock_for`](Mutex::try_lock_for).
    ///
    /// # Errors
    ///
    /// The same as for [`try_lock_for`](Mutex::try_lock_for).
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::sync::Mutex;
    /// use std::time::Instant;
    ///
    /// let lock = Mutex::new(1);
    /// assert!(lock.try_lock_until(Instant::now()).is_ok());
    /// ```
    #[track_caller]
    pub fn try_lock_until(&self, deadline: Instant) -> TryLockResult<MutexGuard<'_, T>> {
        self.lock_within(WaitLimit::Until(deadline), Location::caller())
    }
}

impl<T: ?Sized> RwLock<T> {
    /// Takes the lock for reading, waiting for at most `timeout`; otherwise like
    /// [`read`](RwLock::read).
    ///
    /// # Errors
    ///
    /// `WouldBlock`: the time has passed. `Poisoned`: it is poisoned; the error holds the guard.
    ///
    /// # Suspends
    ///
    /// Suspends the calling green thread until then; blocks an OS thread.
    ///
    /// # Cancellation
    ///
    /// The caller unwinds without the lock.
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::sync::{TryLockError, RwLock};
    /// use std::time::Duration;
    ///
    /// let lock = RwLock::new(1);
    /// let guard = lock.write().unwrap();
    /// let late = lock.try_read_for(Duration::from_millis(1));
    /// assert!(matches!(late, Err(TryLockError::WouldBlock)));
    /// drop(late);
    /// drop(guard);
    /// assert_eq!(*lock.try_read_for(Duration::ZERO).unwrap(), 1);
    /// ```
    #[track_caller]
    pub fn try_read_for(&self, timeout: Duration) -> TryLockResult<RwLockReadGuard<'_, T>> {
        self.read_within(WaitLimit::For(timeout), Location::caller())
    }

    /// Takes the lock for reading, waiting until `deadline` at the latest; otherwise like
    /// [`try_read_for`](RwLock::try_read_for).
    ///
    /// # Errors
    ///
    /// The same as for [`try_read_for`](RwLock::try_read_for).
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::sync::RwLock;
    /// use std::time::Instant;
    ///
    /// let lock = RwLock::new(1);
    /// assert!(lock.try_read_until(Instant::now()).is_ok());
    /// ```
    #[track_caller]
    pub fn try_read_until(&self, deadline: Instant) -> TryLockResult<RwLockReadGuard<'_, T>> {
        self.read_within(WaitLimit::Until(deadline), Location::caller())
    }

    /// Takes the lock for writing, waiting for at most `timeout`; otherwise like
    /// [`write`](RwLock::write).
    ///
    /// # Errors
    ///
    /// `WouldBlock`: the time has passed. `Poisoned`: it is poisoned; the error holds the guard.
    ///
    /// # Suspends
    ///
    /// Suspends the calling green thread until then; blocks an OS thread.
    ///
    /// # Cancellation
    ///
    /// The caller unwinds without the lock.
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::sync::{TryLockError, RwLock};
    /// use std::time::Duration;
    ///
    /// let lock = RwLock::new(1);
    /// let guard = lock.read().unwrap();
    /// let late = lock.try_write_for(Duration::from_millis(1));
    /// assert!(matches!(late, Err(TryLockError::WouldBlock)));
    /// drop(late);
    /// drop(guard);
    /// *lock.try_write_for(Duration::ZERO).unwrap() = 2;
    /// ```
    #[track_caller]
    pub fn try_write_for(&self, timeout: Duration) -> TryLockResult<RwLockWriteGuard<'_, T>> {
        self.write_within(WaitLimit::For(timeout), Location::caller())
    }

    /// Takes the lock for writing, waiting until `deadline` at the latest; otherwise like
    /// [`try_write_for`](RwLock::try_write_for).
    ///
    /// # Errors
    ///
    /// The same as for [`try_write_for`](RwLock::try_write_for).
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::sync::RwLock;
    /// use std::time::Instant;
    ///
    /// let lock = RwLock::new(1);
    /// assert!(lock.try_write_until(Instant::now()).is_ok());
    /// ```
    #[track_caller]
    pub fn try_write_until(&self, deadline: Instant) -> TryLockResult<RwLockWriteGuard<'_, T>> {
        self.write_within(WaitLimit::Until(deadline), Location::caller())
    }
}
