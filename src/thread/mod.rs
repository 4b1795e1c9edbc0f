//! Green threads with the names of [`std::thread`].
//!
//! Everything here works on green threads, which it suspends, and unless it says otherwise on ordinary OS threads,
//! which it blocks.
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

mod builder;
mod done;
mod idle;
mod join_error;
mod local;
mod repeat;
mod scoped;
mod timeout;

use std::io;
use std::num::NonZeroUsize;
use std::panic::Location;
use std::time::{Duration, Instant};

pub use self::builder::Builder;
pub use self::idle::wait_idle;
pub use self::join_error::JoinError;
pub use self::local::{AccessError, LocalKey};
#[doc(hidden)]
pub use self::local::{OsEnd as __OsEnd, OsValue as __OsValue};
pub use self::repeat::repeat;
pub use self::scoped::{Scope, ScopedJoinHandle, scope, scope_cancelling};
pub use self::timeout::{deadline, is_cancelled, shield, timeout};
pub use crate::green::Elapsed;
pub use crate::green::thread::{Thread, ThreadId};
pub use crate::runtime::join::JoinHandle;
pub use crate::thread_local;

use crate::green::budget::spend_quietly;
use crate::green::park::yield_now as yield_green;
use crate::green::unparker::OsThread;
use crate::green::{Home, Reason, Wait, Wake, park as wait_for};
use crate::runtime::blocking;
use crate::runtime::{
    current,
    spawn::{self as start, Order},
};
use crate::sys::clock::{self, NEVER, Tick};

/// What [`JoinHandle::join`] gives: as [`std::thread::Result`].
///
/// ```
/// let result: rustlet::thread::Result<u8> = rustlet::run(|| rustlet::spawn(|| 1).join());
/// assert_eq!(result.unwrap(), 1);
/// ```
pub type Result<T> = std::thread::Result<T>;

/// Spawns a green thread: on the runtime of the calling green thread (or of the [`unblock`] that calls), else on the process-wide
/// one, which is started at its first use.
///
/// `f` may start on any worker; once it has started it stays there. Does not wait.
///
/// # Panics
///
/// A limit is reached (`max_threads`, address space, mappings); [`Builder::spawn`] gives an error instead.
///
/// ```
/// rustlet::run(|| {
///     let thread = rustlet::spawn(|| 1 + 1);
///     assert_eq!(thread.join().unwrap(), 2);
/// });
/// ```
///
/// What is not [`Send`] cannot be taken along, because another worker may start the thread:
///
/// ```compile_fail,E0277
/// let counter = std::rc::Rc::new(5);
/// rustlet::spawn(move || println!("{counter}"));
/// ```
///
/// [`spawn_local`] takes it:
///
/// ```
/// rustlet::run(|| {
///     let counter = std::rc::Rc::new(5);
///     let thread = rustlet::spawn_local(move || *counter);
///     assert_eq!(thread.join().unwrap(), 5);
/// });
/// ```
#[track_caller]
#[inline]
pub fn spawn<F, T>(f: F) -> JoinHandle<T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    let at = Location::caller();
    spend_quietly(at);
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

/// Spawns a green thread that starts and stays on worker `index` of the runtime, counted from 0. Never suspends.
///
/// [`spawn`] chooses the worker by what earlier threads of the same place in the source did; this is for programs that know
/// better, as those with one actor a core. No other worker starts the thread: if that worker computes, the thread waits for it.
/// The runtime is that of the caller, else the process-wide one.
///
/// # Panics
///
/// There is no such worker, or a limit is reached; [`Builder::worker`] gives an error instead.
///
/// ```
/// let runtime = rustlet::Builder::new().workers(2).name("core").build()?;
/// runtime.run(|| {
///     let actors: Vec<_> = (0..2)
///         .map(|index| rustlet::spawn_on(index, || std::thread::current().name().map(String::from)))
///         .collect();
///     let names: Vec<_> = actors.into_iter().map(|actor| actor.join().unwrap().unwrap()).collect();
///     assert_eq!(names, ["core-0", "core-1"]);
/// });
/// # std::io::Result::Ok(())
/// ```
#[track_caller]
pub fn spawn_on<F, T>(index: usize, f: F) -> JoinHandle<T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    spend_quietly(Location::caller());
    let order = Order {
        worker: Some(index),
        ..Order::new()
    };
    match current::spawn_static(order, f) {
        Ok(handle) => handle,
        Err(error) => spawn_failed(&error),
    }
}

/// Spawns a green thread that starts and stays on the worker of the calling one; `f` need not be [`Send`]. Does not wait.
///
/// # Panics
///
/// The caller is not a green thread, or a limit is reached.
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
#[track_caller]
pub fn spawn_local<F, T>(f: F) -> JoinHandle<T>
where
    F: FnOnce() -> T + 'static,
    T: 'static,
{
    spend_quietly(Location::caller());
    match start::spawn_local(Order::new(), f) {
        Ok(handle) => handle,
        Err(error) => spawn_failed(&error),
    }
}

/// Lets the other green threads of this worker that are ready run first. On an OS thread, [`std::thread::yield_now`].
///
/// A cancellation is raised here.
///
/// A loop seldom needs it: every operation of this crate that returns without waiting is charged to a budget of 128, and the
/// one that uses it up lets the others run before it does anything. So `while !thread.is_finished() {}` ends. Only what reads or
/// changes the caller's own data is free: constructors, clones, destructors (so also the release of a lock), accessors of what never
/// changes (`id`, `name`, `capacity`, the settings of a builder), [`current`], [`panicking`], `thread_local!` keys, and values that
/// are there for good ([`OnceLock::get`](crate::sync::OnceLock::get) of one that is set). A loop over those, or over an atomic, is a computation and keeps its worker.
///
/// What waits when it has to (`recv`, `send`, `read`, `accept`, `park`) raises a cancellation there, too. A question, a signal, a spawn, or a lock
/// that is free does not, since nobody expects it to unwind; but a cancelled thread that has given way 100 times in such
/// operations alone is unwound from the next, so that its loop ends.
///
/// ```
/// rustlet::run(|| {
///     let other = rustlet::spawn_local(|| ());
///     rustlet::yield_now();
///     assert!(other.is_finished());
/// });
/// ```
#[track_caller]
#[inline(always)]
pub fn yield_now() {
    yield_green(Location::caller());
}

/// Suspends the calling green thread for at least `duration`; blocks, on an OS thread. [`Duration::MAX`] is for ever.
///
/// A cancellation is raised here.
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

/// As [`sleep`], for so many milliseconds.
#[deprecated(note = "replaced by `sleep`, as in std")]
#[track_caller]
pub fn sleep_ms(ms: u32) {
    sleep(Duration::from_millis(ms.into()));
}

/// Suspends the calling green thread until `deadline`; blocks, on an OS thread. If it has passed, the others get a turn.
///
/// A cancellation is raised here.
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
#[track_caller]
pub fn sleep_until(deadline: Instant) {
    sleep_to(Wait::new(Reason::Sleep), clock::ticks(deadline));
}

fn sleep_to(wait: Wait, deadline: Tick) {
    let wait = wait.until(deadline);
    let has_passed = || deadline != NEVER && clock::now() >= deadline;
    if has_passed() {
        // Not a wait, but the others get their turn, and a cancellation is raised.
        return yield_green(wait.at);
    }
    while !has_passed() {
        wait_for(&wait);
    }
}

/// Suspends the calling thread until [`Thread::unpark`] is called for it; returns at once if it was since the last
/// `park`. As [`std::thread::park`], but never spuriously.
///
/// A cancellation is raised here.
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

/// As [`park`], for at most `duration`. [`Duration::MAX`] is for ever.
///
/// A cancellation is raised here.
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

/// As [`park_timeout`], for so many milliseconds.
#[deprecated(note = "replaced by `park_timeout`, as in std")]
#[track_caller]
pub fn park_timeout_ms(ms: u32) {
    park_timeout(Duration::from_millis(ms.into()));
}

// Inlined into the caller, down to the switch: each return between it and the caller's code would be mispredicted.
#[inline(always)]
fn park_until(wait: &Wait) {
    let Some(home) = Home::get() else {
        return park_os_until(wait);
    };
    home.spend(wait.at);
    while !home.current().take_token() {
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

/// Runs `f`, which blocks or computes for long, on an OS thread of the runtime's pool, and suspends the calling green thread
/// meanwhile; on an OS thread, calls it in place. `f` sees an ordinary OS thread: what waits blocks it, and [`spawn`] and
/// [`scope`] inside go to the runtime that `f` was called from.
///
/// The pool grows and shrinks with demand up to [`Builder::blocking_threads`](crate::Builder::blocking_threads); past that, calls wait for their turn in the
/// order in which they came.
///
/// Cancelled meanwhile, the caller unwinds at once. If `f` has not started it never runs, and is dropped by the caller; else it runs
/// to its end, and its result is dropped there. The end of the runtime does not wait for it.
///
/// # Panics
///
/// With the panic of `f`, or if no OS thread can be had.
///
/// ```
/// rustlet::run(|| {
///     let sum: u64 = rustlet::unblock(|| (1..=1_000).sum());
///     assert_eq!(sum, 500_500);
/// });
/// ```
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

/// The calling thread: a green one, or an ordinary OS thread. Never suspends.
///
/// ```
/// rustlet::run(|| assert_eq!(rustlet::current().id(), rustlet::current().id()));
/// ```
#[must_use]
pub fn current() -> Thread {
    Thread::current()
}

/// As [`std::thread::available_parallelism`]: how many workers a runtime has unless told otherwise.
///
/// # Errors
///
/// As std's.
///
/// ```
/// assert!(rustlet::thread::available_parallelism().is_ok());
/// ```
#[track_caller]
pub fn available_parallelism() -> io::Result<NonZeroUsize> {
    spend_quietly(Location::caller());
    std::thread::available_parallelism()
}

/// Whether the calling thread is unwinding, as [`std::thread::panicking`].
///
/// Both answer for the green thread that calls, whatever other threads of its worker do. They are also true while a
/// cancelled thread unwinds.
///
/// ```
/// rustlet::run(|| assert!(!rustlet::thread::panicking()));
/// ```
#[must_use]
pub fn panicking() -> bool {
    std::thread::panicking()
}
