//! [`Condvar`]. Its wait queue is in `sync/raw/condvar.rs`.

use std::fmt;
use std::panic::{Location, RefUnwindSafe, UnwindSafe};
use std::sync::{LockResult, PoisonError};
use std::time::Duration;

use super::mutex::MutexGuard;
use crate::green::budget::poll_budget_quietly;
use crate::green::park::unwind_if_cancelled;
use crate::green::{OnCancel, Reason, Wait};
use crate::sync::raw::condvar::RawCondvar;
use crate::sync::wait::wait_in_queue::Ended;
use crate::sync::wait::waiting_thread::WaitingThread;
use crate::sys::clock::{self, NEVER, Tick};

/// Lets threads wait until a value behind a [`Mutex`](crate::sync::Mutex) satisfies a condition;
/// see [`std::sync::Condvar`].
///
/// Waiters are woken in first-in-first-out order. A wait may end without a notification, so call it
/// in a loop, or use [`wait_while`](Condvar::wait_while).
///
/// # Cancellation
///
/// A green thread that is cancelled while it waits here takes the mutex again and then unwinds,
/// which drops the guard. If it was notified at the same time it returns instead and unwinds from
/// its next wait, so no notification is lost.
///
/// # Examples
///
/// ```
/// use rustlet::sync::{Arc, Condvar, Mutex};
///
/// rustlet::run(|| {
///     let pair = Arc::new((Mutex::new(false), Condvar::new()));
///     let other = Arc::clone(&pair);
///     rustlet::spawn(move || {
///         *other.0.lock().unwrap() = true;
///         other.1.notify_one();
///     });
///     let (ready, changed) = &*pair;
///     let guard = changed.wait_while(ready.lock().unwrap(), |ready| !*ready).unwrap();
///     assert!(*guard);
/// });
/// ```
#[doc(alias = "Cond")]
#[doc(alias = "Notify")]
pub struct Condvar {
    raw: RawCondvar<WaitingThread>,
}

impl UnwindSafe for Condvar {}
impl RefUnwindSafe for Condvar {}

/// Tells whether a wait ended because its time limit passed; see [`std::sync::WaitTimeoutResult`].
///
/// # Examples
///
/// ```
/// use rustlet::sync::{Condvar, Mutex};
/// use std::time::Duration;
///
/// let (mutex, condvar) = (Mutex::new(()), Condvar::new());
/// let guard = mutex.lock().unwrap();
/// let (_guard, result) = condvar.wait_timeout(guard, Duration::ZERO).unwrap();
/// assert!(result.timed_out());
/// ```
#[derive(Debug, PartialEq, Eq, Copy, Clone)]
pub struct WaitTimeoutResult(bool);

impl WaitTimeoutResult {
    /// Returns `true` if the time limit passed.
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::sync::{Condvar, Mutex};
    /// use std::time::Duration;
    ///
    /// let (mutex, condvar) = (Mutex::new(5), Condvar::new());
    /// let (_guard, result) = condvar
    ///     .wait_timeout_while(mutex.lock().unwrap(), Duration::ZERO, |n| *n == 0)
    ///     .unwrap();
    /// assert!(!result.timed_out());
    /// ```
    #[must_use]
    pub fn timed_out(&self) -> bool {
        self.0
    }
}

impl Condvar {
    /// Creates a condition variable.
    ///
    /// # Examples
    ///
    /// ```
    /// static CHANGED: rustlet::sync::Condvar = rustlet::sync::Condvar::new();
    /// CHANGED.notify_all();
    /// ```
    #[must_use]
    #[inline]
    pub const fn new() -> Condvar {
        Condvar {
            raw: RawCondvar::new(),
        }
    }

    /// Releases the mutex, waits for a notification, and takes the mutex again. A notification
    /// after the release is not missed.
    ///
    /// # Errors
    ///
    /// Returns an error that holds the guard if the mutex is poisoned when it is taken again.
    ///
    /// # Suspends
    ///
    /// Suspends the calling green thread; blocks an OS thread.
    ///
    /// # Cancellation
    ///
    /// The caller takes the mutex again and unwinds, which releases it.
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::sync::{Condvar, Mutex};
    ///
    /// rustlet::run(|| {
    ///     let (ready, changed) = (Mutex::new(false), Condvar::new());
    ///     rustlet::scope(|s| {
    ///         s.spawn(|| {
    ///             *ready.lock().unwrap() = true;
    ///             changed.notify_one();
    ///         });
    ///         let mut guard = ready.lock().unwrap();
    ///         while !*guard {
    ///             guard = changed.wait(guard).unwrap();
    ///         }
    ///     });
    /// });
    /// ```
    #[track_caller]
    #[inline]
    pub fn wait<'a, T>(&self, guard: MutexGuard<'a, T>) -> LockResult<MutexGuard<'a, T>> {
        self.wait_until(&guard, NEVER, Location::caller());
        guard.checked()
    }

    /// Waits while `condition` returns `true`; otherwise like [`wait`](Condvar::wait).
    ///
    /// # Errors
    ///
    /// The same as for [`wait`](Condvar::wait).
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::sync::{Condvar, Mutex};
    ///
    /// rustlet::run(|| {
    ///     let (count, changed) = (Mutex::new(0), Condvar::new());
    ///     rustlet::scope(|s| {
    ///         s.spawn(|| {
    ///             *count.lock().unwrap() = 3;
    ///             changed.notify_all();
    ///         });
    ///         let guard = changed.wait_while(count.lock().unwrap(), |n| *n == 0).unwrap();
    ///         assert_eq!(*guard, 3);
    ///     });
    /// });
    /// ```
    #[track_caller]
    pub fn wait_while<'a, T, F>(
        &self,
        mut guard: MutexGuard<'a, T>,
        mut condition: F,
    ) -> LockResult<MutexGuard<'a, T>>
    where
        F: FnMut(&mut T) -> bool,
    {
        poll_budget_quietly(Location::caller());
        while condition(&mut *guard) {
            guard = self.wait(guard)?;
        }
        Ok(guard)
    }

    /// Waits for a notification, for at most `ms` milliseconds. The flag is `false` if the time has
    /// passed.
    ///
    /// # Errors
    ///
    /// The same as for [`wait`](Condvar::wait).
    ///
    /// # Examples
    ///
    /// ```
    /// # #![allow(deprecated)]
    /// use rustlet::sync::{Condvar, Mutex};
    ///
    /// let (mutex, condvar) = (Mutex::new(()), Condvar::new());
    /// let (_guard, notified) = condvar.wait_timeout_ms(mutex.lock().unwrap(), 1).unwrap();
    /// assert!(!notified);
    /// ```
    #[deprecated(note = "replaced by `Condvar::wait_timeout`, as in std")]
    #[track_caller]
    pub fn wait_timeout_ms<'a, T>(
        &self,
        guard: MutexGuard<'a, T>,
        ms: u32,
    ) -> LockResult<(MutexGuard<'a, T>, bool)> {
        let notified = |(guard, result): (_, WaitTimeoutResult)| (guard, !result.timed_out());
        match self.wait_timeout(guard, Duration::from_millis(ms.into())) {
            Ok(waited) => Ok(notified(waited)),
            Err(error) => Err(PoisonError::new(notified(error.into_inner()))),
        }
    }

    /// Waits for a notification, for at most `dur`; the time to take the mutex again does not
    /// count.
    ///
    /// # Errors
    ///
    /// The same as for [`wait`](Condvar::wait).
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::sync::{Condvar, Mutex};
    /// use std::time::Duration;
    ///
    /// let (mutex, never) = (Mutex::new(()), Condvar::new());
    /// let guard = mutex.lock().unwrap();
    /// let (_guard, result) = never.wait_timeout(guard, Duration::from_millis(1)).unwrap();
    /// assert!(result.timed_out());
    /// ```
    #[track_caller]
    pub fn wait_timeout<'a, T>(
        &self,
        guard: MutexGuard<'a, T>,
        dur: Duration,
    ) -> LockResult<(MutexGuard<'a, T>, WaitTimeoutResult)> {
        self.timed(guard, clock::after(dur), Location::caller())
    }

    fn timed<'a, T>(
        &self,
        guard: MutexGuard<'a, T>,
        deadline: Tick,
        at: &'static Location<'static>,
    ) -> LockResult<(MutexGuard<'a, T>, WaitTimeoutResult)> {
        let result = WaitTimeoutResult(!self.wait_until(&guard, deadline, at));
        match guard.checked() {
            Ok(guard) => Ok((guard, result)),
            Err(error) => Err(PoisonError::new((error.into_inner(), result))),
        }
    }

    /// Waits while `condition` returns `true`, for at most `dur` in total. The result says that the
    /// time has passed only if `condition` still held at the end.
    ///
    /// # Errors
    ///
    /// The same as for [`wait`](Condvar::wait).
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::sync::{Condvar, Mutex};
    /// use std::time::Duration;
    ///
    /// let (ready, changed) = (Mutex::new(false), Condvar::new());
    /// let guard = ready.lock().unwrap();
    /// let (guard, result) = changed
    ///     .wait_timeout_while(guard, Duration::from_millis(1), |ready| !*ready)
    ///     .unwrap();
    /// assert!(!*guard && result.timed_out());
    /// ```
    #[track_caller]
    pub fn wait_timeout_while<'a, T, F>(
        &self,
        mut guard: MutexGuard<'a, T>,
        dur: Duration,
        mut condition: F,
    ) -> LockResult<(MutexGuard<'a, T>, WaitTimeoutResult)>
    where
        F: FnMut(&mut T) -> bool,
    {
        poll_budget_quietly(Location::caller());
        let deadline = clock::after(dur);
        loop {
            if !condition(&mut *guard) {
                return Ok((guard, WaitTimeoutResult(false)));
            }
            if deadline != NEVER && clock::now() >= deadline {
                return Ok((guard, WaitTimeoutResult(true)));
            }
            guard = self.timed(guard, deadline, Location::caller())?.0;
        }
    }

    /// Wakes the longest waiting thread, if any. Does not wait.
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::sync::{Condvar, Mutex};
    ///
    /// rustlet::run(|| {
    ///     let (jobs, more) = (Mutex::new(Vec::new()), Condvar::new());
    ///     rustlet::scope(|s| {
    ///         let worker = s.spawn(|| {
    ///             let jobs = jobs.lock().unwrap();
    ///             let mut jobs = more.wait_while(jobs, |jobs| jobs.is_empty()).unwrap();
    ///             jobs.pop()
    ///         });
    ///         jobs.lock().unwrap().push("job");
    ///         more.notify_one();
    ///         assert_eq!(worker.join().unwrap(), Some("job"));
    ///     });
    /// });
    /// ```
    #[inline]
    #[track_caller]
    pub fn notify_one(&self) {
        poll_budget_quietly(Location::caller());
        self.raw.notify_one();
    }

    /// Wakes all waiting threads. Does not wait.
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::sync::{Condvar, Mutex};
    ///
    /// rustlet::run(|| {
    ///     let (open, changed) = (Mutex::new(false), Condvar::new());
    ///     rustlet::scope(|s| {
    ///         for _ in 0..3 {
    ///             s.spawn(|| drop(changed.wait_while(open.lock().unwrap(), |open| !*open)));
    ///         }
    ///         *open.lock().unwrap() = true;
    ///         changed.notify_all();
    ///     });
    /// });
    /// ```
    #[doc(alias = "notify_waiters")]
    #[doc(alias = "Broadcast")]
    #[inline]
    #[track_caller]
    pub fn notify_all(&self) {
        poll_budget_quietly(Location::caller());
        self.raw.notify_all();
    }

    /// Returns `false` if the deadline has passed. Unwinds only with the mutex held: `guard` is
    /// dropped on the way.
    #[inline(always)]
    fn wait_until<T>(
        &self,
        guard: &MutexGuard<'_, T>,
        deadline: Tick,
        at: &'static Location<'static>,
    ) -> bool {
        let wait = Wait::at(Reason::Condvar, at)
            .until(deadline)
            .on_cancel(OnCancel::Defer);
        let ended = self.raw.wait(&wait, || guard.release());
        guard.take_again(at);
        if ended == Ended::Cancelled {
            unwind_if_cancelled();
        }
        ended != Ended::Elapsed
    }
}

impl Default for Condvar {
    fn default() -> Condvar {
        Condvar::new()
    }
}

impl fmt::Debug for Condvar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Condvar").finish_non_exhaustive()
    }
}
