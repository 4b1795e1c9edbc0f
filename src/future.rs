//! The way from green threads to futures: `block_on`.
//!
//! FU1. A wake-up sets `woken` before it unparks; `block_on` takes it before it polls. So one that comes at any time after a
//!      poll has begun leads to another, also if the future itself has waited meanwhile and so used the unparking up.
//!
//! May be called from any thread, green or not; wakers may be used from any.

use std::future::IntoFuture;
use std::panic::Location;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use crate::green::{Home, Reason, Unparker, Wait, park};

/// Who polls, and whether it has to.
struct Signal {
    woken: AtomicBool,
    poller: Unparker,
}

impl Wake for Signal {
    fn wake(self: Arc<Signal>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Signal>) {
        // Release: pairs with the Acquire of the poller, which then sees what the waker has done before. FU1.
        if !self.woken.swap(true, Ordering::AcqRel) {
            self.poller.unpark();
        }
    }
}

/// Polls a future until it is ready, and gives its output. While it is pending, the calling green thread is suspended, or the
/// calling OS thread blocked.
///
/// Any future will do that does not ask for an executor of its own: channels, locks and timers of `futures`, `async-channel`, `async-io` and
/// the like, and every `async` block over them. One that needs a runtime to be there (tokio's sockets) needs that runtime; enter it first.
/// In `async` code a call that waits as a green thread does suspends the whole `block_on`, not just its own branch.
///
/// Cancelled, or ended by a [`timeout`](crate::timeout), it drops the future, which is how futures are cancelled.
///
/// # Panics
///
/// With the panic of the future.
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
#[track_caller]
pub fn block_on<F: IntoFuture>(future: F) -> F::Output {
    let wait = Wait::at(Reason::Future, Location::caller());
    let mut future = pin!(future.into_future());
    let signal = Arc::new(Signal {
        woken: AtomicBool::new(false),
        poller: Unparker::current(),
    });
    let waker = Waker::from(Arc::clone(&signal));
    let mut context = Context::from_waker(&waker);
    loop {
        if let Some(home) = Home::get() {
            // A future that wakes itself at each poll never suspends.
            home.spend(wait.at);
        }
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
        while !signal.woken.swap(false, Ordering::AcqRel) {
            park(&wait);
        }
    }
}
