//! `sleep` and `timeout` for `async` code, with a timer of `timer_thread.rs`.
//!
//! Any thread may poll them. No call here waits.

use std::future::{IntoFuture, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use crate::green::Elapsed;
use crate::service_threads::timer_thread::{self, TimerId};
use crate::sys::clock::{self, NEVER, Tick};

/// Future that is ready once a deadline has passed; returned by [`sleep`] and [`sleep_until`].
///
/// # Examples
///
/// ```
/// use rustlet::future::{Sleep, block_on, sleep};
/// use std::time::{Duration, Instant};
///
/// let mut nap: Sleep = sleep(Duration::from_secs(60));
/// nap.reset(Instant::now() + Duration::from_millis(1));
/// block_on(&mut nap);
/// assert!(nap.is_elapsed());
/// ```
#[derive(Debug)]
#[must_use = "futures do nothing unless polled"]
pub struct Sleep {
    deadline: Tick,
    timer: Option<TimerId>,
}

/// Returns a future that is ready after `duration`, counted from this call. [`Duration::MAX`] means
/// never.
///
/// It is [`rustlet::sleep`](crate::sleep()) for `async` code; dropping it cancels the timer.
///
/// # Examples
///
/// ```
/// use rustlet::future::{block_on, sleep};
/// use std::time::{Duration, Instant};
///
/// let start = Instant::now();
/// block_on(sleep(Duration::from_millis(2)));
/// assert!(start.elapsed() >= Duration::from_millis(2));
/// ```
pub fn sleep(duration: Duration) -> Sleep {
    Sleep {
        deadline: clock::after(duration),
        timer: None,
    }
}

/// Returns a future that is ready at `deadline`, or at once if `deadline` has passed. Dropping it
/// cancels the timer.
///
/// # Examples
///
/// ```
/// use rustlet::future::{block_on, sleep_until};
/// use std::time::Instant;
///
/// block_on(sleep_until(Instant::now()));
/// ```
pub fn sleep_until(deadline: Instant) -> Sleep {
    Sleep {
        deadline: clock::ticks(deadline),
        timer: None,
    }
}

impl Sleep {
    /// Returns `true` if the deadline has passed. Does not wait.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// assert!(!rustlet::future::sleep(Duration::MAX).is_elapsed());
    /// assert!(rustlet::future::sleep(Duration::ZERO).is_elapsed());
    /// ```
    #[must_use]
    pub fn is_elapsed(&self) -> bool {
        self.deadline != NEVER && self.deadline <= clock::now()
    }

    /// Changes the deadline. A task that waits for the future must poll it again, because the old
    /// timer is cancelled. Does not wait.
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::future::{block_on, sleep};
    /// use std::time::{Duration, Instant};
    ///
    /// let mut nap = sleep(Duration::MAX);
    /// nap.reset(Instant::now());
    /// block_on(nap);
    /// ```
    pub fn reset(&mut self, deadline: Instant) {
        self.deadline = clock::ticks(deadline);
        self.cancel();
    }

    fn cancel(&mut self) {
        if let Some(timer) = self.timer.take() {
            timer_thread::cancel(timer);
        }
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        loop {
            if this.is_elapsed() {
                this.cancel();
                return Poll::Ready(());
            }
            if this.deadline == NEVER {
                return Poll::Pending;
            }
            if let Some(timer) = &this.timer {
                if timer_thread::update(timer, context.waker()) {
                    return Poll::Pending;
                }
                // It has just expired.
                this.timer = None;
                continue;
            }
            this.timer = timer_thread::set(this.deadline, context.waker().clone());
            return Poll::Pending;
        }
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        self.cancel();
    }
}

/// Returns a future that waits for `future`, for at most `duration`, counted from this call.
/// [`Duration::MAX`] means no limit.
///
/// It is [`rustlet::timeout`](crate::timeout()) for `async` code. It does not unwind: when the time
/// has passed, the output is [`Elapsed`], and `future` is dropped together with the timeout. If
/// both are ready in one poll, the output is that of `future`. A `future` that does not return from
/// a poll is not interrupted.
///
/// # Errors
///
/// The output is [`Elapsed`] if the time has passed first.
///
/// # Examples
///
/// ```
/// use rustlet::Elapsed;
/// use rustlet::future::{block_on, timeout};
/// use std::future::{pending, ready};
/// use std::time::Duration;
///
/// block_on(async {
///     let short = Duration::from_millis(1);
///     assert_eq!(timeout(short, pending::<()>()).await, Err(Elapsed));
///     assert_eq!(timeout(short, ready(5)).await, Ok(5));
/// });
/// ```
pub fn timeout<F: IntoFuture>(
    duration: Duration,
    future: F,
) -> impl Future<Output = Result<F::Output, Elapsed>> {
    let mut limit = sleep(duration);
    let future = future.into_future();
    async move {
        let mut future = pin!(future);
        poll_fn(|context| {
            if let Poll::Ready(output) = future.as_mut().poll(context) {
                return Poll::Ready(Ok(output));
            }
            Pin::new(&mut limit).poll(context).map(|()| Err(Elapsed))
        })
        .await
    }
}
