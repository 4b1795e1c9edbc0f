//! Permits of a [`Semaphore`] as futures.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use crate::green::budget::poll_or_wake;
use crate::green::task::Task;
use crate::sync::raw::semaphore::{AcquireWait, Acquired};
use crate::sync::semaphore::{AcquireError, OwnedSemaphorePermit, Semaphore, SemaphorePermit};
use crate::sync::wait::waiting_thread::WaitingThread;

impl Semaphore {
    /// Returns a future that acquires one permit, for `async` code. Otherwise like
    /// [`acquire`](Semaphore::acquire).
    ///
    /// Tasks and threads wait in one queue and are served in first-in-first-out order. A task is
    /// given its permits before it is polled. So a future that was woken must be polled or dropped:
    /// until then, other threads cannot have those permits.
    ///
    /// # Errors
    ///
    /// As [`acquire`](Semaphore::acquire).
    ///
    /// # Cancellation
    ///
    /// A future that is dropped before it is ready has taken no permit, even if it was woken. It
    /// loses its place in the queue.
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::block_on;
    /// use rustlet::sync::Semaphore;
    ///
    /// static PLACES: Semaphore = Semaphore::new(1);
    ///
    /// rustlet::run(|| {
    ///     let place = PLACES.acquire().unwrap();
    ///     let waiting = rustlet::spawn(|| {
    ///         block_on(async {
    ///             let _place = PLACES.acquire_async().await.unwrap();
    ///         });
    ///     });
    ///     drop(place);
    ///     waiting.join().unwrap();
    /// });
    /// ```
    pub fn acquire_async(&self) -> AcquireFuture<'_> {
        self.acquire_many_async(1)
    }

    /// Returns a future that acquires `n` permits at once; otherwise like
    /// [`acquire_async`](Semaphore::acquire_async).
    ///
    /// # Errors
    ///
    /// As [`acquire`](Semaphore::acquire).
    ///
    /// # Examples
    ///
    /// ```
    /// let semaphore = rustlet::sync::Semaphore::new(3);
    /// rustlet::block_on(async {
    ///     let two = semaphore.acquire_many_async(2).await.unwrap();
    ///     assert_eq!(two.num_permits(), 2);
    ///     assert_eq!(semaphore.available_permits(), 1);
    /// });
    /// ```
    pub fn acquire_many_async(&self, n: u32) -> AcquireFuture<'_> {
        AcquireFuture {
            semaphore: self,
            permits: n as usize,
            state: State::Untried,
        }
    }

    /// Acquires one permit that is not bound to a borrow of the semaphore; otherwise like
    /// [`acquire_async`](Semaphore::acquire_async).
    ///
    /// # Errors
    ///
    /// As [`acquire`](Semaphore::acquire).
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::sync::{Arc, Semaphore};
    ///
    /// let places = Arc::new(Semaphore::new(1));
    /// let place = rustlet::block_on(Arc::clone(&places).acquire_owned_async()).unwrap();
    /// std::thread::spawn(move || drop(place)).join().unwrap();
    /// assert_eq!(places.available_permits(), 1);
    /// ```
    pub async fn acquire_owned_async(
        self: Arc<Self>,
    ) -> Result<OwnedSemaphorePermit, AcquireError> {
        self.acquire_many_owned_async(1).await
    }

    /// Acquires `n` permits that are not bound to a borrow of the semaphore; otherwise like
    /// [`acquire_many_async`](Semaphore::acquire_many_async).
    ///
    /// # Errors
    ///
    /// As [`acquire`](Semaphore::acquire).
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::sync::{Arc, Semaphore};
    ///
    /// let semaphore = Arc::new(Semaphore::new(2));
    /// let permits = rustlet::block_on(Arc::clone(&semaphore).acquire_many_owned_async(2));
    /// assert_eq!(permits.unwrap().num_permits(), 2);
    /// ```
    pub async fn acquire_many_owned_async(
        self: Arc<Self>,
        n: u32,
    ) -> Result<OwnedSemaphorePermit, AcquireError> {
        self.acquire_many_async(n).await?.forget();
        Ok(self.owned_permit(n as usize))
    }
}

/// Future that acquires permits; returned by [`Semaphore::acquire_async`].
///
/// # Panics
///
/// Polling it again after it was ready panics.
///
/// # Examples
///
/// ```
/// let semaphore = rustlet::sync::Semaphore::new(1);
/// let acquire: rustlet::sync::AcquireFuture<'_> = semaphore.acquire_async();
/// assert!(rustlet::block_on(acquire).is_ok());
/// ```
#[must_use = "futures do nothing unless polled"]
pub struct AcquireFuture<'a> {
    semaphore: &'a Semaphore,
    permits: usize,
    state: State<'a>,
}

enum State<'a> {
    Untried,
    Waiting(AcquireWait<'a, WaitingThread>, Arc<Task>),
    Done,
}

impl<'a> Future for AcquireFuture<'a> {
    type Output = Result<SemaphorePermit<'a>, AcquireError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        ready!(poll_or_wake(context));
        let this = &mut *self;
        let result = match &mut this.state {
            State::Untried => this.begin(context),
            State::Waiting(wait, task) => {
                // TA2 in `green/task.rs`: before it is checked.
                task.register(context.waker());
                wait.take()
            }
            State::Done => panic!("an AcquireFuture was polled after it had been ready"),
        };
        let Some(result) = result else {
            return Poll::Pending;
        };
        this.state = State::Done;
        Poll::Ready(match result {
            Acquired::Yes => Ok(this.semaphore.permit(this.permits)),
            Acquired::No | Acquired::Closed => Err(AcquireError),
        })
    }
}

impl AcquireFuture<'_> {
    /// Takes the permits, or enters the queue and returns `None`.
    fn begin(&mut self, context: &Context<'_>) -> Option<Acquired> {
        let raw = self.semaphore.raw();
        // First without the allocation of a wait.
        match raw.try_acquire(self.permits) {
            Acquired::No => {}
            taken => return Some(taken),
        }
        let task = Task::new();
        task.register(context.waker());
        match raw.start(self.permits, || WaitingThread::Task(Arc::clone(&task))) {
            Ok(wait) => {
                self.state = State::Waiting(wait, task);
                None
            }
            Err(taken) => Some(taken),
        }
    }
}

impl fmt::Debug for AcquireFuture<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad("AcquireFuture { .. }")
    }
}
