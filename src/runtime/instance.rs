#![allow(unsafe_code, reason = "spawns a closure that borrows")]
//! The life cycle of a runtime: a builder starts it; `shutdown` or a drop ends it.
//!
//! The end proceeds in steps. The phase becomes `Closing`, and each worker cancels the threads that
//! live on it; threads that are spawned from then on are cancelled as they start. When no thread is
//! alive, or none has ended for the duration of the timeout, the phase becomes `Ended`, and
//! workers without live threads exit. A worker with live threads stays, with those threads and
//! their stacks, because other threads may have borrowed from them.
//!
//! L1. The first thread of `run` may borrow: `run` does not return before that thread has ended and
//!     its result was taken.

use std::fmt;
use std::io;
use std::panic::{RefUnwindSafe, UnwindSafe, resume_unwind};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle as OsJoinHandle;
use std::time::Duration;

use super::blocking::runtime_of_thread;
use super::config::{AtEnd, Config};
use super::inspect::panic_hook;
use super::inspect::registry;
use super::inspect::registry::ShutdownError;
use super::inspect::report::{ReportKind, eprintln_lossy};
use super::io::reactor::Reactor;
use super::join::{JoinHandle, Joiner};
use super::metrics::{self, Metrics};
use super::scheduler::runtime_context::RuntimeContext;
use super::scheduler::shared::{Phase, Shared, WorkerShared};
use super::scheduler::worker::WorkerLoop;
use super::spawn::{SpawnRequest, spawn, spawn_on};
use crate::green::context::remote::Remote;
use crate::green::park::{check_cancel_os, unwind_if_cancelled};
use crate::green::{Cancelled, OnCancel, Outcome, Reason, Wait, Wake, WorkerContext};
use crate::shim::lock;
use crate::sys::exit;
use crate::sys::os_threads::OwnThread;

/// A set of workers and the green threads that run on them.
///
/// Dropping a runtime cancels the green threads that are still alive and waits for them, as
/// [`shutdown`](Runtime::shutdown) with the builder's `shutdown_timeout` does.
///
/// # Examples
///
/// ```
/// let runtime = rustlet::runtime::Builder::new().workers(1).build()?;
/// let greeting = runtime.spawn(|| "hello");
/// assert_eq!(greeting.join().unwrap(), "hello");
/// # std::io::Result::Ok(())
/// ```
pub struct Runtime {
    pub(super) shared: Arc<Shared>,
    threads: Mutex<Vec<OsJoinHandle<()>>>,
}

impl fmt::Debug for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        debug(&self.shared, "Runtime", f)
    }
}

/// A cloneable handle that spawns onto a runtime from any thread.
///
/// A handle does not keep its runtime alive.
///
/// # Examples
///
/// ```
/// let runtime = rustlet::runtime::Builder::new().workers(1).build()?;
/// let handle = runtime.handle();
/// let thread = std::thread::spawn(move || handle.spawn(|| 5).join().unwrap());
/// assert_eq!(thread.join().unwrap(), 5);
/// # std::io::Result::Ok(())
/// ```
#[derive(Clone)]
pub struct Handle {
    shared: Arc<Shared>,
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        debug(&self.shared, "Handle", f)
    }
}

impl Handle {
    pub(super) fn new(shared: Arc<Shared>) -> Handle {
        Handle { shared }
    }

    /// Returns the handle of the runtime whose green thread or blocking call the caller is; `None`
    /// on another OS thread.
    ///
    /// # Examples
    ///
    /// ```
    /// use rustlet::runtime::Handle;
    ///
    /// assert!(Handle::current().is_none());
    /// let live = rustlet::run(|| Handle::current().map(|handle| handle.metrics().live));
    /// assert_eq!(live, Some(1));
    /// ```
    #[must_use]
    pub fn current() -> Option<Handle> {
        let shared = match WorkerContext::of_thread().and_then(RuntimeContext::of) {
            Some(context) => Arc::clone(&context.shared),
            None => runtime_of_thread()?,
        };
        Some(Handle { shared })
    }

    /// Returns a snapshot of the runtime's metrics, like [`Runtime::metrics`].
    ///
    /// # Examples
    ///
    /// ```
    /// rustlet::run(|| {
    ///     let handle = rustlet::runtime::Handle::current().unwrap();
    ///     assert!(handle.metrics().live >= 1);
    /// });
    /// ```
    #[must_use]
    #[track_caller]
    pub fn metrics(&self) -> Metrics {
        crate::green::budget::poll_budget_quietly(std::panic::Location::caller());
        metrics::collect(&self.shared)
    }

    /// Spawns a green thread on the runtime.
    ///
    /// On a runtime that has ended, the `join` of the new thread returns
    /// [`Cancelled`](crate::Cancelled).
    ///
    /// # Panics
    ///
    /// Panics if a limit of threads, memory or mappings is reached;
    /// [`thread::Builder::spawn`](crate::thread::Builder::spawn) returns an error instead.
    ///
    /// # Examples
    ///
    /// ```
    /// let runtime = rustlet::runtime::Builder::new().workers(1).build()?;
    /// let handle = runtime.handle();
    /// let answer = std::thread::spawn(move || {
    ///     let thread = handle.spawn(|| 6 * 7);
    ///     thread.join().unwrap()
    /// });
    /// assert_eq!(answer.join().unwrap(), 42);
    /// # std::io::Result::Ok(())
    /// ```
    #[track_caller]
    pub fn spawn<F, T>(&self, f: F) -> JoinHandle<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        spawn_or_panic(&self.shared, f)
    }
}

#[track_caller]
fn spawn_or_panic<F, T>(shared: &Arc<Shared>, f: F) -> JoinHandle<T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    crate::green::budget::poll_budget_quietly(std::panic::Location::caller());
    match spawn_on(shared, SpawnRequest::new(), f) {
        Ok(handle) => handle,
        Err(error) => panic!("failed to spawn green thread: {error}"),
    }
}

/// The state of a runtime for `Debug`; [`Metrics`] has more.
fn debug(shared: &Shared, name: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    f.debug_struct(name)
        .field("workers", &shared.workers.len())
        .field("live", &shared.live())
        .field("ended", &shared.finished())
        .finish_non_exhaustive()
}

struct AbortOnPanic;

impl Drop for AbortOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            exit::abort(format_args!(
                "a worker has panicked; this is a bug in rustlet"
            ));
        }
    }
}

fn no_worker(index: usize, workers: usize, error: &io::Error) -> io::Error {
    io::Error::new(
        error.kind(),
        format!(
            "worker {index} of {workers} cannot be started: {error}; see `ulimit -u` and `ulimit -n`"
        ),
    )
}

// No unwinding of a caller leaves a part of a runtime half done.
impl UnwindSafe for Runtime {}
impl RefUnwindSafe for Runtime {}

impl Runtime {
    pub(super) fn start(workers: usize, config: Config) -> io::Result<Runtime> {
        crate::stack::overflow::install(registry::describe_overflow)?;
        panic_hook::install();
        // Without a capacity up front: `workers` may be a mistyped number that exceeds all memory,
        // and descriptors run out first.
        let mut worker_states = Vec::new();
        for index in 0..workers {
            match Remote::open() {
                Ok(remote) => worker_states.push(WorkerShared::new(remote)),
                Err(error) => {
                    worker_states
                        .iter()
                        .for_each(|worker| worker.remote.close());
                    return Err(no_worker(index, workers, &error));
                }
            }
        }
        let worker_states = worker_states.into_boxed_slice();
        let shared = Arc::new(Shared::new(worker_states, config));
        super::scheduler::shared::register_runtime(&shared);
        let runtime = Runtime {
            threads: Mutex::default(),
            shared,
        };
        for index in 0..workers {
            let thread =
                runtime.start_worker(index, format!("{}-{index}", runtime.shared.config.name));
            match thread {
                Ok(thread) => lock(&runtime.threads).push(thread),
                Err(error) => {
                    for worker in &runtime.shared.workers[index..] {
                        worker.remote.close();
                    }
                    return Err(no_worker(index, workers, &error));
                }
            }
        }
        Ok(runtime)
    }

    pub(super) fn start_watchdog(&self, period: Duration) -> io::Result<()> {
        super::inspect::watchdog::start(&self.shared, period)
    }

    fn start_worker(&self, index: usize, name: String) -> io::Result<OsJoinHandle<()>> {
        let shared = Arc::clone(&self.shared);
        let remote = shared.workers[index].remote;
        let reactor = Reactor::new(remote)?;
        let alarm = reactor.new_alarm();
        let handle = Arc::clone(reactor.reactor_handle());
        // Each worker is started once, so it was not set.
        let _set = shared.workers[index].reactor_handle.set(handle);
        std::thread::Builder::new().name(name).spawn(move || {
            let _own = OwnThread::mark();
            if let Err(error) = crate::stack::overflow::prepare_thread() {
                eprintln_lossy(&format!(
                    "rustlet: no alternate signal stack, so overflows will not be reported: {error}"
                ));
            }
            // A panic here is a bug of this library; the green threads of this worker could never
            // continue.
            let guard = AbortOnPanic;
            let number = rustix::thread::gettid().as_raw_nonzero().get();
            shared.workers[index]
                .os_thread
                .store(number, std::sync::atomic::Ordering::Relaxed);
            let worker = WorkerLoop::new(shared, index, reactor, alarm);
            worker.work();
            drop(worker);
            remote.close();
            drop(guard);
        })
    }

    /// Runs `f` as a green thread, blocks the calling OS thread until it ends, and returns its
    /// value.
    ///
    /// `f` may borrow from the caller. Other green threads of the runtime continue.
    ///
    /// # Panics
    ///
    /// Panics with the panic of `f`. Also panics if the caller is a green thread (call `f` directly
    /// or spawn it instead), if no stack or memory is available for the thread, or if the runtime
    /// has been shut down.
    ///
    /// # Suspends
    ///
    /// Blocks the calling OS thread.
    ///
    /// # Cancellation
    ///
    /// A [`timeout`](crate::timeout) around the call cancels `f`; `run` unwinds when `f` has ended.
    ///
    /// # Examples
    ///
    /// ```
    /// let runtime = rustlet::runtime::Builder::new().build()?;
    /// let mut words = vec!["green"];
    /// // The closure may borrow, because `run` waits for it.
    /// let count = runtime.run(|| {
    ///     words.push("threads");
    ///     words.len()
    /// });
    /// assert_eq!((count, words), (2, vec!["green", "threads"]));
    /// # std::io::Result::Ok(())
    /// ```
    #[track_caller]
    pub fn run<F, T>(&self, f: F) -> T
    where
        F: FnOnce() -> T + Send,
        T: Send,
    {
        refuse_inside();
        let outcome = spawn_main(&self.shared, f);
        panic_if_deadlocked(&self.shared);
        return_or_resume(outcome, || {
            panic!("run: the runtime was shut down before the function had ended")
        })
    }

    /// Spawns a green thread on the runtime.
    ///
    /// # Panics
    ///
    /// Panics if a limit of threads, memory or mappings is reached;
    /// [`thread::Builder::spawn`](crate::thread::Builder::spawn) returns an error instead.
    ///
    /// # Examples
    ///
    /// ```
    /// let runtime = rustlet::runtime::Builder::new().build()?;
    /// let threads: Vec<_> = (1..=3).map(|n| runtime.spawn(move || n * n)).collect();
    /// let squares: Vec<u32> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
    /// assert_eq!(squares, [1, 4, 9]);
    /// # std::io::Result::Ok(())
    /// ```
    #[track_caller]
    pub fn spawn<F, T>(&self, f: F) -> JoinHandle<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        spawn_or_panic(&self.shared, f)
    }

    /// Returns a cloneable handle that spawns onto this runtime from any thread.
    ///
    /// # Examples
    ///
    /// ```
    /// let runtime = rustlet::runtime::Builder::new().build()?;
    /// let handle = runtime.handle();
    /// let threads: Vec<_> = (1..=3)
    ///     .map(|n| {
    ///         let handle = handle.clone();
    ///         std::thread::spawn(move || handle.spawn(move || 10 * n).join().unwrap())
    ///     })
    ///     .collect();
    /// let sum: u32 = threads.into_iter().map(|thread| thread.join().unwrap()).sum();
    /// assert_eq!(sum, 60);
    /// # std::io::Result::Ok(())
    /// ```
    #[must_use]
    pub fn handle(&self) -> Handle {
        Handle {
            shared: Arc::clone(&self.shared),
        }
    }

    /// Returns a snapshot of the runtime's metrics.
    ///
    /// It stops no worker. It costs some microseconds, and up to some milliseconds for thousands of
    /// stacks, about whose pages it asks the system.
    ///
    /// # Examples
    ///
    /// ```
    /// let runtime = rustlet::runtime::Builder::new().workers(2).build()?;
    /// let parked = runtime.spawn(rustlet::park);
    /// assert_eq!(runtime.metrics().live, 1);
    /// parked.thread().unpark();
    /// parked.join().unwrap();
    /// // Its worker still puts its stack away.
    /// while runtime.metrics().live > 0 {
    ///     std::thread::yield_now();
    /// }
    /// let metrics = runtime.metrics();
    /// assert_eq!((metrics.workers, metrics.live, metrics.ended), (2, 0, 1));
    /// # std::io::Result::Ok(())
    /// ```
    #[must_use]
    #[track_caller]
    pub fn metrics(&self) -> Metrics {
        crate::green::budget::poll_budget_quietly(std::panic::Location::caller());
        metrics::collect(&self.shared)
    }

    /// Cancels the green threads that are alive and waits until they have unwound.
    ///
    /// The wait lasts for at most `timeout` after the last thread that ended. A thread that has
    /// not ended by then is left behind with its OS thread: it computes without a wait, or stays in
    /// a [`shield`](crate::shield) or a destructor.
    ///
    /// To let threads finish by themselves first, wait for them: see
    /// [`Server`](crate::net::ServerHandle::shutdown_timeout) for connections, and
    /// [`scope`](crate::scope).
    ///
    /// # Errors
    ///
    /// Returns an error if threads are left behind. It lists their names and where they wait; its
    /// text is the one that a dropped runtime reports.
    ///
    /// # Panics
    ///
    /// Panics if the caller is a green thread, which would wait for itself.
    ///
    /// # Suspends
    ///
    /// Blocks the calling OS thread.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let runtime = rustlet::Builder::new().workers(1).build()?;
    /// runtime.spawn(rustlet::park);
    /// runtime.shutdown(Duration::from_secs(5))?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[track_caller]
    pub fn shutdown(self, timeout: Duration) -> Result<(), ShutdownError> {
        refuse_inside();
        self.end(timeout)
    }

    /// Blocks the calling OS thread until every green thread has ended. Returns false if a time
    /// limit around the call expired first.
    pub(super) fn wait_all(&self) -> bool {
        let wait = Wait::new(Reason::Join).on_cancel(OnCancel::Defer);
        loop {
            let Ok(limit) = check_cancel_os(&wait) else {
                return self.shared.is_quiet();
            };
            if self.shared.wait_quiet_until(limit.recheck()) {
                return true;
            }
        }
    }

    fn end(&self, timeout: Duration) -> Result<(), ShutdownError> {
        if self.shared.config.at_end == AtEnd::Abandon && !self.shared.is_quiet() {
            self.shared.abandon();
            self.shared.pool.close();
            // Workers with live threads stay; the others see the phase and exit.
            lock(&self.threads).clear();
            return Ok(());
        }
        self.shared.advance(Phase::Closing);
        let quiet = self.shared.wait_quiet(timeout);
        let ended = match quiet {
            true => Ok(()),
            false => Err(ShutdownError::new(self.shared.group, timeout)),
        };
        self.shared.advance(Phase::Ended);
        if !quiet {
            self.shared.discard_all_unstarted();
        }
        self.shared.pool.close();
        for thread in lock(&self.threads).drain(..) {
            // Workers with live threads are not joined. The others see the phase and exit.
            if quiet {
                // A worker does not unwind: a panic in it is a bug that aborts the process.
                let _ended = thread.join();
            }
        }
        ended
    }

    /// Returns whether the caller is one of the runtime's own green threads.
    fn is_own_thread(&self) -> bool {
        WorkerContext::get()
            .and_then(RuntimeContext::of)
            .is_some_and(|context| Arc::ptr_eq(&context.shared, &self.shared))
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        if WorkerContext::get().is_some() {
            if self.shared.config.at_end == AtEnd::Abandon && !self.is_own_thread() {
                self.shared.abandon();
                return self.shared.pool.close();
            }
            // Waiting here would wait for the caller. The workers end on their own.
            self.shared.advance(Phase::Closing);
            self.shared.advance(Phase::Ended);
            self.shared.pool.close();
            if !self.is_own_thread() {
                eprintln_lossy(
                    "rustlet: a Runtime was dropped inside a green thread: its threads are cancelled, but not waited for",
                );
            } else if std::thread::panicking() {
                eprintln_lossy(DROPPED_INSIDE);
            } else {
                panic!("{DROPPED_INSIDE}");
            }
            return;
        }
        if self.shared.phase() >= Phase::Ended {
            return;
        }
        // Without unwinding, threads are left running, as OS threads are at the end of a program.
        let timeout = match cfg!(panic = "unwind") {
            true => self.shared.config.shutdown_timeout,
            false => Duration::ZERO,
        };
        if let Err(left) = self.end(timeout)
            && cfg!(panic = "unwind")
        {
            self.shared
                .config
                .reporter
                .report(ReportKind::Leftover, &left.to_string());
        }
    }
}

const DROPPED_INSIDE: &str = "rustlet: a Runtime was dropped inside one of its own green threads, which cannot wait for themselves: \
     all of them are cancelled. Keep the Runtime outside, and give them its Handle";

#[track_caller]
pub(super) fn refuse_inside() {
    assert!(
        WorkerContext::get().is_none(),
        "run: called inside a green thread, whose worker it would block; call the function itself, or spawn it and join"
    );
}

/// Runs `f` as a green thread of `shared` and blocks the calling OS thread until it has ended.
#[track_caller]
pub(super) fn spawn_main<F, T>(shared: &Arc<Shared>, f: F) -> Outcome<T>
where
    F: FnOnce() -> T + Send,
    T: Send,
{
    let request = SpawnRequest {
        name: Some("main".into()),
        stack: Some(shared.config.first_stack),
        ..SpawnRequest::new()
    };
    // SAFETY: SP1 by L1: this function takes the result below, and nothing in between unwinds.
    let green = match unsafe { spawn(shared, request, f) } {
        Ok(green) => green,
        Err(error) => panic!("run: no green thread for the function: {error}"),
    };
    // SAFETY: J1.
    let joiner = unsafe { Joiner::new(green) };
    let wait = Wait::new(Reason::Join);
    let deferring = Wait::new(Reason::Join).on_cancel(OnCancel::Defer);
    if joiner.wait_done(&deferring) == Wake::Cancelled {
        // A time limit around the run expired: it cancels the function, and unwinds the caller when
        // that has ended (`return_or_resume`).
        joiner.cancel();
    }
    joiner.join(&wait.on_cancel(OnCancel::Shield))
}

/// Panics with the report if a deadlock has ended the runtime
/// ([`OnDeadlock::Panic`](super::OnDeadlock::Panic)).
#[track_caller]
pub(super) fn panic_if_deadlocked(shared: &Shared) {
    if let Some(text) = shared.deadlock.get() {
        panic!("{text}");
    }
}

/// Turns the outcome of the first thread into the result of a run. `cancelled` is called if that
/// thread was cancelled, but not because of a cancellation around the caller.
#[track_caller]
pub(super) fn return_or_resume<T>(outcome: Outcome<T>, cancelled: impl FnOnce() -> T) -> T {
    match outcome {
        Ok(value) => value,
        Err(payload) if payload.is::<Cancelled>() => {
            unwind_if_cancelled();
            cancelled()
        }
        Err(payload) => resume_unwind(payload),
    }
}
