//! A lock of a [`Mutex`] as a future.

use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, LockResult};
use std::task::{Context, Poll, ready};

use crate::green::budget::poll_or_wake;
use crate::green::task::Task;
use crate::sync::lock::mutex::{Mutex, MutexGuard};
use crate::sync::raw::mutex::LockWait;
use crate::sync::wait::waiting_thread::WaitingThread;

impl<T: ?Sized> Mutex<T> {
    /// Returns a future that takes the mutex, for `async` code. Otherwise like
    /// [`lock`](Mutex::lock).
    ///
    /// Tasks and threads wait in one queue, and one of them is woken at a time. So a future that
    /// was woken must be polled or dropped: until then, those behind it keep waiting. This matters
    /// where a future is kept without being polled, as in a `select!` of futures with `&mut`.
    ///
    /// The guard is not `Send`. So a future that keeps it across an `.await` is not `Send` either,
    /// and stays on its OS thread.
    ///
    /// # Errors
    ///
    /// As [`lock`](Mutex::lock).
    ///
    /// # Cancellation
    ///
    /// A future that is dropped before it is ready does not hold the mutex, even if it was woken;
    /// the next waiter is woken instead. It loses its place in the queue.
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::sync::Mutex;
    ///
    /// static TOTAL: Mutex<u32> = Mutex::new(0);
    ///
    /// rustlet::run(|| {
    ///     let thread = rustlet::spawn(|| *TOTAL.lock().unwrap() += 1);
    ///     rustlet::block_on(async {
    ///         *TOTAL.lock_async().await.unwrap() += 1;
    ///         thread.await.unwrap();
    ///         assert_eq!(*TOTAL.lock_async().await.unwrap(), 2);
    ///     });
    /// });
    /// ```
    pub fn lock_async(&self) -> LockFuture<'_, T> {
        LockFuture {
            mutex: self,
            state: State::Untried,
        }
    }
}

/// Future that takes a mutex; returned by [`Mutex::lock_async`].
///
/// # Panics
///
/// Polling it again after it was ready panics.
///
/// # Examples
///
/// ```
/// let mutex = rustlet::sync::Mutex::new(1);
/// let lock: rustlet::sync::LockFuture<'_, i32> = mutex.lock_async();
/// assert_eq!(*rustlet::block_on(lock).unwrap(), 1);
/// ```
#[must_use = "futures do nothing unless polled"]
pub struct LockFuture<'a, T: ?Sized> {
    mutex: &'a Mutex<T>,
    state: State<'a>,
}

enum State<'a> {
    Untried,
    Waiting(LockWait<'a, WaitingThread>, Arc<Task>),
    Done,
}

impl<'a, T: ?Sized> Future for LockFuture<'a, T> {
    type Output = LockResult<MutexGuard<'a, T>>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        ready!(poll_or_wake(context));
        let this = &mut *self;
        let raw = this.mutex.raw();
        if matches!(this.state, State::Untried) {
            if raw.try_lock() {
                return this.finish();
            }
            this.state = State::Waiting(LockWait::new(raw), Task::new());
        }
        match &mut this.state {
            State::Waiting(wait, task) => {
                // TA2 in `green/task.rs`: before the lock is tried.
                task.register(context.waker());
                match wait.poll(|| WaitingThread::Task(Arc::clone(task))) {
                    true => this.finish(),
                    false => Poll::Pending,
                }
            }
            State::Done => panic!("a LockFuture was polled after it had been ready"),
            State::Untried => unreachable!("it was tried above"),
        }
    }
}

impl<'a, T: ?Sized> LockFuture<'a, T> {
    /// Called when the lock was taken.
    fn finish(&mut self) -> Poll<LockResult<MutexGuard<'a, T>>> {
        self.state = State::Done;
        Poll::Ready(self.mutex.taken())
    }
}

impl<T: ?Sized> fmt::Debug for LockFuture<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad("LockFuture { .. }")
    }
}
