//! Running a function as the first green thread of a runtime: [`run`], [`run_all`], and the
//! process-wide runtime.

use std::io;
use std::mem::ManuallyDrop;
use std::panic::resume_unwind;
use std::sync::{Arc, Mutex, OnceLock};

use super::builder::Builder;
use super::instance::{Runtime, panic_if_deadlocked, refuse_inside, return_or_resume, spawn_main};
use super::scheduler::shared::Shared;
use crate::green::Cancelled;
use crate::green::park::unwind_if_cancelled;
use crate::shim::lock;

fn ended_by_itself<T>() -> T {
    resume_unwind(Box::new(Cancelled::new()))
}

/// Runs `f` as the first green thread of a new runtime, and returns its value.
///
/// `f` may borrow from the caller. Green threads that are still alive when `f` returns are
/// cancelled: they unwind from where they wait and run their destructors, and `run` returns when
/// they have ended. As with OS threads, the program ends when `main` returns. To wait for all
/// threads, use [`run_all`].
///
/// `run` may be called repeatedly, and by several OS threads at once.
///
/// When no thread has ended for five seconds, those that are left (a thread computes, or stays in a
/// [`shield`](crate::shield)) are named on stderr and left behind. With `panic = "abort"` threads
/// cannot be unwound: those that are still alive are left behind at once, as OS threads are at the
/// end of a program.
///
/// # Panics
///
/// Panics with the panic of `f`. Also panics if the caller is a green thread, or if no OS thread,
/// epoll instance or stack is available (a [`Builder`] returns an error instead).
///
/// # Suspends
///
/// Blocks the calling OS thread.
///
/// # Cancellation
///
/// A [`timeout`](crate::timeout) around the call cancels `f`, and `run` unwinds when all threads
/// have ended.
///
/// # Examples
///
/// ```
/// let greeting = String::from("hello");
/// let length = rustlet::run(|| greeting.len());
/// assert_eq!(length, 5);
/// ```
#[track_caller]
pub fn run<F, T>(f: F) -> T
where
    F: FnOnce() -> T + Send,
    T: Send,
{
    refuse_inside();
    let runtime = start_or_panic();
    let outcome = spawn_main(&runtime.shared, f);
    panic_if_deadlocked(&runtime.shared);
    drop(runtime);
    return_or_resume(outcome, ended_by_itself)
}

/// Runs `f` like [`run`], but waits until every green thread has ended on its own.
///
/// If `f` panics, the other threads still run to their end before the panic is resumed.
///
/// # Panics
///
/// Panics in the same cases as [`run`].
///
/// # Suspends
///
/// Blocks the calling OS thread.
///
/// # Cancellation
///
/// A [`timeout`](crate::timeout) around the call cancels the threads that are left, and `run_all`
/// unwinds when they have ended.
///
/// # Examples
///
/// ```
/// use std::sync::atomic::{AtomicU32, Ordering};
///
/// static DONE: AtomicU32 = AtomicU32::new(0);
/// rustlet::run_all(|| {
///     for _ in 0..10 {
///         rustlet::spawn(|| DONE.fetch_add(1, Ordering::Relaxed));
///     }
/// });
/// assert_eq!(DONE.load(Ordering::Relaxed), 10);
/// ```
#[track_caller]
pub fn run_all<F, T>(f: F) -> T
where
    F: FnOnce() -> T + Send,
    T: Send,
{
    refuse_inside();
    let runtime = start_or_panic();
    let outcome = spawn_main(&runtime.shared, f);
    let all = runtime.wait_all();
    panic_if_deadlocked(&runtime.shared);
    drop(runtime);
    if !all && outcome.is_ok() {
        unwind_if_cancelled();
    }
    return_or_resume(outcome, ended_by_itself)
}

#[track_caller]
fn start_or_panic() -> Runtime {
    match Builder::new().build() {
        Ok(runtime) => runtime,
        Err(error) => panic!("rustlet: the runtime cannot be started: {error}"),
    }
}

/// Returns the process-wide runtime, which is started at its first use and never ends.
pub(crate) fn global() -> io::Result<Arc<Shared>> {
    static GLOBAL: OnceLock<ManuallyDrop<Runtime>> = OnceLock::new();
    static STARTING: Mutex<()> = Mutex::new(());
    if let Some(runtime) = GLOBAL.get() {
        return Ok(Arc::clone(&runtime.shared));
    }
    let _starting = lock(&STARTING);
    if GLOBAL.get().is_none() {
        let runtime = Builder::new().name("rustlet-global").build()?;
        // `STARTING` is held, so no other thread has set it.
        let _set = GLOBAL.set(ManuallyDrop::new(runtime));
    }
    match GLOBAL.get() {
        Some(runtime) => Ok(Arc::clone(&runtime.shared)),
        None => Err(io::Error::other(
            "the process-wide runtime did not start; this is a bug in rustlet",
        )),
    }
}
