//! [`Semaphore`] and its permits. The counter is `raw/semaphore.rs`; the names are tokio's, where std and crossbeam have none.

use std::fmt;
use std::panic::{Location, RefUnwindSafe, UnwindSafe};
use std::ptr;
use std::sync::Arc;
use std::time::Duration;

use super::raw::semaphore::{Acquired, RawSemaphore};
use super::wait::waiting::Thread;
use crate::green::budget::spend_quietly;
use crate::green::park::raise_if_cancelled;
use crate::green::{OnCancel, Reason, Wait};
use crate::sys::clock::{self, NEVER, Tick};

/// A number of permits, of which threads take one or several and give them back.
///
/// Threads are served strictly in the order in which they came: while one waits for many, others that want few wait behind it. Permits
/// may be dropped by another thread than the one that took them.
///
/// A green thread that is [cancelled](crate::Cancelled) while it waits unwinds, and takes no permits with it.
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
pub struct Semaphore {
    raw: RawSemaphore<Thread>,
}

impl UnwindSafe for Semaphore {}
impl RefUnwindSafe for Semaphore {}

/// The semaphore was closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AcquireError;

/// Why there are no permits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TryAcquireError {
    /// The semaphore was closed.
    Closed,
    /// There are not enough, or others wait for them; or the time was up.
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

/// Permits of a [`Semaphore`], which go back to it when this is dropped.
#[must_use = "if unused the permits go back at once"]
#[derive(Debug)]
pub struct SemaphorePermit<'a> {
    semaphore: &'a Semaphore,
    permits: usize,
}

/// As [`SemaphorePermit`], with a reference to the semaphore of its own.
#[must_use = "if unused the permits go back at once"]
#[derive(Debug)]
pub struct OwnedSemaphorePermit {
    semaphore: Arc<Semaphore>,
    permits: usize,
}

impl Semaphore {
    /// More permits than this no semaphore can have.
    pub const MAX_PERMITS: usize = usize::MAX >> 3;

    /// One with so many permits.
    ///
    /// # Panics
    ///
    /// There are more than [`MAX_PERMITS`](Semaphore::MAX_PERMITS).
    #[must_use]
    pub const fn new(permits: usize) -> Semaphore {
        assert!(permits <= Semaphore::MAX_PERMITS, "too many permits");
        Semaphore {
            raw: RawSemaphore::new(permits),
        }
    }

    /// How many permits there are to be had at this moment. Does not wait.
    #[must_use]
    #[track_caller]
    pub fn available_permits(&self) -> usize {
        spend_quietly(Location::caller());
        self.raw.available()
    }

    /// Adds permits, and gives them to those who wait. Does not wait.
    ///
    /// # Panics
    ///
    /// There would be more than [`MAX_PERMITS`](Semaphore::MAX_PERMITS).
    ///
    /// ```
    /// let semaphore = rustlet::sync::Semaphore::new(0);
    /// assert!(semaphore.try_acquire().is_err());
    /// semaphore.add_permits(1);
    /// assert!(semaphore.try_acquire().is_ok());
    /// ```
    #[track_caller]
    pub fn add_permits(&self, n: usize) {
        spend_quietly(Location::caller());
        assert!(self.raw.add(n, Semaphore::MAX_PERMITS), "too many permits");
    }

    /// Takes up to so many permits away for good; says how many. Does not wait.
    #[track_caller]
    pub fn forget_permits(&self, n: usize) -> usize {
        spend_quietly(Location::caller());
        self.raw.forget(n)
    }

    /// Waits for a permit. Suspends the calling green thread, or blocks the calling OS thread.
    ///
    /// # Errors
    ///
    /// The semaphore is closed, or is while this waits.
    #[track_caller]
    pub fn acquire(&self) -> Result<SemaphorePermit<'_>, AcquireError> {
        self.acquire_many(1)
    }

    /// Waits for so many permits, and takes them together.
    ///
    /// # Errors
    ///
    /// As [`acquire`](Semaphore::acquire).
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

    /// Takes a permit, if there is one and nobody waits. A green thread that tries in vain again and again gives way from time to time.
    ///
    /// # Errors
    ///
    /// There is none, or the semaphore is closed.
    #[track_caller]
    pub fn try_acquire(&self) -> Result<SemaphorePermit<'_>, TryAcquireError> {
        self.try_acquire_many(1)
    }

    /// Takes so many permits, if they are there and nobody waits. As [`try_acquire`](Semaphore::try_acquire).
    ///
    /// # Errors
    ///
    /// There are not so many, or the semaphore is closed.
    #[track_caller]
    pub fn try_acquire_many(&self, n: u32) -> Result<SemaphorePermit<'_>, TryAcquireError> {
        let permits = self.take(n)?;
        Ok(self.permit(permits))
    }

    /// As [`acquire`](Semaphore::acquire), for at most `timeout`.
    ///
    /// # Errors
    ///
    /// The semaphore is closed, or the time was up.
    #[track_caller]
    pub fn acquire_timeout(
        &self,
        timeout: Duration,
    ) -> Result<SemaphorePermit<'_>, TryAcquireError> {
        self.acquire_many_timeout(1, timeout)
    }

    /// As [`acquire_many`](Semaphore::acquire_many), for at most `timeout`.
    ///
    /// # Errors
    ///
    /// The semaphore is closed, or the time was up.
    #[track_caller]
    pub fn acquire_many_timeout(
        &self,
        n: u32,
        timeout: Duration,
    ) -> Result<SemaphorePermit<'_>, TryAcquireError> {
        let permits = self.wait_until(n, clock::after(timeout), Location::caller())?;
        Ok(self.permit(permits))
    }

    /// As [`acquire`](Semaphore::acquire); the permit may outlive the caller's frame.
    ///
    /// # Errors
    ///
    /// As [`acquire`](Semaphore::acquire).
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

    /// As [`acquire_many`](Semaphore::acquire_many); the permits may outlive the caller's frame.
    ///
    /// # Errors
    ///
    /// As [`acquire`](Semaphore::acquire).
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

    /// As [`try_acquire`](Semaphore::try_acquire); the permit may outlive the caller's frame.
    ///
    /// # Errors
    ///
    /// As [`try_acquire`](Semaphore::try_acquire).
    #[track_caller]
    pub fn try_acquire_owned(self: Arc<Self>) -> Result<OwnedSemaphorePermit, TryAcquireError> {
        self.try_acquire_many_owned(1)
    }

    /// As [`try_acquire_many`](Semaphore::try_acquire_many); the permits may outlive the caller's frame.
    ///
    /// # Errors
    ///
    /// As [`try_acquire_many`](Semaphore::try_acquire_many).
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

    /// As [`acquire_owned`](Semaphore::acquire_owned), for at most `timeout`.
    ///
    /// # Errors
    ///
    /// The semaphore is closed, or the time was up.
    #[track_caller]
    pub fn acquire_owned_timeout(
        self: Arc<Self>,
        timeout: Duration,
    ) -> Result<OwnedSemaphorePermit, TryAcquireError> {
        let permits = self.wait_until(1, clock::after(timeout), Location::caller())?;
        Ok(OwnedSemaphorePermit {
            semaphore: self,
            permits,
        })
    }

    /// From now on nobody gets permits; those who wait get an error. Does not wait.
    ///
    /// ```
    /// let semaphore = rustlet::sync::Semaphore::new(1);
    /// semaphore.close();
    /// assert!(semaphore.acquire().is_err());
    /// ```
    #[track_caller]
    pub fn close(&self) {
        spend_quietly(Location::caller());
        self.raw.close();
    }

    /// Whether it was closed. Does not wait.
    #[must_use]
    #[track_caller]
    pub fn is_closed(&self) -> bool {
        spend_quietly(Location::caller());
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
        spend_quietly(Location::caller());
        let permits = n as usize;
        match self.raw.try_acquire(permits) {
            Acquired::Yes => Ok(permits),
            Acquired::No => Err(TryAcquireError::NoPermits),
            Acquired::Closed => Err(TryAcquireError::Closed),
        }
    }

    #[inline]
    fn wait_for(&self, n: u32, at: &'static Location<'static>) -> Result<usize, AcquireError> {
        self.wait_until(n, NEVER, at)
            .map_err(|_closed| AcquireError)
    }

    #[inline]
    fn wait_until(
        &self,
        n: u32,
        deadline: Tick,
        at: &'static Location<'static>,
    ) -> Result<usize, TryAcquireError> {
        spend_quietly(at);
        let wait = Wait::at(Reason::Semaphore, at)
            .until(deadline)
            .on_cancel(OnCancel::Defer);
        let permits = n as usize;
        loop {
            match self.raw.acquire(permits, &wait) {
                Acquired::Yes => return Ok(permits),
                Acquired::Closed => return Err(TryAcquireError::Closed),
                Acquired::No => {}
            }
            raise_if_cancelled();
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
    /// Keeps the permits from going back: there are fewer of them for good.
    ///
    /// ```
    /// let semaphore = rustlet::sync::Semaphore::new(1);
    /// semaphore.try_acquire().unwrap().forget();
    /// assert_eq!(semaphore.available_permits(), 0);
    /// ```
    pub fn forget(mut self) {
        self.permits = 0;
    }

    /// How many they are.
    #[must_use]
    pub fn num_permits(&self) -> usize {
        self.permits
    }

    /// Adds the permits of `other` to these.
    ///
    /// # Panics
    ///
    /// They are of another semaphore.
    pub fn merge(&mut self, mut other: SemaphorePermit<'a>) {
        assert!(
            ptr::eq(self.semaphore, other.semaphore),
            "permits of different semaphores"
        );
        self.permits += std::mem::take(&mut other.permits);
    }

    /// Takes so many of them away, as permits of their own. None: there are not so many.
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
    /// As [`SemaphorePermit::forget`].
    pub fn forget(mut self) {
        self.permits = 0;
    }

    /// How many they are.
    #[must_use]
    pub fn num_permits(&self) -> usize {
        self.permits
    }

    /// The semaphore that they are of.
    #[must_use]
    pub fn semaphore(&self) -> &Arc<Semaphore> {
        &self.semaphore
    }

    /// As [`SemaphorePermit::merge`].
    ///
    /// # Panics
    ///
    /// They are of another semaphore.
    pub fn merge(&mut self, mut other: OwnedSemaphorePermit) {
        assert!(
            Arc::ptr_eq(&self.semaphore, &other.semaphore),
            "permits of different semaphores"
        );
        self.permits += std::mem::take(&mut other.permits);
    }

    /// As [`SemaphorePermit::split`].
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

/// There is room for what was taken; no panic in a destructor if the user has filled it meanwhile.
#[inline]
fn give_back(semaphore: &Semaphore, permits: usize) {
    if permits > 0 {
        semaphore.raw.add(permits, usize::MAX);
    }
}
