//! Green threads with the API of [`std::thread`].
//!
//! All functions work on green threads, which they suspend, and unless documented otherwise on OS
//! threads, which they block.
//!
//! Beyond std there are cancellation ([`JoinHandle::cancel`], [`timeout`], [`shield`],
//! [`CancelToken`]), scopes that cancel their threads ([`scope_cancelling`]), groups of threads
//! with a limit ([`TaskGroup`]), periodic threads ([`repeat`]), and a pool for blocking work
//! ([`unblock`], [`unblock_scoped`], [`Blocking`]).
//!
//! # Examples
//!
//! ```
//! use rustlet::thread;
//! use std::time::Duration;
//!
//! rustlet::run(|| {
//!     let thread = thread::spawn(|| {
//!         thread::sleep(Duration::from_millis(1));
//!         "done"
//!     });
//!     assert_eq!(thread.join().unwrap(), "done");
//! });
//! ```

mod blocking_value;
mod builder;
mod cancel_token;
mod done;
mod idle;
mod join_error;
mod local;
mod repeat;
mod scoped;
mod task_group;
mod timeout;

use std::io;
use std::num::NonZeroUsize;
use std::panic::Location;
use std::time::{Duration, Instant};

pub use self::blocking_value::Blocking;
pub use self::builder::Builder;
pub use self::cancel_token::{CancelToken, DropGuard};
pub use self::idle::wait_idle;
pub use self::join_error::JoinError;
pub use self::local::{AccessError, LocalKey};
#[doc(hidden)]
pub use self::local::{OsEnd as __OsEnd, OsValue as __OsValue};
pub use self::repeat::repeat;
pub use self::scoped::{Scope, ScopedJoinHandle, scope, scope_cancelling, unblock_scoped};
pub use self::task_group::TaskGroup;
pub use self::timeout::{deadline, is_cancelled, shield, timeout};
pub use crate::green::Elapsed;
pub use crate::green::thread::{Thread, ThreadId};
pub use crate::runtime::join::JoinHandle;
#[doc(inline)]
pub use crate::thread_local;

use crate::green::budget::poll_budget_quietly;
use crate::green::park::yield_now as yield_green;
use crate::green::unparker::OsThread;
use crate::green::{Reason, Wait, Wake, WorkerContext, park as wait_for};
use crate::runtime::blocking;
use crate::runtime::{
    current,
    spawn::{self as start, SpawnRequest},
};
use crate::sys::clock::{self, NEVER, Tick};

/// Result of [`JoinHandle::join`]; see [`std::thread::Result`].
///
/// # Examples
///
/// ```
/// let result: rustlet::thread::Result<u8> = rustlet::run(|| rustlet::spawn(|| 1).join());
/// assert_eq!(result.unwrap(), 1);
/// ```
pub type Result<T> = std::thread::Result<T>;

/// Spawns a green thread, and returns a handle to join or cancel it.
///
/// It runs on the runtime of the calling green thread, or of the [`unblock`] that calls, else on
/// the process-wide runtime, which is started at its first use. `f` may start on any worker and
/// stays there. Does not wait.
///
/// # Panics
///
/// Panics if a limit is reached (`max_threads`, address space, mappings); [`Builder::spawn`]
/// returns an error instead.
///
/// # Examples
///
/// ```
/// rustlet::run(|| {
///     let thread = rustlet::spawn(|| 1 + 1);
///     assert_eq!(thread.join().unwrap(), 2);
/// });
/// ```
///
/// The closure must be [`Send`], because another worker may start the thread:
///
/// ```compile_fail,E0277
/// let counter = std::rc::Rc::new(5);
/// rustlet::spawn(move || println!("{counter}"));
/// ```
///
/// [`spawn_local`] takes closures that are not:
///
/// ```
/// rustlet::run(|| {
///     let counter = std::rc::Rc::new(5);
///     let thread = rustlet::spawn_local(move || *counter);
///     assert_eq!(thread.join().unwrap(), 5);
/// });
/// ```
#[doc(alias = "go")]
#[doc(alias = "greenlet")]
#[doc(alias = "task")]
#[doc(alias = "goroutine")]
#[doc(alias = "fiber")]
#[track_caller]
#[inline]
pub fn spawn<F, T>(f: F) -> JoinHandle<T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    let at = Location::caller();
    poll_budget_quietly(at);
    match current::spawn_plain(at, f) {
        Ok(handle) => handle,
        Err(error) => spawn_failed(&error),
    }
}

#[cold]
#[track_caller]
fn spawn_failed(error: &io::Error) -> ! {
    panic!("failed to spawn green thread: {error}")
}

/// Spawns a green thread that starts and stays on worker `index` of the runtime, counted from 0.
/// Never suspends.
///
/// [`spawn`] chooses the worker by what earlier threads of the same spawn site did. Use this if the
/// program knows better, for example with one actor for each core. No other worker starts the
/// thread: if that worker is busy, the thread waits for it. The runtime is that of the caller, else
/// the process-wide one.
///
/// # Panics
///
/// Panics if there is no such worker, or a limit is reached; [`Builder::worker`] gives an error
/// instead.
///
/// # Examples
///
/// ```
/// let runtime = rustlet::Builder::new().workers(2).name("core").build()?;
/// runtime.run(|| {
///     let actors: Vec<_> = (0..2)
///         .map(|index| {
///             rustlet::spawn_on(index, || std::thread::current().name().map(String::from))
///         })
///         .collect();
///     let names: Vec<_> =
///         actors.into_iter().map(|actor| actor.join().unwrap().unwrap()).collect();
///     assert_eq!(names, ["core-0", "core-1"]);
/// });
/// # std::io::Result::Ok(())
/// ```
#[doc(alias = "pin")]
#[doc(alias = "affinity")]
#[track_caller]
pub fn spawn_on<F, T>(index: usize, f: F) -> JoinHandle<T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    poll_budget_quietly(Location::caller());
    let request = SpawnRequest {
        worker: Some(index),
        ..SpawnRequest::new()
    };
    match current::spawn_static(request, f) {
        Ok(handle) => handle,
        Err(error) => spawn_failed(&error),
    }
}

/// Spawns a green thread on the caller's worker; `f` need not be [`Send`]. Does not wait.
///
/// # Panics
///
/// Panics if the caller is not a green thread, or a limit is reached.
///
/// # Examples
///
/// ```
/// use std::{cell::Cell, rc::Rc};
///
/// rustlet::run(|| {
///     let shared = Rc::new(Cell::new(1));
///     let theirs = Rc::clone(&shared);
///     rustlet::spawn_local(move || theirs.set(2)).join().unwrap();
///     assert_eq!(shared.get(), 2);
/// });
/// ```
#[doc(alias = "LocalSet")]
#[track_caller]
pub fn spawn_local<F, T>(f: F) -> JoinHandle<T>
where
    F: FnOnce() -> T + 'static,
    T: 'static,
{
    poll_budget_quietly(Location::caller());
    match start::spawn_local(SpawnRequest::new(), f) {
        Ok(handle) => handle,
        Err(error) => spawn_failed(&error),
    }
}

/// Yields to the other ready green threads of this worker; on an OS thread, calls
/// [`std::thread::yield_now`].
///
/// A loop seldom needs it. Every operation of this crate that returns without waiting is charged to
/// a budget of 128; the operation that uses it up lets the other threads run first. So
/// `while !thread.is_finished() {}` ends.
///
/// Free of charge is only what reads or changes the caller's own data: constructors, clones,
/// destructors (so also the release of a lock), accessors of constant data (`id`, `name`,
/// `capacity`, the settings of a builder), [`current`], [`panicking`], `thread_local!` keys, and
/// values that are already initialised ([`OnceLock::get`](crate::sync::OnceLock::get)). A loop over
/// those, or over an atomic, is a computation and keeps its worker.
///
/// # Suspends
///
/// Yields the calling green thread, which stays ready.
///
/// # Cancellation
///
/// The caller unwinds. So does the caller of any operation that can wait (`recv`, `send`, `read`,
/// `accept`, `park`). Queries, signals, spawns and locks that are free do not unwind, because code
/// does not expect it there. But a cancelled thread that has yielded 100 times in such operations
/// alone unwinds from the next, so that its loop ends.
///
/// # Examples
///
/// ```
/// rustlet::run(|| {
///     let other = rustlet::spawn_local(|| ());
///     rustlet::yield_now();
///     assert!(other.is_finished());
/// });
/// ```
#[doc(alias = "Gosched")]
#[track_caller]
#[inline(always)]
pub fn yield_now() {
    yield_green(Location::caller());
}

/// Suspends the calling green thread for at least `duration`; blocks an OS thread.
/// [`Duration::MAX`] means forever.
///
/// # Cancellation
///
/// The caller unwinds.
///
/// # Examples
///
/// ```
/// use std::time::{Duration, Instant};
///
/// rustlet::run(|| {
///     let start = Instant::now();
///     rustlet::sleep(Duration::from_millis(2));
///     assert!(start.elapsed() >= Duration::from_millis(2));
/// });
/// ```
#[track_caller]
pub fn sleep(duration: Duration) {
    sleep_to(Wait::new(Reason::Sleep), clock::after(duration));
}

/// Suspends the calling green thread for at least `ms` milliseconds, like [`sleep`].
///
/// # Examples
///
/// ```
/// # #![allow(deprecated)]
/// rustlet::thread::sleep_ms(1);
/// ```
#[deprecated(note = "replaced by `sleep`, as in std")]
#[track_caller]
pub fn sleep_ms(ms: u32) {
    sleep(Duration::from_millis(ms.into()));
}

/// Suspends the calling green thread until `deadline`; blocks an OS thread. If the deadline has
/// passed, it yields.
///
/// # Cancellation
///
/// The caller unwinds.
///
/// # Examples
///
/// ```
/// use std::time::{Duration, Instant};
///
/// rustlet::run(|| {
///     let deadline = Instant::now() + Duration::from_millis(2);
///     rustlet::sleep_until(deadline);
///     assert!(Instant::now() >= deadline);
/// });
/// ```
#[doc(alias = "delay_until")]
#[track_caller]
pub fn sleep_until(deadline: Instant) {
    sleep_to(Wait::new(Reason::Sleep), clock::ticks(deadline));
}

fn sleep_to(wait: Wait, deadline: Tick) {
    let wait = wait.until(deadline);
    let has_passed = || deadline != NEVER && clock::now() >= deadline;
    if has_passed() {
        // Not a wait, but it yields, and a cancellation is raised.
        return yield_green(wait.at);
    }
    while !has_passed() {
        wait_for(&wait);
    }
}

/// Waits until [`Thread::unpark`] is called for the calling thread; returns at once if it was
/// called since the last `park`. See [`std::thread::park`]; there are no spurious wake-ups.
///
/// # Suspends
///
/// Suspends the calling green thread; blocks an OS thread.
///
/// # Cancellation
///
/// The caller unwinds.
///
/// # Examples
///
/// ```
/// rustlet::run(|| {
///     let main = rustlet::current();
///     let other = rustlet::spawn(move || main.unpark());
///     rustlet::park();
///     other.join().unwrap();
/// });
/// ```
#[track_caller]
#[inline]
pub fn park() {
    let wait = Wait::new(Reason::Park);
    park_until(&wait);
}

/// Waits like [`park`], for at most `duration`. [`Duration::MAX`] means forever.
///
/// # Cancellation
///
/// The caller unwinds.
///
/// # Examples
///
/// ```
/// rustlet::run(|| rustlet::thread::park_timeout(std::time::Duration::from_millis(1)));
/// ```
#[track_caller]
#[inline]
pub fn park_timeout(duration: Duration) {
    let wait = Wait::new(Reason::Park).until(clock::after(duration));
    park_until(&wait);
}

/// Waits like [`park_timeout`], for at most `ms` milliseconds.
///
/// # Examples
///
/// ```
/// # #![allow(deprecated)]
/// rustlet::thread::park_timeout_ms(1);
/// ```
#[deprecated(note = "replaced by `park_timeout`, as in std")]
#[track_caller]
pub fn park_timeout_ms(ms: u32) {
    park_timeout(Duration::from_millis(ms.into()));
}

// Inlined into the caller, down to the switch: each return between it and the caller's code would
// be mispredicted.
#[inline(always)]
fn park_until(wait: &Wait) {
    let Some(cx) = WorkerContext::get() else {
        return park_os_until(wait);
    };
    cx.poll_budget(wait.at);
    while !cx.current().take_token() {
        if wait_for(wait) == Wake::Elapsed && wait.deadline <= clock::now() {
            return;
        }
    }
}

#[cold]
fn park_os_until(wait: &Wait) {
    let thread = OsThread::current();
    while !thread.take_token() {
        if thread.park(wait) == Wake::Elapsed {
            return;
        }
    }
}

/// Runs `f`, which blocks or computes for long, on an OS thread of the runtime's pool and waits for
/// its result.
///
/// On an OS thread it calls `f` in place. `f` runs as on an ordinary OS thread: waits block it, and
/// [`spawn`] and [`scope`] inside use the runtime that `f` was called from.
///
/// The pool grows and shrinks with demand up to
/// [`Builder::blocking_threads`](crate::Builder::blocking_threads); further calls wait in
/// first-in-first-out order.
///
/// # Panics
///
/// Propagates a panic of `f`. Panics if no OS thread can be created.
///
/// # Suspends
///
/// Suspends the calling green thread until `f` has returned.
///
/// # Cancellation
///
/// The caller unwinds at once. If `f` has not started, it never runs and is dropped by the caller;
/// otherwise it runs to its end on the pool and its result is dropped there, with everything that
/// `f` has moved: keep what must not get lost in a [`Blocking`]. The end of the runtime does not
/// wait for it. [`unblock_scoped`] waits for `f` instead.
///
/// # Examples
///
/// ```
/// rustlet::run(|| {
///     let sum: u64 = rustlet::unblock(|| (1..=1_000).sum());
///     assert_eq!(sum, 500_500);
/// });
/// ```
#[doc(alias = "spawn_blocking")]
#[doc(alias = "threadpool")]
#[track_caller]
pub fn unblock<F, T>(f: F) -> T
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    match blocking::run(f) {
        Ok(value) => value,
        Err(error) => panic!("unblock: {error}"),
    }
}

/// Returns the calling thread's handle: of a green thread or an OS thread. Never suspends.
///
/// # Examples
///
/// ```
/// rustlet::run(|| assert_eq!(rustlet::current().id(), rustlet::current().id()));
/// ```
#[must_use]
pub fn current() -> Thread {
    Thread::current()
}

/// Returns the default number of workers of a runtime, as [`std::thread::available_parallelism`].
///
/// # Errors
///
/// As in std.
///
/// # Examples
///
/// ```
/// assert!(rustlet::thread::available_parallelism().is_ok());
/// ```
#[track_caller]
pub fn available_parallelism() -> io::Result<NonZeroUsize> {
    poll_budget_quietly(Location::caller());
    std::thread::available_parallelism()
}

/// Returns `true` if the calling thread is unwinding, as [`std::thread::panicking`].
///
/// Both answer for the calling green thread alone, and both also return `true` while a cancelled
/// thread unwinds.
///
/// # Examples
///
/// ```
/// rustlet::run(|| assert!(!rustlet::thread::panicking()));
/// ```
#[must_use]
pub fn panicking() -> bool {
    std::thread::panicking()
}
