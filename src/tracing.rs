//! Spans of the crate `tracing` on green threads, with the feature `tracing`.
//!
//! A span that a green thread has entered is that thread's. When the thread is suspended it exits
//! its spans, and it enters them again when it continues, as `async` code does with
//! `Instrument::instrument`. So `span.enter()`, `#[instrument]` and `in_scope` may be used around
//! calls that wait. Without the feature, the spans of the threads that share a worker get mixed up.
//!
//! There is nothing to call: install a subscriber for the process as usual, with
//! `tracing::subscriber::set_global_default` or the `init` of tracing-subscriber. A new thread is
//! in no span, as in std; `parent: &span`, or a span that is entered in the thread, connects it to
//! its spawner's.
//!
//! # Subscribers
//!
//! - The subscriber must know the current span ([`Subscriber::current_span`]), like the registry of
//!   tracing-subscriber and what is built on it.
//! - It hears of an exit and an entry for each wait. Time that it measures between them is the time
//!   in which the thread ran, or was ready to run on a busy worker.
//! - What it writes to should not suspend the thread: std's streams and the non-blocking writer of
//!   tracing-appender do not, [`rustlet::io::stderr`](crate::io::stderr()) may. A subscriber of the
//!   process may suspend, but not at every entry and exit of a span, and not while a default of
//!   [`with_default`] or of one OS thread exists anywhere in the process. One of [`with_default`]
//!   must not suspend at all. If they do, tracing discards the events of the other threads of the
//!   worker meanwhile, and a thread that continues there prints a panic message and may go on
//!   without its default.
//! - A default subscriber of one OS thread (`tracing::subscriber::with_default`, `set_default`) is
//!   seen by all green threads of the worker. Use [`with_default`] of this module instead.
//!
//! # Cost
//!
//! A suspension asks the subscriber for the current span, and exits and enters each span of the
//! thread.
//!
//! [`Subscriber::current_span`]: tracing_core::Subscriber::current_span

use std::cell::RefCell;

use tracing_core::Dispatch;
use tracing_core::dispatcher::{self, DefaultGuard};

use crate::green::context::worker_context::Ambient;
use crate::green::hooks::spans::Exited;
use crate::green::{WorkerContext, catch_and_discard};

/// A default subscriber that is set while its green thread runs.
struct ScopedDefault<'a> {
    dispatch: &'a Dispatch,
    guard: RefCell<Option<DefaultGuard>>,
    /// The spans of a suspended thread.
    spans: RefCell<Option<Exited>>,
}

impl Ambient for ScopedDefault<'_> {
    fn enter(&self) {
        // tracing panics while a subscriber waits on the same OS thread.
        catch_and_discard(|| {
            let guard = dispatcher::set_default(self.dispatch);
            *self.guard.borrow_mut() = Some(guard);
        });
        if let Some(spans) = self.spans.take() {
            catch_and_discard(|| spans.enter_again());
        }
    }

    fn leave(&self) {
        catch_and_discard(|| *self.spans.borrow_mut() = Some(Exited::take(self.dispatch.clone())));
        // tracing panics in a wait that a subscriber itself makes.
        catch_and_discard(|| drop(self.guard.take()));
    }
}

/// Calls `f` with `dispatcher` as the default subscriber of the calling green thread.
///
/// It is the counterpart of `tracing::dispatcher::with_default`, whose default is that of the OS
/// thread and so of all green threads of the worker. This one is the caller's: it is not set while
/// the caller is suspended. Threads that `f` spawns have the default of the process, as in std. On
/// an OS thread the two functions do the same.
///
/// Spans of `dispatcher` that `f` leaves entered are exited when it returns.
///
/// # Suspends
///
/// Does not suspend by itself; `f` may.
///
/// # Cancellation
///
/// If `f` unwinds, the former default is set again.
///
/// # Examples
///
/// ```
/// use tracing_core::dispatcher::{Dispatch, get_default};
///
/// rustlet::run(|| {
///     rustlet::tracing::with_default(&Dispatch::none(), || {
///         let other = rustlet::spawn(|| get_default(|_| "the default of the process"));
///         rustlet::yield_now();
///         other.join().unwrap();
///     });
/// });
/// ```
pub fn with_default<T>(dispatcher: &Dispatch, f: impl FnOnce() -> T) -> T {
    let Some(cx) = WorkerContext::get() else {
        return dispatcher::with_default(dispatcher, f);
    };
    let default = ScopedDefault {
        dispatch: dispatcher,
        guard: RefCell::new(None),
        spans: RefCell::new(None),
    };
    cx.with_ambient(&default, f)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

    use super::*;
    use crate::runtime::Builder;
    use crate::test_child;
    use crate::thread::{spawn, yield_now};

    #[test]
    fn a_default_that_cannot_be_set_again_does_not_end_the_process() {
        static IS_INSIDE: AtomicBool = AtomicBool::new(false);
        static MAY_LEAVE: AtomicBool = AtomicBool::new(false);
        let name = "tracing::tests::a_default_that_cannot_be_set_again_does_not_end_the_process";
        test_child::run(name, || {
            // As long as one exists somewhere, tracing borrows that of each OS thread.
            let _elsewhere = dispatcher::set_default(&Dispatch::none());
            let runtime = Builder::new().workers(1).build().unwrap();
            runtime.run(|| {
                let other = spawn(|| {
                    with_default(&Dispatch::none(), || {
                        IS_INSIDE.store(true, SeqCst);
                        while !MAY_LEAVE.load(SeqCst) {
                            yield_now();
                        }
                        5
                    })
                });
                while !IS_INSIDE.load(SeqCst) {
                    yield_now();
                }
                // As a subscriber that waits in an event.
                dispatcher::get_default(|_| {
                    for _ in 0..10 {
                        yield_now();
                    }
                });
                MAY_LEAVE.store(true, SeqCst);
                assert_eq!(other.join().unwrap(), 5);
            });
        });
    }
}
