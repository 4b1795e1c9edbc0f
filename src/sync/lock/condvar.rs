//! [`Condvar`]. Its line is `raw/condvar.rs`.

use std::fmt;
use std::panic::{Location, RefUnwindSafe, UnwindSafe};
use std::sync::{LockResult, PoisonError};
use std::time::Duration;

use super::mutex::MutexGuard;
use crate::green::budget::spend_quietly;
use crate::green::park::raise_if_cancelled;
use crate::green::{OnCancel, Reason, Wait};
use crate::sync::raw::condvar::RawCondvar;
use crate::sync::wait::stand::Ended;
use crate::sync::wait::waiting::Thread;
use crate::sys::clock::{self, NEVER, Tick};

/// Lets threads wait until a value behind a [`Mutex`](crate::sync::Mutex) is as they want it. As [`std::sync::Condvar`].
///
/// Those who wait are woken in the order in which they came. A wait may end without a notification, so it belongs in a loop, or
/// [`wait_while`](Condvar::wait_while) is used.
///
/// # Cancellation
///
/// A green thread that is cancelled while it waits here takes the mutex again and then unwinds, which drops the guard. If it was notified at the same
/// time it goes on instead, and unwinds from its next wait: a notification is not lost.
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
pub struct Condvar {
    raw: RawCondvar<Thread>,
}

impl UnwindSafe for Condvar {}
impl RefUnwindSafe for Condvar {}

/// Whether a wait has ended because its time was up. As [`std::sync::WaitTimeoutResult`].
#[derive(Debug, PartialEq, Eq, Copy, Clone)]
pub struct WaitTimeoutResult(bool);

impl WaitTimeoutResult {
    /// Whether the time was up.
    #[must_use]
    pub fn timed_out(&self) -> bool {
        self.0
    }
}

impl Condvar {
    /// One that nobody waits for.
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

    /// Releases the mutex, waits for a notification, and takes the mutex again. Suspends the calling green thread, or blocks the calling
    /// OS thread. A notification that comes after the release of the mutex is not missed.
    ///
    /// # Errors
    ///
    /// The mutex is poisoned when it is taken again; the error holds the guard.
    #[track_caller]
    #[inline]
    pub fn wait<'a, T>(&self, guard: MutexGuard<'a, T>) -> LockResult<MutexGuard<'a, T>> {
        self.wait_until(&guard, NEVER, Location::caller());
        guard.checked()
    }

    /// Waits as long as `condition` holds of the value.
    ///
    /// # Errors
    ///
    /// As [`wait`](Condvar::wait).
    #[track_caller]
    pub fn wait_while<'a, T, F>(
        &self,
        mut guard: MutexGuard<'a, T>,
        mut condition: F,
    ) -> LockResult<MutexGuard<'a, T>>
    where
        F: FnMut(&mut T) -> bool,
    {
        spend_quietly(Location::caller());
        while condition(&mut *guard) {
            guard = self.wait(guard)?;
        }
        Ok(guard)
    }

    /// As [`wait_timeout`](Condvar::wait_timeout), for so many milliseconds; the flag is false if the time was up.
    ///
    /// # Errors
    ///
    /// As [`wait`](Condvar::wait).
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

    /// As [`wait`](Condvar::wait), but for at most `dur`; taking the mutex again is not counted in.
    ///
    /// # Errors
    ///
    /// As [`wait`](Condvar::wait).
    ///
    /// ```
    /// use rustlet::sync::{Condvar, Mutex};
    /// use std::time::Duration;
    ///
    /// let (mutex, never) = (Mutex::new(()), Condvar::new());
    /// let (_guard, result) = never.wait_timeout(mutex.lock().unwrap(), Duration::from_millis(1)).unwrap();
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

    /// Waits as long as `condition` holds of the value, but for at most `dur` in all. The time was up only if `condition`
    /// still held at the end.
    ///
    /// # Errors
    ///
    /// As [`wait`](Condvar::wait).
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
        spend_quietly(Location::caller());
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

    /// Wakes the thread that has waited longest, if any. Does not wait.
    #[inline]
    #[track_caller]
    pub fn notify_one(&self) {
        spend_quietly(Location::caller());
        self.raw.notify_one();
    }

    /// Wakes all threads that wait. Does not wait.
    #[inline]
    #[track_caller]
    pub fn notify_all(&self) {
        spend_quietly(Location::caller());
        self.raw.notify_all();
    }

    /// False: the time was up. Unwinds only with the mutex held: `guard` is dropped on the way.
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
            raise_if_cancelled();
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
