//! Runs tokio's futures on green threads, with the feature `tokio`.
//!
//! [`block_on`] enters a tokio runtime while it polls a future. So tokio's sockets, timers and
//! `spawn` work in the future, and so do the crates that are built on them. The program creates the
//! runtime. The runtime's OS threads do the I/O and fire the timers; the green thread only polls.
//!
//! # Examples
//!
//! ```
//! use tokio::runtime::Builder;
//!
//! let runtime = Builder::new_current_thread().build()?;
//! let handle = runtime.handle().clone();
//! // Something must drive a runtime of this kind; one of `new_multi_thread` has its own threads.
//! std::thread::spawn(move || runtime.block_on(std::future::pending::<()>()));
//! rustlet::run(|| {
//!     rustlet::scope(|s| {
//!         for n in 0..100 {
//!             let handle = &handle;
//!             s.spawn(move || {
//!                 let task = async { tokio::spawn(async move { n + 1 }).await };
//!                 assert_eq!(rustlet::tokio::block_on(handle, task).unwrap(), n + 1);
//!             });
//!         }
//!     });
//! });
//! # std::io::Result::Ok(())
//! ```

use std::cell::RefCell;
use std::future::IntoFuture;
use std::panic::Location;
use std::pin::{Pin, pin};

use ::tokio::runtime::{EnterGuard, Handle};

use crate::future::poll_until_ready;
use crate::green::WorkerContext;
use crate::green::context::worker_context::Ambient;

/// A tokio runtime that is entered while a future is polled.
///
/// tokio keeps the entered runtime in a thread-local of the OS thread, and panics unless runtimes
/// are left in the reverse order. Several green threads share that OS thread, so each of them keeps
/// its runtime entered only while it runs ([`WorkerContext::with_ambient`]).
struct Entered<'h> {
    handle: &'h Handle,
    guard: RefCell<Option<EnterGuard<'h>>>,
}

impl Ambient for Entered<'_> {
    fn enter(&self) {
        *self.guard.borrow_mut() = Some(self.handle.enter());
    }

    fn leave(&self) {
        drop(self.guard.take());
    }
}

impl Entered<'_> {
    /// Calls `f` with the runtime entered, except while `f` waits.
    fn within<R>(&self, f: impl FnOnce() -> R) -> R {
        match WorkerContext::get() {
            Some(cx) => cx.with_ambient(self, f),
            None => {
                // A wait in `f` blocks the OS thread, so no other green thread sees the entered
                // runtime.
                let _guard = self.handle.enter();
                f()
            }
        }
    }
}

/// A future that is dropped with the runtime entered, as tokio's `block_on` does.
struct DropWithin<'a, F> {
    future: Pin<&'a mut Option<F>>,
    entered: &'a Entered<'a>,
}

impl<F> Drop for DropWithin<'_, F> {
    fn drop(&mut self) {
        let future = &mut self.future;
        self.entered.within(|| future.set(None));
    }
}

/// Polls a future until it is ready, with a tokio runtime entered in each poll, and returns its
/// output.
///
/// It is the counterpart of [`rustlet::block_on`](crate::block_on()), which polls other futures.
/// The future may use everything that needs the runtime. An argument is evaluated before the
/// runtime is entered, so write `block_on(&handle, async { sleep(time).await })`, not
/// `block_on(&handle, sleep(time))`.
///
/// The runtime is entered only while the future runs. If a poll suspends, because the `async` code
/// makes a blocking call of this crate, the runtime is left until the poll resumes. So any number
/// of green threads may call this function at the same time, with the same runtime or with
/// different ones. Calls may be nested.
///
/// A runtime of [`new_current_thread`](tokio::runtime::Builder::new_current_thread) does I/O and
/// timers only while some OS thread is in its own `block_on`.
///
/// # Panics
///
/// Propagates a panic of the future: tokio panics in futures whose runtime has been shut down or
/// has no I/O or timers enabled, or that keep a guard of `Handle::enter` across an `await` (the
/// runtime of this call is left at each wait, and guards must be dropped in the reverse order).
///
/// # Suspends
///
/// Suspends the calling green thread while the future is pending. On an OS thread it blocks.
///
/// # Cancellation
///
/// The caller unwinds and drops the future, with the runtime entered. Tasks that the future has
/// spawned continue to run, as always with tokio.
///
/// # Examples
///
/// ```
/// let runtime = tokio::runtime::Builder::new_current_thread().build()?;
/// let handle = runtime.handle().clone();
/// std::thread::spawn(move || runtime.block_on(std::future::pending::<()>()));
/// rustlet::run(move || {
///     let words = rustlet::tokio::block_on(&handle, async {
///         let hello = tokio::spawn(async { "hello" });
///         let world = tokio::task::spawn_blocking(|| "world");
///         (hello.await.unwrap(), world.await.unwrap())
///     });
///     assert_eq!(words, ("hello", "world"));
/// });
/// # std::io::Result::Ok(())
/// ```
#[track_caller]
pub fn block_on<F: IntoFuture>(handle: &Handle, future: F) -> F::Output {
    let at = Location::caller();
    let entered = Entered {
        handle,
        guard: RefCell::new(None),
    };
    let future = pin!(Some(entered.within(|| future.into_future())));
    let mut dropped = DropWithin {
        future,
        entered: &entered,
    };
    poll_until_ready(at, |context| {
        let Some(future) = dropped.future.as_mut().as_pin_mut() else {
            unreachable!("it is taken out by the drop of `dropped` only");
        };
        entered.within(|| future.poll(context))
    })
}
