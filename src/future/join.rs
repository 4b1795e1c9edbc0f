//! A join handle as a future.

use std::fmt;
use std::future::IntoFuture;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use crate::green::Outcome;
use crate::green::task::Task;
use crate::runtime::join::{JoinHandle, Joiner, TaskHook};

/// Future of the result of a thread, which `handle.await` creates.
///
/// It is [`join`](JoinHandle::join) for `async` code, with the same results. In a `select!` that
/// drops its futures, pass `&mut future` to keep it.
///
/// # Cancellation
///
/// Dropping it before it is ready detaches the thread, as dropping the handle does: the thread
/// continues, and its result is lost.
///
/// # Panics
///
/// Polling it again after it was ready panics.
///
/// # Examples
///
/// ```
/// use std::future::IntoFuture;
/// use std::time::Duration;
/// use rustlet::future::{JoinFuture, block_on, timeout};
///
/// rustlet::run(|| {
///     block_on(async {
///         let parked = rustlet::spawn(rustlet::park);
///         let thread = parked.thread().clone();
///         let mut end: JoinFuture<()> = parked.into_future();
///         assert!(timeout(Duration::from_millis(1), &mut end).await.is_err());
///         thread.unpark();
///         end.await.unwrap();
///     });
/// });
/// ```
#[must_use = "futures do nothing unless polled"]
pub struct JoinFuture<T> {
    /// `None` once it was ready.
    joiner: Option<Joiner<T>>,
    /// The waiting task, from the first poll that has not been ready.
    waiting: Option<(Arc<Task>, Option<TaskHook>)>,
}

// Nothing in it is pinned.
impl<T> Unpin for JoinFuture<T> {}

impl<T> IntoFuture for JoinHandle<T> {
    type Output = Outcome<T>;
    type IntoFuture = JoinFuture<T>;

    /// Returns a future of the thread's result.
    fn into_future(self) -> JoinFuture<T> {
        JoinFuture {
            joiner: Some(self.0),
            waiting: None,
        }
    }
}

impl<T> Future for JoinFuture<T> {
    type Output = Outcome<T>;

    #[track_caller]
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Outcome<T>> {
        let this = &mut *self;
        let Some(joiner) = &this.joiner else {
            panic!("a JoinFuture was polled after it had been ready");
        };
        if !joiner.is_done() {
            match &this.waiting {
                Some((task, _)) => task.register(context.waker()),
                None => {
                    let task = Task::new();
                    // Before the task is entered: TA2 in `green/task.rs`.
                    task.register(context.waker());
                    let hook = joiner.enter_task(&task);
                    this.waiting = Some((task, hook));
                }
            }
        }
        this.take()
    }
}

impl<T> JoinFuture<T> {
    fn take(&mut self) -> Poll<Outcome<T>> {
        match self.joiner.take().map(Joiner::take_if_done) {
            // The hook, if there was one, runs or has run.
            Some(Ok(outcome)) => Poll::Ready(outcome),
            Some(Err(joiner)) => {
                self.joiner = Some(joiner);
                Poll::Pending
            }
            None => unreachable!("it was there at the beginning of the poll"),
        }
    }

    /// Removes the hook that the end of the thread would call.
    fn leave(&mut self) {
        if let (Some(joiner), Some((_, Some(hook)))) = (&self.joiner, self.waiting.take()) {
            joiner.remove_task_hook(hook);
        }
    }
}

impl<T> Drop for JoinFuture<T> {
    fn drop(&mut self) {
        self.leave();
    }
}

impl<T> fmt::Debug for JoinFuture<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinFuture").finish_non_exhaustive()
    }
}
