//! [`Semaphore`] and its permits. The counter is in `raw/semaphore.rs`; the names are tokio's,
//! where std and crossbeam have none.

use std::fmt;
use std::panic::{Location, RefUnwindSafe, UnwindSafe};
use std::ptr;
use std::sync::Arc;
use std::time::Duration;

use super::raw::semaphore::{Acquired, RawSemaphore};
use super::wait::waiting_thread::WaitingThread;
use crate::green::budget::poll_budget_quietly;
use crate::green::park::unwind_if_cancelled;
use crate::green::{OnCancel, Reason, Wait};
use crate::sys::clock::{self, NEVER, Tick};

/// A counting semaphore: threads take permits and give them back.
///
/// Waiters are served strictly in first-in-first-out order: while one waits for many permits, later
/// ones that want few wait behind it. Permits may be dropped by another thread than the one that
/// took them.
///
/// # Cancellation
///
/// A green thread that is [cancelled](crate::Cancelled) while it waits unwinds and takes no
/// permits.
///
/// # Examples
///
/// ```
/// use rustlet::sync::Semaphore;
///
/// // At most two at a time.
/// static PLACES: Semaphore = Semaphore::new(2);
///
/// rustlet::run(|| {
///     let threads: Vec<_> = (0..10)
///         .map(|_| {
///             rustlet::spawn(|| {
///                 let _place = PLACES.acquire().unwrap();
///                 rustlet::yield_now();
///             })
///         })
///         .collect();
///     for thread in threads {
///         thread.join().unwrap();
///     }
///     assert_eq!(PLACES.available_permits(), 2);
/// });
/// ```
#[doc(alias = "BoundedSemaphore")]
#[doc(alias = "Weighted")]
pub struct Semaphore {
    raw: RawSemaphore<WaitingThread>,
}

impl UnwindSafe for Semaphore {}
impl RefUnwindSafe for Semaphore {}

/// Error of [`Semaphore::acquire`] and its variants: the semaphore was closed.
///
/// # Examples
///
/// ```
/// let semaphore = rustlet::sync::Semaphore::new(1);
/// semaphore.close();
/// assert_eq!(semaphore.acquire().unwrap_err().to_string(), "the semaphore is closed");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AcquireError;

/// Error of [`Semaphore::try_acquire`] and of the variants with a time limit.
///
/// # Examples
///
/// ```
/// use rustlet::sync::{Semaphore, TryAcquireError};
///
/// let semaphore = Semaphore::new(0);
/// assert_eq!(semaphore.try_acquire().unwrap_err(), TryAcquireError::NoPermits);
/// semaphore.close();
/// assert_eq!(semaphore.try_acquire().unwrap_err(), TryAcquireError::Closed);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TryAcquireError {
    /// The semaphore was closed.
    Closed,
    /// There are not enough permits, or other threads wait for them; or the time has passed.
    NoPermits,
}

impl fmt::Display for AcquireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the semaphore is closed")
    }
}

impl fmt::Display for TryAcquireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TryAcquireError::Closed => "the semaphore is closed",
            TryAcquireError::NoPermits => "there are not enough permits",
        })
    }
}

impl std::error::Error for AcquireError {}
impl std::error::Error for TryAcquireError {}

/// Permits of a [`Semaphore`], which are returned to it on drop.
///
/// # Examples
///
/// ```
/// let semaphore = rustlet::sync::Semaphore::new(1);
/// let permit = semaphore.acquire().unwrap();
/// assert_eq!(semaphore.available_permits(), 0);
/// drop(permit);
/// assert_eq!(semaphore.available_permits(), 1);
/// ```
#[must_use = "if unused the permits go back at once"]
#[derive(Debug)]
pub struct SemaphorePermit<'a> {
    semaphore: &'a Semaphore,
    permits: usize,
}

/// Permits like [`SemaphorePermit`], with their own reference to the semaphore.
///
/// # Examples
///
/// ```
/// use rustlet::sync::{Arc, Semaphore};
///
/// let semaphore = Arc::new(Semaphore::new(1));
/// let permit = semaphore.clone().acquire_owned().unwrap();
/// std::thread::spawn(move || drop(permit)).join().unwrap();
/// assert_eq!(semaphore.available_permits(), 1);
/// ```
#[must_use = "if unused the permits go back at once"]
#[derive(Debug)]
pub struct OwnedSemaphorePermit {
    semaphore: Arc<Semaphore>,
    permits: usize,
}

impl Semaphore {
    /// Maximum number of permits of a semaphore.
    ///
    /// # Examples
    ///
    /// ```
    /// assert!(rustlet::sync::Semaphore::MAX_PERMITS > 1_000_000_000);
    /// ```
    pub const MAX_PERMITS: usize = usize::MAX >> 3;

    /// Creates a semaphore with `permits` permits.
    ///
    /// # Panics
    ///
    /// Panics if `permits` exceeds [`MAX_PERMITS`](Semaphore::MAX_PERMITS).
    ///
    /// # Examples
    ///
    /// ```
    /// static CONNECTIONS: rustlet::sync::Semaphore = rustlet::sync::Semaphore::new(100);
    /// assert_eq!(CONNECTIONS.available_permits(), 100);
    /// ```
    #[track_caller]
    #[must_use]
    pub const fn new(permits: usize) -> Semaphore {
        assert!(
            permits <= Semaphore::MAX_PERMITS,
            "a semaphore has at most Semaphore::MAX_PERMITS permits"
        );
        Semaphore {
            raw: RawSemaphore::new(permits),
        }
    }

    /// Returns the number of permits that are available now. Does not wait.
    ///
    /// # Examples
    ///
    /// ```
    /// let semaphore = rustlet::sync::Semaphore::new(3);
    /// let _two = semaphore.acquire_many(2).unwrap();
    /// assert_eq!(semaphore.available_permits(), 1);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn available_permits(&self) -> usize {
        poll_budget_quietly(Location::caller());
        self.raw.available()
    }

    /// Adds `n` permits and gives them to waiting threads. Does not wait.
    ///
    /// # Panics
    ///
    /// Panics if there would be more than [`MAX_PERMITS`](Semaphore::MAX_PERMITS).
    ///
    /// # Examples
    ///
    /// ```
    /// let semaphore = rustlet::sync::Semaphore::new(0);
    /// assert!(semaphore.try_acquire().is_err());
    /// semaphore.add_permits(1);
    /// assert!(semaphore.try_acquire().is_ok());
    /// ```
    #[track_caller]
    pub fn add_permits(&self, n: usize) {
        poll_budget_quietly(Location::caller());
        assert!(
            self.raw.add(n, Semaphore::MAX_PERMITS),
            "a semaphore has at most Semaphore::MAX_PERMITS permits ({})",
            Semaphore::MAX_PERMITS
        );
    }

    /// Removes up to `n` available permits for good, and returns how many. Does not wait.
    ///
    /// # Examples
    ///
    /// ```
    /// let semaphore = rustlet::sync::Semaphore::new(2);
    /// assert_eq!(semaphore.forget_permits(5), 2);
    /// assert!(semaphore.try_acquire().is_err());
    /// ```
    #[track_caller]
    pub fn forget_permits(&self, n: usize) -> usize {
        poll_budget_quietly(Location::caller());
        self.raw.forget(n)
    }

    /// Acquires one permit, waiting until it is available.
    ///
    /// # Errors
    ///
    /// Returns an error if the semaphore is closed, also during the wait.
    ///
    /// # Suspends
    ///
    /// Suspends the calling green thread until there is a permit; blocks an OS thread.
    ///
    /// # Cancellation
    ///
    /// The caller unwinds and takes no permit.
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::sync::Semaphore;
    ///
    /// rustlet::run(|| {
    ///     let semaphore = Semaphore::new(1);
    ///     rustlet::scope(|s| {
    ///         for _ in 0..3 {
    ///             s.spawn(|| {
    ///                 let _one_at_a_time = semaphore.acquire().unwrap();
    ///             });
    ///         }
    ///     });
    /// });
    /// ```
    #[track_caller]
    pub fn acquire(&self) -> Result<SemaphorePermit<'_>, AcquireError> {
        self.acquire_many(1)
    }

    /// Acquires `n` permits at once, waiting until they are available; otherwise like
    /// [`acquire`](Semaphore::acquire).
    ///
    /// # Errors
    ///
    /// The same as for [`acquire`](Semaphore::acquire).
    ///
    /// # Examples
    ///
    /// ```
    /// let semaphore = rustlet::sync::Semaphore::new(3);
    /// let two = semaphore.acquire_many(2)?;
    /// assert!(semaphore.try_acquire_many(2).is_err());
    /// drop(two);
    /// assert!(semaphore.try_acquire_many(3).is_ok());
    /// # Ok::<(), rustlet::sync::AcquireError>(())
    /// ```
    #[track_caller]
    pub fn acquire_many(&self, n: u32) -> Result<SemaphorePermit<'_>, AcquireError> {
        let permits = self.wait_for(n, Location::caller())?;
        Ok(self.permit(permits))
    }

    /// Acquires one permit if it is available and no thread waits for permits. Does not wait.
    ///
    /// # Errors
    ///
    /// Returns an error if there is no permit or the semaphore is closed.
    ///
    /// # Examples
    ///
    /// ```
    /// let semaphore = rustlet::sync::Semaphore::new(1);
    /// let permit = semaphore.try_acquire().unwrap();
    /// assert!(semaphore.try_acquire().is_err());
    /// # drop(permit);
    /// ```
    #[track_caller]
    pub fn try_acquire(&self) -> Result<SemaphorePermit<'_>, TryAcquireError> {
        self.try_acquire_many(1)
    }

    /// Acquires `n` permits at once if they are available and no thread waits for permits. Does not
    /// wait.
    ///
    /// # Errors
    ///
    /// Returns an error if there are fewer permits or the semaphore is closed.
    ///
    /// # Examples
    ///
    /// ```
    /// let semaphore = rustlet::sync::Semaphore::new(3);
    /// assert!(semaphore.try_acquire_many(4).is_err());
    /// assert!(semaphore.try_acquire_many(3).is_ok());
    /// ```
    #[track_caller]
    pub fn try_acquire_many(&self, n: u32) -> Result<SemaphorePermit<'_>, TryAcquireError> {
        let permits = self.take(n)?;
        Ok(self.permit(permits))
    }

    /// Acquires one permit, waiting for at most `timeout`; otherwise like
    /// [`acquire`](Semaphore::acquire).
    ///
    /// # Errors
    ///
    /// Returns `Closed` if the semaphore is closed, and `NoPermits` if the time has passed.
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::sync::{Semaphore, TryAcquireError};
    /// use std::time::Duration;
    ///
    /// let semaphore = Semaphore::new(0);
    /// let late = semaphore.acquire_timeout(Duration::from_millis(1));
    /// assert_eq!(late.unwrap_err(), TryAcquireError::NoPermits);
    /// ```
    #[track_caller]
    pub fn acquire_timeout(
        &self,
        timeout: Duration,
    ) -> Result<SemaphorePermit<'_>, TryAcquireError> {
        self.acquire_many_timeout(1, timeout)
    }

    /// Acquires `n` permits at once, waiting for at most `timeout`; otherwise like
    /// [`acquire`](Semaphore::acquire).
    ///
    /// # Errors
    ///
    /// Returns `Closed` if the semaphore is closed, and `NoPermits` if the time has passed.
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::sync::Semaphore;
    /// use std::time::Duration;
    ///
    /// let semaphore = Semaphore::new(2);
    /// assert!(semaphore.acquire_many_timeout(2, Duration::ZERO).is_ok());
    /// assert!(semaphore.acquire_many_timeout(3, Duration::ZERO).is_err());
    /// ```
    #[track_caller]
    pub fn acquire_many_timeout(
        &self,
        n: u32,
        timeout: Duration,
    ) -> Result<SemaphorePermit<'_>, TryAcquireError> {
        let permits = self.wait_until(
            n,
            clock::after(timeout),
            Reason::Semaphore,
            Location::caller(),
        )?;
        Ok(self.permit(permits))
    }

    /// Acquires one permit that is not bound to a borrow of the semaphore; otherwise like
    /// [`acquire`](Semaphore::acquire).
    ///
    /// # Errors
    ///
    /// The same as for [`acquire`](Semaphore::acquire).
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::sync::{Arc, Semaphore};
    ///
    /// rustlet::run(|| {
    ///     let places = Arc::new(Semaphore::new(1));
    ///     let place = places.clone().acquire_owned().unwrap();
    ///     rustlet::spawn(move || drop(place));
    ///     drop(places.acquire().unwrap());
    /// });
    /// ```
    #[track_caller]
    pub fn acquire_owned(self: Arc<Self>) -> Result<OwnedSemaphorePermit, AcquireError> {
        self.acquire_many_owned(1)
    }

    /// Acquires `n` permits that are not bound to a borrow of the semaphore; otherwise like
    /// [`acquire_many`](Semaphore::acquire_many).
    ///
    /// # Errors
    ///
    /// The same as for [`acquire`](Semaphore::acquire).
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::sync::{Arc, Semaphore};
    ///
    /// let semaphore = Arc::new(Semaphore::new(2));
    /// let permits = semaphore.clone().acquire_many_owned(2).unwrap();
    /// assert_eq!(permits.num_permits(), 2);
    /// ```
    #[track_caller]
    pub fn acquire_many_owned(
        self: Arc<Self>,
        n: u32,
    ) -> Result<OwnedSemaphorePermit, AcquireError> {
        let permits = self.wait_for(n, Location::caller())?;
        Ok(OwnedSemaphorePermit {
            semaphore: self,
            permits,
        })
    }

    /// Acquires one permit like [`try_acquire`](Semaphore::try_acquire), not bound to a borrow of
    /// the semaphore.
    ///
    /// # Errors
    ///
    /// The same as for [`try_acquire`](Semaphore::try_acquire).
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::sync::{Arc, Semaphore};
    ///
    /// let semaphore = Arc::new(Semaphore::new(1));
    /// let permit = semaphore.clone().try_acquire_owned().unwrap();
    /// assert!(semaphore.try_acquire_owned().is_err());
    /// # drop(permit);
    /// ```
    #[track_caller]
    pub fn try_acquire_owned(self: Arc<Self>) -> Result<OwnedSemaphorePermit, TryAcquireError> {
        self.try_acquire_many_owned(1)
    }

    /// Acquires `n` permits like [`try_acquire_many`](Semaphore::try_acquire_many), not bound to a
    /// borrow of the semaphore.
    ///
    /// # Errors
    ///
    /// The same as for [`try_acquire_many`](Semaphore::try_acquire_many).
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::sync::{Arc, Semaphore};
    ///
    /// let semaphore = Arc::new(Semaphore::new(2));
    /// assert!(semaphore.clone().try_acquire_many_owned(2).is_ok());
    /// assert!(semaphore.try_acquire_many_owned(3).is_err());
    /// ```
    #[track_caller]
    pub fn try_acquire_many_owned(
        self: Arc<Self>,
        n: u32,
    ) -> Result<OwnedSemaphorePermit, TryAcquireError> {
        let permits = self.take(n)?;
        Ok(OwnedSemaphorePermit {
            semaphore: self,
            permits,
        })
    }

    /// Acquires one permit like [`acquire_owned`](Semaphore::acquire_owned), waiting for at most
    /// `timeout`.
    ///
    /// # Errors
    ///
    /// Returns `Closed` if the semaphore is closed, and `NoPermits` if the time has passed.
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::sync::{Arc, Semaphore};
    /// use std::time::Duration;
    ///
    /// let semaphore = Arc::new(Semaphore::new(1));
    /// let permit = semaphore.acquire_owned_timeout(Duration::from_secs(1)).unwrap();
    /// assert_eq!(permit.num_permits(), 1);
    /// ```
    #[track_caller]
    pub fn acquire_owned_timeout(
        self: Arc<Self>,
        timeout: Duration,
    ) -> Result<OwnedSemaphorePermit, TryAcquireError> {
        let permits = self.wait_until(
            1,
            clock::after(timeout),
            Reason::Semaphore,
            Location::caller(),
        )?;
        Ok(OwnedSemaphorePermit {
            semaphore: self,
            permits,
        })
    }

    /// Acquires one permit, until `deadline` at the latest, for a type that waits under its own
    /// name.
    pub(crate) fn acquire_as(
        self: Arc<Self>,
        reason: Reason,
        deadline: Tick,
        at: &'static Location<'static>,
    ) -> Result<OwnedSemaphorePermit, TryAcquireError> {
        let permits = self.wait_until(1, deadline, reason, at)?;
        Ok(OwnedSemaphorePermit {
            semaphore: self,
            permits,
        })
    }

    /// Closes the semaphore: waiting and later calls get an error. Does not wait.
    ///
    /// # Examples
    ///
    /// ```
    /// let semaphore = rustlet::sync::Semaphore::new(1);
    /// semaphore.close();
    /// assert!(semaphore.acquire().is_err());
    /// ```
    #[track_caller]
    pub fn close(&self) {
        poll_budget_quietly(Location::caller());
        self.raw.close();
    }

    /// Returns `true` if the semaphore was closed. Does not wait.
    ///
    /// # Examples
    ///
    /// ```
    /// let semaphore = rustlet::sync::Semaphore::new(1);
    /// assert!(!semaphore.is_closed());
    /// semaphore.close();
    /// assert!(semaphore.is_closed());
    /// ```
    #[must_use]
    #[track_caller]
    pub fn is_closed(&self) -> bool {
        poll_budget_quietly(Location::caller());
        self.raw.is_closed()
    }

    fn permit(&self, permits: usize) -> SemaphorePermit<'_> {
        SemaphorePermit {
            semaphore: self,
            permits,
        }
    }

    #[track_caller]
    fn take(&self, n: u32) -> Result<usize, TryAcquireError> {
        poll_budget_quietly(Location::caller());
        let permits = n as usize;
        match self.raw.try_acquire(permits) {
            Acquired::Yes => Ok(permits),
            Acquired::No => Err(TryAcquireError::NoPermits),
            Acquired::Closed => Err(TryAcquireError::Closed),
        }
    }

    #[inline]
    fn wait_for(&self, n: u32, at: &'static Location<'static>) -> Result<usize, AcquireError> {
        self.wait_until(n, NEVER, Reason::Semaphore, at)
            .map_err(|_closed| AcquireError)
    }

    #[inline]
    fn wait_until(
        &self,
        n: u32,
        deadline: Tick,
        reason: Reason,
        at: &'static Location<'static>,
    ) -> Result<usize, TryAcquireError> {
        poll_budget_quietly(at);
        let wait = Wait::at(reason, at)
            .until(deadline)
            .on_cancel(OnCancel::Defer);
        let permits = n as usize;
        loop {
            match self.raw.acquire(permits, &wait) {
                Acquired::Yes => return Ok(permits),
                Acquired::Closed => return Err(TryAcquireError::Closed),
                Acquired::No => {}
            }
            unwind_if_cancelled();
            if deadline != NEVER && clock::now() >= deadline {
                return Err(TryAcquireError::NoPermits);
            }
        }
    }
}

impl fmt::Debug for Semaphore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Semaphore")
            .field("permits", &self.raw.available())
            .field("is_closed", &self.raw.is_closed())
            .finish_non_exhaustive()
    }
}

impl<'a> SemaphorePermit<'a> {
    /// Drops the guard without returning the permits: the semaphore has fewer for good.
    ///
    /// # Examples
    ///
    /// ```
    /// let semaphore = rustlet::sync::Semaphore::new(1);
    /// semaphore.try_acquire().unwrap().forget();
    /// assert_eq!(semaphore.available_permits(), 0);
    /// ```
    pub fn forget(mut self) {
        self.permits = 0;
    }

    /// Returns the number of permits.
    ///
    /// # Examples
    ///
    /// ```
    /// let semaphore = rustlet::sync::Semaphore::new(3);
    /// assert_eq!(semaphore.acquire_many(2).unwrap().num_permits(), 2);
    /// ```
    #[must_use]
    pub fn num_permits(&self) -> usize {
        self.permits
    }

    /// Adds the permits of `other` to this guard.
    ///
    /// # Panics
    ///
    /// Panics if they belong to another semaphore.
    ///
    /// # Examples
    ///
    /// ```
    /// let semaphore = rustlet::sync::Semaphore::new(2);
    /// let mut permits = semaphore.acquire().unwrap();
    /// permits.merge(semaphore.acquire().unwrap());
    /// assert_eq!(permits.num_permits(), 2);
    /// ```
    #[track_caller]
    pub fn merge(&mut self, mut other: SemaphorePermit<'a>) {
        assert!(
            ptr::eq(self.semaphore, other.semaphore),
            "merge: the permits are of different semaphores"
        );
        self.permits += std::mem::take(&mut other.permits);
    }

    /// Splits off `n` permits into a guard of their own. Returns `None` if there are fewer.
    ///
    /// # Examples
    ///
    /// ```
    /// let semaphore = rustlet::sync::Semaphore::new(3);
    /// let mut all = semaphore.try_acquire_many(3).unwrap();
    /// let one = all.split(1).unwrap();
    /// assert_eq!((one.num_permits(), all.num_permits()), (1, 2));
    /// drop(one);
    /// assert_eq!(semaphore.available_permits(), 1);
    /// ```
    #[must_use = "if unused the permits go back at once"]
    pub fn split(&mut self, n: usize) -> Option<SemaphorePermit<'a>> {
        self.permits = self.permits.checked_sub(n)?;
        Some(self.semaphore.permit(n))
    }
}

impl OwnedSemaphorePermit {
    /// Drops the guard without returning the permits: the semaphore has fewer for good.
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::sync::{Arc, Semaphore};
    ///
    /// let semaphore = Arc::new(Semaphore::new(1));
    /// semaphore.clone().acquire_owned().unwrap().forget();
    /// assert_eq!(semaphore.available_permits(), 0);
    /// ```
    pub fn forget(mut self) {
        self.permits = 0;
    }

    /// Returns the number of permits.
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::sync::{Arc, Semaphore};
    ///
    /// let semaphore = Arc::new(Semaphore::new(3));
    /// assert_eq!(semaphore.acquire_many_owned(2).unwrap().num_permits(), 2);
    /// ```
    #[must_use]
    pub fn num_permits(&self) -> usize {
        self.permits
    }

    /// Returns the semaphore that the permits belong to.
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::sync::{Arc, Semaphore};
    ///
    /// let semaphore = Arc::new(Semaphore::new(1));
    /// let permit = semaphore.clone().acquire_owned().unwrap();
    /// assert!(Arc::ptr_eq(permit.semaphore(), &semaphore));
    /// ```
    #[must_use]
    pub fn semaphore(&self) -> &Arc<Semaphore> {
        &self.semaphore
    }

    /// Adds the permits of `other` to this guard.
    ///
    /// # Panics
    ///
    /// Panics if they belong to another semaphore.
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::sync::{Arc, Semaphore};
    ///
    /// let semaphore = Arc::new(Semaphore::new(2));
    /// let mut permits = semaphore.clone().acquire_owned().unwrap();
    /// permits.merge(semaphore.acquire_owned().unwrap());
    /// assert_eq!(permits.num_permits(), 2);
    /// ```
    #[track_caller]
    pub fn merge(&mut self, mut other: OwnedSemaphorePermit) {
        assert!(
            Arc::ptr_eq(&self.semaphore, &other.semaphore),
            "merge: the permits are of different semaphores"
        );
        self.permits += std::mem::take(&mut other.permits);
    }

    /// Splits off `n` permits into a guard of their own. Returns `None` if there are fewer.
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::sync::{Arc, Semaphore};
    ///
    /// let semaphore = Arc::new(Semaphore::new(3));
    /// let mut permits = semaphore.acquire_many_owned(3).unwrap();
    /// let one = permits.split(1).unwrap();
    /// assert_eq!((one.num_permits(), permits.num_permits()), (1, 2));
    /// ```
    #[must_use = "if unused the permits go back at once"]
    pub fn split(&mut self, n: usize) -> Option<OwnedSemaphorePermit> {
        self.permits = self.permits.checked_sub(n)?;
        Some(OwnedSemaphorePermit {
            semaphore: Arc::clone(&self.semaphore),
            permits: n,
        })
    }
}

impl Drop for SemaphorePermit<'_> {
    fn drop(&mut self) {
        give_back(self.semaphore, self.permits);
    }
}

impl Drop for OwnedSemaphorePermit {
    fn drop(&mut self) {
        give_back(&self.semaphore, self.permits);
    }
}

/// Returns permits to the semaphore. Does not panic in a destructor if the user has filled the
/// semaphore meanwhile.
#[inline]
fn give_back(semaphore: &Semaphore, permits: usize) {
    if permits > 0 {
        semaphore.raw.add(permits, usize::MAX);
    }
}
