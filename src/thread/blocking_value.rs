//! [`Blocking`]: a value whose methods block, used on the blocking pool.
//!
//! BK1. Only the holder of the single permit uses the value. A call takes the permit with it to the
//!      pool, so it keeps the permit until it ends, even if its caller was cancelled.

use std::fmt;
use std::panic::Location;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};

use super::scoped::unblock_scoped;
use crate::green::Reason;
use crate::green::budget::poll_budget_quietly;
use crate::runtime::blocking;
use crate::sync::{OwnedSemaphorePermit, Semaphore};
use crate::sys::clock::NEVER;

/// Value whose methods block, such as a connection of a database client that was not written for
/// green threads. Calls run one at a time on the pool of [`unblock`](crate::unblock), and the value
/// survives the cancellation of a caller.
///
/// [`with`](Blocking::with) may be used under [`timeout`](crate::timeout). When the time has
/// passed, the caller continues. The call runs to its end on the pool, and its result is dropped.
/// The next call waits until then, and finds the value in the state in which the call has left it.
/// A client that always reads whole answers is usable then, because its call was not interrupted.
///
/// Dropping it drops the value on the pool, after a call that is still running. On an OS thread it
/// drops the value in place. It does not wait.
///
/// # Examples
///
/// ```
/// use rustlet::thread::Blocking;
/// use rustlet::time::{Duration, timeout};
///
/// /// Stands for the client of a database.
/// struct Client(u32);
///
/// impl Client {
///     fn query(&mut self, takes: Duration) -> u32 {
///         std::thread::sleep(takes);
///         self.0 += 1;
///         self.0
///     }
/// }
///
/// rustlet::run(|| {
///     let client = Blocking::new(Client(0));
///     let slow = timeout(Duration::from_millis(1), || {
///         client.with(|client| client.query(Duration::from_millis(50)))
///     });
///     assert!(slow.is_err());
///     // If the first call had begun, it was not lost: this one comes after it.
///     let calls = client.with(|client| client.query(Duration::ZERO));
///     assert!(calls == 2 || calls == 1);
/// });
/// ```
#[doc(alias = "spawn_blocking")]
#[doc(alias = "SyncWrapper")]
#[doc(alias = "InteractWith")]
pub struct Blocking<T: Send + 'static> {
    turn: Arc<Semaphore>,
    /// `None` while it is being dropped.
    slot: Option<Arc<Slot<T>>>,
}

/// The value, until it is taken out. The mutex is never contended (BK1); it records whether a call
/// has panicked.
struct Slot<T>(Mutex<Option<T>>);

impl<T> Slot<T> {
    #[track_caller]
    fn call<R>(&self, f: impl FnOnce(&mut T) -> R) -> R {
        let Ok(mut value) = self.0.lock() else {
            panic!("an earlier call on this Blocking value has panicked");
        };
        match &mut *value {
            Some(value) => f(value),
            None => unreachable!("the value is taken by its owner alone"),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Send + 'static> Blocking<T> {
    /// Wraps a value, whose calls then run on the blocking pool. Does not wait. If making the value
    /// blocks, make it with [`unblock`](crate::unblock).
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::thread::Blocking;
    ///
    /// rustlet::run(|| {
    ///     let file = rustlet::unblock(std::env::current_exe)?;
    ///     let file = Blocking::new(rustlet::unblock(move || std::fs::File::open(file))?);
    ///     assert!(file.with(|file| file.metadata())?.len() > 0);
    ///     std::io::Result::Ok(())
    /// })?;
    /// # std::io::Result::Ok(())
    /// ```
    #[must_use]
    pub fn new(value: T) -> Blocking<T> {
        Blocking {
            turn: Arc::new(Semaphore::new(1)),
            slot: Some(Arc::new(Slot(Mutex::new(Some(value))))),
        }
    }

    fn slot(&self) -> &Arc<Slot<T>> {
        match &self.slot {
            Some(slot) => slot,
            None => unreachable!("it is there until the drop"),
        }
    }

    #[track_caller]
    fn turn(&self) -> OwnedSemaphorePermit {
        let turn = Arc::clone(&self.turn);
        match turn.acquire_as(Reason::Value, NEVER, Location::caller()) {
            Ok(permit) => permit,
            Err(_) => unreachable!("it is never closed"),
        }
    }

    /// Calls `f` with the value on the pool and returns its result. Calls run one at a time, in
    /// first-in-first-out order. From an OS thread, `f` runs in place.
    ///
    /// If `f` calls `with` on the same value, it waits forever.
    ///
    /// # Panics
    ///
    /// Propagates a panic of `f`. After that each call panics, because the value may be
    /// inconsistent, until [`clear_poison`](Blocking::clear_poison) is called. Panics if the pool
    /// has no OS thread and cannot create one.
    ///
    /// # Suspends
    ///
    /// Suspends the calling green thread until `f` has returned. On an OS thread it blocks.
    ///
    /// # Cancellation
    ///
    /// The caller unwinds at once. If `f` has not started, it never runs. Otherwise it runs to its
    /// end and its result is dropped; the next call runs after that.
    ///
    /// # Examples
    ///
    /// ```
    /// rustlet::run(|| {
    ///     let list = rustlet::thread::Blocking::new(vec![3, 1, 2]);
    ///     list.with(|list| list.sort_unstable());
    ///     assert_eq!(list.into_inner(), [1, 2, 3]);
    /// });
    /// ```
    #[doc(alias = "interact")]
    #[track_caller]
    pub fn with<F, R>(&self, f: F) -> R
    where
        F: FnOnce(&mut T) -> R + Send + 'static,
        R: Send + 'static,
    {
        let turn = self.turn();
        let slot = Arc::clone(self.slot());
        let called = blocking::run(move || {
            let result = slot.call(f);
            drop(slot);
            drop(turn);
            result
        });
        match called {
            Ok(result) => result,
            Err(error) => panic!("Blocking::with: {error}"),
        }
    }

    /// Calls `f` like [`with`](Blocking::with). `f` may borrow, so once it has started, the caller
    /// always waits for its end.
    ///
    /// # Panics
    ///
    /// The same as those of [`with`](Blocking::with).
    ///
    /// # Suspends
    ///
    /// Suspends the calling green thread until `f` has returned. On an OS thread it blocks.
    ///
    /// # Cancellation
    ///
    /// While the call waits for its turn or for the pool, the caller unwinds, and `f` never runs.
    /// Once `f` has started, the caller waits until it has ended. The call then returns the result,
    /// and the caller unwinds at its next wait.
    ///
    /// # Examples
    ///
    /// ```
    /// rustlet::run(|| {
    ///     let list = rustlet::thread::Blocking::new(vec![1]);
    ///     let more = [2, 3];
    ///     list.with_scoped(|list| list.extend_from_slice(&more));
    ///     assert_eq!(list.into_inner(), [1, 2, 3]);
    /// });
    /// ```
    #[track_caller]
    pub fn with_scoped<F, R>(&self, f: F) -> R
    where
        F: FnOnce(&mut T) -> R + Send,
        R: Send,
    {
        let _turn = self.turn();
        unblock_scoped(|| self.slot().call(f))
    }

    /// Calls `f` with the value on the calling thread and returns its result. Returns `None` if a
    /// call is running or has panicked. It does not wait and does not use the pool, so `f` must not
    /// block.
    ///
    /// # Examples
    ///
    /// ```
    /// let mut list = rustlet::thread::Blocking::new(vec![1]);
    /// assert_eq!(list.try_with_mut(|list| list.len()), Some(1));
    /// ```
    #[must_use]
    #[track_caller]
    pub fn try_with_mut<R>(&mut self, f: impl FnOnce(&mut T) -> R) -> Option<R> {
        poll_budget_quietly(Location::caller());
        let _turn = self.turn.try_acquire().ok()?;
        match self.slot().0.try_lock() {
            Ok(mut value) => value.as_mut().map(f),
            Err(TryLockError::Poisoned(_) | TryLockError::WouldBlock) => None,
        }
    }

    /// Returns `true` if a call has panicked. Does not wait.
    ///
    /// # Examples
    ///
    /// ```
    /// assert!(!rustlet::thread::Blocking::new(1).is_poisoned());
    /// ```
    #[must_use]
    #[track_caller]
    pub fn is_poisoned(&self) -> bool {
        poll_budget_quietly(Location::caller());
        self.slot().0.is_poisoned()
    }

    /// Clears the poisoned state, so that calls run again. Call it when the value is known to be
    /// consistent. Does not wait.
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::thread::Blocking;
    /// use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
    ///
    /// rustlet::run(|| {
    ///     let value = Blocking::new(1);
    ///     let call = || value.with(|_| resume_unwind(Box::new("no")));
    ///     assert!(catch_unwind(AssertUnwindSafe(call)).is_err());
    ///     assert!(value.is_poisoned());
    ///     value.clear_poison();
    ///     assert_eq!(value.into_inner(), 1);
    /// });
    /// ```
    #[track_caller]
    pub fn clear_poison(&self) {
        poll_budget_quietly(Location::caller());
        self.slot().0.clear_poison();
    }

    /// Waits for earlier calls to end and returns the value, even if a call has panicked.
    ///
    /// # Suspends
    ///
    /// Suspends the calling green thread until earlier calls have ended. On an OS thread it blocks.
    ///
    /// # Cancellation
    ///
    /// The caller unwinds, and the value is dropped on the pool.
    ///
    /// # Examples
    ///
    /// ```
    /// assert_eq!(rustlet::thread::Blocking::new(1).into_inner(), 1);
    /// ```
    #[track_caller]
    pub fn into_inner(self) -> T {
        let _turn = self.turn();
        match self.slot().lock().take() {
            Some(value) => value,
            None => unreachable!("the value is taken by its owner alone"),
        }
    }
}

/// Drops the value on the pool, after a call that is still running, or in place on an OS thread.
/// Does not wait.
impl<T: Send + 'static> Drop for Blocking<T> {
    fn drop(&mut self) {
        // If a call is running, it is the last owner of the value and drops it.
        if let Some(mut slot) = self.slot.take().and_then(Arc::into_inner)
            && std::mem::needs_drop::<T>()
            && let Ok(Some(_)) | Err(_) = slot.0.get_mut()
        {
            blocking::detach(move || drop(slot));
        }
    }
}

impl<T: Send + fmt::Debug + 'static> fmt::Debug for Blocking<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Blocking");
        match self.slot().0.try_lock() {
            Ok(value) => shown.field("value", &value.as_ref()),
            Err(_) => shown.field("value", &"<busy>"),
        };
        shown.finish_non_exhaustive()
    }
}
