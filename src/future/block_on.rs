//! `block_on`: polls a future from a green thread.
//!
//! FU1. A wake-up sets `woken` before it unparks; `block_on` clears `woken` before it polls. So a
//!      wake-up at any time after a poll has begun leads to another poll, even if the future itself
//!      has waited meanwhile and so used the unpark token.
//!
//! Any thread may call it, green or not, and any thread may use its wakers.

use std::future::IntoFuture;
use std::panic::Location;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use crate::green::{Reason, Unparker, Wait, WorkerContext, park};

/// The polling thread, and whether it has to poll again.
struct Signal {
    woken: AtomicBool,
    poller: Unparker,
}

impl Wake for Signal {
    fn wake(self: Arc<Signal>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Signal>) {
        // Release: pairs with the Acquire of the poller, which then sees what the waker has done
        // before. FU1.
        if !self.woken.swap(true, Ordering::AcqRel) {
            self.poller.unpark();
        }
    }
}

/// Polls a future until it is ready and returns its output.
///
/// Every future works that does not need its own executor: the [futures](crate::future) of this
/// crate, channels, locks and timers of `futures`, `async-channel`, `async-io` and similar crates,
/// and every `async` block over them. Futures of tokio (its sockets, its timers, and the crates
/// built on them) need a tokio runtime: the feature `tokio` provides a `block_on` for them, in the
/// module `rustlet::tokio`. Entering the runtime around *this* function does not work: tokio keeps
/// the entered runtime in a thread-local of the OS thread, and while the future is pending, other
/// green threads of the worker run on that OS thread.
///
/// `spawn(|| block_on(async { .. }))` runs `async` code on a green thread of its own. A blocking
/// call of this crate in that code suspends the whole `block_on`, not only the branch that makes
/// the call. Calls of `block_on` may be nested.
///
/// # Panics
///
/// Propagates a panic of the future.
///
/// # Suspends
///
/// Suspends the calling green thread while the future is pending. On an OS thread it blocks.
///
/// # Cancellation
///
/// The caller unwinds and drops the future, which cancels it.
///
/// # Examples
///
/// ```
/// use std::future::{poll_fn, ready};
///
/// rustlet::run(|| {
///     assert_eq!(rustlet::block_on(ready(5)), 5);
///     let sum = rustlet::block_on(async {
///         let one = ready(1).await;
///         one + async { 2 }.await
///     });
///     assert_eq!(sum, 3);
/// });
/// ```
///
/// A green thread for each `async` block:
///
/// ```
/// use rustlet::{block_on, spawn};
///
/// async fn double(number: u32) -> u32 {
///     2 * number
/// }
///
/// rustlet::run(|| {
///     let threads: Vec<_> = (0..4).map(|n| spawn(move || block_on(double(n)))).collect();
///     let sum: u32 = threads.into_iter().map(|thread| thread.join().unwrap()).sum();
///     assert_eq!(sum, 12);
/// });
/// ```
#[doc(alias = "await")]
#[doc(alias = "async")]
#[track_caller]
pub fn block_on<F: IntoFuture>(future: F) -> F::Output {
    let mut future = pin!(future.into_future());
    poll_until_ready(Location::caller(), |context| future.as_mut().poll(context))
}

/// Calls `poll` until it is ready, and waits for its waker between the calls.
pub(crate) fn poll_until_ready<T>(
    at: &'static Location<'static>,
    mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>,
) -> T {
    let wait = Wait::at(Reason::Future, at);
    let signal = Arc::new(Signal {
        woken: AtomicBool::new(false),
        poller: Unparker::current(),
    });
    let waker = Waker::from(Arc::clone(&signal));
    let mut context = Context::from_waker(&waker);
    loop {
        if let Some(cx) = WorkerContext::get() {
            // A future that wakes itself in each poll never suspends, so it has to yield here.
            cx.poll_budget(wait.at);
        }
        if let Poll::Ready(output) = poll(&mut context) {
            return output;
        }
        while !signal.woken.swap(false, Ordering::AcqRel) {
            park(&wait);
        }
    }
}
