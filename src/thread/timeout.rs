//! `timeout`, `deadline`, `shield`: limits for waits. The mechanism is in `green/cancel/mod.rs`.
//!
//! All of it may be called from any thread, green or not; each call concerns the calling thread
//! only.

use std::panic::Location;
use std::time::{Duration, Instant};

use crate::green::Elapsed;
use crate::green::budget::poll_budget_quietly;
use crate::green::cancel::{self, CancelLimit, CaughtToken, assert_unwinding, within};
use crate::sys::clock;

/// Runs `f`, and ends it with [`Elapsed`] if it still waits after `duration`.
///
/// `f` runs in place, on the calling thread, and may borrow. When the time has passed, the wait
/// that `f` is in, or the next one that it enters, unwinds to this call, running destructors. No
/// panic message is printed, and locks of this crate are not poisoned. One `timeout` covers
/// everything inside: no call in it needs a time limit of its own.
///
/// Only waits are ended: calls of this crate that suspend a green thread. Work that ends late
/// without a wait returns `Ok`, and so does work whose last wait was successful: the check is made
/// on *entering* a wait, so a wait that has consumed a message returns it. [`Duration::ZERO`] ends
/// the first wait; [`Duration::MAX`] none.
///
/// # Nesting
///
/// Each timeout bounds the ones inside it. When an outer one has elapsed, a wait unwinds through
/// the inner ones, which do not see it. When several have elapsed, the outermost counts. Inside
/// [`shield`] only timeouts count that were started in it.
/// [`JoinHandle::cancel`](crate::JoinHandle::cancel) and the end of [`run`](crate::run) unwind
/// through all of them.
///
/// A wait's own time limit (`set_read_timeout`, `recv_timeout`) is an error that the call returns,
/// as always. If it passes at the same time as this one, the call returns that error, and the next
/// wait unwinds.
///
/// # Every wait may unwind
///
/// - **`catch_unwind`** in `f` sees a payload of the type [`Cancelled`](crate::Cancelled) and
///   should resume it. Otherwise the next wait raises it again, until this call is reached (after a
///   hundred times it yields before each). If `f` returns in spite of it, its value counts: `Ok`.
/// - **A panic** of `f` passes through, unchanged.
/// - **In destructors that run while unwinding** it is not raised, because that would abort the
///   process. There, once the time has passed, an operation that returns `io::Result` and would
///   have to wait returns an error that carries `Cancelled`; other waits go on. A `timeout` that
///   the destructor itself calls ends the waits in it as everywhere.
/// - **[`scope`](crate::scope)** and [`scope_cancelling`](crate::thread::scope_cancelling) cancel
///   their threads when the time limit around them elapses, wait until they have ended, and unwind.
/// - **Threads** that `f` spawns are not bound by it.
/// - **Initialisers** of a `Once` or a `OnceLock` that are unwound have not run: the next caller
///   tries again.
/// - **Buffered writers, TLS** and other streams with internal state may be left in the middle of
///   an operation: drop them.
/// - **C code** that calls back: an unwinding that reaches it aborts the process. Put a [`shield`]
///   into the callback.
/// - [`unblock`](crate::unblock) returns at once, and its closure runs to its end on the pool.
///
/// # On OS threads
///
/// It works there too, for the waits of this crate. Calls of std, and closures that `unblock` runs
/// in place, are not ended. A [`run`](crate::run) in `f` has its first green thread cancelled, and
/// ends when that thread has ended.
///
/// # Errors
///
/// Returns [`Elapsed`] if the time has passed and `f` still waits.
///
/// # Panics
///
/// Propagates a panic of `f`. Always panics in a program that is built with `panic = "abort"`,
/// which cannot unwind.
///
/// # Examples
///
/// ```
/// use rustlet::{Elapsed, sleep, timeout};
/// use std::time::Duration;
///
/// rustlet::run(|| {
///     let mut steps = 0;
///     let result = timeout(Duration::from_millis(5), || {
///         loop {
///             sleep(Duration::from_millis(1));
///             steps += 1;
///         }
///     });
///     assert_eq!(result, Err::<(), _>(Elapsed));
///     assert!(steps < 6);
///     assert_eq!(timeout(Duration::from_secs(60), || 5), Ok(5));
/// });
/// ```
///
/// A whole exchange with a peer that never answers:
///
/// ```
/// use rustlet::net::{TcpListener, TcpStream};
/// use rustlet::timeout;
/// use std::io::{self, Read, Write};
/// use std::time::Duration;
///
/// rustlet::run(|| {
///     let silent = TcpListener::bind("127.0.0.1:0")?;
///     let result = timeout(Duration::from_millis(5), || {
///         let mut stream = TcpStream::connect(silent.local_addr()?)?;
///         stream.write_all(b"hello?")?;
///         stream.read(&mut [0])
///     });
///     assert!(result.is_err());
///     io::Result::Ok(())
/// })?;
/// # io::Result::Ok(())
/// ```
///
/// The result of `f` and the time limit in one error, if `f` returns an
/// [`io::Result`](std::io::Result):
///
/// ```no_run
/// # use std::{io, time::Duration};
/// # fn exchange() -> io::Result<usize> { Ok(1) }
/// # fn whole() -> io::Result<usize> {
/// let count = rustlet::timeout(Duration::from_secs(5), exchange)??;
/// # Ok(count)
/// # }
/// ```
#[doc(alias = "WithTimeout")]
#[doc(alias = "with_timeout")]
#[track_caller]
pub fn timeout<F, T>(duration: Duration, f: F) -> Result<T, Elapsed>
where
    F: FnOnce() -> T,
{
    assert_unwinding("timeout");
    poll_budget_quietly(Location::caller());
    let deadline = match duration {
        Duration::MAX => clock::NEVER,
        duration => clock::after(duration),
    };
    within(CancelLimit::Until(deadline), f).map_err(|CaughtToken| Elapsed)
}

/// Runs `f` like [`timeout`], until the moment `at`. If it has passed, the first wait unwinds.
///
/// # Errors
///
/// Returns [`Elapsed`] if the moment has passed and `f` still waits.
///
/// # Panics
///
/// The same as for [`timeout`].
///
/// # Examples
///
/// ```
/// use std::time::{Duration, Instant};
///
/// let end = Instant::now() + Duration::from_millis(2);
/// // Several steps, one deadline.
/// let first = rustlet::deadline(end, || rustlet::sleep(Duration::from_micros(1)));
/// let second = rustlet::deadline(end, rustlet::park);
/// assert!(second.is_err());
/// # let _ = first;
/// ```
#[doc(alias = "timeout_at")]
#[doc(alias = "WithDeadline")]
#[track_caller]
pub fn deadline<F, T>(at: Instant, f: F) -> Result<T, Elapsed>
where
    F: FnOnce() -> T,
{
    assert_unwinding("deadline");
    poll_budget_quietly(Location::caller());
    within(CancelLimit::Until(clock::ticks(at)), f).map_err(|CaughtToken| Elapsed)
}

/// Runs `f` and holds off cancellation from outside of it: elapsed [`timeout`]s,
/// [`JoinHandle::cancel`](crate::JoinHandle::cancel), and the end of the run.
///
/// A cancellation that came meanwhile is raised by the first wait after `f`. A `timeout` within `f`
/// works as always; so put clean-up that must not take forever into both:
///
/// ```
/// use rustlet::{shield, sleep, timeout};
/// use std::time::Duration;
///
/// rustlet::run(|| {
///     let result = timeout(Duration::from_millis(1), || {
///         shield(|| {
///             // Says goodbye to the peer, but not for long.
///             timeout(Duration::from_secs(20), || sleep(Duration::from_millis(5))).unwrap();
///         });
///         "and goes on, until it waits"
///     });
///     assert!(result.is_ok());
/// });
/// ```
///
/// Use it too around C code that calls back into waits: an unwinding through C aborts the process.
///
/// When the runtime ends, it waits for a thread in here for the grace period
/// ([`Builder::shutdown_timeout`](crate::Builder::shutdown_timeout)), then reports its name on
/// stderr and leaves it behind.
#[doc(alias = "uncancellable")]
#[doc(alias = "mask")]
#[track_caller]
pub fn shield<F, T>(f: F) -> T
where
    F: FnOnce() -> T,
{
    poll_budget_quietly(Location::caller());
    match within(CancelLimit::Shield, f) {
        Ok(value) => value,
        // A shield ends no wait, so no cancellation carries its number.
        Err(CaughtToken) => unreachable!("a shield has ended a wait"),
    }
}

/// Returns `true` if the next wait of the calling thread would unwind: it is cancelled, or a
/// [`timeout`] around has elapsed, and no [`shield`] holds that off. For long computations without
/// a wait. Does not wait.
///
/// # Examples
///
/// ```
/// use rustlet::{is_cancelled, shield, timeout};
/// use std::time::Duration;
///
/// let result = timeout(Duration::ZERO, || (is_cancelled(), shield(is_cancelled)));
/// assert_eq!(result, Ok((true, false)));
/// assert!(!is_cancelled());
/// ```
#[doc(alias = "CancellationToken")]
#[must_use]
#[track_caller]
pub fn is_cancelled() -> bool {
    poll_budget_quietly(Location::caller());
    cancel::is_cancelled()
}
